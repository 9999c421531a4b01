"""Audio Spectrogram Transformer: a vision transformer on patches of a log-mel spectrogram.

Gong et al. 2021, https://arxiv.org/abs/2104.01778
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.encoder import Traits, TransformersEncoder, Unsupported, kaldi_rate
from backbones._tensors.frames import Padded, zero_padding
from backbones.base import Frames

if TYPE_CHECKING:
    import torch

# Two tokens of no place in time stand before those of the patches.
TOKENS = 2


class SpectrogramTransformer(TransformersEncoder):
    """Frames are the patches of one place in time, averaged over frequency.

    The network has as many positions as its fixed input has patches, and was trained on clips
    padded to that input: so is every clip here, exactly as its feature extractor does, and
    attention sees that padding. A batch is never padded further, so other clips change nothing.
    The frames returned are those of patches that begin and end within the clip (of a clip shorter
    than a patch, the first one). The two tokens without a place in time are left out. Layer 0 is
    what enters the first block, layer n the output of block n, the last one after the final layer
    norm.
    """

    extractors = ("ASTFeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "sampling_rate": 16_000,
        "num_mel_bins": 128,
        "max_length": 1024,
        "do_normalize": True,
        "mean": -4.2677393,
        "std": 4.5689974,
    }

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `TransformersEncoder`; the longest window is the network's fixed input."""
        for key in ("num_mel_bins", "max_length"):
            if features[key] != getattr(config, key):
                raise Unsupported(
                    f"features with {key} = {features[key]} for a network with "
                    f"{getattr(config, key)}"
                )
        if not isinstance(config.patch_size, int):
            raise Unsupported(f"a patch_size of {config.patch_size}, other than one number")
        return Traits(
            sample_rate=kaldi_rate(features),
            layers=config.num_hidden_layers + 1,
            width=config.hidden_size,
            frame_rate=100.0 / config.time_stride,
            max_seconds=config.max_length / 100,
        )

    def prepare(self, device: str) -> None:
        """Set up the filterbank."""
        from backbones._hf.kaldi import Filterbank

        bands = self.features["num_mel_bins"]
        self._filterbank = Filterbank(bands, window="hann", scale=1.0, device=device)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`: (batch, places in time of the fixed input, width)."""
        import torch

        model = self.model
        with torch.no_grad():
            spectrogram, counts = self._spectrogram(waves, lengths)
            output = model(spectrogram.to(model.dtype), output_hidden_states=True)
        tokens = (*output.hidden_states[:-1], output.last_hidden_state)
        config = model.config
        bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        layers = [
            layer[:, TOKENS:].unflatten(1, (bands, -1)).mean(dim=1, dtype=torch.float32)
            for layer in tokens
        ]
        places = ((counts - config.patch_size) // config.time_stride + 1).clamp(min=1)
        return Frames.same_lengths([x.to(model.dtype) for x in layers], places.to(lengths.device))

    def _spectrogram(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """The fixed input (batch, frames, bands), and frames that are the clip's own.

        `ASTFeatureExtractor`: zeros after the clip's end, then all of it normalised.
        """
        import torch

        size = int(self.features["max_length"])
        features, counts = self._filterbank(waves, lengths)
        counts = counts.clamp(max=size)
        features = zero_padding(features[:, :size], counts)
        features = torch.nn.functional.pad(features, (0, 0, 0, size - features.shape[1]))
        if self.features["do_normalize"]:
            features = (features - self.features["mean"]) / (self.features["std"] * 2)
        return features, counts
