"""Finds heads: every module of this package with an `INFO`, and installed plugins.

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
from typing import TYPE_CHECKING, Any

import heads
from heads.base import Head, HeadError, HeadInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GROUP = "voxgrid.heads"


class UnknownHead(HeadError):
    """No head has this name; the message lists or suggests those there are."""


class InvalidHead(HeadError):
    """A head module breaks the contract, or two of them share a name."""


def infos() -> list[HeadInfo]:
    """The metadata of every head, sorted by name."""
    return [head.info for _, head in sorted(_discovered().items())]


def get(name: str) -> type[Head]:
    """The class of the head called `name`.

    Raises:
        UnknownHead: there is none; the message suggests the nearest name.
    """
    known = _discovered()
    if name not in known:
        raise UnknownHead(f"unknown head '{name}': {_nearest(name, known)}")
    return known[name]


def create(name: str, params: Mapping[str, Any], random_state: int, n_jobs: int) -> Head:
    """A new, unfitted head.

    Args:
        name: as listed by `infos`.
        params: constructor parameters, for instance what `suggest` returned.
        random_state: seed.
        n_jobs: threads.

    Raises:
        UnknownHead: no head has this name.
        TypeError: `params` holds a parameter the head does not have.
    """
    return get(name)(**params, random_state=random_state, n_jobs=n_jobs)


@cache
def _discovered() -> Mapping[str, type[Head]]:
    plugins = _load_plugins(entry_points(group=GROUP))
    return MappingProxyType(collect([*_own_modules(), *plugins]))


def _own_modules() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(heads.__path__))
    modules = [importlib.import_module(f"heads.{name}") for name in names]
    return [module for module in modules if hasattr(module, "INFO")]


def _load_plugins(points: Iterable[EntryPoint]) -> list[ModuleType]:
    modules = []
    for point in sorted(points, key=lambda point: point.name):
        try:
            module = importlib.import_module(point.module)
            _head_of(module)
        except (ImportError, InvalidHead) as error:
            # one broken plugin must not take the other heads away
            warnings.warn(
                f"head plugin '{point.name}' ({point.value}) left out: {error}", stacklevel=2
            )
        else:
            modules.append(module)
    return modules


def collect(modules: Iterable[ModuleType]) -> dict[str, type[Head]]:
    """The head class of each module, by name.

    Args:
        modules: modules with a module-level `INFO` and one `Head` subclass.

    Raises:
        InvalidHead: a module lacks either, its class carries another `info`, or a name is taken.
    """
    found: dict[str, type[Head]] = {}
    for module in modules:
        head = _head_of(module)
        name = head.info.name
        if name in found:
            raise InvalidHead(
                f"two heads are called '{name}': {found[name].__module__} and {module.__name__}"
            )
        found[name] = head
    return found


def _head_of(module: ModuleType) -> type[Head]:
    info = getattr(module, "INFO", None)
    if not isinstance(info, HeadInfo):
        raise InvalidHead(f"{module.__name__} needs a module-level `INFO = HeadInfo(...)`")
    classes = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Head)
        and member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(cls.__name__ for cls in classes) or "none"
        raise InvalidHead(f"{module.__name__} needs exactly one Head subclass, found: {names}")
    if getattr(classes[0], "info", None) is not info:
        raise InvalidHead(f"{module.__name__}.{classes[0].__name__} needs `info = INFO`")
    return classes[0]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
