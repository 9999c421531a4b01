"""What a backbone needs that voxgrid does not install by itself."""

from __future__ import annotations

import importlib.util

from backbones.base import BackboneInfo

# What an extra of voxgrid installs.
EXTRA_MODULES = {"egemaps": ("opensmile",)}
# How to get an extra of voxgrid's own.
EXTRA_COMMANDS = {"egemaps": "pip install 'opensmile>=2.5' (or run `tox -e bench-egemaps`)"}


def missing_extra(info: BackboneInfo) -> str | None:
    """Return how to install what a backbone lacks on this machine, or None if nothing is missing.

    An extra that is not one of voxgrid's own (a plugin from elsewhere) is taken to be the name of
    the module it needs.
    """
    if info.extra is None:
        return None
    modules = EXTRA_MODULES.get(info.extra, (info.extra,))
    if all(_is_installed(module) for module in modules):
        return None
    command = EXTRA_COMMANDS.get(info.extra, f"pip install {info.extra}")
    return f"not installed, since it is optional; get it with: {command}"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # noqa: BLE001 the package that a module lies in runs to say so
        return False
