"""Finds heads: every module of this package with an `INFO`, and installed plugins.

A module may hold one class for each of the things a head can be fitted on (`heads.base.Reads`).
A plugin is a module like those here, named by an entry point of the group `voxgrid.heads`:

    [project.entry-points."voxgrid.heads"]
    my_head = "my_package.my_head"
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, TypeAlias, get_args

import heads
from heads.base import Head, HeadError, HeadInfo, Reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # the classes of one head, by what each is fitted on
    Kinds: TypeAlias = Mapping[Reads, type[Head]]

GROUP = "voxgrid.heads"
NOT_HEADS = frozenset({"base", "registry", "sequences", "checks"})
# Records are kept in files of this name.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class UnknownHead(HeadError):
    """No head has this name; the message lists or suggests those there are."""


class InvalidHead(HeadError):
    """A head module breaks the contract."""


class DuplicateHead(HeadError):
    """Several plugins have this name, so that none can be used; the message names them all."""


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
    ambiguous: Mapping[str, str]


def infos() -> list[HeadInfo]:
    """The metadata of every head, sorted by name."""
    return [next(iter(kinds.values())).info for _, kinds in sorted(_discovered().kinds.items())]


def broken() -> Mapping[str, str]:
    """Why a plugin was left out, by the name of its entry point or of its file here."""
    return _discovered().broken


def origin(name: str) -> str:
    """Module of the head called `name`, and the package it comes with where that is another.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
    """
    _kinds(name)
    return _discovered().origins[name]


def get(name: str, reads: Reads = "vectors") -> type[Head]:
    """The class of the head called `name`, for what it is to be fitted on.

    Args:
        name: as listed by `infos`.
        reads: what there is to fit on.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
        HeadError: the head is not fitted on that; the message says on what it is.
    """
    kinds = _kinds(name)
    if reads not in kinds:
        there = " or ".join(sorted(kinds))
        raise HeadError(f"head '{name}' is not fitted on {reads}, it is fitted on {there}")
    return kinds[reads]


def reads(name: str) -> frozenset[Reads]:
    """What the head called `name` can be fitted on: `vectors`, `frames` or `backbone`.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
    """
    return frozenset(_kinds(name))


def _kinds(name: str) -> Kinds:
    found = _discovered()
    if name in found.kinds:
        return found.kinds[name]
    if name in found.ambiguous:
        raise DuplicateHead(found.ambiguous[name])
    if name in found.broken:
        raise UnknownHead(f"head '{name}' was left out: {found.broken[name]}")
    raise UnknownHead(f"unknown head '{name}': {_nearest(name, found.kinds)}")


@cache
def _discovered() -> _Found:
    failures: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    own, others = _own_modules(failures), _load_plugins(entry_points(group=GROUP), failures)
    found = collect(own, others, failures, ambiguous)
    return _Found(
        MappingProxyType({name: kinds_of(plugin.module) for name, plugin in found.items()}),
        MappingProxyType({name: plugin.origin for name, plugin in found.items()}),
        MappingProxyType(failures),
        MappingProxyType(ambiguous),
    )


def _own_modules(failures: dict[str, str]) -> list[Plugin]:
    names = {module.name for module in pkgutil.iter_modules(heads.__path__)} - NOT_HEADS
    # private modules are no heads, and some load torch
    public = sorted(name for name in names if not name.startswith("_"))
    found = (_admitted(f"heads.{name}", f"heads.{name}", name, failures) for name in public)
    return [plugin for plugin in found if plugin is not None]


def _load_plugins(points: Iterable[EntryPoint], failures: dict[str, str]) -> list[Plugin]:
    """The plugins of other packages that can be used."""
    found = []
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist else "an unnamed package"
        place = f"{point.value} ({package})"
        found.append(_admitted(point.module, place, point.name, failures, own=False))
    return [plugin for plugin in found if plugin is not None]


def _admitted(
    path: str, origin: str, key: str, failures: dict[str, str], *, own: bool = True
) -> Plugin | None:
    """The plugin in a module, or None where it is none; one that cannot be used is a warning.

    Modules of this package are plugins only where they have `INFO`.
    """
    try:
        module = importlib.import_module(path)
        if own and not hasattr(module, "INFO"):
            return None
        kinds_of(module)
    # other people's code may raise anything, even exit, and must not take the other heads away
    except (Exception, SystemExit) as error:  # noqa: BLE001
        _warn(f"{origin}: {type(error).__name__}: {error}", key, failures)
        return None
    return Plugin(module, origin)


def _warn(reason: str, key: str, failures: dict[str, str]) -> None:
    # two entry points may have one name
    failures[key] = f"{failures[key]}; {reason}" if key in failures else reason
    warnings.warn(f"head plugin '{key}' left out: {reason}", PluginWarning, stacklevel=3)


def collect(
    own: Iterable[Plugin],
    others: Iterable[Plugin],
    failures: dict[str, str],
    ambiguous: dict[str, str],
) -> dict[str, Plugin]:
    """Index plugins by the head's name; where several have one name, the losers are warnings.

    A name of voxgrid's own stays with it, and plugins from elsewhere are refused it. Of several
    that claim any other name none is taken: which one was meant cannot be known.

    Args:
        own: plugins of this package.
        others: plugins of other packages.
        failures: filled with the reason of each warning, by the name.
        ambiguous: filled with the reason, by each name that no plugin has got.
    """
    kept: dict[str, Plugin] = {}
    for group in (own, others):
        claims: dict[str, list[Plugin]] = {}
        for plugin in group:
            same = claims.setdefault(plugin.module.INFO.name, [])
            if all(other.module is not plugin.module for other in same):
                same.append(plugin)
        for name, plugins in claims.items():
            if name not in kept and len(plugins) == 1:
                kept[name] = plugins[0]
                continue
            reason = _duplicate(name, kept.get(name), plugins)
            _warn(reason, name, failures)
            if name not in kept:
                ambiguous[name] = reason
    return kept


def _duplicate(name: str, owner: Plugin | None, plugins: list[Plugin]) -> str:
    origins = [plugin.origin for plugin in ([owner] if owner else []) + plugins]
    places = f"both {origins[0]} and {origins[1]}" if len(origins) == 2 else ", ".join(origins)
    result = f"{owner.origin} is the one in use" if owner else "none of them is in use"
    return f"head '{name}' comes from {places}, and {result}; uninstall or rename the others"


def kinds_of(module: ModuleType) -> Kinds:
    """The head classes of a module by what they are fitted on.

    Args:
        module: with a module-level `INFO` and a `Head` subclass, or several that differ in `reads`.

    Raises:
        InvalidHead: it lacks either, a class carries another `info`, two classes read the same,
            or the name cannot be that of a file.
    """
    info = getattr(module, "INFO", None)
    if not isinstance(info, HeadInfo):
        raise InvalidHead(f"{module.__name__} needs a module-level `INFO = HeadInfo(...)`")
    name: object = info.name
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidHead(
            f"{module.__name__}: its name {name!r} cannot be that of a file; rename the head with "
            "lower case letters, digits and ._-"
        )
    kinds: dict[Reads, type[Head]] = {}
    for member in vars(module).values():
        if not (inspect.isclass(member) and issubclass(member, Head)):
            continue
        if member.__module__ != module.__name__:
            continue
        if getattr(member, "info", None) is not info:
            raise InvalidHead(f"{module.__name__}.{member.__name__} needs `info = INFO`")
        if member.reads not in get_args(Reads):
            raise InvalidHead(
                f"{module.__name__}.{member.__name__} reads '{member.reads}'; known: "
                + ", ".join(get_args(Reads))
            )
        if member.reads in kinds:
            raise InvalidHead(
                f"{module.__name__} needs exactly one Head subclass that reads {member.reads}, "
                f"found: {kinds[member.reads].__name__}, {member.__name__}"
            )
        kinds[member.reads] = member
    if not kinds:
        raise InvalidHead(f"{module.__name__} needs a Head subclass, found: none")
    return MappingProxyType(kinds)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
