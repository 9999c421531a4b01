"""Encoders of Whisper, for the clip's own frames only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.checkpoint import Layout
from backbones._hf.encoder import MAX_SECONDS, PreNormEncoder, Traits, Unsupported
from backbones._tensors.frames import Padded, at_least, valid_frames, zero_padding
from backbones.base import Dtype

if TYPE_CHECKING:
    import torch


class Whisper(PreNormEncoder):
    """The hidden states of the encoder, for the clip's own frames only.

    Whisper was trained on windows of 30 s, mostly silence for a short clip. Here the clip's own
    frames go through the encoder and the silence does not, which is several times faster. The
    features are those the 30 s window would have at these frames; attention sees the clip only.
    For a clip of 30 s all of it equals the `transformers` encoder. Layers are at 50 Hz. A clip
    shorter than 25 ms counts as 25 ms, the rest being silence.
    """

    # bfloat16: a cosine of 0.997 with float32 in one synthetic clip of 64, by Whisper-base
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "float16")
    differs = "runs on the clip's own frames, not padded to 30 s: other vectors, less work"
    extractors = ("WhisperFeatureExtractor",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "n_fft": 400,
        "hop_length": 160,
        "sampling_rate": 16_000,
    }
    features = defaults
    layout = Layout(
        prefixes=("model.encoder.", "encoder."),
        ignored=(
            "model.decoder.",
            "decoder.",
            "proj_out.",
            # of a classifier on top of the encoder
            "projector.",
            "classifier.",
            "layer_weights",
        ),
    )

    @classmethod
    def library(cls, model_type: str) -> Any:
        """See `Encoder`."""
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder

    @classmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """See `Encoder`; the window is as long as the positions reach."""
        mels = features.get("feature_size", config.num_mel_bins)
        if mels != config.num_mel_bins:
            raise Unsupported(f"features of {mels} bands for a network of {config.num_mel_bins}")
        rate, hop = int(features["sampling_rate"]), int(features["hop_length"])
        if features["n_fft"] % 2:
            raise Unsupported(f"n_fft = {features['n_fft']}, an odd one")
        return Traits(
            sample_rate=rate,
            layers=config.encoder_layers + 1,
            width=config.d_model,
            frame_rate=rate / hop / 2,
            max_seconds=min(MAX_SECONDS, config.max_source_positions * 2 * hop / rate),
            trainable=True,
        )

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """See `Encoder`."""
        return {
            "d_model": 32,
            "encoder_layers": min(2, config.encoder_layers),
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
        }

    def prepare(self, device: str) -> None:
        """Set up the window and the filterbank of the features."""
        import torch
        from transformers import WhisperFeatureExtractor

        self._hop, self._window_samples = (
            int(self.features[name]) for name in ("hop_length", "n_fft")
        )
        extractor = WhisperFeatureExtractor(
            feature_size=self.model.num_mel_bins,
            hop_length=self._hop,
            n_fft=self._window_samples,
            sampling_rate=self.features["sampling_rate"],
        )
        self._window = torch.hann_window(self._window_samples, device=device)
        self._filters = torch.from_numpy(extractor.mel_filters).float().to(device)

    def embed(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """See `PreNormEncoder`."""
        from torch.nn.functional import gelu

        encoder = self.model
        mel, frames = self.log_mel(waves, lengths)
        x = mel.to(encoder.conv1.weight.dtype)
        for convolution in (encoder.conv1, encoder.conv2):
            # what a convolution makes of padding must not reach the next one
            x = zero_padding(x.transpose(1, 2), frames).transpose(1, 2)
            x = gelu(convolution(x))
        x = x.transpose(1, 2) + encoder.embed_positions.weight[: x.shape[2]]
        return x, (frames + 1) // 2

    def exported(self) -> torch.nn.Module:
        """See `Backbone.exported`."""
        from backbones._hf.exported import ExportedWhisper

        return ExportedWhisper(self.model, self._window, self._filters, self._hop)

    def log_mel(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """(batch, mels, mel frames) and valid mel frames, one per started 10 ms.

        `WhisperFeatureExtractor` on the window of 30 s, cut to the clip: the left edge is
        mirrored, the right one is followed by silence, and the floor is 80 dB under the
        loudest value of the clip itself.
        """
        import torch
        from torch.nn.functional import pad

        hop, window = self._hop, self._window_samples
        # the left edge is mirrored over half a window, which takes one sample more than that
        waves, lengths = at_least(window, waves.float(), lengths)
        frames = (lengths + hop - 1) // hop
        count = int(frames.max())
        half = window // 2
        mirrored = waves[:, 1 : half + 1].flip(1)
        needed = (count - 1) * hop + half
        padded = torch.cat([mirrored, pad(waves, (0, max(0, needed - waves.shape[1])))], dim=1)
        spectrum = torch.stft(
            padded[:, : needed + half],
            window,
            hop,
            window=self._window,
            center=False,
            return_complex=True,
        )
        power = self._filters.T @ spectrum.abs() ** 2
        log_mel = power.clamp(min=1e-10).log10()
        # the clip's own frames only: the one after a clip that ends in a click may be louder
        after = ~valid_frames(frames, count)[:, None]
        loudest = log_mel.masked_fill(after, -math.inf).amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0, frames
