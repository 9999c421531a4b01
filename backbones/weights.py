"""Where a backbone's weights come from: a local folder, the Hugging Face cache, a download."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from backbones.base import BackboneError, BackboneInfo, Weights, WeightsUnavailable

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
SETTINGS_FILES = ("config.json", "preprocessor_config.json")
CONNECT_SECONDS = 3.0

Availability = Literal["not needed", "found", "missing", "broken"]


def resolve(
    info: BackboneInfo,
    *,
    control: Literal["random-init"] | None = None,
    sample: bool = False,
    root: Path | None = None,
    allow_download: bool = True,
    seed: int = 0,
) -> Weights:
    """Find the weights of a backbone.

    Order: `root/<name>` → local Hugging Face cache (or voxgrid's own cache for addresses) →
    download.

    Args:
        info: metadata of the backbone.
        control: `random-init` asks for the published architecture with random weights.
        sample: True for the sample tasks: a small random network, nothing is looked up.
        root: folder of local weights; None reads `VOXGRID_WEIGHTS`.
        allow_download: False never touches the network.
        seed: of random initialisation.

    Raises:
        WeightsUnavailable: nothing local and nothing to download; the message says how to get them.
        BackboneError: a local folder was found, but there are no weights in it.
    """
    if info.weights_id is None:
        return Weights("none")
    if sample:
        return Weights("random-init", id=info.weights_id, size="small", seed=seed)
    if control == "random-init":
        return Weights("random-init", id=info.weights_id, seed=seed)
    path = _local(info, root) or _cached(info)
    if path is None:
        if not allow_download:
            raise _unavailable(info, "none on this machine")
        path = _download(info)
    file = path if path.is_file() else weight_file(path)
    if file is None:
        raise _unavailable(info, f"{path} holds no weight file")
    config = file.parent / "config.json"
    return Weights(
        "pretrained",
        id=info.weights_id,
        path=path,
        sha=sha256(file),
        # an archive holds its own configuration
        config_sha=sha256(config) if path.is_dir() else None,
    )


def availability(info: BackboneInfo, root: Path | None = None) -> tuple[Availability, str]:
    """Say whether weights are on this machine, without touching the network.

    Returns:
        The state, and where the weights are or how to get them.
    """
    if info.weights_id is None:
        return "not needed", ""
    try:
        path = _local(info, root) or _cached(info)
    except BackboneError as error:
        return "broken", str(error)
    return ("missing", how_to_get(info)) if path is None else ("found", str(path))


def how_to_get(info: BackboneInfo) -> str:
    """Return the clause that tells a person how to get the weights of a backbone.

    It names `$VOXGRID_WEIGHTS` and not its value, since records keep it.
    """
    if info.weights_id is not None and _is_url(info.weights_id):
        return f"get them with: curl -L -o $VOXGRID_WEIGHTS/{info.name}.nemo {info.weights_id}"
    pinned = f" --revision {info.revision}" if info.revision not in (None, "main") else ""
    return (
        f"get them with: hf download {info.weights_id}{pinned} "
        f"--local-dir $VOXGRID_WEIGHTS/{info.name}"
    )


def weight_file(folder: Path) -> Path | None:
    """Return the weight file in a folder of the transformers layout, safetensors first."""
    return next((folder / n for n in WEIGHT_FILES if (folder / n).is_file()), None)


def sha256(file: Path) -> str:
    """Return the hex digest of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.cache
def reachable(origin: str) -> bool:
    """Say whether a host answers: asked once per process, no retries, proxies honoured.

    Args:
        origin: scheme and host, such as `https://huggingface.co`.
    """
    import httpx

    try:
        answer = httpx.head(origin, timeout=CONNECT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.status_code < 500


def _is_url(weights_id: str) -> bool:
    return weights_id.startswith(("https://", "http://"))


def _root_from_environment() -> Path | None:
    value = os.environ.get("VOXGRID_WEIGHTS", "")
    return Path(value).expanduser() if value else None


def _local(info: BackboneInfo, root: Path | None) -> Path | None:
    """Find `<root>/<name>`: an archive, or a folder that must then hold weights."""
    root = root or _root_from_environment()
    if root is None:
        return None
    archive, folder = root / f"{info.name}.nemo", root / info.name
    if archive.is_file():
        return archive
    if not folder.is_dir():
        return None
    archives = sorted(folder.glob("*.nemo"))
    if len(archives) == 1:
        return archives[0]
    if (folder / "config.json").is_file() and weight_file(folder):
        return folder
    raise BackboneError(
        f"{info.name}: {folder} needs config.json and one of {', '.join(WEIGHT_FILES)} "
        f"(or a single .nemo archive); {how_to_get(info)}"
    )


def _cached(info: BackboneInfo) -> Path | None:
    assert info.weights_id is not None
    if _is_url(info.weights_id):
        file = _download_folder() / _file_name(info.weights_id)
        return file if file.is_file() and f"sha256:{sha256(file)}" == info.revision else None
    from huggingface_hub import try_to_load_from_cache

    # Not snapshot_download(local_files_only=True): it returns a folder that an interrupted
    # download left without its weight file, and refuses one that was fetched in part on purpose.
    for name in WEIGHT_FILES:
        found = [
            try_to_load_from_cache(info.weights_id, file, revision=info.revision)
            for file in ("config.json", name)
        ]
        if all(isinstance(file, str) for file in found):
            return Path(str(found[0])).parent
    return None


def _download(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    if os.environ.get("VOXGRID_OFFLINE", "").lower() not in ("", "0", "false", "no"):
        raise _unavailable(info, "none on this machine and VOXGRID_OFFLINE is set")
    if _is_url(info.weights_id):
        return _download_file(info)
    return _download_snapshot(info)


def _download_snapshot(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    from huggingface_hub import HfApi, constants, snapshot_download

    try:
        import httpx2 as hub_http  # what huggingface_hub speaks since 2.0
    except ImportError:
        import httpx as hub_http  # type: ignore[no-redef]

    if constants.HF_HUB_OFFLINE:
        raise _unavailable(info, "none on this machine and HF_HUB_OFFLINE is set")
    _require_reachable(info, constants.ENDPOINT)
    try:
        files = HfApi().list_repo_files(info.weights_id, revision=info.revision)
        # one format only: most repositories hold the same weights twice
        wanted = next((name for name in WEIGHT_FILES if name in files), None)
        if wanted is None:
            raise _unavailable(info, f"{info.weights_id} has none of {', '.join(WEIGHT_FILES)}")
        return Path(
            snapshot_download(
                info.weights_id,
                revision=info.revision,
                allow_patterns=[*SETTINGS_FILES, wanted],
            )
        )
    # an HTTP status of the hub and a full disk are both an OSError
    except (OSError, hub_http.HTTPError) as error:
        raise _unavailable(info, f"the download failed: {_first_line(error)}") from error


def _download_file(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    parts = urlsplit(info.weights_id)
    _require_reachable(info, f"{parts.scheme}://{parts.netloc}")
    import pooch

    folder = _download_folder()
    try:
        return Path(
            pooch.retrieve(
                info.weights_id,
                known_hash=info.revision,
                fname=_file_name(info.weights_id),
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=30, progressbar=False),
            )
        )
    # requests' errors are OSErrors; pooch reports a wrong hash as a ValueError
    except (OSError, ValueError) as error:
        raise _unavailable(info, f"the download failed: {_first_line(error)}") from error


def _require_reachable(info: BackboneInfo, origin: str) -> None:
    if not reachable(origin):
        raise _unavailable(info, f"none on this machine and {origin} does not answer")


def _download_folder() -> Path:
    import platformdirs

    value = os.environ.get("VOXGRID_CACHE", "")
    base = Path(value).expanduser() if value else Path(platformdirs.user_cache_dir("voxgrid"))
    return base / "weights"


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _unavailable(info: BackboneInfo, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{info.name}: weights of {info.weights_id} unavailable ({reason}); {how_to_get(info)}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
