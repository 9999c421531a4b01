"""Finds heads: every module of this package with an `INFO`, and installed plugins.

A module may hold one class for each of the things a head can be fitted on (`heads.base.Wants`).
A plugin is a module like those here, named by an entry point of the group `voxgrid.heads`:

    [project.entry-points."voxgrid.heads"]
    my_head = "my_package.my_head"
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import heads
from heads.base import Head, HeadError, HeadInfo, Wants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # the classes of one head, by what each is fitted on
    Kinds: TypeAlias = Mapping[Wants, type[Head]]

GROUP = "voxgrid.heads"
NOT_HEADS = frozenset({"base", "registry", "sequences", "checks"})

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
    HeadError,
)


class UnknownHead(HeadError):
    """No head has this name; the message lists or suggests those there are."""


class InvalidHead(HeadError):
    """A head module breaks the contract, or two of them share a name."""


class PluginWarning(UserWarning):
    """A plugin was left out; the message says why."""


@dataclass(frozen=True)
class Plugin:
    """A module with a head, and where it was found."""

    module: ModuleType
    origin: str


@dataclass(frozen=True)
class _Found:
    kinds: Mapping[str, Kinds]
    origins: Mapping[str, str]
    broken: Mapping[str, str]


def infos() -> list[HeadInfo]:
    """The metadata of every head, sorted by name."""
    return [next(iter(kinds.values())).info for _, kinds in sorted(_discovered().kinds.items())]


def broken() -> Mapping[str, str]:
    """Why a plugin was left out, by the name of its entry point."""
    return _discovered().broken


def origin(name: str) -> str:
    """Module of the head called `name`, and the package it comes with where that is another.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
    """
    _kinds(name)
    return _discovered().origins[name]


def get(name: str, wants: Wants = "vectors") -> type[Head]:
    """The class of the head called `name`, for what it is to be fitted on.

    Args:
        name: as listed by `infos`.
        wants: what there is to fit on.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
        HeadError: the head is not fitted on that; the message says on what it is.
    """
    kinds = _kinds(name)
    if wants not in kinds:
        there = " or ".join(sorted(kinds))
        raise HeadError(f"head '{name}' is not fitted on {wants}, it is fitted on {there}")
    return kinds[wants]


def wants(name: str) -> frozenset[Wants]:
    """What the head called `name` can be fitted on: `vectors`, `frames` or `backbone`.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
    """
    return frozenset(_kinds(name))


def create(
    name: str,
    params: Mapping[str, Any],
    random_state: int,
    n_jobs: int,
    wants: Wants = "vectors",
) -> Head:
    """A new, unfitted head.

    Args:
        name: as listed by `infos`.
        params: constructor parameters, for instance what `suggest` returned.
        random_state: seed.
        n_jobs: threads.
        wants: what it is to be fitted on.

    Raises:
        UnknownHead: no head has this name.
        HeadError: the head is not fitted on that.
        TypeError: `params` holds a parameter the head does not have.
    """
    return get(name, wants)(**params, random_state=random_state, n_jobs=n_jobs)


def _kinds(name: str) -> Kinds:
    found = _discovered()
    if name in found.kinds:
        return found.kinds[name]
    if name in found.broken:
        raise UnknownHead(f"head '{name}' was left out: {found.broken[name]}")
    raise UnknownHead(f"unknown head '{name}': {_nearest(name, found.kinds)}")


@cache
def _discovered() -> _Found:
    own = [Plugin(module, module.__name__) for module in _own_modules()]
    plugins, failures = _load_plugins(entry_points(group=GROUP))
    found = [*own, *plugins]
    return _Found(
        MappingProxyType(collect(found)),
        MappingProxyType({plugin.module.INFO.name: plugin.origin for plugin in found}),
        MappingProxyType(failures),
    )


def _own_modules() -> list[ModuleType]:
    names = {module.name for module in pkgutil.iter_modules(heads.__path__)} - NOT_HEADS
    # private modules are no heads, and some load torch
    public = sorted(name for name in names if not name.startswith("_"))
    modules = [importlib.import_module(f"heads.{name}") for name in public]
    return [module for module in modules if hasattr(module, "INFO")]


def _load_plugins(points: Iterable[EntryPoint]) -> tuple[list[Plugin], dict[str, str]]:
    """The plugins that can be used, and why the others cannot, by entry point."""
    plugins = []
    failures: dict[str, str] = {}
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist else "an unnamed package"
        place = f"{point.value} ({package})"
        try:
            module = importlib.import_module(point.module)
            _kinds_of(module)
        except PLUGIN_ERRORS as error:  # one broken plugin must not take the other heads away
            failures[point.name] = f"{place}: {type(error).__name__}: {error}"
            warnings.warn(
                f"head plugin '{point.name}' left out: {failures[point.name]}",
                PluginWarning,
                stacklevel=2,
            )
        else:
            plugins.append(Plugin(module, place))
    return plugins, failures


def collect(found: Iterable[Plugin]) -> dict[str, Kinds]:
    """The head classes of each plugin by what they are fitted on, by the head's name.

    Args:
        found: modules with a module-level `INFO` and a `Head` subclass, or several that differ
            in `wants`, and where each comes from.

    Raises:
        InvalidHead: a module lacks either, a class carries another `info`, two classes want the
            same, or two modules share a name.
    """
    heads_found: dict[str, Kinds] = {}
    owners: dict[str, Plugin] = {}
    for plugin in found:
        kinds = _kinds_of(plugin.module)
        name = plugin.module.INFO.name
        owner = owners.setdefault(name, plugin)
        if owner.module is not plugin.module:
            raise InvalidHead(
                f"head '{name}' comes from both {owner.origin} and {plugin.origin}; "
                "uninstall or rename one of them"
            )
        heads_found[name] = kinds
    return heads_found


def _kinds_of(module: ModuleType) -> Kinds:
    info = getattr(module, "INFO", None)
    if not isinstance(info, HeadInfo):
        raise InvalidHead(f"{module.__name__} needs a module-level `INFO = HeadInfo(...)`")
    kinds: dict[Wants, type[Head]] = {}
    for member in vars(module).values():
        if not (inspect.isclass(member) and issubclass(member, Head)):
            continue
        if member.__module__ != module.__name__:
            continue
        if getattr(member, "info", None) is not info:
            raise InvalidHead(f"{module.__name__}.{member.__name__} needs `info = INFO`")
        if member.wants not in get_args(Wants):
            raise InvalidHead(
                f"{module.__name__}.{member.__name__} wants '{member.wants}'; known: "
                + ", ".join(get_args(Wants))
            )
        if member.wants in kinds:
            raise InvalidHead(
                f"{module.__name__} needs exactly one Head subclass that wants {member.wants}, "
                f"found: {kinds[member.wants].__name__}, {member.__name__}"
            )
        kinds[member.wants] = member
    if not kinds:
        raise InvalidHead(f"{module.__name__} needs a Head subclass, found: none")
    return MappingProxyType(kinds)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
