"""Fusions: pooled vectors of several layers, of one backbone or of several, side by side.

`quartznet+whisper-base` takes one layer of each, which is chosen as that of any backbone is;
`quartznet+quartznet` takes two of one, and `quartznet[3,9]` names them. A fusion is written where
the name of a backbone is, and needs no plugin.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backbones import names
from backbones.base import BackboneError, Weights

_LAYERS = re.compile(r"(?P<backbone>.+)\[(?P<layers>[^\[\]]*)\]", re.DOTALL)
_NUMBERS = re.compile(r"\s*\d{1,5}\s*(,\s*\d{1,5}\s*)*", re.ASCII)
# A path may hold a `+`: it reaches as far as the next address.
_BEFORE_ADDRESS = re.compile(rf"\+(?=({'|'.join(names.SCHEMES)}):)")
# Of a fusion in a file name.
_LONGEST = 120


@dataclass(frozen=True)
class Part:
    """Vectors of one layer: a backbone, and the layer where the name fixes it."""

    backbone: str
    layer: int | None = None


@dataclass(frozen=True)
class Fusion:
    """What stands in the place of a backbone's name, be it one backbone.

    Attributes:
        parts: in the order in which their vectors are joined.
    """

    parts: tuple[Part, ...]

    @property
    def alone(self) -> bool:
        """Whether it is one backbone with all its layers to choose from: no fusion."""
        return len(self.parts) == 1 and self.parts[0].layer is None

    @property
    def backbones(self) -> tuple[str, ...]:
        """The backbones, each once."""
        return tuple(dict.fromkeys(part.backbone for part in self.parts))

    def fixed(self, backbone: str) -> tuple[int, ...]:
        """The layers of a backbone that the name fixes."""
        own = (part.layer for part in self.parts if part.backbone == backbone)
        return tuple(layer for layer in own if layer is not None)

    def free(self, backbone: str) -> int:
        """How many layers of a backbone are to be chosen."""
        return self.parts.count(Part(backbone))

    @property
    def name(self) -> str:
        """The one name of the fusion, in whatever order its parts were written."""
        return "+".join(self._written(str, "[{}]", ","))

    @property
    def file_name(self) -> str:
        """Its name as part of a file name: no folder separators, never the same for two."""
        joined = "+".join(self._written(names.file_name, "~{}", "~"))
        if self.alone or len(joined) <= _LONGEST:
            return joined
        return f"fusion~{hashlib.sha256(self.name.encode()).hexdigest()[:24]}"

    def _written(self, named: Callable[[str], str], layers: str, between: str) -> Iterator[str]:
        for backbone in self.backbones:
            if fixed := between.join(map(str, self.fixed(backbone))):
                yield named(backbone) + layers.format(fixed)
            yield from [named(backbone)] * self.free(backbone)


def parse(name: str) -> Fusion:
    """What a name stands for: one backbone, or a fusion in its canonical order.

    Raises:
        BackboneError: an address in it is none, a name is missing, or a layer is there twice.
    """
    parts = [part for written in _split(name) for part in _parts(written, name)]
    fixed = [part for part in parts if part.layer is not None]
    if twice := next((part for part in fixed if fixed.count(part) > 1), None):
        raise BackboneError(
            f"backbone '{name}' has layer {twice.layer} of {twice.backbone} twice: name it once"
        )
    # a path comes last, since it would take what follows along
    order = sorted(
        parts, key=lambda p: (_is_path(p.backbone), p.backbone, p.layer is None, p.layer or 0)
    )
    return Fusion(tuple(order))


def joined(weights: Sequence[Weights]) -> Weights:
    """What weights of several backbones are together, for records: of one, those."""
    if len(weights) == 1:
        return weights[0]
    kinds = {each.kind for each in weights}
    return Weights(
        kind=next(kind for kind in ("random-init", "pretrained", "none") if kind in kinds),
        id=_listed([each.id for each in weights]),
        sha=_listed([each.sha for each in weights]),
        size="small" if any(each.size == "small" for each in weights) else "full",
        seed=max(each.seed for each in weights),
        commit=_listed([each.commit for each in weights]),
    )


def _listed(values: Sequence[str | None]) -> str | None:
    return " + ".join(value for value in values if value is not None) or None


def _is_path(name: str) -> bool:
    address = names.parse(name)
    return address is not None and address.path is not None


def _split(name: str) -> Iterator[str]:
    left: str | None = name
    while left is not None:
        path = left.startswith("nemo:") or left.removeprefix("hf:").startswith(names.PATH_STARTS)
        cut = _BEFORE_ADDRESS.search(left) if path else re.search(r"\+", left)
        written, left = (left[: cut.start()], left[cut.end() :]) if cut else (left, None)
        if not written.strip():
            raise BackboneError(
                f"backbone '{name}' lacks a name: a fusion is backbones joined by +, as in "
                "quartznet+whisper-base"
            )
        yield written.strip()


def _parts(written: str, name: str) -> list[Part]:
    found = _LAYERS.fullmatch(written)
    if found is None:
        names.parse(written)
        return [Part(written)]
    backbone, layers = found["backbone"], found["layers"]
    names.parse(backbone)
    if not _NUMBERS.fullmatch(layers):
        raise BackboneError(
            f"backbone '{name}': what stands in brackets behind {backbone} are numbers of layers, "
            "as in quartznet[3,9]"
        )
    return [Part(backbone, int(layer)) for layer in layers.split(",")]
