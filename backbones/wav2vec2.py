"""wav2vec 2.0 base, pretrained on 960 hours of English read speech (LibriSpeech).

Baevski et al. 2020, https://arxiv.org/abs/2006.11477
"""

from __future__ import annotations

from backbones._hf.waveform import PRETRAINING, Waveform
from backbones.base import BackboneInfo

INFO = BackboneInfo(
    name="wav2vec2",
    summary="wav2vec 2.0 base, self-supervised on 960 h of English",
    weights_id="facebook/wav2vec2-base",
    revision="0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
    licence="Apache-2.0",
    sample_rate=16_000,
    layers=13,
    width=768,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=False,
    normalised=True,
    parameters=94_370_944,
    trainable=True,
    small_layers=3,
)


class Wav2Vec2(Waveform):
    """wav2vec 2.0 base: group norm in the first convolution, layer norm after each block."""

    info = INFO
    layout = PRETRAINING
    # the defaults of this type are this network
    full = {"model_type": "wav2vec2"}  # noqa: RUF012
