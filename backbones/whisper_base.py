"""Whisper-base: the encoder of OpenAI's multilingual speech recogniser, 6 blocks, 20.6 M."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backbones._hf.whisper import Whisper
from backbones.base import BackboneInfo

INFO = BackboneInfo(
    name="whisper-base",
    summary="Whisper base, encoder of a multilingual speech recogniser (OpenAI)",
    weights_id="openai/whisper-base",
    revision="e37978b90ca9030d5170a5c07aadb050351a65bb",
    licence="Apache-2.0",
    sample_rate=16_000,
    layers=7,
    width=512,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=20_590_592,
    trainable=True,
    dtypes=Whisper.dtypes,
    differs=Whisper.differs,
)


class WhisperBase(Whisper):
    """Whisper-base."""

    info = INFO
    # where it differs from Whisper tiny, which the library's defaults are
    full = {  # noqa: RUF012
        "model_type": "whisper",
        "d_model": 512,
        "encoder_layers": 6,
        "encoder_attention_heads": 8,
        "encoder_ffn_dim": 2048,
    }

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """All blocks, but small ones."""
        return {**super().shrunk(config), "encoder_layers": config.encoder_layers}
