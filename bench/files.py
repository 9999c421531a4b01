"""Files that are written whole or not at all, and folders that one process writes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import StorageError, UserError

Kinds = type[Exception] | tuple[type[Exception], ...]

# A study's checkpoints lie six folders below the results.
_DEEPEST = 8
# For `storing`, of whatever lies in the cache.
CACHE_ADVICE = (
    "free some space or set VOXGRID_CACHE to another folder, then run again: what is finished is "
    "kept"
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file beside its final place and move it there when the block ends well.

    Args:
        path: the final place; its folder is created.

    Yields:
        Where to write. After an error nothing is left there, and `path` is as it was.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    finally:
        with suppress(OSError):  # gone after the move; on a read-only disk it never came to be
            partial.unlink()


def unlinked(path: Path, root: Path) -> Path:
    """A path below a folder, if no part of it below there is a link.

    Folders get passed around, and what lies behind a link in one is nothing to write or remove.
    The folder itself may be a link, as may what leads to it: whoever named it chose that.

    Raises:
        StorageError: a part is a link, or the path is not below the folder.
    """
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ("..",)
    if ".." in parts:
        raise StorageError(f"{path} does not lie in {root}, and nothing is written elsewhere")
    place = root
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise StorageError(
                f"{place} is a link, and within {root} nothing is written or removed through "
                "links: put the folder or file itself there, or choose another folder"
            )
    return path


def below(folder: Path) -> Iterator[Path]:
    """All files, folders and links below a folder, behind no link.

    Raises:
        StorageError: some lie deeper than anything of voxgrid's; to remove those would overflow.
    """
    for place, folders, files in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) > _DEEPEST:
            raise StorageError(f"{place} lies deeper than anything of voxgrid's: remove it")
        yield from (Path(place, name) for name in sorted([*folders, *files]))


@contextmanager
def storing(place: Path, advice: str, kinds: Kinds = OSError) -> Iterator[None]:
    """Say what to do where a file or folder cannot be written, as a `StorageError`.

    `kinds` are the errors that say so; a library may have its own.
    """
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{place} cannot be written ({reason}): {advice}") from error


@contextmanager
def exclusive(
    folder: Path,
    option: str = "--results",
    lock: str = ".lock",
    share: tuple[int, int] | None = None,
) -> Iterator[None]:
    """Hold a folder, which is created: only one process at a time works in it.

    Several that hold different shares of one whole may. The lock ends with the process, however it
    ends.

    Args:
        folder: to hold.
        option: that names another folder, for messages.
        lock: name of the lock file in it.
        share: number and count of a share of the work in it; None for all of it.

    Raises:
        UserError: another process holds the folder, or it cannot be written.
    """
    own = lock if share is None else f"{lock}-{share[0]}-of-{share[1]}"
    beside = own if share is None else f"{lock}-*-of-{share[1]}"
    held = FileLock(folder / own)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
        for other in folder.glob(f"{lock}*"):
            if not other.match(beside):
                # another run may be looking at it just now
                with FileLock(other).acquire(timeout=1):
                    pass
    except Timeout as error:
        held.release()
        raise UserError(
            f"another voxgrid run is writing to {folder}: wait for it, or use {option}"
        ) from error
    except OSError as error:
        held.release()
        raise UserError(
            f"the folder {folder} cannot be written ({error.strerror}): make it writable, or "
            f"choose another with {option}"
        ) from error
    try:
        yield
    finally:
        held.release()
