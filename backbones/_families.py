"""Encoders of transformers by architecture: how each reads its own settings.

Nothing here knows the name of a model. A family is a backbone class that works for every
checkpoint of some model types, and that says from a checkpoint's configuration and feature
extractor what voxgrid has to know.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, cast

from backbones._speech2text import FEATURES as SPEECH2TEXT_FEATURES
from backbones._speech2text import INFERENCE as SPEECH2TEXT_INFERENCE
from backbones._speech2text import Speech2TextBackbone
from backbones._whisper import FEATURES as WHISPER_FEATURES
from backbones._whisper import INFERENCE as WHISPER_INFERENCE
from backbones._whisper import WhisperBackbone
from backbones.base import Backbone, BackboneError, Dtype, Weights
from backbones.whisper_base import INFO as WHISPER_BASE

if TYPE_CHECKING:
    import torch

# Longest window where the model itself sets no limit, in seconds.
MAX_SECONDS = 30.0


class Traits(TypedDict):
    """What a checkpoint's settings say, by the names of `BackboneInfo`."""

    sample_rate: int
    layers: int
    width: int
    frame_rate: float
    max_seconds: float
    attention_mask: bool
    normalised: bool
    trainable: bool


class Unsupported(Exception):
    """A setting that a family cannot honour; the message names it in half a sentence."""


class Family(Backbone):
    """A backbone class that reads what it is from a checkpoint's own settings.

    The classes made from it for one checkpoint add `info`, `full`, `small`, `features` and
    `settings_sha`.
    """

    # Nobody has measured the model at hand (`voxgrid check --pretrained` does). Left out is
    # float16, which overflows in late layers of large models of several of these architectures.
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16")
    settings_sha: ClassVar[str]
    extractors: ClassVar[tuple[str, ...]]
    defaults: ClassVar[Mapping[str, Any]]
    inference: ClassVar[Mapping[str, Any]]
    full: ClassVar[Mapping[str, Any]]
    small: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]]

    def __init__(self, weights: Weights) -> None:
        """Take weights that were found beside the same settings.

        Raises:
            BackboneError: the settings are others by now.
        """
        super().__init__(weights)
        if weights.config_sha not in (None, self.settings_sha):
            raise BackboneError(
                f"{self.info.name}: its settings have changed since its weights were looked up; "
                "run the command again"
            )

    @classmethod
    @abstractmethod
    def network(cls, config: Any) -> torch.nn.Module:
        """The encoder with random weights."""

    @classmethod
    @abstractmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """What the settings say.

        Args:
            config: configuration of the model.
            features: settings of its feature extractor.

        Raises:
            Unsupported: a setting has no counterpart here.
        """

    @classmethod
    @abstractmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """Settings that make the same architecture tiny."""


class Whisper(WhisperBackbone, Family):
    """Encoders of Whisper."""

    # as measured of that one
    dtypes = WHISPER_BASE.dtypes
    extractors = ("WhisperFeatureExtractor",)
    defaults = WHISPER_FEATURES
    inference = WHISPER_INFERENCE

    @classmethod
    def network(cls, config: Any) -> torch.nn.Module:
        """See `Family`."""
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(config)

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Family`; the window is as long as the positions reach."""
        mels = features.get("feature_size", config.num_mel_bins)
        if mels != config.num_mel_bins:
            raise Unsupported(f"features of {mels} bands for a network of {config.num_mel_bins}")
        rate, hop = features["sampling_rate"], features["hop_length"]
        if features["n_fft"] % 2:
            raise Unsupported(f"n_fft = {features['n_fft']}, an odd one")
        return Traits(
            sample_rate=rate,
            layers=config.encoder_layers + 1,
            width=config.d_model,
            frame_rate=rate / hop / 2,
            max_seconds=min(MAX_SECONDS, config.max_source_positions * 2 * hop / rate),
            attention_mask=True,
            normalised=False,
            trainable=True,
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Family`."""
        return {
            "d_model": 32,
            "encoder_layers": min(2, config.encoder_layers),
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
        }


class Speech2Text(Speech2TextBackbone, Family):
    """Encoders of Speech2Text."""

    extractors = ("Speech2TextFeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {**SPEECH2TEXT_FEATURES, "sampling_rate": 16_000}
    inference = SPEECH2TEXT_INFERENCE

    @classmethod
    def network(cls, config: Any) -> torch.nn.Module:
        """See `Family`."""
        from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

        return Speech2TextEncoder(config)

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Family`."""
        mels = features.get("num_mel_bins", config.input_feat_per_channel)
        if mels != config.input_feat_per_channel:
            raise Unsupported(
                f"features of {mels} bands for a network of {config.input_feat_per_channel}"
            )
        if any(kernel % 2 == 0 for kernel in config.conv_kernel_sizes):
            raise Unsupported(f"conv_kernel_sizes of {list(config.conv_kernel_sizes)}, even ones")
        return Traits(
            sample_rate=kaldi_rate(features),
            layers=config.encoder_layers + 1,
            width=config.d_model,
            frame_rate=100.0 / 2**config.num_conv_layers,
            max_seconds=MAX_SECONDS,
            attention_mask=True,
            normalised=False,
            trainable=True,
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Family`."""
        return {
            "d_model": 48,
            "encoder_layers": min(2, config.encoder_layers),
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 96,
            "conv_channels": 64,
        }


def rotates(config: Any) -> bool:
    """Whether positions are rotations.

    The library keeps the angles of the last length on the module, where two threads would take
    each other's, and in the network's dtype, too coarse for positions in any but float32.
    """
    return getattr(config, "position_embeddings_type", None) == "rotary"


def kaldi_rate(features: Mapping[str, Any]) -> int:
    """The sample rate of features that follow Kaldi.

    Raises:
        Unsupported: another one than 16 kHz.
    """
    rate = int(features["sampling_rate"])
    if rate != 16_000:
        raise Unsupported(f"features at a sampling_rate of {rate}, other than 16000")
    return rate


# model type → the module and class of its family
_FAMILIES: Mapping[str, tuple[str, str]] = {
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
        ("backbones._waveform", "Waveform"),
    ),
    "wav2vec2-bert": ("backbones._wav2vec2_bert", "Wav2Vec2Bert"),
    "whisper": ("backbones._families", "Whisper"),
    "speech_to_text": ("backbones._families", "Speech2Text"),
    "audio-spectrogram-transformer": ("backbones._ast", "SpectrogramTransformer"),
}
MODEL_TYPES: tuple[str, ...] = tuple(_FAMILIES)


def family(model_type: str) -> type[Family]:
    """The family of a model type.

    Raises:
        KeyError: none knows it.
    """
    module, name = _FAMILIES[model_type]
    return cast(type[Family], getattr(importlib.import_module(module), name))
