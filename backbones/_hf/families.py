"""Which class runs which model type of transformers."""

from __future__ import annotations

from collections.abc import Mapping

from backbones._hf.encoder import Encoder
from backbones._hf.spectrogram import SpectrogramTransformer
from backbones._hf.speech2text import Speech2Text
from backbones._hf.wav2vec2_bert import Wav2Vec2Bert
from backbones._hf.waveform import Waveform
from backbones._hf.whisper import Whisper

FAMILIES: Mapping[str, type[Encoder]] = {
    **dict.fromkeys(
        (
            "wav2vec2",
            "hubert",
            "wavlm",
            "data2vec-audio",
            "unispeech",
            "unispeech-sat",
            "sew",
            "sew-d",
            "wav2vec2-conformer",
        ),
        Waveform,
    ),
    "wav2vec2-bert": Wav2Vec2Bert,
    "whisper": Whisper,
    "speech_to_text": Speech2Text,
    "audio-spectrogram-transformer": SpectrogramTransformer,
}
