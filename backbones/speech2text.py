"""Encoder of Speech2Text small, trained to transcribe 960 hours of English (LibriSpeech).

Wang et al. 2020, https://arxiv.org/abs/2010.05171
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backbones._huggingface import Layout, load_encoder
from backbones.base import Backbone, BackboneInfo, Frames

if TYPE_CHECKING:
    import torch
    from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

INFO = BackboneInfo(
    name="speech2text",
    summary="Speech2Text small, encoder of a transcriber trained on 960 h of English",
    weights_id="facebook/s2t-small-librispeech-asr",
    revision="main",
    licence="MIT",
    sample_rate=16_000,
    layers=13,
    width=256,
    frame_rate=25.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=17_503_232,
    trainable=True,
    small_layers=3,
)

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

FULL = {
    "d_model": 256,
    "encoder_layers": 12,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 2048,
    "activation_function": "relu",
    "num_conv_layers": 2,
    "conv_kernel_sizes": (5, 5),
    "conv_channels": 1024,
    "input_feat_per_channel": 80,
    "input_channels": 1,
    "max_source_positions": 6000,
    "scale_embedding": True,
    "init_std": 0.02,
}
SMALL = {
    **FULL,
    "d_model": 48,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 96,
    "conv_channels": 64,
}
INFERENCE = {"encoder_layerdrop": 0.0}

FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SAMPLES = 512


class Speech2Text(Backbone):
    """Speech2Text: log-mel features, two strided convolutions, pre-norm transformer blocks.

    Layer 0 is what enters the first block: convolved features plus positions. Layer n is the output
    of block n; the last layer is the encoder's output, after its final layer norm.
    """

    info = INFO
    model: Speech2TextEncoder

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`."""
        import torch
        from transformers import Speech2TextConfig
        from transformers.audio_utils import mel_filter_bank, window_function
        from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextEncoder

        self.model = load_encoder(  # type: ignore[assignment]
            self.info,
            self.weights,
            model=Speech2TextEncoder,
            config=Speech2TextConfig,
            full=FULL,
            small=SMALL,
            inference=INFERENCE,
            layout=LAYOUT,
            device=device,
            dtype=dtype,
        )
        filters = mel_filter_bank(
            num_frequency_bins=FFT_SAMPLES // 2 + 1,
            num_mel_filters=self.model.config.input_feat_per_channel,
            min_frequency=20,
            max_frequency=self.info.sample_rate // 2,
            sampling_rate=self.info.sample_rate,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        window = window_function(FRAME_SAMPLES, "povey", periodic=False)
        self._filters = torch.from_numpy(filters).float().to(device)
        self._window = torch.from_numpy(window).float().to(device)

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
        import torch

        encoder = self.model
        device = encoder.device
        lengths = lengths.clamp(min=FRAME_SAMPLES)
        longest = int(lengths.max())
        waves = waves[:, :longest].to(device)
        waves = torch.nn.functional.pad(waves, (0, longest - waves.shape[1]))
        features, counts = self._features(waves, lengths.to(device))
        hidden, counts = self._subsample(features.to(encoder.dtype), counts)
        padding = ~_valid(counts, hidden.shape[1])
        return hidden * encoder.embed_scale + encoder.embed_positions(padding.long()), counts

    def _features(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel features, zero mean and unit variance per clip, as the checkpoint was trained.

        The same numbers as transformers' Speech2TextFeatureExtractor, but in one batch (it loops
        over frames in Python), the same whether torchaudio is installed or not (it then switches
        to it), and finite for digital silence (it divides by a standard deviation of zero).

        Returns:
            float32 (batch, frames, mels), zero after each clip's end, and frames per clip (batch,).
        """
        import torch

        counts = (lengths - FRAME_SAMPLES) // HOP_SAMPLES + 1
        # Kaldi's scale, of 16-bit integers
        frames = (waves.float() * 2**15).unfold(1, FRAME_SAMPLES, HOP_SAMPLES)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - 0.97 * before) * self._window, n=FFT_SAMPLES)
        power = spectrum.real.square() + spectrum.imag.square()
        floor = torch.finfo(torch.float32).eps
        features = (power @ self._filters).clamp_min(floor).log()

        valid = _valid(counts, features.shape[1])[..., None]
        number = counts[:, None, None]
        mean = (features * valid).sum(dim=1, keepdim=True) / number
        centred = (features - mean) * valid
        variance = centred.square().sum(dim=1, keepdim=True) / number
        return centred / variance.clamp_min(1e-10).sqrt(), counts

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
