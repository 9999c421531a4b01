"""Encoders of NeMo: convolutional ones (Citrinet …) and conformers.

NeMo builds the network and computes the features, as the archive's own configuration says.
"""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from backbones._nemo.archive import read_nemo
from backbones._tensors.checkpoints import buildable, load_strictly
from backbones._tensors.frames import Padded, at_least, valid_frames
from backbones._tensors.sizes import require_fillable, require_sensible
from backbones.base import Backbone, BackboneError, Dtype, Frames
from backbones.names import how_to_get

if TYPE_CHECKING:
    import torch

LIBRARY = "nemo_toolkit"
FEATURES = "AudioToMelSpectrogramPreprocessor"
# Features that are normalised over time take two frames.
SHORTEST_FRAMES = 2


def built(name: str, target: str, settings: Mapping[str, Any]) -> Any:
    """One of NeMo's modules, in evaluation mode."""
    # NeMo reports at import time that its usage telemetry is off
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    from nemo.collections.asr import modules

    with buildable(name, target, LIBRARY):
        require_sensible(settings)
        return getattr(modules, target)(**settings).eval()


def unfilled(name: str, target: str, settings: Mapping[str, Any]) -> Any:
    """The same on the meta device, where it has shapes and takes no memory."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Numbers(TorchFunctionMode):
        """NeMo computes a width with tensors of one number each."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            where = {"device": "cpu"} if func is torch.tensor else {}
            return func(*args, **{**(kwargs or {}), **where})

    with torch.device("meta"), Numbers():
        return built(name, target, settings)


class Sizes(NamedTuple):
    """Layers of an encoder, width of the last, and feature frames that make one of its frames."""

    layers: int
    width: int
    subsampling: int


class NemoEncoder(Backbone):
    """What the encoders of NeMo share: features, building and reading.

    Attributes:
        title: what it is called in a summary.
        target: NeMo's class of the network.
        dtypes, thread_safe, trainable: as in `BackboneInfo`. A processor's convolutions over time
            are slow or worse in half precision.
        honoured: settings that have to have one of these values; the first is NeMo's own.
        full: arguments of the network.
        features: arguments of what computes the features.
    """

    title: ClassVar[str]
    target: ClassVar[str]
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32",)
    thread_safe: ClassVar[bool] = True
    trainable: ClassVar[bool] = False
    honoured: ClassVar[Mapping[str, tuple[Any, ...]]]
    full: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]]

    @classmethod
    @abstractmethod
    def sizes(cls, encoder: Mapping[str, Any]) -> Sizes:
        """What the arguments of the network say."""

    @classmethod
    @abstractmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that make the same architecture tiny."""

    def of_archive(self, config: Mapping[str, Any], source: Path) -> Mapping[str, Any]:
        """Arguments of the network whose tensors are in an archive, by its configuration."""
        return self.full

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the network with NeMo and fill it; see `Backbone.load`.

        Features are always computed in float32.
        """
        import torch

        if dtype not in self.info.dtypes:
            raise BackboneError(
                f"{self.info.name}: runs in {' or '.join(self.info.dtypes)} only; leave out dtype "
                f"{dtype}"
            )
        path, weights = self.weights.path, None
        if path is not None:
            config, tensors, weights = read_nemo(path)
            settings = self.of_archive(config, path)
        else:
            settings = self.shrunk(self.full) if self.weights.size == "small" else self.full
        # dither is noise for training; pad_to would add frames that are not the clip's; it is
        # normalised later, since layer 0 may be what there is before
        features = {**self.features, "normalize": None, "dither": 0.0, "pad_to": 0}
        source = f"{self.info.name}: {path}"
        require_fillable(unfilled(self.info.name, self.target, settings), source, weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.weights.seed)
            network = built(self.info.name, self.target, settings)
            self._preprocessor = built(self.info.name, FEATURES, features).to(device)
        if path is not None:
            remedy = how_to_get(self.info)
            load_strictly(network, tensors, source=source, prefix="encoder.", remedy=remedy)
        self._parameters = sum(parameter.numel() for parameter in network.parameters())
        self.keep(network, device, dtype)

    def keep(self, network: Any, device: str, dtype: str) -> None:
        """Keep of the filled network what encoding takes."""
        self._network: Any = network.to(device).requires_grad_(False)

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder, batch normalisation included."""
        return self._parameters

    @property
    def shortest(self) -> int:
        """Samples that a clip has at least; silence fills up."""
        featurizer = self._preprocessor.featurizer
        # with `exact_pad`, a window has to fit
        return max(SHORTEST_FRAMES * featurizer.hop_length, featurizer.n_fft)

    def log_mel(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """(batch, bands, mel frames) before normalisation, and valid mel frames."""
        waves, lengths = at_least(self.shortest, waves, lengths)
        device = self._preprocessor.featurizer.fb.device
        mel, frames = self._preprocessor(input_signal=waves.to(device), length=lengths.to(device))
        return mel[..., : int(frames.max())], frames

    def _normalised(self, mel: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch, bands, mel frames) as the network was trained on, zero after each clip's end."""
        from nemo.collections.asr.parts.preprocessing.features import normalize_batch

        kind = self.features.get("normalize", "per_feature")
        if kind in ("per_feature", "all_features"):
            mel, _, _ = normalize_batch(mel, frames, kind)
        return mel.masked_fill(~valid_frames(frames, mel.shape[2])[:, None], 0.0)


class ConvAsr(NemoEncoder):
    """Jasper, QuartzNet, Citrinet and their like.

    Layer 0 is the log-mel spectrogram before it is normalised, layer n the output of block n,
    each at its own frame rate. Convolutions and squeeze-and-excitation are masked by NeMo.
    """

    title = "ConvASREncoder of NeMo"
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
    def sizes(cls, encoder: Mapping[str, Any]) -> Sizes:
        """See `NemoEncoder`."""
        blocks = encoder["jasper"]
        subsampling = math.prod(
            block["stride"][0] ** (1 if block.get("stride_last", False) else block["repeat"])
            for block in blocks
        )
        return Sizes(len(blocks) + 1, int(blocks[-1]["filters"]), subsampling)

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
        """See `Backbone.encode`: (batch, mel frames, bands), then a layer for each block."""
        import torch

        with torch.no_grad():
            mel, frames = self.log_mel(waves, lengths)
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

    title = "ConformerEncoder of NeMo"
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
    def sizes(cls, encoder: Mapping[str, Any]) -> Sizes:
        """See `NemoEncoder`."""
        factor = encoder.get("subsampling_factor", 4) if encoder.get("subsampling", True) else 1
        return Sizes(int(encoder["n_layers"]) + 1, int(encoder["d_model"]), int(factor))

    @classmethod
    def shrunk(cls, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """See `NemoEncoder`."""
        small = {"n_layers": min(2, encoder["n_layers"]), "d_model": 32, "n_heads": 2}
        if encoder.get("subsampling_conv_channels", -1) != -1:
            small["subsampling_conv_channels"] = 32
        return {**encoder, **small, "ff_expansion_factor": 2}

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`."""
        import torch

        network = self._network
        with torch.no_grad():
            mel, frames = self.log_mel(waves, lengths)
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

    def _subsampled(self, mel: torch.Tensor, frames: torch.Tensor) -> Padded:
        """(batch, frames, width) and valid frames."""
        import torch

        before = self._network.pre_encode
        mel = mel.transpose(1, 2)
        if isinstance(before, torch.nn.Linear):
            return before(mel), frames
        x, counts = before(x=mel, lengths=frames)
        counts = counts.to(torch.int64)
        return x[:, : int(counts.max())], counts
