"""Backbones, heads and tasks by name: files of voxgrid's own packages, and other packages' plugins.

A plugin of another package is a module like voxgrid's own, named by an entry point:

    [project.entry-points."voxgrid.backbones"]
    my-backbone = "my_package.my_backbone"

The groups are `voxgrid.backbones`, `voxgrid.heads` and `voxgrid.tasks`. Other people's code may
raise anything: a plugin that cannot be used is left out with its reason, and takes nothing along.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import pkgutil
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from backbones import Backbone, BackboneError, BackboneInfo, Weights, names
from backbones.extras import missing_extra
from bench.errors import UserError, nearest, raised

if TYPE_CHECKING:
    # importing heads takes scikit-learn, which what only encodes can do without
    from heads import Head, HeadInfo
    from heads.base import Reads

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Records, caches and weights are kept in files of a plugin's name.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

# For `require_types`.
STRICT = ConfigDict(strict=True, revalidate_instances="always")

# The classes of one head, by what each reads.
Kinds: TypeAlias = "Mapping[Reads, type[Head]]"


class InvalidPlugin(UserError):
    """A module is no plugin of its kind; the message says what it lacks."""


class PluginWarning(UserWarning):
    """A plugin was left out; the message says why."""


# What a plugin is called in messages, where it is from, and how it is imported.
_Candidate: TypeAlias = tuple[str, str, Callable[[], object]]


@dataclass(frozen=True)
class _Plugin(Generic[T]):
    value: T
    origin: str


class Registry(Generic[T]):
    """Plugins of one kind by name, looked for when the first is asked for.

    A name of voxgrid's own stays with it, and plugins from elsewhere are refused it. Of several
    that claim any other name none is taken: which one was meant cannot be known.

    Args:
        kind: what messages call a plugin; entry points are of the group `voxgrid.{kind}s`.
        package: voxgrid's own package of them. Its modules, and those in its folders, are plugins
            where they have the `marker`; one in whose text it is not is not even imported, nor is
            one whose name begins with an underscore.
        marker: what a plugin's module defines.
        read: returns name and plugin of what an entry point names, as a rule a module.
        entry_points: lists the entry points of a `group`.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        marker: str,
        read: Callable[[object], tuple[str, T]],
        entry_points: Callable[..., Iterable[EntryPoint]] = importlib.metadata.entry_points,
    ) -> None:
        self.kind = kind
        self.group = f"voxgrid.{kind}s"
        self._package = package
        self._marker = marker
        self._read = read
        self._entry_points = entry_points
        self._included: tuple[EntryPoint, ...] = ()
        self._found: tuple[dict[str, _Plugin[T]], dict[str, str]] | None = None

    def names(self) -> list[str]:
        """Return all names, in alphabetical order."""
        return sorted(self._discovered()[0])

    def get(self, name: str) -> T:
        """Return a plugin.

        Raises:
            UserError: there is none of that name (says which was meant), or it was left out (says
                why).
        """
        return self._plugin(name).value

    def origin(self, name: str) -> str:
        """Return a plugin's module, and the package it comes with; raises as `get`."""
        return self._plugin(name).origin

    def put(self, name: str, plugin: T, origin: str) -> None:
        """Make known in this process what no file or entry point names; it replaces its like."""
        self._discovered()[0][name] = _Plugin(plugin, origin)

    def origins(self) -> list[str]:
        """Return the module of every plugin, and the package it comes with."""
        return [plugin.origin for plugin in self._discovered()[0].values()]

    def broken(self) -> Mapping[str, str]:
        """Return why plugins were left out, by the name of an entry point or of a file here."""
        return MappingProxyType(self._discovered()[1])

    @contextmanager
    def including(self, *points: EntryPoint) -> Iterator[None]:
        """Look anew, and at these entry points as well, until the context is left."""
        before = self._included, self._found
        self._included, self._found = (*self._included, *points), None
        try:
            yield
        finally:
            self._included, self._found = before

    def _plugin(self, name: str) -> _Plugin[T]:
        plugins, broken = self._discovered()
        if name in plugins:
            return plugins[name]
        if name in broken:
            raise UserError(f"{self.kind} '{name}' was left out: {broken[name]}")
        raise UserError(f"unknown {self.kind} '{name}': {nearest(name, plugins)}")

    def _discovered(self) -> tuple[dict[str, _Plugin[T]], dict[str, str]]:
        if self._found is None:
            plugins: dict[str, _Plugin[T]] = {}
            broken: dict[str, str] = {}
            for candidates in (self._own(), self._others()):
                self._add(plugins, candidates, broken)
            self._found = plugins, broken
        return self._found

    def _own(self) -> Iterator[_Candidate]:
        package = importlib.import_module(self._package)
        marker = re.compile(rf"\b{self._marker}\b".encode())
        for path in _modules_with(marker, self._package, package.__path__):
            yield path.rpartition(".")[2], path, functools.partial(importlib.import_module, path)

    def _others(self) -> Iterator[_Candidate]:
        points = [*self._entry_points(group=self.group), *self._included]
        for point in sorted(points, key=lambda point: (point.name, point.value)):
            package = point.dist.name if point.dist else "an unnamed package"
            yield point.name, f"{point.value} ({package})", point.load

    def _add(
        self, kept: dict[str, _Plugin[T]], found: Iterable[_Candidate], broken: dict[str, str]
    ) -> None:
        claims: defaultdict[str, list[_Plugin[T]]] = defaultdict(list)
        for key, origin, load in found:
            try:
                target = load()
                own = getattr(target, "__name__", None) == origin
                if own and not hasattr(target, self._marker):
                    continue  # a module that only speaks of the marker
                name, value = self._read(target)
                if not isinstance(name, str) or not _NAME.fullmatch(name):
                    raise InvalidPlugin(
                        f"its name {name!r} cannot be that of a file; rename the {self.kind} with "
                        "lower case letters, digits and ._-"
                    )
                if all(other.value != value for other in claims[name]):  # not one found twice
                    claims[name].append(_Plugin(value, origin))
            except KeyboardInterrupt:
                raise  # a person's
            # other people's code may raise anything, even exit, and must not take the others along
            except BaseException as error:  # noqa: BLE001
                self._leave_out(key, f"{origin}: {raised(error, origin)}", broken)
        for name, plugins in claims.items():
            owner = kept.get(name)
            if owner is None and len(plugins) == 1:
                kept[name] = plugins[0]
                continue
            origins = [plugin.origin for plugin in ([owner] if owner else []) + plugins]
            places = f"both {' and '.join(origins)}" if len(origins) == 2 else ", ".join(origins)
            used = f"{owner.origin} is the one in use" if owner else "none of them is in use"
            reason = f"it comes from {places}, and {used}; uninstall or rename the others"
            self._leave_out(name, reason, broken)

    def _leave_out(self, key: str, reason: str, broken: dict[str, str]) -> None:
        _log.debug("%s plugin '%s' left out:", self.kind, key, exc_info=sys.exception())
        # two entry points may have one name
        broken[key] = f"{broken[key]}; {reason}" if key in broken else reason
        warnings.warn(f"{self.kind} plugin '{key}' left out: {reason}", PluginWarning, stacklevel=2)


def _modules_with(marker: re.Pattern[bytes], package: str, folders: Iterable[str]) -> Iterator[str]:
    """Dotted names of a package's public modules in whose text there is the marker."""
    for found in pkgutil.iter_modules(folders, f"{package}."):
        if found.name.rpartition(".")[2].startswith("_"):
            continue
        spec: Any = found.module_finder.find_spec(found.name, None)
        unread = spec is None or not Path(spec.origin).is_file()  # importing it says why
        if unread or marker.search(Path(spec.origin).read_bytes()):
            yield found.name
        if found.ispkg:
            yield from _modules_with(marker, found.name, spec.submodule_search_locations)


class Backbones(Registry[type[Backbone]]):
    """Backbone classes by name, or by an address such as `hf:microsoft/wavlm-base`."""

    def get(self, name: str, *, allow_download: bool = True) -> type[Backbone]:
        """Return the class of a backbone.

        Args:
            name: of a plugin, or an address: `hf:REPOSITORY`, `hf:REPOSITORY@REVISION`,
                `hf:./FOLDER` or `nemo:FILE.nemo`, of which the model's own settings say all.
            allow_download: whether these (a few kilobytes) may come from the network.

        Raises:
            UserError: there is none of that name, or it was left out.
            BackboneError: there is nothing at an address, or it is no encoder voxgrid can run.
            WeightsUnavailable: the settings of a repository cannot be had.
        """
        address = names.parse(name)
        if address is None:
            if "/" in name:
                raise UserError(
                    f"unknown backbone '{name}': a model of the hub or a folder is hf:{name}"
                )
            return super().get(name)
        if address.scheme == "nemo":
            from backbones._nemo.addresses import backbone_class

            return backbone_class(address)
        from backbones._hf import addresses as hf

        return hf.backbone_class(address, allow_download=allow_download)

    def create(self, name: str, weights: Weights) -> Backbone:
        """Return a backbone that is not loaded yet.

        Raises:
            UserError, BackboneError: as `get`; or its optional extra is not installed.
        """
        backbone = self.get(name)
        missing = missing_extra(backbone.info)
        if missing:
            raise BackboneError(f"{name}: {missing}")
        return backbone(weights)


class Heads(Registry[Kinds]):
    """Heads by name: the classes of each, by what they read."""

    def reading(self, name: str, reads: Reads) -> type[Head]:
        """Return the class of a head that reads vectors, frames or a backbone.

        Raises:
            UserError: there is none of that name, or it was left out.
            HeadError: the head does not read that; the message says what it does.
        """
        kinds = self.get(name)
        if reads not in kinds:
            from heads import HeadError

            there = " or ".join(sorted(kinds))
            raise HeadError(f"head '{name}' does not read {reads}, it reads {there}")
        return kinds[reads]

    def info(self, name: str) -> HeadInfo:
        """Return the record of a head; raises as `get`."""
        return next(iter(self.get(name).values())).info


def read_backbone(target: object) -> tuple[str, type[Backbone]]:
    """Return name and class of a backbone plugin: a class, or a module with one and its `INFO`.

    Raises:
        InvalidPlugin: not a backbone, or not exactly one with `info = INFO`; or its record is of
            another type, or its name is kept for addresses.
    """
    if isinstance(target, ModuleType) and hasattr(target, "INFO"):
        every = _classes(target, Backbone)
        classes = [cls for cls in every if getattr(cls, "info", None) is target.INFO]
        if len(classes) != 1:
            raise InvalidPlugin(
                f"{target.__name__} has {len(classes)} Backbone classes with `info = INFO`, not one"
            )
        found = classes[0]
    elif isinstance(target, type) and issubclass(target, Backbone):
        found = target
    else:
        raise InvalidPlugin(f"{target!r} is neither a Backbone class nor a module with INFO")
    info: object = getattr(found, "info", None)
    if not isinstance(info, BackboneInfo):
        raise InvalidPlugin(
            f"info of {found.__name__} is a {type(info).__name__}; make it a BackboneInfo(...)"
        )
    if str(info.name).startswith(tuple(f"{scheme}--" for scheme in names.SCHEMES)):
        raise InvalidPlugin(
            f"'{info.name}' is how the files of an address may be called; rename the backbone"
        )
    require_types("INFO", info, TypeAdapter(tuple[BackboneInfo], config=STRICT))
    sizes = (info.sample_rate, info.layers, info.width, info.frame_rate, info.max_seconds)
    if not all(size > 0 for size in sizes):
        raise InvalidPlugin("INFO has a rate, size or length that is not above 0")
    return info.name, found


def read_head(target: object) -> tuple[str, Kinds]:
    """Return name and classes of a module with `INFO` and a `Head`, or several by their `reads`.

    Raises:
        InvalidPlugin: it lacks either, a class carries another `info`, or two read the same.
    """
    from heads import Head, HeadInfo
    from heads.base import Reads

    info: object = getattr(target, "INFO", None)
    if not isinstance(target, ModuleType) or not isinstance(info, HeadInfo):
        where = getattr(target, "__name__", repr(target))
        raise InvalidPlugin(f"{where} needs a module-level `INFO = HeadInfo(...)`")
    require_types("INFO", info, TypeAdapter(tuple[HeadInfo], config=STRICT))
    name = info.name
    kinds: dict[Reads, type[Head]] = {}
    for cls in _classes(target, Head):
        where = f"{target.__name__}.{cls.__name__}"
        if cls.__module__ != target.__name__:
            continue
        if getattr(cls, "info", None) is not info:
            raise InvalidPlugin(f"{where} needs `info = INFO`")
        if cls.reads not in get_args(Reads):
            known = ", ".join(get_args(Reads))
            raise InvalidPlugin(f"{where} reads '{cls.reads}'; known: {known}")
        if not isinstance(cls.version, int):
            raise InvalidPlugin(f"the version of {where} is no whole number")
        if cls.reads in kinds:
            raise InvalidPlugin(
                f"{target.__name__} needs exactly one Head subclass that reads {cls.reads}, "
                f"found: {kinds[cls.reads].__name__}, {cls.__name__}"
            )
        kinds[cls.reads] = cls
    if not kinds:
        raise InvalidPlugin(f"{target.__name__} needs a Head subclass, found: none")
    return name, MappingProxyType(kinds)


def require_types(what: str, record: object, wanted: TypeAdapter[Any]) -> None:
    """Refuse a plugin's record with a field of another type than annotated: an `InvalidPlugin`.

    `wanted` is of a tuple of its class, since the class alone is read by settings of its own.
    """
    try:
        wanted.validate_python((record,))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"][1:]))
        raise InvalidPlugin(f"{field} of {what}: {first['msg'].lower()}") from error


def _classes(module: ModuleType, base: Any) -> list[Any]:
    members = vars(module).values()
    return [each for each in members if isinstance(each, type) and issubclass(each, base)]


BACKBONES = Backbones("backbone", "backbones", "INFO", read_backbone)
HEADS = Heads("head", "heads", "INFO", read_head)
