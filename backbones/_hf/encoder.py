"""What every encoder of transformers shares here: reading its settings, loading, counting.

Nothing here knows the name of a model. An architecture is a class that works for every checkpoint
of some model types, and that says from a checkpoint's configuration and feature extractor what
voxgrid has to know. A plugin is one with a record and the published settings; the classes made for
addresses (`hf:…`) have what the checkpoint's own files say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from backbones._hf.checkpoint import Checkpoint, Layout, silent
from backbones._tensors.checkpoints import buildable
from backbones._tensors.frames import Padded, valid_frames, zero_padding
from backbones._tensors.sizes import require_fillable, require_sensible
from backbones.base import Backbone, BackboneError, Dtype, Frames, Size, Weights

if TYPE_CHECKING:
    import torch

# Longest window where the model itself sets no limit, in seconds.
MAX_SECONDS = 30.0


@dataclass(frozen=True)
class Traits:
    """What a checkpoint's settings say, by the names of `BackboneInfo`."""

    sample_rate: int
    layers: int
    width: int
    frame_rate: float
    max_seconds: float = MAX_SECONDS
    attention_mask: bool = True
    normalised: bool = False
    trainable: bool = False


class Unsupported(Exception):
    """A setting that an architecture cannot honour; the message names it in half a sentence."""


class TransformersEncoder(Backbone):
    """An encoder of transformers.

    Attributes:
        dtypes: what checkpoints that nobody has measured may compute in. Left out is float16,
            which overflows in late layers of large models of several of these architectures.
        differs: as of `BackboneInfo`.
        extractors: the feature extractors whose features the network takes.
        defaults: settings of the feature extractor, as its library has them where it is not told
            otherwise.
        inference: settings that override any configuration (no masking, no layer drop).
        layout: where a published checkpoint keeps the encoder; None leaves that to the library.
        ignored: tensors of the network that encoding does not need, by the start of the name.
        full: the published configuration.
        features: the published settings of the feature extractor.
        settings_sha: of the settings the class was made from; None of a plugin.
        model: the loaded network, in evaluation mode and frozen: encoding records no graph.
        spare: the checkpoint's `ignored` tensors by name, which only training may need.
    """

    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16")
    differs: ClassVar[str | None] = None
    extractors: ClassVar[tuple[str, ...]]
    defaults: ClassVar[Mapping[str, Any]]
    inference: ClassVar[Mapping[str, Any]] = {}
    layout: ClassVar[Layout | None] = None
    ignored: ClassVar[tuple[str, ...]] = ()
    full: ClassVar[Mapping[str, Any]]
    features: ClassVar[Mapping[str, Any]]
    settings_sha: ClassVar[str | None] = None
    model: Any
    spare: Mapping[str, torch.Tensor]

    def __init__(self, weights: Weights) -> None:
        """Take weights that were found beside the same settings, and no others."""
        super().__init__(weights)
        if self.settings_sha is not None and weights.config_sha not in (None, self.settings_sha):
            raise BackboneError(
                f"{self.info.name}: its settings have changed since its weights were looked up; "
                "run the command again"
            )

    @classmethod
    def library(cls, model_type: str) -> Any:
        """The library's class of the network; by default the base model of that type."""
        from transformers import CONFIG_MAPPING, MODEL_MAPPING

        return MODEL_MAPPING[CONFIG_MAPPING[model_type]]

    @classmethod
    @abstractmethod
    def traits(cls, config: Any, features: Mapping[str, Any]) -> Traits:
        """What the settings of the model and of its feature extractor say.

        Raises:
            Unsupported: a setting has no counterpart here.
        """

    @classmethod
    def shrunk(cls, config: Any) -> Mapping[str, Any]:
        """Settings that make the same architecture tiny; by default two small blocks."""
        return {
            "hidden_size": 48,
            "num_hidden_layers": min(2, config.num_hidden_layers),
            "num_attention_heads": 2,
            "intermediate_size": 96,
        }

    @classmethod
    def configured(cls, settings: Mapping[str, Any]) -> Any:
        """The library's configuration of these settings, to encode with.

        Raises:
            ValueError: a setting of the library's is beyond anything that could be built.
        """
        library = cls.library(settings["model_type"])
        # the library's own choice of today, whatever it is tomorrow
        attention = "sdpa" if getattr(library, "_supports_sdpa", False) else "eager"
        config = library.config_class.from_dict(
            {**settings, **cls.inference, "attn_implementation": attention}
        )
        known = vars(library.config_class())
        require_sensible({name: value for name, value in vars(config).items() if name in known})
        return config

    @classmethod
    def settings(cls, size: Size) -> dict[str, Any]:
        """The published configuration, or the same architecture in tiny."""
        small = cls.shrunk(cls.configured(cls.full)) if size == "small" else {}
        return {**cls.full, **small}

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the encoder and read its weights; see `Backbone.load`.

        Features are always computed in float32.
        """
        import torch

        kind = self.full["model_type"]
        library = self.library(kind)
        sensible = buildable(self.info.name, kind, "transformers")
        with silent(), torch.random.fork_rng(devices=[]), sensible:
            torch.manual_seed(self.weights.seed)
            if self.weights.kind == "pretrained":
                checkpoint = Checkpoint(self.info, self.weights.path)
                config = self.configured(checkpoint.settings(kind))
                model, self.spare = checkpoint.fill(library, config, self.layout, self.ignored)
            else:
                self.spare = {}
                config = self.configured(self.settings(self.weights.size))
                with torch.device("meta"):
                    require_fillable(library(config), self.info.name)
                model = library(config)
        self.model = model.to(device=device, dtype=getattr(torch, dtype))
        self.model.eval().requires_grad_(False)
        self.prepare(device)

    def prepare(self, device: str) -> None:
        """Set up what makes features of waveforms, on a device."""

    def parameter_count(self) -> int:
        """Parameters of the loaded encoder."""
        return sum(parameter.numel() for parameter in self.model.parameters())


class PreNormEncoder(TransformersEncoder):
    """An encoder whose stem is all before the first block and whose last layer is normalised.

    Layer 0 is what enters the first block, layer n the output of block n; the last layer is the
    encoder's output, after its final layer norm: the convention of `hidden_states` in transformers.
    """

    inference: ClassVar[Mapping[str, Any]] = {"encoder_layerdrop": 0.0}

    @abstractmethod
    def embed(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Layer 0 (batch, frames, width) and valid frames (batch,)."""

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`.

        A clip too short for one window of the features counts as that long, the rest being silence.
        """
        import torch

        from backbones._hf.tails import attention_mask

        with torch.no_grad():
            hidden, frames = self.embed(waves, lengths)
            valid = valid_frames(frames, hidden.shape[1])
            mask = attention_mask(self.model.config, hidden, valid)
            layers = [hidden]
            for block in self.model.layers:
                layers.append(block(layers[-1], mask))
            layers[-1] = self.model.layer_norm(layers[-1])
        return Frames.same_lengths(layers, frames.to(lengths.device))

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """Compute layer 0: features, convolutions and positions; see `Backbone.stem`."""
        import torch

        with torch.no_grad():
            hidden, frames = self.embed(waves, lengths)
            return zero_padding(hidden, frames), frames.to(lengths.device)

    def tail(self, start: int, stop: int) -> torch.nn.Module:
        """Copy blocks `start` + 1 to `stop`, to be trained; see `Backbone.tail`.

        The dropout of layer 0 comes after it, before the first block.
        """
        from backbones._hf.tails import TransformerTail

        encoder = self.model
        return TransformerTail(
            encoder, start, stop, dropout=encoder.dropout, norm=encoder.layer_norm
        )


def kaldi_rate(features: Mapping[str, Any]) -> int:
    """The sample rate of features that follow Kaldi: 16 kHz and no other."""
    rate = int(features["sampling_rate"])
    if rate != 16_000:
        raise Unsupported(f"features at a sampling_rate of {rate}, other than 16000")
    return rate
