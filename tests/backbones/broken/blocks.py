"""The network of the reference backbone; imports torch, so plugins import it inside methods."""

from __future__ import annotations

import torch
from torch import nn

from backbones import Frames

WIDTH = 8


class Mixer(nn.Module):
    """A block whose frames see the mean of their clip."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        number = valid.sum(dim=1, keepdim=True)
        mean = hidden.masked_fill(~valid, 0).sum(dim=1, keepdim=True) / number
        return hidden + self.linear(hidden - mean).tanh() + mean


class Network(nn.Module):
    """Blocks one after the other, with a normalisation of the last layer."""

    def __init__(
        self, blocks: nn.ModuleList, norm: nn.Module | None, *, layer_zero: bool = True
    ) -> None:
        super().__init__()
        self.blocks, self.norm, self.layer_zero = blocks, norm, layer_zero

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
        valid = (torch.arange(hidden.shape[1]) < lengths[:, None])[..., None]
        layers = [hidden] if self.layer_zero else []
        for block in self.blocks:
            hidden = block(self.between(hidden), valid)
            layers.append(hidden)
        if self.norm is not None:
            layers[-1] = self.norm(hidden)
        return Frames.same_lengths(layers, lengths)

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


class Cut(Network):
    """Nothing flows back through it."""

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.detach()


class DropsOut(Network):
    """In evaluation mode too."""

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(hidden, 0.1)


class SeesPadding(Network):
    """Takes padding for frames."""

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
        everything = torch.full_like(lengths, hidden.shape[1])
        return Frames.same_lengths(super().forward(hidden, everything).hidden, lengths)


class Double(Network):
    """Computes in float64."""

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.double()
