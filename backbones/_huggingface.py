"""Strict reading and seeded building of encoders in the transformers layout.

Why not `from_pretrained`: it fills what a checkpoint lacks with random numbers and goes on with a
warning. Here every tensor of the encoder comes from the file, or loading stops.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._hub import first_line
from backbones._tensors import load_strictly, refuse
from backbones.base import BackboneError, BackboneInfo, Weights, WeightsMismatch
from backbones.weights import how_to_get, weight_file, weight_parts

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

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
        "kernel_config",
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
# What a library makes of settings that contradict each other, or of sizes no memory can hold.
CONTRADICTIONS = (
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
)


@dataclass(frozen=True)
class Layout:
    """Where a published checkpoint keeps the encoder.

    Attributes:
        prefixes: of the encoder's tensors, stripped on reading; the first that fits counts.
        ignored: prefixes (before stripping) of tensors that are published but not part of the
            encoder. Any other surplus tensor is an error.
        renamed: endings of older tensor names → today's.
    """

    prefixes: tuple[str, ...]
    ignored: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)


def load_encoder(
    info: BackboneInfo,
    weights: Weights,
    *,
    model: Callable[[Any], torch.nn.Module],
    config: type[PretrainedConfig],
    full: Mapping[str, Any],
    small: Mapping[str, Any],
    inference: Mapping[str, Any],
    layout: Layout,
    device: str,
    dtype: str,
) -> torch.nn.Module:
    """Build an encoder and fill it, in evaluation mode and frozen.

    The parameters do not require gradients, so that encoding records no graph. A head that
    fine-tunes switches that on for the parameters it trains.

    Args:
        info: metadata of the backbone, for messages.
        weights: resolved weights, `pretrained` (a folder) or `random-init`.
        model: builds the randomly initialised encoder from a configuration.
        config: configuration class; its `model_type` must be the checkpoint's.
        full: the published configuration, for `random-init`.
        small: the same family in tiny, for `random-init` of size `small`.
        inference: settings that override any configuration (no masking, no layer drop).
        layout: where the checkpoint keeps the encoder.
        device: torch device.
        dtype: `float32`, `bfloat16` or `float16`.

    Raises:
        BackboneError: the folder lacks a readable configuration or weight file.
        WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
    """
    import torch

    if weights.kind == "pretrained":
        folder = _folder(info, weights)
        settings = _read_config(info, folder, config.model_type)
    else:
        folder = None
        settings = dict(small if weights.size == "small" else full)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        with _buildable(info):
            encoder = model(config.from_dict({**settings, **inference, **_attention(model)}))
    if folder is not None:
        _fill(info, encoder, folder, layout)
    return encoder.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)


def load_model(
    info: BackboneInfo,
    weights: Weights,
    *,
    model: Any,
    full: Mapping[str, Any],
    small: Mapping[str, Any],
    inference: Mapping[str, Any],
    ignored: tuple[str, ...],
    device: str,
    dtype: str,
) -> Any:
    """`load_encoder` for any base model of transformers.

    The library itself matches the checkpoint's names with the model's, those of its older
    versions included; what it could not match is refused here instead of being drawn at random.

    Args:
        info: metadata of the backbone, for messages.
        weights: resolved weights, `pretrained` (a folder) or `random-init`.
        model: class of the base model, without a head.
        full: the configuration, for `random-init`.
        small: the same family in tiny, for `random-init` of size `small`.
        inference: settings that override any configuration.
        ignored: tensors of the base model that encoding does not need, by the start of the name.
            Those of heads are known by their lack of the model's prefix.
        device: torch device.
        dtype: `float32`, `bfloat16` or `float16`.

    Raises:
        BackboneError: the folder lacks a readable configuration or weight file.
        WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
    """
    import torch

    config = model.config_class
    with _silent(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        if weights.kind == "pretrained":
            folder = _folder(info, weights)
            settings = _read_config(info, folder, config.model_type)
            path = _weight_file(info, folder)
            tensors = _read_tensors(info, path)
            with _buildable(info):
                encoder, report = model.from_pretrained(
                    None,
                    config=config.from_dict({**settings, **inference, **_attention(model)}),
                    state_dict=tensors,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # it is refused below, with all other problems
                    dtype=torch.float32,
                )
            _refuse_gaps(f"{info.name}: {path}", report, tensors, model.base_model_prefix, ignored)
        else:
            settings = dict(small if weights.size == "small" else full)
            with _buildable(info):
                encoder = model(config.from_dict({**settings, **inference, **_attention(model)}))
    return encoder.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)


def _attention(model: Any) -> dict[str, str]:
    """How attention is computed: the library's own choice of today, whatever it is tomorrow."""
    return {"attn_implementation": "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"}


@contextmanager
def _buildable(info: BackboneInfo) -> Iterator[None]:
    """Turn what comes of settings that no network can be built from into a sentence."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (StrictDataclassError, *CONTRADICTIONS) as error:
        raise unbuildable(info.name, error) from error


def unbuildable(name: str, error: Exception) -> BackboneError:
    """What is said of settings that no network can be built from.

    Args:
        name: of the backbone.
        error: what the library said.
    """
    import transformers

    return BackboneError(
        f"{name}: transformers {transformers.__version__} cannot build what its settings describe "
        f"({first_line(error)}); get the published ones again"
    )


def _refuse_gaps(
    source: str,
    report: Mapping[str, Any],
    tensors: Mapping[str, Any],
    prefix: str,
    ignored: tuple[str, ...],
) -> None:
    """Refuse what the library would have filled with random numbers or left out."""
    prefix = f"{prefix}."
    with_heads = any(name.startswith(prefix) for name in tensors)
    surplus = [
        name
        for name in report["unexpected_keys"]
        if not (with_heads and not name.startswith(prefix))
        and not name.removeprefix(prefix).startswith(ignored)
    ]
    shapes = [
        f"{name} {tuple(found)} instead of {tuple(wanted)}"
        for name, found, wanted in report["mismatched_keys"]
    ]
    refuse(
        source,
        {
            "missing": sorted(report["missing_keys"]),
            "unexpected": sorted(surplus),
            "of the wrong shape": sorted(shapes),
        },
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' notices and bars: what they tell is checked and refused here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _folder(info: BackboneInfo, weights: Weights) -> Path:
    if weights.path is None or not weights.path.is_dir():
        raise BackboneError(
            f"{info.name}: pretrained weights are a folder with config.json and a weight file, "
            f"but {weights.path} is none; {how_to_get(info)}"
        )
    return weights.path


def _read_config(info: BackboneInfo, folder: Path, model_type: str) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"{info.name}: cannot read {path} ({error}); {how_to_get(info)}"
        ) from error
    found = settings.get("model_type") if isinstance(settings, dict) else None
    if found != model_type:
        raise WeightsMismatch(
            f"{info.name}: {path} describes a model of type {found!r}, not {model_type!r}; "
            f"{how_to_get(info)}"
        )
    return architecture(settings)


def architecture(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config.json that describe the network."""
    return {
        key: value
        for key, value in settings.items()
        if key not in _NOT_ARCHITECTURE and not key.startswith("_")
    }


def _weight_file(info: BackboneInfo, folder: Path) -> Path:
    path = weight_file(folder)
    if path is None:
        raise BackboneError(f"{info.name}: no weight file in {folder}; {how_to_get(info)}")
    return path


def _fill(info: BackboneInfo, encoder: torch.nn.Module, folder: Path, layout: Layout) -> None:
    path = _weight_file(info, folder)
    found = {
        _encoder_name(name, layout): tensor
        for name, tensor in _read_tensors(info, path).items()
        if not name.startswith(layout.ignored)
    }
    load_strictly(encoder, found, source=f"{info.name}: {path}", prefix="")


def _read_tensors(info: BackboneInfo, path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix in (".safetensors", ".json"):
            return {k: v for part in weight_parts(path) for k, v in load_file(part).items()}
        # the mapping of files older than torch 1.6 is not supported
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsMismatch(
            f"{info.name}: cannot read {path} ({reason}); delete it, then {how_to_get(info)}"
        ) from error
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise WeightsMismatch(f"{info.name}: {path} holds no tensors by name; {how_to_get(info)}")
    return content


def _encoder_name(name: str, layout: Layout) -> str:
    prefix = next((p for p in layout.prefixes if name.startswith(p)), "")
    name = name.removeprefix(prefix)
    for old, new in layout.renamed.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name
