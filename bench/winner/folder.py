"""The folder of a winner: settings, arrays and a card. Nothing in it is code, and all is sealed."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from backbones.reading import MANIFEST, WINNER, Kind, parse_json, read_bytes
from bench.errors import UserError
from bench.features.key import canonical
from bench.files import storing

SETTINGS, ARRAYS, CARD = "config.json", "head.safetensors", "README.md"
Arrays = Mapping[str, NDArray[Any]]
_ADVICE = "name another folder with -o"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Encoder(_Strict):
    """A backbone as it ran; `feature_key` is the digest of all that decides its vectors."""

    backbone: str
    weights_id: str | None
    weights_kind: Literal["pretrained", "random-init", "none"]
    weights_sha256: str | None
    weights_size: Literal["full", "small"]
    weights_seed: int
    dtype: str
    licence: str
    feature_key: str


class Part(_Strict):
    """Vectors that are joined: of which backbone, layer and pooling."""

    backbone: str
    layer: int
    pooling: str


class Config(_Strict):
    """All that a winner is, but for the arrays of its head.

    Attributes:
        format: of the folder; raised when a field changes its meaning.
        backbone: the row's, a fusion by its one name.
        parts: in the order in which their vectors are joined.
        features: length of the joined vector.
        temperature: what logits are divided by; 1 changes nothing.
        clips: sha256 of the decoded samples of every clip that was fitted on.
        without_fold: the outer fold whose test clips were not, None where all were.
        scores: of the row on test clips, and its interval where it has one.
        fingerprint: of the row.
        files: sha256 of the other files.
    """

    format: Literal[1] = 1
    voxgrid: str
    task: str
    protocol: str
    group: str
    leaks: bool
    labels: tuple[str, ...]
    backbone: str
    pooling: str
    head: str
    head_version: int
    params: dict[str, bool | int | float | str | None]
    encoders: tuple[Encoder, ...]
    parts: tuple[Part, ...]
    features: int
    temperature: float
    clips: tuple[str, ...]
    without_fold: int | None
    seed: int
    scores: dict[str, float]
    fingerprint: str
    packages: dict[str, str]
    made: str
    files: dict[Literal["head.safetensors", "README.md"], str] = {}


def write(folder: Path, config: Config, arrays: Arrays, card: str, *, replace: bool) -> None:
    """Write the folder whole or not at all.

    Raises:
        UserError: something is there already, and is not to be replaced.
        StorageError: it cannot be written.
    """
    refuse_to_replace(folder, replace=replace)
    tensors = {name: np.ascontiguousarray(own) for name, own in arrays.items()}
    files = {ARRAYS: save(tensors), CARD: card.encode()}
    sealed = config.model_copy(update={"files": {name: _sha(own) for name, own in files.items()}})
    files[SETTINGS] = _sealed(sealed)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    with storing(folder, _ADVICE):
        partial.mkdir(parents=True)
        try:
            for name, content in files.items():
                (partial / name).write_bytes(content)
            if folder.is_dir():
                shutil.rmtree(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def refuse_to_replace(folder: Path, *, replace: bool) -> None:
    """Raise a `UserError` where something is at the folder; only a winner may be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / SETTINGS).is_file():
        raise UserError(f"{folder} is there and is no winner of voxgrid's; {_ADVICE}")
    if not replace:
        raise UserError(f"{folder} holds a winner; replace it with --replace, or {_ADVICE}")


def read(folder: Path) -> tuple[Config, Arrays]:
    """Settings and arrays of a winner, as they were written.

    Raises:
        UserError: there is none, or a file is missing or was changed; names it.
    """
    content = _file(folder, SETTINGS, MANIFEST)
    try:
        values = parse_json(content)
        seal = values.pop("sealed")
        config = Config.model_validate(values)
    except (ValueError, AttributeError, KeyError) as error:
        raise UserError(_changed(folder, SETTINGS, _why(error))) from error
    if _sealed(config) != content or seal != _seal(config):
        raise UserError(_changed(folder, SETTINGS, "its seal is another"))
    kinds: dict[str, Kind] = {ARRAYS: WINNER, CARD: MANIFEST}
    found = {name: _file(folder, name, kind) for name, kind in kinds.items()}
    for name, own in found.items():
        if _sha(own) != config.files.get(name):  # type: ignore[call-overload]
            raise UserError(_changed(folder, name, "its sha256 is another"))
    try:
        return config, load(found[ARRAYS])
    except SafetensorError as error:
        raise UserError(_changed(folder, ARRAYS, str(error))) from error


def _file(folder: Path, name: str, kind: Kind) -> bytes:
    try:
        return read_bytes(folder / name, kind)
    except (OSError, ValueError) as error:
        if name == SETTINGS:
            raise UserError(
                f"{folder} is no winner ({SETTINGS}: {_why(error)}); `voxgrid train TASK -o "
                "FOLDER` makes one"
            ) from error
        raise UserError(_changed(folder, name, _why(error))) from error


def _changed(folder: Path, name: str, why: str) -> str:
    return f"{folder / name} is not as it was written ({why}): train anew, or copy it again"


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(getattr(error, "strerror", None) or error)


def _sealed(config: Config) -> bytes:
    values = {**config.model_dump(mode="json"), "sealed": _seal(config)}
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _seal(config: Config) -> str:
    return _sha(canonical(config.model_dump(mode="json")).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
