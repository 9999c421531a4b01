"""Where a backbone's weights come from: a local folder, the Hugging Face cache, a download."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from backbones import names
from backbones._hf import hub
from backbones._hf.files import (
    WEIGHT_FILES,
    settings_digest,
    sha256,
    weight_file,
    weight_parts,
    weights_digest,
)
from backbones.base import BackboneError, BackboneInfo, Weights, WeightsUnavailable, first_line
from backbones.reading import HEAD, WEIGHTS, opened, pointer

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
    own = _local(info, root)
    path = own or _cached(info)
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
        sha=weights_digest(file),
        config_sha=_settings_beside(info, path),
        # the hub's cache calls a folder by its commit
        commit=path.name if own is None and path.is_dir() else None,
    )


def availability(info: BackboneInfo, root: Path | None = None) -> tuple[Availability, str]:
    """Whether weights are on this machine, and where or how to get them; never downloads."""
    if info.weights_id is None:
        return "not needed", ""
    try:
        path = _local(info, root) or _cached(info)
    except BackboneError as error:
        return "broken", str(error)
    return ("missing", names.how_to_get(info)) if path is None else ("found", str(path))


def _local(info: BackboneInfo, root: Path | None) -> Path | None:
    """The path an address names, or `<root>/<name>`: an archive, or a folder with weights."""
    address = names.parse(info.name)
    if address is None:
        value = root or os.environ.get("VOXGRID_WEIGHTS")
        if not value:
            return None
        folder = Path(value).expanduser() / info.name
        archive = folder.with_name(f"{info.name}.nemo")
        beside = sorted(path for path in folder.glob("*.nemo") if path.is_file())
        archives = [archive] if archive.is_file() else beside
        if len(archives) == 1:
            return _fetched(info, archives[0], archives)
        if not folder.is_dir():
            return None
    elif address.path is None:
        return None
    elif address.scheme == "nemo":
        if address.path.is_file():
            return _fetched(info, address.path, [address.path])
        raise BackboneError(f"{info.name}: there is no file {address.path}; check the path")
    else:
        folder = address.path
    file = weight_file(folder)
    missing = [] if file else [f"one of {', '.join(WEIGHT_FILES)}"]
    if not (folder / "config.json").is_file():
        missing.insert(0, "config.json")
    if file and not missing:
        return _fetched(info, folder, weight_parts(file))
    archive_too = " (or a single .nemo archive)" if address is None else ""
    raise BackboneError(
        f"{info.name}: {folder} lacks {' and '.join(missing)}{archive_too}; "
        f"{names.how_to_get(info)}"
    )


def _fetched(info: BackboneInfo, path: Path, files: list[Path]) -> Path:
    """The path of weights, once none of their files turns out to be a pointer to itself."""
    for file in files:
        try:
            with opened(file) as stream:
                reason = pointer(stream.read(HEAD))
        except OSError as error:
            reason = f"cannot be read ({first_line(error)}); {names.how_to_get(info)}"
        if reason:
            raise BackboneError(f"{info.name}: {file} {reason}")
    return path


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
        return settings_digest(hub.settings_folder(address))
    from backbones._nemo.archive import CONFIG, read_members

    assert address.path is not None
    return hashlib.sha256(*read_members(address.path, CONFIG)).hexdigest()


def _cached(info: BackboneInfo) -> Path | None:
    assert info.weights_id is not None
    if not names.is_url(info.weights_id):
        return hub.cached_weights(info.weights_id, info.revision)
    file = _kept(info.weights_id)
    return file if file.is_file() and f"sha256:{sha256(file)}" == info.revision else None


def _download(info: BackboneInfo) -> Path:
    assert info.weights_id is not None
    try:
        if names.is_url(info.weights_id):
            return _download_file(info.weights_id, info.revision)
        return hub.download_weights(info.weights_id, info.revision)
    except hub.NotFetched as error:
        raise _unavailable(info, f"none on this machine and {error}") from error


def _download_file(url: str, revision: str | None) -> Path:
    """Fetch a file into the cache folder, where it is only put with the digest it has to have."""
    import httpx

    parts = urlsplit(url)
    hub.require_network(f"{parts.scheme}://{parts.netloc}")
    path = _kept(url)
    if path.parent.is_symlink():
        raise hub.NotFetched(f"{path.parent} is a link, through which nothing is written")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder) / path.name
            # as it is, so that what is announced is what comes
            plain = {"Accept-Encoding": "identity"}
            with httpx.stream(
                "GET", url, timeout=30, follow_redirects=True, headers=plain
            ) as answer:
                answer.raise_for_status()
                announced = int(answer.headers.get("Content-Length", 0))
                hub.require_room(path.parent, announced)
                left = announced or WEIGHTS.most
                with partial.open("xb") as file:
                    for piece in answer.iter_raw():
                        left -= len(piece)
                        if left < 0:
                            raise hub.NotFetched(f"the download failed: {url} does not end")
                        file.write(piece)
            if f"sha256:{sha256(partial)}" != revision:
                raise hub.NotFetched(f"the download failed: {url} is not the file of {revision}")
            return partial.replace(path)
    # a length that is no number is a ValueError
    except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise hub.NotFetched(f"the download failed: {first_line(error)}") from error


def _kept(url: str) -> Path:
    """Where a file from the web is kept."""
    import platformdirs

    base = os.environ.get("VOXGRID_CACHE") or platformdirs.user_cache_dir("voxgrid")
    return Path(base).expanduser() / "weights" / urlsplit(url).path.rpartition("/")[2]


def _unavailable(info: BackboneInfo, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{info.name}: weights of {info.weights_id} unavailable ({reason}); "
        f"{names.how_to_get(info)}"
    )
