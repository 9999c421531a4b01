"""Tiny NeMo archives: networks and configurations of NeMo's own, packed as its `save_to` does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import torch
import yaml

MODULES = "nemo.collections.asr.modules."
FEATURES: dict[str, Any] = {
    "sample_rate": 16_000,
    "window_size": 0.025,
    "window_stride": 0.01,
    "window": "hann",
    "normalize": "per_feature",
    "n_fft": 512,
    "features": 80,
    "dither": 1e-5,
    "pad_to": 16,
}


def _block(filters: int, kernel: int, **special: Any) -> dict[str, Any]:
    """A block as Citrinet has them: strided at its end, with squeeze-and-excitation."""
    return {
        "filters": filters,
        "repeat": 2,
        "kernel": [kernel],
        "stride": [1],
        "dilation": [1],
        "dropout": 0.1,
        "residual": True,
        "separable": True,
        "se": True,
        "se_context_size": -1,
        "stride_last": True,
        "residual_mode": "stride_add",
    } | special


CITRINET: dict[str, Any] = {
    "feat_in": 80,
    "activation": "relu",
    "conv_mask": True,
    "jasper": [
        _block(16, 5, repeat=1, residual=False),
        _block(16, 5, stride=[2]),
        _block(16, 7, stride=[2]),
        _block(24, 9, repeat=1, residual=False),
    ],
}
CONFORMER: dict[str, Any] = {
    "feat_in": 80,
    "n_layers": 2,
    "d_model": 16,
    "n_heads": 2,
    "subsampling": "dw_striding",
    "subsampling_factor": 8,
    "subsampling_conv_channels": 8,
    "ff_expansion_factor": 2,
    "conv_kernel_size": 9,
    "self_attention_model": "rel_pos",
    "xscaling": False,
}
ENCODERS = {"ConvASREncoder": CITRINET, "ConformerEncoder": CONFORMER}


def network(target: str, settings: dict[str, Any] | None = None) -> Any:
    """An encoder with random weights, whose batch normalisation is not the identity."""
    from nemo.collections.asr import modules

    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(modules, target)(**(settings or ENCODERS[target]))
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
    return made.eval()


def config(target: str, **changed: Any) -> dict[str, Any]:
    """The configuration of a model with this encoder; `changed` are settings of the encoder."""
    return {
        "target": "nemo.collections.asr.models.ctc_bpe_models.EncDecCTCModelBPE",
        "preprocessor": {"_target_": MODULES + "AudioToMelSpectrogramPreprocessor", **FEATURES},
        "encoder": {"_target_": MODULES + target, **ENCODERS[target], **changed},
        "decoder": {"_target_": MODULES + "ConvASRDecoder", "feat_in": 16},
    }


def tensors(target: str) -> dict[str, Any]:
    """What the encoder's part of an archive holds."""
    return {f"encoder.{name}": t for name, t in network(target).state_dict().items()}


def write(
    path: Path,
    settings: dict[str, Any],
    named: dict[str, Any],
    extra: tuple[tuple[str, bytes], ...] = (),
) -> Path:
    """An archive of these settings and tensors, `extra` members first."""
    checkpoint = io.BytesIO()
    torch.save(named, checkpoint)
    with tarfile.open(path, "w") as archive:
        for name, content in (
            *extra,
            ("./model_config.yaml", yaml.safe_dump(settings).encode()),
            ("./model_weights.ckpt", checkpoint.getvalue()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def save(path: Path, target: str) -> Path:
    """An archive with an encoder, and a decoder's tensors beside it."""
    return write(path, config(target), {**tensors(target), "decoder.bias": torch.zeros(3)})
