"""Encoder of Speech2Text small, trained to transcribe 960 hours of English (LibriSpeech).

Wang et al. 2020, https://arxiv.org/abs/2010.05171
"""

from __future__ import annotations

from backbones._hf.speech2text import Speech2Text
from backbones.base import BackboneInfo

INFO = BackboneInfo(
    name="speech2text",
    summary="Speech2Text small, encoder of a transcriber trained on 960 h of English",
    weights_id="facebook/s2t-small-librispeech-asr",
    revision="main",  # its commit is not known here; Weights.commit says which one was found
    licence="MIT",
    sample_rate=16_000,
    layers=13,
    width=256,
    frame_rate=25.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=17_503_232,
    trainable=True,
    small_layers=3,
)


class Speech2TextSmall(Speech2Text):
    """Speech2Text small."""

    info = INFO
    # the defaults of this type are this network
    full = {"model_type": "speech_to_text"}  # noqa: RUF012
