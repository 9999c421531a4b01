"""Models of the Hugging Face hub and in folders, known by an address: their settings.

What can be known of a model without its weights: a few kilobytes, from a folder, from the hub's
local cache or from the hub.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from backbones.base import BackboneError, WeightsUnavailable
from backbones.names import Address

# Of a checkpoint in several files: which tensor is in which.
WEIGHT_INDEX = "model.safetensors.index.json"
WEIGHT_FILES = ("model.safetensors", WEIGHT_INDEX, "pytorch_model.bin")
# The last one holds the feature extractor's settings where a processor was saved as a whole.
FEATURE_FILES = ("preprocessor_config.json", "processor_config.json")
SETTINGS_FILES = ("config.json", *FEATURE_FILES)
MODEL_CARD = "README.md"
CONNECT_SECONDS = 3.0


def settings_folder(address: Address, *, allow_download: bool = True) -> Path:
    """Find the folder with the settings of a model in the transformers layout, without weights.

    Args:
        address: of scheme `hf`.
        allow_download: False never touches the network.

    Raises:
        BackboneError: there is no such folder, or no such repository.
        WeightsUnavailable: the repository's settings are not on this machine and cannot be had.
    """
    folder = address.path
    if folder is not None:
        if not (folder / "config.json").is_file():
            what = "has no config.json" if folder.is_dir() else "is no folder"
            raise BackboneError(f"{address.name}: {folder} {what}; {how_to_get_address(address)}")
        return folder
    cached, complete = _cached_settings(address)
    if cached is not None and complete:
        return cached
    try:
        return _download_settings(address, allow_download)
    except WeightsUnavailable:
        if cached is None:
            raise
        return cached


def settings_digest(folder: Path) -> str:
    """Return the hex digest of all settings in a folder: of the network and of its features."""
    digest = hashlib.sha256()
    for name in SETTINGS_FILES:
        if (folder / name).is_file():
            digest.update(f"{name} {sha256(folder / name)}\n".encode())
    return digest.hexdigest()


def sha256(file: Path) -> str:
    """Return the hex digest of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def how_to_get_address(address: Address) -> str:
    """Return the clause that tells a person how to get a model by its address."""
    if address.path is not None:
        return (
            "point it at a folder that holds config.json, preprocessor_config.json and "
            "model.safetensors, as save_pretrained writes them"
            if address.scheme == "hf"
            else "point it at a .nemo archive"
        )
    pinned = f" --revision {address.revision}" if address.revision != "main" else ""
    return f"get them with: hf download {address.where}{pinned}"


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


def hub_error() -> type[Exception]:
    """What a request to the hub raises where the connection fails."""
    try:
        import httpx2 as hub_http  # what huggingface_hub speaks since 2.0
    except ImportError:
        import httpx as hub_http  # type: ignore[no-redef]
    return hub_http.HTTPError


def offline() -> bool:
    """Whether the user forbids any use of the network."""
    return os.environ.get("VOXGRID_OFFLINE", "").lower() not in ("", "0", "false", "no")


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    return str(error).strip().partition("\n")[0].rstrip(":") or type(error).__name__


def _cached_settings(address: Address) -> tuple[Path | None, bool]:
    """The folder with config.json in the hub's cache, and whether there is no more to fetch."""
    from huggingface_hub import try_to_load_from_cache

    def cached(file: str) -> object:
        return try_to_load_from_cache(address.where, file, revision=address.revision)

    config = cached("config.json")
    if not isinstance(config, str):
        return None, False
    return Path(config).parent, any(isinstance(cached(name), str) for name in FEATURE_FILES)


def _download_settings(address: Address, allow_download: bool) -> Path:
    """Fetch what is needed to know a model of the hub, and its card: a few kilobytes."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, repository, page = address.name, address.where, f"{constants.ENDPOINT}/{address.where}"
    here = Path(repository).is_dir()
    hint = f"write hf:./{repository} for the folder here, or " if here else ""

    def unavailable(reason: str) -> WeightsUnavailable:
        return WeightsUnavailable(
            f"{name}: its settings are not on this machine and {reason}; "
            f"{hint}{how_to_get_address(address)}"
        )

    if not allow_download:
        raise unavailable("downloads are not allowed")
    if offline():
        raise unavailable("VOXGRID_OFFLINE is set")
    if constants.HF_HUB_OFFLINE:
        raise unavailable("HF_HUB_OFFLINE is set")
    if not reachable(constants.ENDPOINT):
        raise unavailable(f"{constants.ENDPOINT} does not answer")
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=address.revision,
                allow_patterns=[*SETTINGS_FILES, MODEL_CARD],
            )
        )
    except GatedRepoError as error:
        raise WeightsUnavailable(
            f"{name}: {repository} is gated: accept its terms at {page}, then log in with "
            "`hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise BackboneError(
            f"{name}: the hub has no repository {repository}, or it is private: {hint}check its "
            "spelling, or log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise BackboneError(
            f"{name}: {repository} has no revision '{address.revision}': pick a branch, tag or "
            f"commit listed at {page}/commits/main"
        ) from error
    except (OSError, hub_error()) as error:
        raise unavailable(f"the download failed ({first_line(error)})") from error
    if not (folder / "config.json").is_file():
        raise BackboneError(
            f"{name}: {repository} has no config.json, so it is no model of transformers: pick "
            "another repository"
        )
    return folder
