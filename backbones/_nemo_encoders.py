"""Encoders of NeMo for any archive: convolutional ones (Citrinet …) and conformers.

NeMo builds the network and computes the features, as the archive's own configuration says.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hub import first_line
from backbones._nemo import read_nemo
from backbones._tensors import load_strictly
from backbones.base import Backbone, BackboneError, Frames, WeightsMismatch
from backbones.quartznet import quiet_modules

if TYPE_CHECKING:
    import torch

FEATURES = "AudioToMelSpectrogramPreprocessor"
# Features that are normalised over time take two frames.
SHORTEST_FRAMES = 2


@contextmanager
def readable(name: str, what: str) -> Iterator[None]:
    """Turn what comes of settings that are unknown or contradict each other into a sentence.

    Args:
        name: of the backbone.
        what: is being made of the settings.

    Raises:
        WeightsMismatch: instead of what a library, or arithmetic, raises.
    """
    try:
        yield
    except (
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        ArithmeticError,
        AssertionError,
        RuntimeError,
    ) as error:
        raise WeightsMismatch(
            f"{name}: no {what} can be made of what its model_config.yaml describes "
            f"({first_line(error)}); get the published archive again"
        ) from error


def built(name: str, target: str, settings: Mapping[str, Any]) -> Any:
    """One of NeMo's modules, in evaluation mode.

    Raises:
        WeightsMismatch: NeMo cannot build it from these settings.
    """
    modules = quiet_modules()
    with readable(name, target):
        return getattr(modules, target)(**settings).eval()


class NemoEncoder(Backbone):
    """What the encoders of NeMo's archives share: features, building and reading."""

    target: ClassVar[str]
    thread_safe: ClassVar[bool] = True
    honoured: ClassVar[Mapping[str, tuple[Any, ...]]]
    full: ClassVar[Mapping[str, Any]]
    small: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]]

    @classmethod
    @abstractmethod
    def layers(cls, encoder: Mapping[str, Any]) -> int:
        """How many representations `encode` returns."""

    @classmethod
    @abstractmethod
    def width(cls, encoder: Mapping[str, Any]) -> int:
        """Features per frame of the last layer."""

    @classmethod
    @abstractmethod
    def subsampling(cls, encoder: Mapping[str, Any]) -> int:
        """Feature frames that one frame of the last layer stands for."""

    @classmethod
    @abstractmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that make the same architecture tiny."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the network with NeMo and fill it.

        Raises:
            BackboneError: another dtype than float32.
            WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
        """
        import torch

        if dtype not in self.info.dtypes:
            raise BackboneError(f"{self.info.name}: runs in float32 only; leave out dtype {dtype}")
        full = self.weights.kind == "pretrained" or self.weights.size == "full"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            network = built(self.info.name, self.target, self.full if full else self.small)
            # dither is noise for training; pad_to would add frames that are not the clip's; it is
            # normalised later, since layer 0 may be what there is before
            features = {**self.features, "normalize": None, "dither": 0.0, "pad_to": 0}
            preprocessor = built(self.info.name, FEATURES, features)
        if self.weights.kind == "pretrained":
            path = self.weights.path
            assert path is not None
            _, tensors = read_nemo(path)
            load_strictly(
                network,
                # other parts of the model: decoders, joint networks, features
                {name: t for name, t in tensors.items() if name.startswith("encoder.")},
                source=f"{self.info.name}: {path}",
                prefix="encoder.",
            )
        self._preprocessor = preprocessor.to(device)
        self._network: Any = network.to(device).requires_grad_(False)

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder."""
        return sum(p.numel() for p in self._network.parameters())

    def _log_mel(
        self, waves: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, bands, mel frames) before normalisation, and valid mel frames."""
        import torch

        shortest = SHORTEST_FRAMES * self._preprocessor.featurizer.hop_length
        # with `exact_pad`, a window has to fit
        shortest = max(shortest, self._preprocessor.featurizer.n_fft)
        lengths = lengths.clamp(min=shortest)
        longest = int(lengths.max())
        waves = waves[:, :longest]
        waves = torch.nn.functional.pad(waves, (0, longest - waves.shape[1]))
        device = self._preprocessor.featurizer.fb.device
        mel, frames = self._preprocessor(input_signal=waves.to(device), length=lengths.to(device))
        return mel[..., : int(frames.max())], frames

    def _normalised(self, mel: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch, bands, mel frames) as the network was trained on, zero after each clip's end."""
        from nemo.collections.asr.parts.preprocessing.features import normalize_batch

        from backbones._tails import valid_frames

        kind = self.features.get("normalize", "per_feature")
        if kind in ("per_feature", "all_features"):
            mel, _, _ = normalize_batch(mel, frames, kind)
        return mel.masked_fill(~valid_frames(frames, mel.shape[2])[:, None], 0.0)


class ConvAsr(NemoEncoder):
    """Jasper, QuartzNet, Citrinet and their like.

    Layer 0 is the log-mel spectrogram before it is normalised, layer n the output of block n,
    each at its own frame rate. Convolutions and squeeze-and-excitation are masked by NeMo.
    """

    target = "ConvASREncoder"
    # NeMo's masks are cut from a table that grows with the longest clip so far
    thread_safe = False
    honoured: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        # other normalisations take their statistics over padding too
        "normalization_mode": ("batch",),
        # without, padding reaches a clip's frames
        "conv_mask": (True,),
        "frame_splicing": (1,),
        "quantize": (False,),
    }

    @classmethod
    def layers(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return len(encoder["jasper"]) + 1

    @classmethod
    def width(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return int(encoder["jasper"][-1]["filters"])

    @classmethod
    def subsampling(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return math.prod(
            block["stride"][0] ** (1 if block.get("stride_last", False) else block["repeat"])
            for block in encoder["jasper"]
        )

    @classmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """See `NemoEncoder`."""
        blocks = [
            {**block, "filters": min(32, block["filters"]), "repeat": min(2, block["repeat"])}
            if block["stride"] == [1] or block.get("stride_last", False)
            else {**block, "filters": min(32, block["filters"])}
            for block in encoder["jasper"]
        ]
        return {**encoder, "jasper": blocks}

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Returns:
            Layer 0 (batch, mel frames, bands), then (batch, frames, width) for each block.
        """
        import torch

        with torch.no_grad():
            mel, frames = self._log_mel(waves, lengths)
            hidden, valid = [mel.transpose(1, 2)], [frames]
            states, counts = [self._normalised(mel, frames)], frames
            self._network.update_max_sequence_length(mel.shape[2], mel.device)
            for block in self._network.encoder:
                states, counts = block((states, counts))
                hidden.append(states[-1].transpose(1, 2))
                valid.append(counts)
        return Frames(hidden, [count.to(lengths.device) for count in valid])


class Conformer(NemoEncoder):
    """Conformer and FastConformer.

    Layer 0 is what enters the first block, after subsampling; layer n the output of block n.
    """

    target = "ConformerEncoder"
    honoured: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        # with others, padding reaches a clip's frames, or NeMo takes its features in another order
        "subsampling": ("striding", "dw_striding", None, False),
        "reduction": (None,),
        "feat_out": (-1, None),
        "self_attention_model": ("rel_pos", "abs_pos"),
        # other normalisations take their statistics over padding too
        "conv_norm_type": ("batch_norm", "layer_norm"),
        "conv_context_style": ("regular",),
    }

    @classmethod
    def layers(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return int(encoder["n_layers"]) + 1

    @classmethod
    def width(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return int(encoder["d_model"])

    @classmethod
    def subsampling(cls, encoder: Mapping[str, Any]) -> int:
        """See `NemoEncoder`."""
        return int(encoder.get("subsampling_factor", 4)) if encoder.get("subsampling", True) else 1

    @classmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """See `NemoEncoder`."""
        small = {"n_layers": min(2, encoder["n_layers"]), "d_model": 32, "n_heads": 2}
        if encoder.get("subsampling_conv_channels", -1) != -1:
            small["subsampling_conv_channels"] = 32
        return {**encoder, **small, "ff_expansion_factor": 2}

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch; see `Backbone.encode`.

        Returns:
            Every layer (batch, frames, width).
        """
        import torch

        network = self._network
        with torch.no_grad():
            mel, frames = self._log_mel(waves, lengths)
            network.update_max_seq_length(seq_length=mel.shape[2], device=mel.device)
            x, counts = self._subsampled(self._normalised(mel, frames), frames)
            x, positions = network.pos_enc(x=x, cache_len=0)
            padding, attention = network._create_masks(
                att_context_size=network.att_context_size,
                padding_length=counts,
                max_audio_length=x.shape[1],
                offset=None,
                device=x.device,
            )
            hidden = [x]
            for layer in network.layers:
                x = layer(x=x, att_mask=attention, pos_emb=positions, pad_mask=padding)
                hidden.append(x)
        return Frames.same_lengths(hidden, counts.to(lengths.device))

    def _subsampled(
        self, mel: torch.Tensor, frames: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, frames, width) and valid frames."""
        import torch

        before = self._network.pre_encode
        mel = mel.transpose(1, 2)
        if isinstance(before, torch.nn.Linear):
            return before(mel), frames
        x, counts = before(x=mel, lengths=frames)
        counts = counts.to(torch.int64)
        return x[:, : int(counts.max())], counts


ENCODERS: Mapping[str, type[NemoEncoder]] = {cls.target: cls for cls in (ConvAsr, Conformer)}
