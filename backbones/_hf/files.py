"""The files of a model in the transformers layout: what they are called, what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones.base import BackboneError, first_line, shown
from backbones.reading import SETTINGS, opened, parse_json, pointer, read_bytes

_SAFETENSORS_INDEX, _PICKLES_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
WEIGHT_FILES = ("model.safetensors", _SAFETENSORS_INDEX, "pytorch_model.bin", _PICKLES_INDEX)
# What the files are called that an index names, which says which tensor is in which.
WEIGHT_PARTS: Mapping[str, str] = {
    _SAFETENSORS_INDEX: "model-*-of-*.safetensors",
    _PICKLES_INDEX: "pytorch_model-*-of-*.bin",
}
# The last one holds the feature extractor's settings where a processor was saved as a whole.
FEATURE_FILES = ("preprocessor_config.json", "processor_config.json")
SETTINGS_FILES = ("config.json", *FEATURE_FILES)
MODEL_CARD = "README.md"
AGAIN = "get it again"


def read_settings(name: str, path: Path, remedy: str) -> dict[str, Any]:
    """Read a file of settings; where that fails, a `BackboneError` ends in the remedy."""
    try:
        content = read_bytes(path, SETTINGS)
        if reason := pointer(content):
            raise BackboneError(f"{name}: {path} {reason}")
        found = parse_json(content.decode("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError) as error:
        said = first_line(error)
        raise BackboneError(f"{name}: cannot read {path} ({said}); {remedy}") from error
    return found


def settings_digest(folder: Path) -> str:
    """Return the hex digest of all settings in a folder: of the network and of its features."""
    return _digest([folder / name for name in SETTINGS_FILES if (folder / name).is_file()])


def weights_digest(file: Path) -> str:
    """The hex digest of a weight file's content, or of the names and contents of its parts."""
    return _digest(weight_parts(file)) if file.name in WEIGHT_PARTS else sha256(file)


def sha256(file: Path) -> str:
    """Return the hex digest of a file's content.

    Raises:
        BackboneError: it cannot be read.
    """
    try:
        with opened(file) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BackboneError(f"cannot read {file} ({first_line(error)}); {AGAIN}") from error


def weight_file(folder: Path) -> Path | None:
    """Return the weight file in a folder, safetensors first."""
    return next((folder / n for n in WEIGHT_FILES if (folder / n).is_file()), None)


def weight_parts(file: Path) -> list[Path]:
    """Return the files that hold the tensors of a weight file: itself, or those an index names.

    Raises:
        BackboneError: the index is none, or a file it names is not beside it.
    """
    if file.name not in WEIGHT_PARTS:
        return [file]
    try:
        parts = sorted(set(parse_json(read_bytes(file, SETTINGS))["weight_map"].values()))
        suffix = Path(WEIGHT_PARTS[file.name]).suffix
        if not all(Path(part).name == part and part.endswith(suffix) for part in parts):
            raise ValueError(f"it names other files than {suffix} beside it")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"cannot read {file} as an index of weights ({first_line(error)}); get the "
            "published files again"
        ) from error
    missing = [part for part in parts if not (file.parent / part).is_file()]
    if missing or not parts:
        raise BackboneError(
            f"{file.parent} lacks {shown(', '.join(missing)) or 'all files'} of {file.name}; "
            "get the published files again"
        )
    return [file.parent / part for part in parts]


def _digest(files: list[Path]) -> str:
    lines = "".join(f"{file.name} {sha256(file)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
