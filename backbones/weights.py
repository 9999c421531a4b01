"""Where a backbone's weights come from: a local folder, the Hugging Face cache, a download."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from backbones import names
from backbones._hub import (
    SETTINGS_FILES,
    WEIGHT_FILES,
    WEIGHT_INDEX,
    first_line,
    how_to_get_address,
    hub_error,
    offline,
    reachable,
    settings_digest,
    settings_folder,
    sha256,
)
from backbones.base import BackboneError, BackboneInfo, Weights, WeightsUnavailable
from backbones.names import Address

# What the files are called that an index on the hub names.
WEIGHT_PARTS = "model-*-of-*.safetensors"

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

    Order: `root/<name>` → local Hugging Face cache (or voxgrid's own cache for web addresses) →
    download. A backbone named by the path of its weights has them there or nowhere.

    Args:
        info: metadata of the backbone.
        control: `random-init` asks for the published architecture with random weights.
        sample: True for the sample tasks: a small random network, nothing is looked up.
        root: folder of local weights; None reads `VOXGRID_WEIGHTS`.
        allow_download: False never touches the network.
        seed: of random initialisation.

    Raises:
        WeightsUnavailable: nothing local and nothing to download; the message says how to get them.
        BackboneError: a local folder was found, but no weights in it, or not all of them.
    """
    if info.weights_id is None:
        return Weights("none")
    if sample or control == "random-init":
        return Weights(
            "random-init",
            id=info.weights_id,
            config_sha=_settings_of_address(info),
            size="small" if sample else "full",
            seed=seed,
        )
    path = _local(info, root) or _cached(info)
    if path is None:
        if not allow_download:
            raise _unavailable(info, "none on this machine")
        path = _download(info)
    file = path if path.is_file() else weight_file(path)
    if file is None:
        raise _unavailable(info, f"{path} holds no weight file")
    return Weights(
        "pretrained",
        id=info.weights_id,
        path=path,
        sha=_sha(file),
        config_sha=_settings_beside(info, path),
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
    address = names.parse(info.name)
    if address is not None:
        return how_to_get_address(address)
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


def weight_parts(file: Path) -> list[Path]:
    """Return the files that hold the tensors of a weight file: itself, or those an index names.

    Raises:
        BackboneError: the index is none, or a file it names is not beside it.
    """
    if file.name != WEIGHT_INDEX:
        return [file]
    try:
        parts = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
        plain = all(Path(part).name == part and part.endswith(".safetensors") for part in parts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"cannot read {file} as an index of safetensors ({first_line(error)}); get the "
            "published files again"
        ) from error
    if not plain:
        raise BackboneError(
            f"{file} names other files than safetensors beside it; get the published files again"
        )
    missing = [part for part in parts if not (file.parent / part).is_file()]
    if missing or not parts:
        raise BackboneError(
            f"{file.parent} lacks {', '.join(missing) or 'all files'} of {file.name}; get the "
            "published files again"
        )
    return [file.parent / part for part in parts]


def _sha(file: Path) -> str:
    """Digest of a weight file: of its content, or of the names and contents of its parts."""
    if file.name != WEIGHT_INDEX:
        return sha256(file)
    lines = "".join(f"{part.name} {sha256(part)}\n" for part in weight_parts(file))
    return hashlib.sha256(lines.encode()).hexdigest()


def _is_url(weights_id: str) -> bool:
    return weights_id.startswith(("https://", "http://"))


def _root_from_environment() -> Path | None:
    value = os.environ.get("VOXGRID_WEIGHTS", "")
    return Path(value).expanduser() if value else None


def _local(info: BackboneInfo, root: Path | None) -> Path | None:
    """Find `<root>/<name>`: an archive, or a folder that must then hold weights."""
    address = names.parse(info.name)
    if address is not None:
        return _at(address)
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
    if _holds_weights(folder):
        return folder
    raise BackboneError(
        f"{info.name}: {folder} needs config.json and one of {', '.join(WEIGHT_FILES)} "
        f"(or a single .nemo archive); {how_to_get(info)}"
    )


def _at(address: Address) -> Path | None:
    """The path an address names, which must then hold weights; None for a repository."""
    path = address.path
    if path is None:
        return None
    if address.scheme == "nemo":
        if not path.is_file():
            raise BackboneError(f"{address.name}: there is no file {path}; check the path")
        return path
    if _holds_weights(path):
        return path
    raise BackboneError(
        f"{address.name}: {path} needs config.json and one of {', '.join(WEIGHT_FILES)}; "
        f"{how_to_get_address(address)}"
    )


def _holds_weights(folder: Path) -> bool:
    """Whether a folder has settings and weights; an index without its files is an error."""
    file = weight_file(folder)
    return file is not None and (folder / "config.json").is_file() and bool(weight_parts(file))


def _settings_beside(info: BackboneInfo, path: Path) -> str | None:
    """Digest of the settings that come with weights; an archive holds its own."""
    if not path.is_dir():
        return None
    # a plugin has settled what the features are, an address reads that from the folder too
    plugin = names.parse(info.name) is None
    return sha256(path / "config.json") if plugin else settings_digest(path)


def _settings_of_address(info: BackboneInfo) -> str | None:
    """Digest of what decides the architecture; None for a plugin, which has it in its code."""
    address = names.parse(info.name)
    if address is None:
        return None
    if address.scheme == "hf":
        if address.path is None:
            address = replace(address, revision=info.revision)
        return settings_digest(settings_folder(address))
    from backbones._nemo import read_member

    assert address.path is not None
    return hashlib.sha256(read_member(address.path, "model_config.yaml")).hexdigest()


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
            try:
                weight_parts(Path(str(found[1])))
            except BackboneError:
                continue  # a download that was interrupted, and that goes on
            return Path(str(found[0])).parent
    return None


def _download(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    if offline():
        raise _unavailable(info, "none on this machine and VOXGRID_OFFLINE is set")
    if _is_url(info.weights_id):
        return _download_file(info)
    return _download_snapshot(info)


def _download_snapshot(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    from huggingface_hub import HfApi, constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise _unavailable(info, "none on this machine and HF_HUB_OFFLINE is set")
    _require_reachable(info, constants.ENDPOINT)
    try:
        files = HfApi().list_repo_files(info.weights_id, revision=info.revision)
        # one format only: most repositories hold the same weights twice
        wanted = next((name for name in WEIGHT_FILES if name in files), None)
        if wanted is None:
            raise _unavailable(info, f"{info.weights_id} has none of {', '.join(WEIGHT_FILES)}")
        parts = [WEIGHT_PARTS] if wanted == WEIGHT_INDEX else []
        return Path(
            snapshot_download(
                info.weights_id,
                revision=info.revision,
                allow_patterns=[*SETTINGS_FILES, wanted, *parts],
            )
        )
    # an HTTP status of the hub and a full disk are both an OSError
    except (OSError, hub_error()) as error:
        raise _unavailable(info, f"the download failed: {first_line(error)}") from error


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
        raise _unavailable(info, f"the download failed: {first_line(error)}") from error


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
