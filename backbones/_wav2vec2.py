"""What the backbones of the wav2vec 2.0 architecture share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._huggingface import Layout, load_encoder
from backbones.base import STEM, Backbone, Frames

if TYPE_CHECKING:
    import torch
    from transformers import Wav2Vec2Model

# Tensors of Wav2Vec2ForPreTraining (and ForCTC) that the encoder does not use.
LAYOUT = Layout(
    prefixes=("wav2vec2.",),
    ignored=(
        "quantizer.",
        "project_q.",
        "project_hid.",
        "lm_head.",
        "masked_spec_embed",
        "wav2vec2.masked_spec_embed",
    ),
    renamed={
        # weight normalisation, as torch named its tensors before 2.0
        ".weight_g": ".parametrizations.weight.original0",
        ".weight_v": ".parametrizations.weight.original1",
    },
)

# Without time masking transformers builds no mask embedding, and none is needed to encode.
INFERENCE = {
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
}


def samples_for(frames: int, config: Any) -> int:
    """Samples that the convolutions need for so many frames.

    Args:
        frames: at least one.
        config: names their kernels and strides.
    """
    for kernel, stride in zip(
        reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
    ):
        frames = (frames - 1) * stride + kernel
    return frames


class Wav2Vec2Backbone(Backbone):
    """A wav2vec 2.0 encoder.

    Layer 0 is what enters the first transformer block: projected convolution features plus
    positions. Layer n is the output of block n. The last layer is the encoder's output, which for
    the stable-layer-norm variant (XLSR) means *after* its final layer norm, while the layers before
    it are the un-normalised residual stream; transformers has returned either, by version.
    """

    full: ClassVar[Mapping[str, Any]]
    small: ClassVar[Mapping[str, Any]]
    model: Wav2Vec2Model

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`."""
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.model = load_encoder(  # type: ignore[assignment]
            self.info,
            self.weights,
            model=Wav2Vec2Model,
            config=Wav2Vec2Config,
            full=self.full,
            small=self.small,
            inference=INFERENCE,
            layout=LAYOUT,
            device=device,
            dtype=dtype,
        )

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Args:
            waves: float32 (batch, samples) at 16 kHz, zero mean and unit variance per clip.
            lengths: int64 (batch,), samples of each clip.

        Returns:
            Frames of 20 ms, every layer (batch, frames, width). A clip shorter than one frame
            (25 ms) counts as 25 ms, the rest being silence.
        """
        waves, lengths = self._cut(waves, lengths)
        frames = self._frame_counts(lengths)
        if int(lengths.min()) == waves.shape[1]:
            return Frames.same_lengths(self._forward(waves, None), frames)
        if self._leaks:
            padded = self._one_length_at_a_time(
                waves, lengths, frames, lambda clips: self._forward(clips, None)
            )
            return Frames.same_lengths(padded, frames)
        return Frames.same_lengths(self._forward(waves, lengths), frames)

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the convolutions over the waveform; see `Backbone.stem`.

        The projection and the positions that follow, up to layer 0, belong to `tail(STEM, …)`.

        Returns:
            (batch, frames, convolution width) at 50 Hz, and valid frames (batch,).
        """
        import torch

        from backbones._tails import zero_padding

        waves, lengths = self._cut(waves, lengths)
        frames = self._frame_counts(lengths)
        with torch.no_grad():
            if self._leaks:
                (features,) = self._one_length_at_a_time(
                    waves, lengths, frames, lambda clips: (self._convolve(clips),)
                )
            else:
                features = self._convolve(waves)
            return zero_padding(features, frames.to(features.device)), frames

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`."""
        from backbones._tails import TransformerTail, Wav2Vec2Front, check_part

        encoder = self.model.encoder
        last = len(encoder.layers)
        check_part(start, stop, last)
        normalised_last = self.model.config.do_stable_layer_norm and stop == last
        return TransformerTail(
            self.model.config,
            encoder.layers[max(start, 0) : stop],
            front=Wav2Vec2Front(self.model) if start == STEM else None,
            norm=encoder.layer_norm if normalised_last else None,
        )

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder, without the embedding of masked frames."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def _leaks(self) -> bool:
        """Whether padding reaches a clip's frames past any mask.

        The group norm of the first convolution takes its statistics over all of the time axis,
        padding included.
        """
        return bool(self.model.config.feat_extract_norm == "group")

    @property
    def _shortest(self) -> int:
        """Samples that the convolutions need for one frame."""
        return samples_for(1, self.model.config)

    def _cut(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waves as long as the longest clip, on the model's device; lengths of at least a frame."""
        import torch

        lengths = lengths.clamp(min=self._shortest)
        longest = int(lengths.max())
        waves = waves[:, :longest].to(self.model.device, self.model.dtype)
        return torch.nn.functional.pad(waves, (0, longest - waves.shape[1])), lengths

    def _convolve(self, waves: torch.Tensor) -> torch.Tensor:
        return self.model.feature_extractor(waves).transpose(1, 2)

    def _frame_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        frames = lengths
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            frames = (frames - kernel) // stride + 1
        return frames

    def _forward(
        self, waves: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        import torch

        mask = None
        if lengths is not None:
            positions = torch.arange(waves.shape[1], device=waves.device)
            mask = (positions < lengths.to(waves.device)[:, None]).long()
        output = self.model(waves, attention_mask=mask, output_hidden_states=True)
        return (*output.hidden_states[:-1], output.last_hidden_state)

    def _one_length_at_a_time(
        self,
        waves: torch.Tensor,
        lengths: torch.Tensor,
        frames: torch.Tensor,
        run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    ) -> list[torch.Tensor]:
        """Run clips of one length together, then pad the results."""
        padded: list[torch.Tensor] = []
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0].to(waves.device)
            layers = run(waves[rows, :length])
            if not padded:
                shape = (len(waves), int(frames.max()))
                padded = [layer.new_zeros(*shape, layer.shape[2]) for layer in layers]
            for target, layer in zip(padded, layers, strict=True):
                target[rows, : layer.shape[1]] = layer
        return padded
