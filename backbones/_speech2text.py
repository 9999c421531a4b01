"""What the backbones of the Speech2Text architecture share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._huggingface import Layout, load_encoder
from backbones.base import Backbone, Frames

if TYPE_CHECKING:
    import torch
    from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

LAYOUT = Layout(
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

INFERENCE = {"encoder_layerdrop": 0.0}
# Settings of the feature extractor, as its library has them where it is not told otherwise.
FEATURES = {"do_ceptral_normalize": True, "normalize_means": True, "normalize_vars": True}


class Speech2TextBackbone(Backbone):
    """Speech2Text: log-mel features, two strided convolutions, pre-norm transformer blocks.

    Layer 0 is what enters the first block: convolved features plus positions. Layer n is the output
    of block n; the last layer is the encoder's output, after its final layer norm.
    """

    full: ClassVar[Mapping[str, Any]]
    small: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]] = FEATURES
    model: Speech2TextEncoder

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`."""
        from transformers import Speech2TextConfig
        from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

        from backbones._kaldi import Filterbank

        self.model = load_encoder(  # type: ignore[assignment]
            self.info,
            self.weights,
            model=Speech2TextEncoder,
            config=Speech2TextConfig,
            full=self.full,
            small=self.small,
            inference=INFERENCE,
            layout=LAYOUT,
            device=device,
            dtype=dtype,
        )
        self._filterbank = Filterbank(
            self.model.config.input_feat_per_channel, window="povey", scale=2**15, device=device
        )

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Args:
            waves: float32 (batch, samples) at 16 kHz, in [-1, 1].
            lengths: int64 (batch,), samples of each clip.

        Returns:
            Frames of 40 ms, every layer (batch, frames, width). A clip shorter than one feature
            frame (25 ms) counts as 25 ms, the rest being silence.
        """
        from transformers.masking_utils import create_bidirectional_mask

        encoder = self.model
        hidden, counts = self._embed(waves, lengths)
        valid = _valid(counts, hidden.shape[1])
        mask = create_bidirectional_mask(
            config=encoder.config,
            inputs_embeds=hidden,
            attention_mask=None if bool(valid.all()) else valid,
        )
        layers = [hidden]
        for block in encoder.layers:
            hidden = block(hidden, mask)
            layers.append(hidden)
        layers[-1] = encoder.layer_norm(hidden)
        return Frames.same_lengths(layers, counts.to(lengths.device))

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute layer 0: features, convolutions and positions; see `Backbone.stem`.

        Returns:
            Layer 0 (batch, frames, width) at 25 Hz, and valid frames (batch,).
        """
        import torch

        from backbones._tails import zero_padding

        with torch.no_grad():
            hidden, counts = self._embed(waves, lengths)
            return zero_padding(hidden, counts), counts.to(lengths.device)

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`."""
        from backbones._tails import pre_norm_tail

        return pre_norm_tail(self.model, start, stop)

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder."""
        return sum(p.numel() for p in self.model.parameters())

    def _embed(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer 0 (batch, frames, width) and valid frames, both on the encoder's device."""
        from backbones._kaldi import FRAME_SAMPLES, at_least

        encoder = self.model
        waves, lengths = at_least(FRAME_SAMPLES, waves, lengths, encoder.device)
        features, counts = self._features(waves, lengths)
        hidden, counts = self._subsample(features.to(encoder.dtype), counts)
        padding = ~_valid(counts, hidden.shape[1])
        return hidden * encoder.embed_scale + encoder.embed_positions(padding.long()), counts

    def _features(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel features, zero mean and unit variance per clip, as the checkpoint was trained.

        The same numbers as transformers' Speech2TextFeatureExtractor, but finite for digital
        silence (it divides by a standard deviation of zero).

        Returns:
            float32 (batch, frames, mels), zero after each clip's end, and frames per clip (batch,).
        """
        features, counts = self._filterbank(waves, lengths)
        valid = _valid(counts, features.shape[1])[..., None]
        number = counts[:, None, None]
        mean = (features * valid).sum(dim=1, keepdim=True) / number
        centred = (features - mean) * valid
        kept = centred if self._normalises("means") else features * valid
        if not self._normalises("vars"):
            return kept, counts
        variance = centred.square().sum(dim=1, keepdim=True) / number
        return kept / variance.clamp_min(1e-10).sqrt(), counts

    def _normalises(self, what: str) -> bool:
        return bool(self.features["do_ceptral_normalize"] and self.features[f"normalize_{what}"])

    def _subsample(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the two strided convolutions; frames after a clip's end stay zero in between.

        transformers lets the first convolution's bias fill them, from where the second one reads
        it into a clip's last frame.
        """
        import torch

        hidden = features.transpose(1, 2)
        for convolution in self.model.conv.conv_layers:
            hidden = torch.nn.functional.glu(convolution(hidden), dim=1)
            counts = (counts - 1) // 2 + 1
            hidden = hidden * _valid(counts, hidden.shape[2])[:, None]
        return hidden.transpose(1, 2), counts


def _valid(counts: torch.Tensor, frames: int) -> torch.Tensor:
    """Boolean (batch, frames): True for a clip's own frames."""
    import torch

    return torch.arange(frames, device=counts.device) < counts[:, None]
