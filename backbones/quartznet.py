"""QuartzNet 15x5: NVIDIA's small convolutional speech recogniser, 18 blocks, 18.9 M parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._nemo import expect, read_nemo, section
from backbones._tensors import load_strictly
from backbones.base import STEM, Backbone, BackboneInfo, Frames, Size, Weights

if TYPE_CHECKING:
    import torch

    from backbones._quartznet_blocks import Block

INFO = BackboneInfo(
    name="quartznet",
    summary="QuartzNet 15x5, convolutional CTC speech recogniser (NVIDIA, English)",
    weights_id=(
        "https://api.ngc.nvidia.com/v2/models/nvidia/nemospeechmodels/versions/1.0.0a5/files/"
        "QuartzNet15x5Base-En.nemo"
    ),
    revision="sha256:1fae09384a4285d941b57a185a05ef847e2c374056cfc3e37460923c62599cd1",
    licence="LicenseRef-NVIDIA-NGC-Terms-of-Use",
    sample_rate=16_000,
    layers=19,
    width=1024,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=18_894_656,
    trainable=True,
)

MELS = 64
HOP = 160
# Mel features are normalised over time, which takes two frames.
SHORTEST = 2 * HOP


class QuartzNet(Backbone):
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

    info = INFO

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._preprocessor: torch.nn.Module
        self._blocks: Sequence[Block] = ()
        self._dtype: torch.dtype
        self._parameters = 0

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the network with NeMo, fill it and fold its batch normalisation.

        Args:
            device: a torch device name.
            dtype: what the blocks compute in; the features are always computed in float32.

        Raises:
            WeightsMismatch: the archive is not a QuartzNet 15x5, or one of its tensors is
                missing, unexpected or of the wrong shape.
        """
        import torch

        from backbones._quartznet_blocks import fold_block

        path = self.weights.path
        if path is None:
            full = self.weights.size == "full"
            encoder = self.untrained if full else quartznet_config("small")
        else:
            config, tensors = read_nemo(path)
            encoder = checked_config(config, source=path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            self._preprocessor, network = build(encoder)
        if path is not None:
            load_strictly(
                network,
                tensors,
                source=f"{self.info.name}: {path}",
                prefix="encoder.",
                # the window and the mel filterbank in `preprocessor.` follow from the config
                ignored=("decoder.", "preprocessor."),
            )
        self._parameters = sum(parameter.numel() for parameter in network.parameters())
        self._preprocessor.to(device)
        self._dtype = getattr(torch, dtype)
        self._blocks = [
            fold_block(block, device=device, dtype=self._dtype) for block in network.encoder
        ]

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Returns:
            19 layers: (batch, mel frames, 64), then (batch, frames, width) for each block.
        """
        import torch

        from backbones._quartznet_blocks import normalised

        with torch.no_grad():
            mel, frames = self._log_mel(waves, lengths)
            hidden, valid = [mel], [frames]
            x = normalised(mel, frames).to(self._dtype)
            for block in self._blocks:
                x, frames = block(x, frames)
                hidden.append(x)
                valid.append(frames)
        return Frames(hidden, valid)

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute layer 0, the log-mel spectrogram before it is normalised; see `Backbone.stem`.

        Returns:
            float32 (batch, mel frames, 64), and valid mel frames (batch,).
        """
        import torch

        from backbones._tails import zero_padding

        with torch.no_grad():
            mel, frames = self._log_mel(waves, lengths)
            return zero_padding(mel, frames), frames

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`.

        Layer 0 is normalised per clip and band before the first block. Batch normalisation stays
        folded into the convolutions: its statistics are frozen.
        """
        from backbones._quartznet_blocks import QuartzNetTail
        from backbones._tails import check_part

        check_part(start, stop, len(self._blocks))
        return QuartzNetTail(
            self._blocks[max(start, 0) : stop], first=start <= 0, stem=start == STEM
        )

    def _log_mel(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, mel frames, bands) and valid mel frames."""
        import torch

        waves = torch.nn.functional.pad(waves, (0, max(0, SHORTEST - waves.shape[1])))
        lengths = lengths.clamp(min=SHORTEST)
        mel, frames = self._preprocessor(input_signal=waves, length=lengths)
        return mel[..., : int(frames.max())].transpose(1, 2), frames

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder, batch normalisation included."""
        return self._parameters

    @property
    def untrained(self) -> Mapping[str, Any]:
        """The encoder that random initialisation gives, as NeMo wants it."""
        return quartznet_config()


# --- the configuration -------------------------------------------------------------------------

FEATURES: Mapping[str, Any] = {
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

    NeMo 3 no longer knows the model by name, hence it is written down here.

    Args:
        size: `small` keeps the 18 blocks, their kernels and strides and makes them narrow and
            shallow.
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

    Raises:
        WeightsMismatch: it is another network, or takes other features.
    """
    features = section(config, "preprocessor", "AudioToMelSpectrogramPreprocessor", source)
    encoder = section(config, "encoder", "ConvASREncoder", source)
    published = quartznet_config()
    blocks = encoder.get("jasper", [])
    wanted_blocks = published["jasper"]
    expect(features, FEATURES, f"{source}: its preprocessor")
    expect(encoder, {**ENCODER, "feat_in": MELS}, f"{source}: its encoder")
    expect({"blocks": len(blocks)}, {"blocks": len(wanted_blocks)}, f"{source}: its encoder")
    jasper = []
    for index, (block, wanted) in enumerate(zip(blocks, wanted_blocks, strict=True)):
        sized = {key: block[key] for key in ("filters", "repeat") if key in block}
        expected = {**PLAIN, **wanted, **sized}
        expect({"separable": False, **block}, expected, f"{source}: block {index}")
        jasper.append(wanted | sized)
    return published | {"jasper": jasper}


def build(encoder: Mapping[str, Any]) -> tuple[Any, Any]:
    """NeMo's preprocessor and encoder, in evaluation mode.

    Args:
        encoder: arguments of `ConvASREncoder`, such as `quartznet_config()`.
    """
    modules = quiet_modules()
    # dither is noise for training; pad_to would add frames that are not the clip's; `encode`
    # normalises, because layer 0 is what there is before
    features = {**FEATURES, "normalize": None, "dither": 0.0, "pad_to": 0}
    preprocessor = modules.AudioToMelSpectrogramPreprocessor(**features)
    return preprocessor.eval(), modules.ConvASREncoder(**encoder).eval()


def quiet_modules() -> Any:
    """NeMo's modules of speech recognition, without its notices."""
    # NeMo reports at import time that its usage telemetry is off
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    from nemo.collections.asr import modules

    return modules
