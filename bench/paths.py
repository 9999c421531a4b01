"""Where data and caches live on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def expanded(path: Path | str) -> Path:
    """Return a path with `~` or `~user` at its beginning replaced, where there is such a home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 pathlib raises where there is none


def data_root() -> Path | None:
    """Return the folder named by `VOXGRID_DATA`, or None where it is unset or empty."""
    value = os.environ.get("VOXGRID_DATA", "")
    return expanded(value) if value else None


def missing_folder(variable: str) -> str | None:
    """Return a sentence where a variable, such as `VOXGRID_DATA`, names a folder that is not there.

    A typo in one must not read as if the data were nowhere.
    """
    value = os.environ.get(variable, "")
    if not value or expanded(value).is_dir():
        return None
    return (
        f"{variable} names the folder {value}, which does not exist: correct it, make the folder, "
        "or unset it"
    )


def cache_dir() -> Path:
    """Return `VOXGRID_CACHE`, or the user's cache folder for voxgrid (not created here)."""
    value = os.environ.get("VOXGRID_CACHE", "")
    return expanded(value) if value else Path(platformdirs.user_cache_dir("voxgrid"))


def portable(path: Path) -> tuple[str, str]:
    """Return which folder of this module a path lies below, and the rest; else `""` and all of it.

    Where another machine has its data and cache elsewhere, `here` finds the same file there.
    """
    for name, root in (("data", data_root()), ("cache", cache_dir())):
        if root is not None and path.is_relative_to(root):
            return name, path.relative_to(root).as_posix()
    return "", str(path)


def here(place: tuple[str, str]) -> Path:
    """Return the path on this machine of what `portable` named, maybe on another."""
    name, rest = place
    roots = {"data": data_root() or Path(), "cache": cache_dir(), "": Path()}
    return roots[name] / rest


def offline() -> bool:
    """Return whether `VOXGRID_OFFLINE` forbids every use of the network."""
    return os.environ.get("VOXGRID_OFFLINE", "").lower() not in ("", "0", "false", "no")
