"""XLSR-53: wav2vec 2.0 large, pretrained on 56,000 hours of speech in 53 languages.

Conneau et al. 2020, https://arxiv.org/abs/2006.13979
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backbones._hf.waveform import PRETRAINING, Waveform
from backbones.base import BackboneInfo

INFO = BackboneInfo(
    name="xlsr",
    summary="XLSR-53, wav2vec 2.0 large, self-supervised on 56,000 h in 53 languages",
    weights_id="facebook/wav2vec2-large-xlsr-53",
    revision="c3f9d884181a224a6ac87bf8885c84d1cff3384f",
    licence="Apache-2.0",
    sample_rate=16_000,
    layers=25,
    width=1024,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=True,
    parameters=315_437_696,
    trainable=True,
    small_layers=4,
)


class Xlsr(Waveform):
    """XLSR-53: layer norm in every convolution, layer norm before each block."""

    info = INFO
    layout = PRETRAINING
    # where it differs from wav2vec 2.0 base, which the library's defaults are
    full = {  # noqa: RUF012
        "model_type": "wav2vec2",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    }

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """A block more than others have, and wider ones."""
        larger = {"hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128}
        return {**super().shrunk(config), **larger}
