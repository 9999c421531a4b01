"""Strict reading of checkpoints in the transformers layout.

`from_pretrained` fills what a checkpoint lacks with random numbers and goes on with a warning.
Here every tensor of the encoder comes from the file, or loading stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._hf.files import read_settings, weight_file, weight_parts
from backbones._tensors.checkpoints import read_pickle, refuse, refuse_nan
from backbones._tensors.sizes import require_fillable
from backbones.base import BackboneError, BackboneInfo, WeightsMismatch, first_line, shown
from backbones.names import how_to_get

if TYPE_CHECKING:
    import torch

# Settings that decide what is computed in or given back, or name code or files to fetch and run,
# instead of the architecture. So do all that begin with an underscore, which are the library's own.
_NOT_ARCHITECTURE = frozenset(
    {
        "attn_implementation",
        "auto_map",
        "device_map",
        "distributed_config",
        "dtype",
        "experts_implementation",
        "fusion_config",
        # of a classifier that is not built; the library makes a name for each of `num_labels`
        "id2label",
        "kernel_config",
        "label2id",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "quantization_config",
        "return_dict",
        "torch_dtype",
        "torchscript",
        "transformers_weights",
        "use_kernels",
        "use_return_dict",
    }
)


@dataclass(frozen=True)
class Layout:
    """Where a published checkpoint keeps the encoder.

    Attributes:
        prefixes: of the encoder's tensors, stripped on reading; the first that fits counts.
        ignored: prefixes (before stripping) of tensors that are published but not part of the
            encoder. Any other surplus tensor is an error.
    """

    prefixes: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A folder with config.json and weights of a backbone."""

    info: BackboneInfo
    folder: Path | None

    def settings(self, model_type: str) -> dict[str, Any]:
        """The settings of its network, which has to be of this type."""
        if self.folder is None or not self.folder.is_dir():
            raise BackboneError(
                f"{self.info.name}: pretrained weights are a folder with config.json and a weight "
                f"file, but {self.folder} is none; {how_to_get(self.info)}"
            )
        path = self.folder / "config.json"
        settings = read_settings(self.info.name, path, how_to_get(self.info))
        found = settings.get("model_type")
        if found != model_type:
            raise WeightsMismatch(
                f"{self.info.name}: {path} describes a model of type {shown(repr(found))}, not "
                f"{model_type!r}; {how_to_get(self.info)}"
            )
        return architecture(settings)

    def fill(
        self, library: Any, config: Any, layout: Layout | None, ignored: tuple[str, ...]
    ) -> tuple[Any, dict[str, torch.Tensor]]:
        """A network with the tensors of the checkpoint, and those that are `ignored` by name.

        The library matches the checkpoint's names with the network's, those of its older versions
        included; what it could not match is refused here instead of being drawn at random.
        Without a layout heads are known by their lack of the base model's prefix.
        """
        import torch

        assert self.folder is not None
        path = weight_file(self.folder)
        if path is None:
            raise BackboneError(
                f"{self.info.name}: no weight file in {self.folder}; {how_to_get(self.info)}"
            )
        source = f"{self.info.name}: {path}"
        tensors = self._tensors(path, layout.ignored if layout else ())
        with torch.device("meta"):
            network = library(config)
        require_fillable(network, source, sum(p.stat().st_size for p in weight_parts(path)))
        if layout is not None:
            # copied, since sums may depend on how a file's memory is aligned
            tensors = {
                name.removeprefix(next(filter(name.startswith, layout.prefixes), "")): t.clone()
                for name, t in tensors.items()
                if not name.startswith(layout.ignored)
            }
        network, report = library.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # it is refused below, with all other problems
            dtype=torch.float32,
        )
        prefix = f"{library.base_model_prefix}."
        with_heads = any(name.startswith(prefix) for name in tensors)
        surplus = {name: name.removeprefix(prefix) for name in report["unexpected_keys"]}
        spare = {
            own: tensors[name].clone() for name, own in surplus.items() if own.startswith(ignored)
        }
        refuse(
            source,
            missing=set(report["missing_keys"]),
            unexpected={
                name
                for name, own in surplus.items()
                if not (with_heads and not name.startswith(prefix)) and own not in spare
            },
            misshaped={name: shapes for name, *shapes in report["mismatched_keys"]},
            remedy=how_to_get(self.info),
        )
        return network, spare

    def _tensors(self, path: Path, ignored: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """All tensors of a weight file; those that are not ignored have to be numbers."""
        tensors: dict[str, torch.Tensor] = {}
        for part in weight_parts(path):
            found = self._read(part)
            own = ((name, tensor) for name, tensor in found.items() if not name.startswith(ignored))
            refuse_nan(f"{self.info.name}: {part}", own, how_to_get(self.info))
            tensors |= found
        return tensors

    def _read(self, part: Path) -> dict[str, torch.Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        what, remedy = f"{part} of {self.info.name}", how_to_get(self.info)
        if part.suffix == ".safetensors":
            try:
                return load_file(part)
            except (OSError, SafetensorError) as error:
                raise WeightsMismatch(
                    f"cannot read {what} ({first_line(error)}); {remedy}"
                ) from error
        return read_pickle(part, what, remedy)


def architecture(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config.json that describe the network."""
    return {
        key: value
        for key, value in settings.items()
        if key not in _NOT_ARCHITECTURE and not key.startswith("_")
    }


@contextmanager
def silent() -> Iterator[None]:
    """Without transformers' notices and bars: what they tell is checked and refused here."""
    from transformers.utils import logging

    with ExitStack() as stack:
        stack.callback(logging.set_verbosity, logging.get_verbosity())
        if logging.is_progress_bar_enabled():
            stack.callback(logging.enable_progress_bar)
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        yield
