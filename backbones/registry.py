"""Finding backbones: the files of this package, entry points of other packages, and addresses.

An address such as `hf:microsoft/wavlm-base` names a backbone without a plugin.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

from backbones import names
from backbones.base import Backbone, BackboneError, BackboneInfo, Weights

ENTRY_POINTS = "voxgrid.backbones"
NOT_PLUGINS = frozenset({"base", "registry", "weights", "checks", "names"})
# Records, caches and weights are kept in files of this name.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

# What an extra of voxgrid installs.
EXTRA_MODULES = {"egemaps": ("opensmile",)}
# How to get an extra of voxgrid's own.
EXTRA_COMMANDS = {"egemaps": "pip install 'opensmile>=2.5' (or run `tox -e bench-egemaps`)"}


class UnknownBackbone(BackboneError):
    """No backbone of this name; the message names the nearest one."""


class DuplicateBackbone(BackboneError):
    """Several plugins have this name, so that none can be used; the message names them all."""


class PluginWarning(UserWarning):
    """A plugin was left out; the message says why."""


@dataclass(frozen=True)
class Plugin:
    """A discovered backbone and where it was found."""

    backbone: type[Backbone]
    origin: str


def get(name: str, *, allow_download: bool = True) -> type[Backbone]:
    """Return the class of a backbone.

    Args:
        name: of a plugin, or an address: `hf:REPOSITORY`, `hf:REPOSITORY@REVISION`, `hf:./FOLDER`
            or `nemo:FILE.nemo`. What an address names is read from its own settings.
        allow_download: False keeps off the network, from where the settings of a repository (a
            few kilobytes) may have to come.

    Raises:
        UnknownBackbone: with the nearest known name.
        DuplicateBackbone: two plugins from elsewhere have this name.
        BackboneError: there is nothing at an address, or it is no encoder voxgrid can run.
        WeightsUnavailable: the settings of a repository are not on this machine and cannot be had.
    """
    address = names.parse(name)
    if address is not None:
        return _at(address, allow_download)
    known = _discovered()
    if name not in known and name in _ambiguous:
        raise DuplicateBackbone(_ambiguous[name])
    if name not in known and name in _broken:
        raise UnknownBackbone(f"backbone '{name}' was left out: {_broken[name]}")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
        raise UnknownBackbone(
            f"unknown backbone '{name}', {hint}; a model of the hub or a folder is hf:{name}"
            if "/" in name
            else f"unknown backbone '{name}', {hint}"
        )
    return known[name].backbone


def info(name: str) -> BackboneInfo:
    """Return the metadata of a backbone by its name or address.

    Raises:
        BackboneError: as `get`.
    """
    return get(name).info


def infos() -> dict[str, BackboneInfo]:
    """Return the metadata of every plugin by name, in alphabetical order; loads no model code."""
    return {name: plugin.backbone.info for name, plugin in sorted(_discovered().items())}


def broken() -> Mapping[str, str]:
    """Why a plugin was left out, by the name of its entry point or of its file here."""
    _discovered()
    return MappingProxyType(_broken)


def origin(name: str) -> str:
    """Module of the plugin called `name`, and the package it comes with where that is another.

    Raises:
        UnknownBackbone: with the nearest known name.
    """
    get(name)
    return _discovered()[name].origin


def create(name: str, weights: Weights) -> Backbone:
    """Return a backbone that is not loaded yet.

    Raises:
        UnknownBackbone: with the nearest known name.
        BackboneError: its optional extra is not installed.
    """
    backbone = get(name)
    missing = missing_extra(backbone.info)
    if missing:
        raise BackboneError(f"{name}: {missing}")
    return backbone(weights)


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
    except (ModuleNotFoundError, ValueError):  # its parent is missing, or it is no name of one
        return False


def collect(
    own: Iterable[Plugin],
    others: Iterable[Plugin] = (),
    failures: dict[str, str] | None = None,
    ambiguous: dict[str, str] | None = None,
) -> dict[str, Plugin]:
    """Index plugins by name; where several have one name, those that lose it are warnings.

    A name of voxgrid's own stays with it, and plugins from elsewhere are refused it. Of several
    that claim any other name none is taken: which one was meant cannot be known.

    Args:
        own: plugins of voxgrid.
        others: plugins of other packages.
        failures: filled with the reason of each warning, by the name.
        ambiguous: filled with the reason, by each name that no plugin has got.
    """
    kept: dict[str, Plugin] = {}
    for group in (own, others):
        claims: dict[str, list[Plugin]] = {}
        for plugin in group:
            same = claims.setdefault(plugin.backbone.info.name, [])
            if all(other.backbone is not plugin.backbone for other in same):
                same.append(plugin)
        for name, plugins in claims.items():
            if name not in kept and len(plugins) == 1:
                kept[name] = plugins[0]
                continue
            reason = _duplicate(name, kept.get(name), plugins)
            _warn(reason, name, failures)
            if name not in kept and ambiguous is not None:
                ambiguous[name] = reason
    return kept


def _duplicate(name: str, owner: Plugin | None, plugins: list[Plugin]) -> str:
    origins = [plugin.origin for plugin in ([owner] if owner else []) + plugins]
    places = f"both {origins[0]} and {origins[1]}" if len(origins) == 2 else ", ".join(origins)
    result = f"{owner.origin} is the one in use" if owner else "none of them is in use"
    return f"backbone '{name}' comes from {places}, and {result}; uninstall or rename the others"


def walk(package: ModuleType, failures: dict[str, str] | None = None) -> Iterator[Plugin]:
    """Yield the plugins among a package's modules; one that fails to import is a warning.

    Modules whose name starts with an underscore and modules without `INFO` are not plugins.

    Args:
        package: where to look.
        failures: filled with the reason of each warning, by the module's name.
    """
    for entry in pkgutil.iter_modules(package.__path__):
        if entry.name.startswith("_") or entry.name in NOT_PLUGINS:
            continue
        path = f"{package.__name__}.{entry.name}"
        yield from _admitted(
            functools.partial(importlib.import_module, path), path, entry.name, failures, own=True
        )


def plugin_class(target: object) -> type[Backbone]:
    """Return the backbone class of a plugin: the class itself, or the one in a module.

    Raises:
        BackboneError: not a backbone, or not exactly one with `info = INFO`; or its record is of
            another type, or its name cannot be that of a file or is kept for addresses.
    """
    found = _class_of(target)
    info: object = getattr(found, "info", None)
    if not isinstance(info, BackboneInfo):
        raise BackboneError(
            f"info of {found.__name__} is a {type(info).__name__}; make it a BackboneInfo(...)"
        )
    reserved = tuple(f"{scheme}--" for scheme in names.SCHEMES)
    name: object = info.name
    if isinstance(name, str) and (":" in name or name.startswith(reserved)):
        raise BackboneError(
            f"'{name}' is how an address or its files may be called; rename the backbone"
        )
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BackboneError(
            f"its name {name!r} cannot be that of a file; rename the backbone with lower case "
            "letters, digits and ._-"
        )
    return found


def _class_of(target: object) -> type[Backbone]:
    if isinstance(target, type) and issubclass(target, Backbone):
        return target
    if not isinstance(target, ModuleType) or not hasattr(target, "INFO"):
        raise BackboneError(f"{target!r} is neither a Backbone class nor a module with INFO")
    classes = [
        value
        for value in vars(target).values()
        if isinstance(value, type)
        and issubclass(value, Backbone)
        and getattr(value, "info", None) is target.INFO
    ]
    if len(classes) != 1:
        raise BackboneError(
            f"{target.__name__} has {len(classes)} Backbone classes with `info = INFO`, not one"
        )
    return classes[0]


def _at(address: names.Address, allow_download: bool) -> type[Backbone]:
    if address.scheme == "nemo":
        from backbones import _nemo

        return _nemo.backbone_class(address)
    from backbones import _hf

    return _hf.backbone_class(address, allow_download=allow_download)


# what the latest discovery left out
_broken: dict[str, str] = {}
# and the names that several plugins claim, of which none was taken
_ambiguous: dict[str, str] = {}


@functools.cache
def _discovered() -> dict[str, Plugin]:
    import backbones

    _broken.clear()
    _ambiguous.clear()
    return collect(walk(backbones, _broken), _entry_points(_broken), _broken, _ambiguous)


def _entry_points(failures: dict[str, str]) -> Iterator[Plugin]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else "an unnamed package"
        yield from _admitted(
            entry.load, f"{entry.value} ({package})", entry.name, failures, own=False
        )


def _admitted(
    load: Callable[[], object],
    origin: str,
    key: str,
    failures: dict[str, str] | None,
    *,
    own: bool,
) -> Iterator[Plugin]:
    """The plugin that `load` imports, if it is one; one that cannot be used is a warning.

    Modules of voxgrid's own package are plugins only where they have `INFO`.
    """
    try:
        target = load()
        found = None if own and not hasattr(target, "INFO") else plugin_class(target)
    # other people's code may raise anything, even exit, and must not take the others along
    except (Exception, SystemExit) as error:  # noqa: BLE001
        _warn(f"{origin}: {type(error).__name__}: {error}", key, failures)
        return
    if found is not None:
        yield Plugin(found, origin)


def _warn(reason: str, key: str, failures: dict[str, str] | None) -> None:
    if failures is not None:
        # two entry points may have one name
        failures[key] = f"{failures[key]}; {reason}" if key in failures else reason
    warnings.warn(f"backbone plugin '{key}' left out: {reason}", PluginWarning, stacklevel=3)
