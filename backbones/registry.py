"""Finding backbone plugins: the files of this package and entry points of other packages."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from backbones.base import Backbone, BackboneError, BackboneInfo, Weights

ENTRY_POINTS = "voxgrid.backbones"
NOT_PLUGINS = frozenset({"base", "registry", "weights", "checks"})

# What a module that does not import, or is no plugin, may raise.
PLUGIN_ERRORS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    OSError,
    RuntimeError,
    BackboneError,
)

# What an extra of voxgrid installs.
EXTRA_MODULES = {"egemaps": ("opensmile",)}
# How to get an extra of voxgrid's own.
EXTRA_COMMANDS = {"egemaps": "pip install 'opensmile>=2.5' (or run `tox -e bench-egemaps`)"}


class UnknownBackbone(BackboneError):
    """No backbone of this name; the message names the nearest one."""


class DuplicateBackbone(BackboneError):
    """Two plugins of the same name; the message names both origins."""


class PluginWarning(UserWarning):
    """A plugin was left out; the message says why."""


@dataclass(frozen=True)
class Plugin:
    """A discovered backbone and where it was found."""

    backbone: type[Backbone]
    origin: str


def get(name: str) -> type[Backbone]:
    """Return the class of a backbone.

    Raises:
        UnknownBackbone: with the nearest known name.
    """
    known = _discovered()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
        raise UnknownBackbone(f"unknown backbone '{name}', {hint}")
    return known[name].backbone


def infos() -> dict[str, BackboneInfo]:
    """Return the metadata of every backbone by name, in alphabetical order; loads no model code."""
    return {name: plugin.backbone.info for name, plugin in sorted(_discovered().items())}


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
    if all(importlib.util.find_spec(module) is not None for module in modules):
        return None
    command = EXTRA_COMMANDS.get(info.extra, f"pip install {info.extra}")
    return f"not installed, since it is optional; get it with: {command}"


def collect(found: Iterable[Plugin]) -> dict[str, Plugin]:
    """Index plugins by name.

    Raises:
        DuplicateBackbone: the same name from two origins.
    """
    plugins: dict[str, Plugin] = {}
    for plugin in found:
        name = plugin.backbone.info.name
        other = plugins.setdefault(name, plugin)
        if other.backbone is not plugin.backbone:
            raise DuplicateBackbone(
                f"backbone '{name}' comes from both {other.origin} and {plugin.origin}; "
                "uninstall or rename one of them"
            )
    return plugins


def walk(package: ModuleType) -> Iterator[Plugin]:
    """Yield the plugins among a package's modules; one that fails to import is a warning.

    Modules whose name starts with an underscore and modules without `INFO` are not plugins.
    """
    for entry in pkgutil.iter_modules(package.__path__):
        if entry.name.startswith("_") or entry.name in NOT_PLUGINS:
            continue
        path = f"{package.__name__}.{entry.name}"
        try:
            module = importlib.import_module(path)
            if hasattr(module, "INFO"):
                yield Plugin(plugin_class(module), path)
        except PLUGIN_ERRORS as error:  # a broken plugin must not take the others along
            _warn(path, error)


def plugin_class(target: object) -> type[Backbone]:
    """Return the backbone class of a plugin: the class itself, or the one in a module.

    Raises:
        BackboneError: not a backbone, or not exactly one with `info = INFO`.
    """
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


@functools.cache
def _discovered() -> dict[str, Plugin]:
    import backbones

    return collect([*walk(backbones), *_entry_points()])


def _entry_points() -> Iterator[Plugin]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else "an unnamed package"
        origin = f"{entry.value} ({package})"
        try:
            yield Plugin(plugin_class(entry.load()), origin)
        except PLUGIN_ERRORS as error:  # somebody else's plugin must not stop ours
            _warn(origin, error)


def _warn(origin: str, error: Exception) -> None:
    warnings.warn(
        f"backbone plugin {origin} left out: {type(error).__name__}: {error}",
        PluginWarning,
        stacklevel=3,
    )
