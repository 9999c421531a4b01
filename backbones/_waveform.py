"""Encoders of waveforms in the layout of wav2vec 2.0: convolutions, positions, blocks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._families import MAX_SECONDS, Family, Traits, Unsupported
from backbones._huggingface import load_model
from backbones._wav2vec2 import INFERENCE, Wav2Vec2Backbone, samples_for
from backbones.base import Backbone

if TYPE_CHECKING:
    import torch

# Padding reaches a clip's frames in spite of a mask: the second and later convolutions over
# positions read what the first one made of it (data2vec), as do those in the blocks (conformer)
# and those over squeezed frames (SEW).
_LEAKY_TYPES = frozenset({"data2vec-audio", "wav2vec2-conformer", "sew", "sew-d"})
# Their blocks are called as `backbones._tails` calls them.
_TRAINABLE_TYPES = frozenset({"wav2vec2", "hubert", "unispeech", "unispeech-sat"})


class Waveform(Wav2Vec2Backbone, Family):
    """wav2vec 2.0 and its relatives, each as its own library class.

    Layer 0 is what enters the first block, layer n the output of block n; the last layer is the
    encoder's output, after its final normalisation where there is one. SEW's blocks work on
    squeezed frames, and so do all layers here: what it upsamples them to afterwards is left out.
    Frames are valid by the arithmetic of the convolutions.
    """

    extractors = ("Wav2Vec2FeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {"sampling_rate": 16_000, "do_normalize": True}
    # an adapter shortens the last layer's output only, for a decoder
    inference: ClassVar[Mapping[str, Any]] = {**INFERENCE, "add_adapter": False}

    @classmethod
    def network(cls, config: Any) -> torch.nn.Module:
        """See `Family`."""
        return _model_class(config)(config)

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Family`."""
        if getattr(config, "feat_extract_norm", "layer") not in ("group", "layer"):
            raise Unsupported(f"a feat_extract_norm of {config.feat_extract_norm!r}")
        leaks = _leaks(config)
        rate = int(features["sampling_rate"])
        return Traits(
            sample_rate=rate,
            layers=config.num_hidden_layers + 1,
            width=config.hidden_size,
            frame_rate=rate / math.prod(config.conv_stride) / _squeeze(config),
            max_seconds=MAX_SECONDS,
            attention_mask=not leaks,
            normalised=bool(features["do_normalize"]),
            trainable=config.model_type in _TRAINABLE_TYPES
            and not getattr(config, "conv_pos_batch_norm", False),
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Family`."""
        small: dict[str, Any] = {
            "hidden_size": 48,
            "num_hidden_layers": min(2, config.num_hidden_layers),
            "num_attention_heads": 2,
            "intermediate_size": 96,
            "conv_dim": (32,) * len(config.conv_dim),
            "num_conv_pos_embedding_groups": 4,
        }
        # in data2vec this is how many convolutions there are, elsewhere the size of the only one
        stacked = hasattr(config, "conv_pos_kernel_size")
        small["num_conv_pos_embeddings"] = min(2 if stacked else 16, config.num_conv_pos_embeddings)
        return small

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`."""
        from transformers import CONFIG_MAPPING

        # WavLM's own code, about which a user can do nothing
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        self.model = load_model(
            self.info,
            self.weights,
            model=_model_class(CONFIG_MAPPING[self.full["model_type"]]()),
            full=self.full,
            small=self.small,
            inference=self.inference,
            ignored=("masked_spec_embed", "adapter."),
            device=device,
            dtype=dtype,
        )

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the convolutions over the waveform, where blocks can be trained."""
        if not self.info.trainable:
            return Backbone.stem(self, waves, lengths)
        return super().stem(waves, lengths)

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, where blocks can be trained."""
        if not self.info.trainable:
            return Backbone.tail(self, start, stop)
        return super().tail(start, stop)

    @property
    def _leaks(self) -> bool:
        return _leaks(self.model.config)

    @property
    def _shortest(self) -> int:
        return samples_for(_squeeze(self.model.config), self.model.config)

    def _frame_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        return super()._frame_counts(lengths) // _squeeze(self.model.config)

    def _forward(
        self, waves: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        if not hasattr(self.model.config, "squeeze_factor"):
            return super()._forward(waves, lengths)
        return tuple(self.model(waves, output_hidden_states=True).hidden_states)


def _squeeze(config: Any) -> int:
    """How many frames of the convolutions one frame of a block stands for."""
    return int(getattr(config, "squeeze_factor", 1))


def _leaks(config: Any) -> bool:
    return (
        config.model_type in _LEAKY_TYPES
        or getattr(config, "feat_extract_norm", "layer") == "group"
        # it turns the zeros of padding into something else before the convolution over positions
        or bool(getattr(config, "conv_pos_batch_norm", False))
    )


def _model_class(config: Any) -> Any:
    from transformers import MODEL_MAPPING

    return MODEL_MAPPING[type(config)]
