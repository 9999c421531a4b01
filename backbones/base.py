"""The backbone contract: one frozen metadata record and one class per file.

Nothing here imports torch at import time, so that listing plugins stays instant.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import torch

WeightsKind = Literal["pretrained", "random-init", "none"]
Size = Literal["full", "small"]
Dtype = Literal["float32", "bfloat16", "float16"]


class BackboneError(Exception):
    """Something about a backbone that its user can act on; the message says how."""


class WeightsUnavailable(BackboneError):
    """No weights on this machine and none to be downloaded; the message says how to get them."""


class WeightsMismatch(BackboneError):
    """The weights found do not fit the architecture (missing, extra or mis-shaped tensors)."""


class NotTrainable(BackboneError):
    """The backbone has nothing to train, or its plugin does not offer it."""


# Escape codes with which libraries set off their advice on a terminal.
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Of what a stranger's file says; more of it would hide the rest of a message.
_LONGEST = 300


def first_line(error: Exception) -> str:
    """What an error of a library says, on one line, for the message of a `BackboneError`."""
    line = _COLOURS.sub("", str(error)).strip().partition("\n")[0]
    return shown(line.rstrip(":") or type(error).__name__)


def shown(value: object) -> str:
    """A name or value out of somebody's file, for a message: printable, and not too long."""
    text = str(value)
    cut = f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in cut
    )


# What comes before layer 0: the output of the feature encoder, which fine-tuning leaves frozen.
STEM = -1


@dataclass(frozen=True)
class BackboneInfo:
    """What the harness needs to know about a backbone without loading it.

    Attributes:
        name: the name used on the command line, in records and (by `names.file_name`) in file
            names.
        summary: one line for `voxgrid list`.
        weights_id: Hugging Face repository, URL or path of the weights; None where none are needed.
        revision: the pinned revision (commit) of `weights_id`, or a branch where none is known:
            `Weights.commit` then says what it was; `local` of a path.
        licence: SPDX name of the weights' licence (or of the code, where there are no weights).
        sample_rate: in Hz, what `encode` expects.
        own_rate: True where clips keep the rate of their files, of which `encode_at` is told. Not
            for a backbone that is trainable.
        layers: how many representations `encode` returns, the one before the first block included.
        width: features per frame of the last layer.
        frame_rate: frames per second of the last layer.
        per_clip: whether the last layer is one frame of the whole clip, which no fixed pooling
            changes; one row then stands for all of them.
        max_seconds: longest window `encode` accepts; longer clips are windowed by the harness.
        attention_mask: True where a padded batch is masked inside the model. False means that
            padding would change the result, and the harness batches equal lengths only.
        normalised: True where `encode` expects zero mean and unit variance. The harness sees to
            it before padding, for each window by itself: of a clip longer than `max_seconds`, that
            is each of the parts it is cut into, and otherwise the clip.
        extra: the optional extra of voxgrid to install for this backbone, or None.
        parameters: number of parameters of the full-size encoder, 0 for hand-made features.
        trainable: whether `stem` and `tail` are there, so that a head may fine-tune it. Block n
            is then what makes layer n from layer n - 1.
        small_layers: `layers` of the network that `Weights.size` of `small` gives, where it has
            others; None where it has as many.
        dtypes: what the encoder may compute in: those in which its mean vectors keep a cosine of
            0.999 with float32, as `voxgrid check` measures. The harness refuses others.
        thread_safe: whether two threads may encode on one instance at once. The harness does not;
            `voxgrid check` takes the backbone at its word where this is False.
        version: raise it when a code change alters the numbers; it is part of the cache key.
        differs: what it does otherwise than published, in a few words; the leaderboard says so.
    """

    name: str
    summary: str
    weights_id: str | None
    revision: str | None
    licence: str
    sample_rate: int
    layers: int
    width: int
    frame_rate: float
    max_seconds: float
    attention_mask: bool
    normalised: bool
    extra: str | None = None
    parameters: int = 0
    trainable: bool = False
    small_layers: int | None = None
    own_rate: bool = False
    per_clip: bool = False
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
    thread_safe: bool = True
    version: int = 1
    differs: str | None = None

    @property
    def resampled_to(self) -> int | None:
        """Samples per second that clips are brought to; None where each keeps its own."""
        return None if self.own_rate else self.sample_rate

    @property
    def needs_weights(self) -> bool:
        """Whether there is anything to download."""
        return self.weights_id is not None

    def layers_of(self, size: Size) -> int:
        """How many representations the network of a size returns."""
        return self.layers if size == "full" else self.small_layers or self.layers


@dataclass(frozen=True)
class Weights:
    """Resolved weights: where they are and what identifies them.

    Attributes:
        kind: `pretrained` (read from `path`), `random-init` (built from the published
            configuration, seeded) or `none` (hand-made features).
        id: the Hugging Face repository or URL, as in the metadata record; None for `none`.
        path: folder or file of pretrained weights.
        sha: sha256 of the weight file; None unless pretrained.
        config_sha: sha256 of the config.json beside it, which decides what the tensors mean. Of a
            backbone named by an address (`hf:…`, `nemo:…`), of all its settings, and of random
            weights too, since its code holds none.
        size: `small` shrinks a random-init model to seconds of work, for the sample tasks.
        seed: of random initialisation.
        commit: of the hub's repository that pretrained weights came from; None where unknown, as
            of a folder of one's own. For records: `sha` and `config_sha` identify the weights.
    """

    kind: WeightsKind
    id: str | None = None
    path: Path | None = None
    sha: str | None = None
    config_sha: str | None = None
    size: Size = "full"
    seed: int = 0
    commit: str | None = None


@dataclass(frozen=True)
class Frames:
    """What a backbone returns for one batch.

    Attributes:
        hidden: one tensor (batch, frames, width) per layer, layer 0 first. Frame counts and
            widths may differ from layer to layer.
        lengths: one int64 tensor (batch,) per layer: how many leading frames come from the
            clip itself and not from padding.
    """

    hidden: Sequence[torch.Tensor]
    lengths: Sequence[torch.Tensor]

    def __post_init__(self) -> None:
        if len(self.hidden) != len(self.lengths):
            raise ValueError(f"{len(self.hidden)} layers but {len(self.lengths)} length vectors")

    @classmethod
    def same_lengths(cls, hidden: Sequence[torch.Tensor], lengths: torch.Tensor) -> Frames:
        """Frames whose layers all share one valid length per clip."""
        return cls(tuple(hidden), (lengths,) * len(hidden))


def misshapen(found: object, clips: int) -> str | None:
    """What is wrong with the shape of what `encode` returned, and what to do; None if nothing is.

    Whether valid lengths are right is another question.
    """
    if not isinstance(found, Frames):
        return (
            f"encode returns a {type(found).__name__} instead of Frames: return "
            "Frames.same_lengths(layers, lengths), with a tensor (batch, frames, width) per layer"
        )
    for number, (hidden, lengths) in enumerate(zip(found.hidden, found.lengths, strict=True)):
        shape, longest = tuple(hidden.shape), int(lengths.max())
        remedy = "return one vector per clip and frame"
        if len(shape) == 3 and shape[1] < longest == shape[2]:
            remedy = f"return hidden.transpose(1, 2), since width comes before the {longest} frames"
        elif len(shape) == 3 and shape[0] == clips:
            continue
        elif len(shape) == 3 and shape[1] == clips:
            remedy = "return hidden.transpose(0, 1), since time comes before the clips"
        where = f"layer {number} of {clips} clips is {shape}"
        return f"{where} instead of (batch, frames, width): {remedy}"
    return None


class Backbone(ABC):
    """A speech encoder: waveform → frames, for every layer.

    A plugin never pools, windows, caches, batches, times or picks a device: the harness does.
    A plugin file imports torch and its model library inside methods only.
    """

    info: ClassVar[BackboneInfo]

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @abstractmethod
    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the model, read the weights, switch to evaluation mode, move to `device`.

        Args:
            device: a torch device name.
            dtype: `float32`, `bfloat16` or `float16`: what the encoder computes in.

        Raises:
            WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
        """

    @abstractmethod
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch.

        Args:
            waves: float32 (batch, samples) at `info.sample_rate`, zero after each clip's end;
                in [-1, 1], or each row of zero mean and unit variance where `info.normalised`: a
                row is a clip, or a window of one that is longer than `info.max_seconds`.
            lengths: int64 (batch,), samples that belong to each clip.

        Returns:
            Frames of every layer, in float32 or the dtype given to `load`.
        """

    def encode_at(self, waves: torch.Tensor, lengths: torch.Tensor, rates: torch.Tensor) -> Frames:
        """Encode clips of which each has a rate of its own; by default they all have the same.

        As `encode`, but for `rates`: int64 (batch,), samples per second of each clip, which are
        `info.sample_rate` unless `info.own_rate`.
        """
        return self.encode(waves, lengths)

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder; 0 for hand-made features."""
        return 0

    def exported(self) -> torch.nn.Module:
        """What `encode` does to one clip, as a module that `torch.export` can follow.

        By default it calls `encode`, which does where `encode` asks no tensor for its values (no
        `int(lengths.max())`), leaves torch nowhere, and returns no frame of padding. Others say it
        again for a single clip, with the same weights: there is no padding, hence no mask.

        Returns:
            A module: wave float32 (samples,) of any length, scaled as `encode` expects it, → the
            clip's own frames (frames, width) of every layer, layer 0 first. It holds the loaded
            weights and copies none.

        Raises:
            BackboneError: there is none; says why.
        """
        import torch

        encode = self.encode

        class Encode(torch.nn.Module):
            """One clip through `encode`."""

            def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, ...]:
                lengths = torch.full((1,), wave.shape[0], dtype=torch.int64)
                return tuple(layer[0] for layer in encode(wave[None], lengths).hidden)

        return Encode()

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the feature encoder alone on what `encode` takes, without gradients.

        Returns:
            Its output (batch, frames, width), zero after each clip's end, and valid frames
            (batch,). Where nothing but blocks follows it, this is layer 0.

        Raises:
            NotTrainable: `info.trainable` is False.
        """
        raise NotTrainable(f"backbone '{self.info.name}' has no part that can be trained")

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """A float32 copy of what makes the layers after `start` up to `stop`, to be trained.

        Args:
            start: layer whose frames go in, or `STEM` for the output of the feature encoder.
            stop: last layer that comes out, greater than `start`.

        Returns:
            A module `(hidden (batch, frames, width), lengths (batch,)) -> Frames` of the layers
            `start` + 1 to `stop`. In evaluation mode they are what `encode` returns; every
            parameter requires gradients. What comes after layer `stop` is not part of it.

        Raises:
            NotTrainable: `info.trainable` is False.
            ValueError: there is no such part.
        """
        raise NotTrainable(f"backbone '{self.info.name}' has no part that can be trained")
