"""SpecAugment: spans of a clip's features are masked while a network trains.

Imports torch, so plugins import it inside methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Spans:
    """How much of one axis is masked.

    Attributes:
        share: of the axis; less where spans overlap, more where `least` spans are.
        length: of one span, in steps of the axis.
        least: spans per row, if its length has room for them.
    """

    share: float
    length: int
    least: int

    def draw(self, lengths: torch.Tensor, steps: int) -> torch.Tensor:
        """Boolean (batch, steps): True where a row, of its length in `lengths` (batch,), is masked.

        The draws are those of torch's generator of the CPU, wherever the lengths are.
        """
        masked = torch.zeros(len(lengths), steps, dtype=torch.bool)
        if self.share > 0:
            for row, own in zip(masked, lengths.tolist(), strict=True):
                # rounded up as often as its fraction says
                wanted = int(self.share * own / self.length + torch.rand(()).item())
                starts = max(0, own - self.length + 1)
                spans = min(max(wanted, self.least), own // self.length)
                for start in torch.randperm(starts)[:spans].tolist():
                    row[start : start + self.length] = True
        return masked.to(lengths.device)


class SpecAugment(nn.Module):
    """Masks frames with a learnt vector and channels with zeros, in training alone.

    Args:
        config: settings of a checkpoint of the wav2vec 2.0 family, which say how much.
        vector: (width,), what a masked frame becomes; None for zeros, of a checkpoint without one.

    References:
        Park et al. (2019), "SpecAugment", arXiv:1904.08779. Baevski et al. (2020), "wav2vec 2.0",
        arXiv:2006.11477, appendix B (the learnt vector, and the shares for fine-tuning).
    """

    def __init__(self, config: Any, vector: torch.Tensor | None) -> None:
        super().__init__()
        on = config.apply_spec_augment
        self.frames = Spans(
            config.mask_time_prob if on else 0.0,
            config.mask_time_length,
            config.mask_time_min_masks,
        )
        self.channels = Spans(
            config.mask_feature_prob if on else 0.0,
            config.mask_feature_length,
            config.mask_feature_min_masks,
        )
        self.vector = nn.Parameter(torch.zeros(config.hidden_size) if vector is None else vector)

    def forward(self, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Mask (batch, frames, width); valid frames (batch, frames) are True and come first."""
        if not self.training:
            return hidden
        _, frames, width = hidden.shape
        masked = self.frames.draw(valid.sum(dim=1), frames)
        hidden = torch.where(masked[..., None], self.vector.to(hidden.dtype), hidden)
        masked = self.channels.draw(torch.full((len(hidden),), width, device=hidden.device), width)
        return hidden.masked_fill(masked[:, None], 0.0)
