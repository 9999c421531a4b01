"""Encoders of waveforms in the layout of wav2vec 2.0: convolutions, positions, blocks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.checkpoint import Layout
from backbones._hf.encoder import MAX_SECONDS, Traits, TransformersEncoder, Unsupported
from backbones._tensors.frames import Padded, at_least, valid_frames, zero_padding
from backbones.base import Frames

if TYPE_CHECKING:
    import torch

# Without time masking transformers builds no mask embedding, and none is needed to encode. An
# adapter shortens the last layer's output only, for a decoder.
INFERENCE: Mapping[str, Any] = {
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "add_adapter": False,
}
# Of Wav2Vec2ForPreTraining, and of ForCTC.
PRETRAINING = Layout(
    prefixes=("wav2vec2.",), ignored=("quantizer.", "project_q.", "project_hid.", "lm_head.")
)
# Padding reaches a clip's frames in spite of a mask: the second and later convolutions over
# positions read what the first one made of it (data2vec), as do those in the blocks (conformer)
# and those over squeezed frames (SEW).
_LEAKY_TYPES = frozenset({"data2vec-audio", "wav2vec2-conformer", "sew", "sew-d"})
# Their blocks are called as `TransformerTail` calls them.
_TRAINABLE_TYPES = frozenset({"wav2vec2", "hubert", "unispeech", "unispeech-sat"})


class Waveform(TransformersEncoder):
    """wav2vec 2.0 and its relatives, each as its own library class.

    Layer 0 is what enters the first block: projected convolution features plus positions. Layer n
    is the output of block n. The last layer is the encoder's output, which for the
    stable-layer-norm variant (XLSR) means *after* its final layer norm, while the layers before it
    are the un-normalised residual stream; transformers has returned either, by version. SEW's
    blocks work on squeezed frames, and so do all layers here: what it upsamples them to afterwards
    is left out. Frames are valid by the arithmetic of the convolutions.
    """

    extractors = ("Wav2Vec2FeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {"sampling_rate": 16_000, "do_normalize": True}
    features = defaults
    inference = INFERENCE
    ignored = ("masked_spec_embed", "adapter.")

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `TransformersEncoder`."""
        if getattr(config, "feat_extract_norm", "layer") not in ("group", "layer"):
            raise Unsupported(f"a feat_extract_norm of {config.feat_extract_norm!r}")
        rate = int(features["sampling_rate"])
        if _shortest(config) > MAX_SECONDS * abs(rate):
            raise Unsupported(f"convolutions of which one frame takes more than {MAX_SECONDS} s")
        return Traits(
            sample_rate=rate,
            layers=config.num_hidden_layers + 1,
            width=config.hidden_size,
            frame_rate=rate / math.prod(config.conv_stride) / _squeeze(config),
            attention_mask=not _leaks(config),
            normalised=bool(features["do_normalize"]),
            trainable=config.model_type in _TRAINABLE_TYPES
            and not getattr(config, "conv_pos_batch_norm", False),
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `TransformersEncoder`."""
        # in data2vec this is how many convolutions there are, elsewhere the size of the only one
        stacked = hasattr(config, "conv_pos_kernel_size")
        return {
            **super().shrunk(config),
            "conv_dim": (32,) * len(config.conv_dim),
            "num_conv_pos_embeddings": min(2 if stacked else 16, config.num_conv_pos_embeddings),
            # with fewer than 16 channels a group, oneDNN's bfloat16 convolution is wrong on
            # processors with AMX
            "num_conv_pos_embedding_groups": 2,
        }

    def prepare(self, device: str) -> None:
        """Leave out a warning of WavLM's own code, about which a user can do nothing."""
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`; frames are of 20 ms in most of them.

        A clip shorter than one frame (25 ms) counts as that long, the rest being silence.
        """
        waves, lengths = self._cut(waves, lengths)
        frames = self._frame_counts(lengths)
        padded = int(lengths.min()) < waves.shape[1]
        if padded and _leaks(self.model.config):
            hidden = self._one_length_at_a_time(waves, lengths, frames, self._forward)
        else:
            hidden = self._forward(waves, lengths if padded else None)
        return Frames.same_lengths(hidden, frames)

    def exported(self) -> torch.nn.Module:
        """See `Backbone.exported`."""
        from backbones._hf.exported import ExportedWaveform

        return ExportedWaveform(self.model, self._forward, _shortest(self.model.config))

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Run the convolutions over the waveform; see `Backbone.stem`.

        The projection and the positions that follow, up to layer 0, belong to `tail(STEM, …)`.
        """
        if not self.info.trainable:
            return super().stem(waves, lengths)
        import torch

        waves, lengths = self._cut(waves, lengths)
        frames = self._frame_counts(lengths)
        with torch.no_grad():
            if _leaks(self.model.config):
                (features,) = self._one_length_at_a_time(waves, lengths, frames, self._convolve)
            else:
                (features,) = self._convolve(waves)
            return zero_padding(features, frames.to(features.device)), frames

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`.

        What starts at the stem masks the projected features in training (`SpecAugment`).
        """
        if not self.info.trainable:
            return super().tail(start, stop)
        from backbones._hf.masking import SpecAugment
        from backbones._hf.tails import TransformerTail, Wav2Vec2Front

        encoder = self.model.encoder
        norm = encoder.layer_norm if encoder.config.do_stable_layer_norm else None
        # as the checkpoint's own settings say, which `inference` overrides for encoding
        own = self.library(self.full["model_type"]).config_class.from_dict(
            {**self.full, "hidden_size": encoder.config.hidden_size}
        )
        masks = SpecAugment(own, self.spare.get("masked_spec_embed")).to(self.model.device)
        front = Wav2Vec2Front(self.model, masks)
        return TransformerTail(encoder, start, stop, front=front, norm=norm)

    def _cut(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Waves as long as the longest clip, on the model's device; lengths of at least a frame."""
        waves, lengths = at_least(_shortest(self.model.config), waves, lengths)
        return waves.to(self.model.device, self.model.dtype), lengths

    def _convolve(self, waves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model.feature_extractor(waves).transpose(1, 2),)

    def _frame_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            lengths = (lengths - kernel) // stride + 1
        return lengths // _squeeze(config)

    def _forward(
        self, waves: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        mask = None
        if lengths is not None:
            mask = valid_frames(lengths.to(waves.device), waves.shape[1]).long()
        output = self.model(waves, attention_mask=mask, output_hidden_states=True)
        if hasattr(self.model.config, "squeeze_factor"):
            return tuple(output.hidden_states)
        return (*output.hidden_states[:-1], output.last_hidden_state)

    def _one_length_at_a_time(
        self,
        waves: torch.Tensor,
        lengths: torch.Tensor,
        frames: torch.Tensor,
        run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    ) -> tuple[torch.Tensor, ...]:
        """Run clips of one length together, then pad the results."""
        padded: tuple[torch.Tensor, ...] = ()
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0].to(waves.device)
            layers = run(waves[rows, :length])
            if not padded:
                shape = (len(waves), int(frames.max()))
                padded = tuple(layer.new_zeros(*shape, layer.shape[2]) for layer in layers)
            for target, layer in zip(padded, layers, strict=True):
                target[rows, : layer.shape[1]] = layer
        return padded


def _squeeze(config: Any) -> int:
    """How many frames of the convolutions one frame of a block stands for."""
    return int(getattr(config, "squeeze_factor", 1))


def _shortest(config: Any) -> int:
    """Samples that one frame of a block takes."""
    samples = _squeeze(config)
    for kernel, stride in zip(
        reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
    ):
        samples = (samples - 1) * stride + kernel
    return samples


def _leaks(config: Any) -> bool:
    """Whether padding reaches a clip's frames past any mask.

    A group norm in the first convolution takes its statistics over all of the time axis, padding
    included; a batch norm turns zeros into something else before the convolution over positions.
    """
    return (
        config.model_type in _LEAKY_TYPES
        or getattr(config, "feat_extract_norm", "layer") == "group"
        or bool(getattr(config, "conv_pos_batch_norm", False))
    )
