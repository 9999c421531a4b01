"""Encoders of Speech2Text: log-mel features, two strided convolutions, pre-norm blocks.

Wang et al. 2020, https://arxiv.org/abs/2010.05171
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.checkpoint import Layout
from backbones._hf.encoder import PreNormEncoder, Traits, Unsupported, kaldi_rate
from backbones._tensors.frames import Padded, valid_frames, zero_padding

if TYPE_CHECKING:
    import torch


class Speech2Text(PreNormEncoder):
    """Layer 0 is convolved features plus positions; layers are at 25 Hz.

    A clip shorter than one feature frame (25 ms) counts as 25 ms, the rest being silence.
    """

    extractors = ("Speech2TextFeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "do_ceptral_normalize": True,
        "normalize_means": True,
        "normalize_vars": True,
        "sampling_rate": 16_000,
    }
    features = defaults
    layout = Layout(
        prefixes=("model.encoder.", "encoder."),
        ignored=(
            "model.decoder.",
            "decoder.",
            "lm_head.",
            # a table of sines that older versions of transformers saved; it is computed here
            "model.encoder.embed_positions.weights",
            "encoder.embed_positions.weights",
        ),
    )

    @classmethod
    def library(cls, model_type: str) -> Any:
        """See `Encoder`."""
        from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

        return Speech2TextEncoder

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Encoder`."""
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
            trainable=True,
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Encoder`."""
        return {
            "d_model": 48,
            "encoder_layers": min(2, config.encoder_layers),
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 96,
            "conv_channels": 64,
        }

    def prepare(self, device: str) -> None:
        """Set up the filterbank."""
        from backbones._hf.kaldi import Filterbank

        bands = self.model.config.input_feat_per_channel
        self._filterbank = Filterbank(bands, window="povey", scale=2**15, device=device)

    def embed(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """See `PreNormEncoder`."""
        encoder = self.model
        features, counts = self._features(waves, lengths)
        hidden, counts = self._subsample(features.to(encoder.dtype), counts)
        padding = ~valid_frames(counts, hidden.shape[1])
        return hidden * encoder.embed_scale + encoder.embed_positions(padding.long()), counts

    def _features(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Log-mel features, zero mean and unit variance per clip, as the checkpoint was trained.

        The same numbers as transformers' Speech2TextFeatureExtractor, but finite for digital
        silence (it divides by a standard deviation of zero).
        """
        from backbones._hf.kaldi import centred

        features, counts = self._filterbank(waves, lengths)
        found, squares, plain = centred(features, counts)
        wanted = self.features if self.features["do_ceptral_normalize"] else {}
        kept = found if wanted.get("normalize_means") else plain
        if wanted.get("normalize_vars"):
            kept = kept / (squares / counts[:, None, None]).clamp_min(1e-10).sqrt()
        return kept, counts

    def _subsample(self, features: torch.Tensor, counts: torch.Tensor) -> Padded:
        """Run the two strided convolutions; frames after a clip's end stay zero in between.

        transformers lets the first convolution's bias fill them, from where the second one reads
        it into a clip's last frame.
        """
        import torch

        hidden = features.transpose(1, 2)
        for convolution in self.model.conv.conv_layers:
            hidden = torch.nn.functional.glu(convolution(hidden), dim=1)
            counts = (counts - 1) // 2 + 1
            hidden = zero_padding(hidden.transpose(1, 2), counts).transpose(1, 2)
        return hidden.transpose(1, 2), counts
