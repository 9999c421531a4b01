"""Where data and caches live on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_root() -> Path | None:
    """Return the folder named by `VOXGRID_DATA`, or None where it is unset or empty."""
    value = os.environ.get("VOXGRID_DATA", "")
    return Path(value).expanduser() if value else None


def cache_dir() -> Path:
    """Return `VOXGRID_CACHE`, or the user's cache folder for voxgrid (not created here)."""
    value = os.environ.get("VOXGRID_CACHE", "")
    return Path(value).expanduser() if value else Path(platformdirs.user_cache_dir("voxgrid"))


def offline() -> bool:
    """Return whether `VOXGRID_OFFLINE` forbids every use of the network."""
    return os.environ.get("VOXGRID_OFFLINE", "").lower() not in ("", "0", "false", "no")
