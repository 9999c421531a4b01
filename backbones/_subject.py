"""What the conformance suite looks at: a backbone, and what it makes of a few synthetic clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backbones import registry
from backbones.base import Backbone, Frames, Weights

if TYPE_CHECKING:
    import torch

SECONDS = (1.3, 0.7, 2.0)


class Subject:
    """A backbone under test, its synthetic clips, and what it made of them.

    Args:
        backbone: name of a registered backbone, or a class.
        weights: None takes a small random-init network, or `none` for hand-made features.
        seconds: lengths of the clips; they should differ.
    """

    def __init__(
        self,
        backbone: str | type[Backbone],
        weights: Weights | None = None,
        seconds: Sequence[float] = SECONDS,
    ) -> None:
        self.cls = registry.get(backbone) if isinstance(backbone, str) else backbone
        self.info = self.cls.info
        if weights is None:
            kind: Any = "random-init" if self.info.needs_weights else "none"
            weights = Weights(kind, id=self.info.weights_id, size="small")
        self.weights = weights
        self.lengths = [round(s * self.info.sample_rate) for s in seconds]

    def __repr__(self) -> str:
        return self.info.name

    @cached_property
    def backbone(self) -> Backbone:
        """The loaded backbone."""
        backbone = self.cls(self.weights)
        backbone.load()
        return backbone

    @cached_property
    def alone(self) -> list[Frames]:
        """Frames of each clip encoded alone."""
        return [self.encode([n]) for n in self.lengths]

    @cached_property
    def together(self) -> Frames:
        """Frames of all clips in one padded batch."""
        return self.encode(self.lengths)

    @cached_property
    def last(self) -> int:
        """Number of the last layer."""
        return len(self.together.hidden) - 1

    @property
    def full_size(self) -> bool:
        """Whether the published sizes apply."""
        return not (self.weights.kind == "random-init" and self.weights.size == "small")

    def encode(self, lengths: Sequence[int]) -> Frames:
        """Frames of clips of the given lengths, in one batch."""
        return self.backbone.encode(*self.batch(lengths))

    def batch(self, lengths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Clips of the given lengths, zero after each one's end. One length is always one clip."""
        import torch

        waves = torch.zeros(len(lengths), max(lengths))
        for row, length in enumerate(lengths):
            waves[row, :length] = self.clip(length)
        return waves, torch.tensor(lengths)

    def clip(self, length: int) -> torch.Tensor:
        """A gliding tone with overtones and noise, as the backbone expects it to be scaled."""
        import torch

        generator = torch.Generator().manual_seed(length)
        time = torch.arange(length) / self.info.sample_rate
        phase = 2 * torch.pi * (120 + 40 * time) * time
        tone = sum(torch.sin(k * phase) / k for k in range(1, 9))
        wave = tone * (1 + torch.sin(9 * time)) + 0.1 * torch.randn(length, generator=generator)
        if self.info.normalised:
            return (wave - wave.mean()) / (wave.var(unbiased=False) + 1e-7).sqrt()
        return 0.5 * wave / wave.abs().max()


def valid_layers(frames: Frames, clip: int) -> Iterator[torch.Tensor]:
    """The valid frames (frames, width) of one clip, layer by layer, in float32."""
    for hidden, lengths in zip(frames.hidden, frames.lengths, strict=True):
        yield hidden[clip, : int(lengths[clip])].detach().float()
