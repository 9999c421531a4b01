"""w2v-BERT 2.0: conformer blocks on Kaldi's log-mel features, two of which make one frame.

Seamless Communication et al. 2023, https://arxiv.org/abs/2312.05187
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.encoder import Traits, TransformersEncoder, Unsupported, kaldi_rate
from backbones._hf.waveform import INFERENCE
from backbones._tensors.frames import Padded, valid_frames
from backbones.base import Frames

if TYPE_CHECKING:
    import torch


class Wav2Vec2Bert(TransformersEncoder):
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
    inference: ClassVar[Mapping[str, Any]] = {
        **INFERENCE,
        # like the adapter, it changes the last layer's output only
        "use_intermediate_ffn_before_adapter": False,
    }
    ignored = (
        "masked_spec_embed",
        "adapter.",
        "intermediate_ffn.",
        # a table that older versions of transformers saved; it is computed here
        "encoder.embed_positions.",
    )

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `TransformersEncoder`."""
        wanted = config.feature_projection_input_dim
        found = int(features["num_mel_bins"]) * int(features["stride"])
        if found != wanted:
            raise Unsupported(f"features {found} wide for a network that takes {wanted}")
        return Traits(
            sample_rate=kaldi_rate(features),
            layers=config.num_hidden_layers + 1,
            width=config.hidden_size,
            frame_rate=100.0 / features["stride"],
        )

    def prepare(self, device: str) -> None:
        """Set up the filterbank."""
        from backbones._hf.kaldi import FRAME_SAMPLES, HOP_SAMPLES, Filterbank

        self._filterbank = Filterbank(
            self.features["num_mel_bins"],
            window="povey",
            scale=2**15,
            device=device,
            # a variance takes two feature frames
            shortest=FRAME_SAMPLES + (max(2, int(self.features["stride"])) - 1) * HOP_SAMPLES,
        )

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`.

        A clip too short for one frame (35 ms where a frame is made of two) counts as so long, the
        rest being silence.
        """
        import torch

        model = self.model
        with torch.no_grad():
            features, counts = self._stacked(waves, lengths)
            mask = valid_frames(counts, features.shape[1])
            output = model(
                features.to(model.dtype),
                attention_mask=None if bool(mask.all()) else mask.long(),
                output_hidden_states=True,
            )
        layers = (*output.hidden_states[:-1], output.last_hidden_state)
        return Frames.same_lengths(layers, counts.to(lengths.device))

    def _stacked(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Features (batch, frames, bands × stride) and frames per clip.

        `SeamlessM4TFeatureExtractor`: zero mean and unit (unbiased) variance per clip and band.
        """
        from backbones._hf.kaldi import centred

        stride = int(self.features["stride"])
        features, counts = self._filterbank(waves, lengths)
        found, squares, _ = centred(features, counts)
        features = found / (squares / (counts[:, None, None] - 1) + 1e-7).sqrt()
        whole = features[:, : features.shape[1] // stride * stride]
        return whole.reshape(len(whole), -1, stride * whole.shape[2]), counts // stride
