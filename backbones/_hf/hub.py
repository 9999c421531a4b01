"""The Hugging Face hub and its local cache: settings and weights, of one commit each.

Settings are what can be known of a model without its weights: a few kilobytes.
"""

from __future__ import annotations

import functools
import os
import shutil
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from backbones._hf.files import (
    FEATURE_FILES,
    MODEL_CARD,
    SETTINGS_FILES,
    WEIGHT_FILES,
    WEIGHT_PARTS,
    weight_parts,
)
from backbones.base import BackboneError, WeightsUnavailable, first_line
from backbones.names import Address
from backbones.reading import SETTINGS, size

CONNECT_SECONDS = 3.0


class NotFetched(Exception):
    """A download that did not come about; the message is the reason, in half a sentence."""


def settings_folder(address: Address, *, allow_download: bool = True) -> Path:
    """The folder with a model's settings; that of a repository is called by their commit.

    Raises:
        BackboneError: there is no such folder, or no such repository.
        WeightsUnavailable: the repository's settings are not on this machine and cannot be had.
    """
    folder = address.path
    if folder is not None:
        if not (folder / "config.json").is_file():
            what = "has no config.json" if folder.is_dir() else "is no folder"
            raise BackboneError(f"{address.name}: {folder} {what}; {address.how_to_get}")
        return folder
    cached = _cached(address.where, "config.json", address.revision)
    features = (_cached(address.where, name, address.revision) for name in FEATURE_FILES)
    if cached is not None and any(features):
        return cached.parent
    try:
        return _download_settings(address, allow_download)
    except WeightsUnavailable:
        if cached is None:
            raise
        return cached.parent


def cached_weights(repository: str, revision: str | None) -> Path | None:
    """Find the folder of a repository's commit in the local cache that holds settings and weights.

    Not snapshot_download(local_files_only=True): it returns a folder that an interrupted download
    left without its weight file, and refuses one that was fetched in part on purpose.
    """
    config = _cached(repository, "config.json", revision)
    for name in WEIGHT_FILES if config is not None else ():
        file = _cached(repository, name, revision)
        # without all its parts it is a download that was interrupted, and that goes on
        with suppress(BackboneError):
            if file is not None and weight_parts(file):
                return file.parent
    return None


def download_weights(repository: str, revision: str | None) -> Path:
    """Fetch settings and weights, in one format, into a folder called by their commit."""
    from huggingface_hub import HfApi, constants, snapshot_download

    require_network(constants.ENDPOINT, hub_offline=constants.HF_HUB_OFFLINE)
    try:
        tree = HfApi().list_repo_tree(repository, revision=revision)
        files = {found.path: getattr(found, "size", 0) for found in tree}
        # one format only: most repositories hold the same weights twice
        wanted = next((name for name in WEIGHT_FILES if name in files), None)
        if wanted is None:
            raise NotFetched(f"{repository} has none of {', '.join(WEIGHT_FILES)}")
        parts = [WEIGHT_PARTS[wanted]] if wanted in WEIGHT_PARTS else []
        patterns = [*SETTINGS_FILES, wanted, *parts]
        needed = sum(files[n] for n in files if any(fnmatch(n, each) for each in patterns))
        require_room(Path(constants.HF_HUB_CACHE), needed)
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    # an HTTP status of the hub and a full disk are both an OSError
    except (OSError, _hub_error()) as error:
        raise NotFetched(f"the download failed: {first_line(error)}") from error


def require_room(folder: Path, needed: int) -> None:
    """Refuse a download that the disk has no room for, before it is full."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise NotFetched(f"{size(needed)} do not fit into the {size(free)} free at {there}")


def require_network(origin: str, *, hub_offline: bool = False) -> None:
    """Refuse a download that cannot succeed, or that the user or the hub's settings forbid."""
    if os.environ.get("VOXGRID_OFFLINE", "").lower() not in ("", "0", "false", "no"):
        raise NotFetched("VOXGRID_OFFLINE is set")
    if hub_offline:
        raise NotFetched("HF_HUB_OFFLINE is set")
    if not reachable(origin):
        raise NotFetched(f"{origin} does not answer")


@functools.cache
def reachable(origin: str) -> bool:
    """Say whether a host answers: asked once per process, no retries, proxies honoured."""
    import httpx

    try:
        answer = httpx.head(origin, timeout=CONNECT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.status_code < 500


def _hub_error() -> type[Exception]:
    """What a request to the hub raises where the connection fails."""
    try:
        import httpx2 as hub_http  # what huggingface_hub speaks since 2.0
    except ImportError:
        import httpx as hub_http  # type: ignore[no-redef]
    return hub_http.HTTPError


def _cached(repository: str, file: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _download_settings(address: Address, allow_download: bool) -> Path:
    """Fetch what is needed to know a model of the hub, and its card: a few kilobytes."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, repository, page = address.name, address.where, f"{constants.ENDPOINT}/{address.where}"
    here = Path(repository).is_dir()
    hint = f"write hf:./{repository} for the folder here, or " if here else ""
    try:
        if not allow_download:
            raise NotFetched("downloads are not allowed")
        require_network(constants.ENDPOINT, hub_offline=constants.HF_HUB_OFFLINE)
        files = [*SETTINGS_FILES, MODEL_CARD]
        found = HfApi().get_paths_info(repository, files, revision=address.revision)
        sizes = {each.path: getattr(each, "size", 0) for each in found}
        if sizes.pop(MODEL_CARD, 0) > SETTINGS.most:
            files.remove(MODEL_CARD)
        for file, count in sizes.items():
            if count > SETTINGS.most:
                raise BackboneError(
                    f"{name}: {file} of {repository} {SETTINGS.excess}: pick another repository"
                )
        folder = Path(
            snapshot_download(repository, revision=address.revision, allow_patterns=files)
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
    except (NotFetched, OSError, _hub_error()) as error:
        failed = "" if isinstance(error, NotFetched) else "the download failed: "
        raise WeightsUnavailable(
            f"{name}: its settings are not on this machine and {failed}{first_line(error)}; "
            f"{hint}{address.how_to_get}"
        ) from error
    if not (folder / "config.json").is_file():
        raise BackboneError(
            f"{name}: {repository} has no config.json, so it is no model of transformers: pick "
            "another repository"
        )
    return folder
