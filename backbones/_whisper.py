"""What the backbones of the Whisper architecture share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._huggingface import Layout, load_encoder
from backbones.base import Backbone, Frames, Weights

if TYPE_CHECKING:
    import torch

LAYOUT = Layout(
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

INFERENCE = {"encoder_layerdrop": 0.0}
# Settings of the feature extractor, as its library has them where it is not told otherwise.
FEATURES = {"n_fft": 400, "hop_length": 160, "sampling_rate": 16_000}


class WhisperBackbone(Backbone):
    """The hidden states of the encoder, for the clip's own frames only.

    Whisper was trained on windows of 30 s, mostly silence for a short clip. Here the clip's own
    frames go through the encoder and the silence does not, which is several times faster. The
    features are those the 30 s window would have at these frames; attention sees the clip only.
    For a clip of 30 s all of it equals the `transformers` encoder.

    Layer 0 is the embedding with positions added, the layers after it are the outputs of the
    blocks and the last one is the output of the last block after the final layer norm: the
    convention of `hidden_states` in `transformers`. A clip shorter than 25 ms counts as 25 ms,
    the rest being silence.
    """

    full: ClassVar[Mapping[str, Any]]
    small: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]] = FEATURES

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._encoder: Any = None
        self._window: torch.Tensor
        self._filters: torch.Tensor

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and fill it.

        Args:
            device: a torch device name.
            dtype: what the encoder computes in; the features are always computed in float32.

        Raises:
            BackboneError: the folder lacks a readable configuration or weight file.
            WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
        """
        import torch
        from transformers import WhisperConfig, WhisperFeatureExtractor
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        self._encoder = load_encoder(
            self.info,
            self.weights,
            model=WhisperEncoder,
            config=WhisperConfig,
            full=self.full,
            small=self.small,
            inference=INFERENCE,
            layout=LAYOUT,
            device=device,
            dtype=dtype,
        )
        extractor = WhisperFeatureExtractor(
            feature_size=self._encoder.num_mel_bins,
            hop_length=self._hop,
            n_fft=self._window_samples,
            sampling_rate=self.features["sampling_rate"],
        )
        self._window = torch.hann_window(self._window_samples, device=device)
        self._filters = torch.from_numpy(extractor.mel_filters).float().to(device)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Returns:
            Every layer (batch, frames, width) at 50 Hz.
        """
        import torch

        encoder = self._encoder
        with torch.no_grad():
            x, frames = self._embed(waves, lengths)
            mask = _attention_mask(frames, x.shape[1])
            hidden = [x]
            for layer in encoder.layers:
                x = layer(x, mask)
                hidden.append(x)
            hidden[-1] = encoder.layer_norm(x)
        return Frames.same_lengths(hidden, frames)

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute layer 0: features, convolutions and positions; see `Backbone.stem`.

        Returns:
            Layer 0 (batch, frames, width) at 50 Hz, and valid frames (batch,).
        """
        import torch

        from backbones._tails import zero_padding

        with torch.no_grad():
            hidden, frames = self._embed(waves, lengths)
            return zero_padding(hidden, frames), frames

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`."""
        from backbones._tails import pre_norm_tail

        return pre_norm_tail(self._encoder, start, stop)

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder, positions included; 0 before `load`."""
        if self._encoder is None:
            return 0
        return sum(parameter.numel() for parameter in self._encoder.parameters())

    @property
    def _hop(self) -> int:
        return int(self.features["hop_length"])

    @property
    def _window_samples(self) -> int:
        return int(self.features["n_fft"])

    def _embed(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer 0 (batch, frames, width) and valid frames."""
        from torch.nn.functional import gelu

        encoder = self._encoder
        mel, frames = self._log_mel(waves, lengths)
        mel = mel.to(encoder.conv1.weight.dtype)
        # what a convolution makes of padding must not reach the next one
        x = gelu(encoder.conv1(_zero_padding(mel, frames)))
        x = gelu(encoder.conv2(_zero_padding(x, frames)))
        x = x.transpose(1, 2) + encoder.embed_positions.weight[: x.shape[2]]
        return x, (frames + 1) // 2

    def _log_mel(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, mels, mel frames) and valid mel frames, one per started 10 ms.

        `WhisperFeatureExtractor` on the window of 30 s, cut to the clip: the left edge is
        mirrored, the right one is followed by silence, and the floor is 80 dB under the
        loudest value of the clip itself.
        """
        import torch
        from torch.nn.functional import pad

        hop, window = self._hop, self._window_samples
        # the left edge is mirrored over half a window, which takes one sample more than that
        lengths = lengths.clamp(min=window)
        frames = (lengths + hop - 1) // hop
        count = int(frames.max())
        half = window // 2
        waves = pad(waves.float(), (0, max(0, window - waves.shape[1])))
        mirrored = waves[:, 1 : half + 1].flip(1)
        needed = (count - 1) * hop + half
        silence = waves.new_zeros(len(waves), max(0, needed - waves.shape[1]))
        padded = torch.cat([mirrored, waves, silence], dim=1)[:, : needed + half]
        spectrum = torch.stft(
            padded, window, hop, window=self._window, center=False, return_complex=True
        )
        power = self._filters.T @ spectrum.abs() ** 2
        log_mel = power.clamp(min=1e-10).log10()
        # the clip's own frames only: the one after a clip that ends in a click may be louder
        after = torch.arange(count, device=frames.device) >= frames[:, None]
        loudest = log_mel.masked_fill(after[:, None], -math.inf).amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0, frames


def _zero_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(batch, width, frames) with zeros after each clip's valid frames."""
    import torch

    padding = torch.arange(x.shape[2], device=x.device) >= lengths[:, None]
    return x.masked_fill(padding[:, None], 0.0)


def _attention_mask(lengths: torch.Tensor, frames: int) -> torch.Tensor | None:
    """(batch, 1, 1, frames), True where attention may look; None where all of it is valid."""
    import torch

    if bool((lengths == frames).all()):
        return None
    return (torch.arange(frames, device=lengths.device) < lengths[:, None])[:, None, None]
