"""Correct backbones, as small as they can be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones import (
    STEM,
    Backbone,
    BackboneInfo,
    Frames,
    Weights,
    WeightsMismatch,
)
from backbones.weights import sha256

if TYPE_CHECKING:
    import torch

HOP = 80
INFO = BackboneInfo(
    name="reference",
    summary="loudness in eight bands of 10 ms, and three blocks",
    weights_id="example/reference",
    revision="1",
    licence="MIT",
    sample_rate=8_000,
    layers=4,
    width=8,
    frame_rate=100.0,
    max_seconds=5.0,
    attention_mask=True,
    normalised=False,
    parameters=232,
    trainable=True,
)
FOLDER = Path(__file__).parent / "weights"
PRETRAINED = Weights(
    "pretrained", id=INFO.weights_id, path=FOLDER, sha=sha256(FOLDER / "pytorch_model.bin")
)


class Reference(Backbone):
    """Keeps every promise."""

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        import torch
        from torch import nn

        from tests.backbones.broken.blocks import WIDTH, Mixer, Network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            blocks = nn.ModuleList(Mixer() for _ in range(3))
            self.network = Network(blocks, nn.LayerNorm(WIDTH))
        if self.weights.kind == "pretrained":
            self.fill()
        self.dtype = getattr(torch, dtype)
        self.network.to(self.dtype).eval().requires_grad_(False)

    def fill(self) -> None:
        import pickle

        path = self.weights.path
        if path is None or not path.is_dir():
            raise WeightsMismatch(f"{path} is no folder")
        try:
            self.network.load_state_dict(self.read(path / "pytorch_model.bin"))
        except (pickle.UnpicklingError, RuntimeError, OSError) as error:
            raise WeightsMismatch(f"{path} does not fit: {error}") from error

    def read(self, file: Path) -> Any:
        import torch

        return torch.load(file, weights_only=True)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        import torch

        with torch.no_grad():
            hidden, counts = self.front(waves, lengths)
            return self.network(hidden.to(self.dtype), counts)

    def front(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer 0 and valid frames; a clip shorter than a frame counts as one."""
        from torch.nn.functional import pad

        waves = pad(waves, (0, max(0, HOP - waves.shape[1])))
        bands = waves.unfold(1, HOP, HOP).unflatten(2, (8, HOP // 8))
        return bands.square().mean(dim=3).sqrt() + 0.01, self.count(lengths)

    def count(self, lengths: torch.Tensor) -> torch.Tensor:
        return lengths.clamp(min=HOP) // HOP

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        hidden, counts = self.front(waves, lengths)
        padding = torch.arange(hidden.shape[1]) >= counts[:, None]
        return hidden.masked_fill(padding[..., None], 0), counts

    def tail(self, start: int, stop: int) -> Any:
        from tests.backbones.broken.blocks import Network

        if not STEM <= start < stop <= 3:
            raise ValueError(f"no part from {start} to {stop}")
        blocks = self.network.blocks[max(start, 0) : stop]
        norm = self.network.norm if stop == 3 else None
        part = Network(blocks, norm, layer_zero=start == STEM)
        return copy.deepcopy(part).float().requires_grad_(True)


class HandMade(Reference):
    """Layer 0 alone: no weights, nothing to train, another scale of its input."""

    info = BackboneInfo(
        name="hand-made",
        summary="loudness in eight bands of 10 ms",
        weights_id=None,
        revision=None,
        licence="MIT",
        sample_rate=8_000,
        layers=1,
        width=8,
        frame_rate=100.0,
        max_seconds=float("inf"),
        attention_mask=False,
        normalised=True,
        thread_safe=False,
        dtypes=("float32",),
    )
    stem = Backbone.stem
    tail = Backbone.tail

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        hidden, counts = self.front(waves, lengths)
        return Frames.same_lengths([hidden], counts)

    def parameter_count(self) -> int:
        return 0
