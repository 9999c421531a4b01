"""Encoders with the blocks of QuartzNet 15x5, faster than NeMo's own and trainable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._nemo.config import expect, section
from backbones._nemo.encoders import FEATURES, SHORTEST_FRAMES, ConvAsr
from backbones._tensors.frames import Padded, check_part, zero_padding
from backbones.base import STEM, Dtype, Frames, Size

if TYPE_CHECKING:
    import torch

    from backbones._nemo.blocks import ConvBlock

MELS = 64
FEATURE_SETTINGS: Mapping[str, Any] = {
    "sample_rate": 16_000,
    "window_size": 0.02,
    "window_stride": 0.01,
    "window": "hann",
    "normalize": "per_feature",
    "n_fft": 512,
    "features": MELS,
    "frame_splicing": 1,
    "preemph": 0.97,
    "lowfreq": 0,
    "mag_power": 2.0,
    "log": True,
    "log_zero_guard_type": "add",
    "log_zero_guard_value": 2**-24,
}
ENCODER: Mapping[str, Any] = {
    "activation": "relu",
    "normalization_mode": "batch",
    "residual_mode": "add",
    "frame_splicing": 1,
}
# What a block of QuartzNet does not use, other models of the family do.
PLAIN: Mapping[str, Any] = {"groups": 1, "heads": -1, "se": False, "residual_dense": False}


def quartznet_config(size: Size = "full") -> dict[str, Any]:
    """The encoder of QuartzNet 15x5 as NeMo's `ConvASREncoder` wants it.

    NeMo 3 no longer knows the model by name, hence it is written down here. `small` keeps the 18
    blocks, their kernels and strides and makes them narrow and shallow.
    """
    full = size == "full"
    repeat = 5 if full else 1

    def block(filters: int, kernel: int, **special: Any) -> dict[str, Any]:
        return {
            "filters": filters if full else filters // 8,
            "repeat": 1,
            "kernel": [kernel],
            "stride": [1],
            "dilation": [1],
            "dropout": 0.0,
            "residual": False,
            "separable": True,
        } | special

    jasper = [block(256, 33, stride=[2])]
    for filters, kernel in ((256, 33), (256, 39), (512, 51), (512, 63), (512, 75)):
        jasper += [block(filters, kernel, repeat=repeat, residual=True) for _ in range(3)]
    jasper += [block(512, 87, dilation=[2]), block(1024, 1, separable=False)]
    return {**ENCODER, "feat_in": MELS, "conv_mask": True, "jasper": jasper}


def checked_config(config: Mapping[str, Any], *, source: Path) -> dict[str, Any]:
    """What the archive says about the encoder, which has to be a QuartzNet on its features.

    Widths and repeats may differ from the published ones: the tensors are checked against them.
    """
    features = section(config, "preprocessor", FEATURES, source)
    encoder = section(config, "encoder", "ConvASREncoder", source)
    published = quartznet_config()
    blocks = encoder.get("jasper", [])
    wanted_blocks = published["jasper"]
    expect(features, FEATURE_SETTINGS, f"{source}: its preprocessor")
    expect(encoder, {**ENCODER, "feat_in": MELS}, f"{source}: its encoder")
    expect({"blocks": len(blocks)}, {"blocks": len(wanted_blocks)}, f"{source}: its encoder")
    jasper = []
    for index, (block, wanted) in enumerate(zip(blocks, wanted_blocks, strict=True)):
        sized = {key: block[key] for key in ("filters", "repeat") if key in block}
        expected = {**PLAIN, **wanted, **sized}
        expect({"separable": False, **block}, expected, f"{source}: block {index}")
        jasper.append(wanted | sized)
    return published | {"jasper": jasper}


class FoldedQuartzNet(ConvAsr):
    """Log-mel features and the output of each of the 18 blocks.

    Layer 0 is the log-mel spectrogram (64 bands, 100 Hz) before it is normalised per clip and
    band: afterwards its mean and deviation would be 0 and 1 for every clip. Layers 1 to 18 are
    the outputs of the blocks (256, 512 or 1024 wide, 50 Hz). A clip shorter than 20 ms counts
    as 20 ms, the rest being silence.

    NeMo builds the network and computes the features. The forward pass is ours: the same
    convolutions in channels-last memory order with batch normalisation folded into them, which
    gives the same numbers to rounding several times faster, since PyTorch has no fast kernel
    for a depthwise `conv1d` on a CPU. Folding needs no distinction between the NGC original,
    with its trained batch normalisation, and a file in which it is already folded: there the
    normalisation is stored as the identity. It stays folded in training too, where the batch
    statistics are hence frozen.
    """

    title = "QuartzNet encoder"
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "float16")
    thread_safe = True
    trainable = True
    full: ClassVar[Mapping[str, Any]] = quartznet_config()
    features: ClassVar[Mapping[str, Any]] = FEATURE_SETTINGS

    @classmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """See `NemoEncoder`."""
        return quartznet_config("small")

    def of_archive(self, config: Mapping[str, Any], source: Path) -> Mapping[str, Any]:
        """See `NemoEncoder`."""
        return checked_config(config, source=source)

    def keep(self, network: Any, device: str, dtype: str) -> None:
        """Fold batch normalisation into the blocks."""
        import torch

        from backbones._nemo.blocks import fold_block

        self._dtype: torch.dtype = getattr(torch, dtype)
        self._blocks: Sequence[ConvBlock] = [
            fold_block(block, device=device, dtype=self._dtype) for block in network.encoder
        ]

    @property
    def shortest(self) -> int:
        """Samples that a clip has at least: mel features are normalised over two frames."""
        return int(SHORTEST_FRAMES * self._preprocessor.featurizer.hop_length)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`: (batch, mel frames, 64), then a layer for each block."""
        import torch

        from backbones._nemo.blocks import normalised

        with torch.no_grad():
            mel, frames = self.log_mel(waves, lengths)
            mel = mel.transpose(1, 2)
            hidden, valid = [mel], [frames]
            x = normalised(mel, frames).to(self._dtype)
            for block in self._blocks:
                x, frames = block(x, frames)
                hidden.append(x)
                valid.append(frames)
        return Frames(hidden, valid)

    def exported(self) -> torch.nn.Module:
        """See `Backbone.exported`."""
        from backbones._nemo.exported import ExportedQuartzNet

        return ExportedQuartzNet(
            self._preprocessor.featurizer, self.shortest, self._blocks, self._dtype
        )

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Compute layer 0, the log-mel spectrogram before it is normalised; see `Backbone.stem`."""
        import torch

        with torch.no_grad():
            mel, frames = self.log_mel(waves, lengths)
            return zero_padding(mel.transpose(1, 2), frames), frames

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`.

        Layer 0 is normalised per clip and band before the first block. Batch normalisation stays
        folded into the convolutions: its statistics are frozen.
        """
        from backbones._nemo.blocks import QuartzNetTail

        check_part(start, stop, len(self._blocks))
        return QuartzNetTail(
            self._blocks[max(start, 0) : stop], first=start <= 0, stem=start == STEM
        )
