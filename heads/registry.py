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


class UnknownHead(HeadError):
    """No head has this name; the message lists or suggests those there are."""


class InvalidHead(HeadError):
    """A head module breaks the contract, or two of them share a name."""


def infos() -> list[HeadInfo]:
    """The metadata of every head, sorted by name."""
    return [next(iter(kinds.values())).info for _, kinds in sorted(_discovered().items())]


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
    known = _discovered()
    if name not in known:
        raise UnknownHead(f"unknown head '{name}': {_nearest(name, known)}")
    return known[name]


@cache
def _discovered() -> Mapping[str, Kinds]:
    plugins = _load_plugins(entry_points(group=GROUP))
    return MappingProxyType(collect([*_own_modules(), *plugins]))


def _own_modules() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(heads.__path__))
    # private modules are no heads, and some load torch
    public = [name for name in names if not name.startswith("_")]
    modules = [importlib.import_module(f"heads.{name}") for name in public]
    return [module for module in modules if hasattr(module, "INFO")]


def _load_plugins(points: Iterable[EntryPoint]) -> list[ModuleType]:
    modules = []
    for point in sorted(points, key=lambda point: point.name):
        try:
            module = importlib.import_module(point.module)
            _kinds_of(module)
        except (ImportError, InvalidHead) as error:
            # one broken plugin must not take the other heads away
            warnings.warn(
                f"head plugin '{point.name}' ({point.value}) left out: {error}", stacklevel=2
            )
        else:
            modules.append(module)
    return modules


def collect(modules: Iterable[ModuleType]) -> dict[str, Kinds]:
    """The head classes of each module by what they are fitted on, by the head's name.

    Args:
        modules: modules with a module-level `INFO` and a `Head` subclass, or several that differ
            in `wants`.

    Raises:
        InvalidHead: a module lacks either, a class carries another `info`, two classes want the
            same, or a name is taken.
    """
    found: dict[str, Kinds] = {}
    places: dict[str, str] = {}
    for module in modules:
        kinds = _kinds_of(module)
        name = module.INFO.name
        if name in found:
            raise InvalidHead(
                f"two heads are called '{name}': {places[name]} and {module.__name__}"
            )
        found[name] = kinds
        places[name] = module.__name__
    return found


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
