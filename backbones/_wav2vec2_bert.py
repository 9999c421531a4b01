"""w2v-BERT 2.0: conformer blocks on Kaldi's log-mel features, two of which make one frame.

Seamless Communication et al. 2023, https://arxiv.org/abs/2312.05187
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._families import MAX_SECONDS, Family, Traits, Unsupported, kaldi_rate
from backbones._huggingface import load_model
from backbones._wav2vec2 import INFERENCE
from backbones.base import Frames

if TYPE_CHECKING:
    import torch


class Wav2Vec2Bert(Family):
    """Layer 0 is the projected features, layer n the output of block n.

    Blocks look back in their convolutions and are masked elsewhere, so that padding changes
    nothing. An odd feature frame at a clip's end is dropped, as the library masks it.
    """

    extractors = ("SeamlessM4TFeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": 16_000,
        "num_mel_bins": 80,
        "stride": 2,
    }
    # both change the last layer's output only, for a decoder
    inference: ClassVar[Mapping[str, Any]] = {
        **INFERENCE,
        "add_adapter": False,
        "use_intermediate_ffn_before_adapter": False,
    }

    @classmethod
    def network(cls, config: Any) -> torch.nn.Module:
        """See `Family`."""
        from transformers import Wav2Vec2BertModel

        return Wav2Vec2BertModel(config)

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Family`."""
        wanted, found = config.feature_projection_input_dim, 1
        for key in ("num_mel_bins", "stride"):
            found *= int(features[key])
        if found != wanted:
            raise Unsupported(f"features {found} wide for a network that takes {wanted}")
        return Traits(
            sample_rate=kaldi_rate(features),
            layers=config.num_hidden_layers + 1,
            width=config.hidden_size,
            frame_rate=100.0 / features["stride"],
            max_seconds=MAX_SECONDS,
            attention_mask=True,
            normalised=False,
            trainable=False,
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Family`."""
        return {
            "hidden_size": 48,
            "num_hidden_layers": min(2, config.num_hidden_layers),
            "num_attention_heads": 2,
            "intermediate_size": 96,
        }

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`."""
        from transformers import Wav2Vec2BertModel

        from backbones._kaldi import Filterbank

        self._model: Any = load_model(
            self.info,
            self.weights,
            model=Wav2Vec2BertModel,
            full=self.full,
            small=self.small,
            inference=self.inference,
            ignored=(
                "masked_spec_embed",
                "adapter.",
                "intermediate_ffn.",
                # a table that older versions of transformers saved; it is computed here
                "encoder.embed_positions.",
            ),
            device=device,
            dtype=dtype,
        )
        self._filterbank = Filterbank(
            self.features["num_mel_bins"], window="povey", scale=2**15, device=device
        )

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Returns:
            Every layer (batch, frames, width). A clip too short for one frame (35 ms where a
            frame is made of two) counts as so long, the rest being silence.
        """
        import torch

        model = self._model
        with torch.no_grad():
            features, counts = self._stacked(waves, lengths)
            mask = torch.arange(features.shape[1], device=counts.device) < counts[:, None]
            output = model(
                features.to(model.dtype),
                attention_mask=None if bool(mask.all()) else mask.long(),
                output_hidden_states=True,
            )
        layers = (*output.hidden_states[:-1], output.last_hidden_state)
        return Frames.same_lengths(layers, counts.to(lengths.device))

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder."""
        return sum(p.numel() for p in self._model.parameters())

    def _stacked(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (batch, frames, bands × stride) and frames per clip.

        `SeamlessM4TFeatureExtractor`: zero mean and unit (unbiased) variance per clip and band.
        """
        from backbones._kaldi import FRAME_SAMPLES, HOP_SAMPLES, at_least

        stride = int(self.features["stride"])
        # a variance takes two feature frames
        shortest = FRAME_SAMPLES + (max(2, stride) - 1) * HOP_SAMPLES
        waves, lengths = at_least(shortest, waves, lengths, self._model.device)
        features, counts = self._filterbank(waves, lengths)
        import torch

        own = torch.arange(features.shape[1], device=counts.device) < counts[:, None]
        valid, number = own[..., None], counts[:, None, None]
        mean = (features * valid).sum(dim=1, keepdim=True) / number
        centred = (features - mean) * valid
        variance = centred.square().sum(dim=1, keepdim=True) / (number - 1)
        features = centred / (variance + 1e-7).sqrt()
        whole = features[:, : features.shape[1] // stride * stride]
        return whole.reshape(len(whole), -1, stride * whole.shape[2]), counts // stride
