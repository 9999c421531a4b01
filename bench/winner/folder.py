"""The folder of a winner: settings, arrays and a card. Nothing in it is code, and all is sealed."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from backbones.reading import MANIFEST, WINNER, Kind, parse_json, read_bytes
from bench.errors import UserError
from bench.features.key import canonical
from bench.files import storing
from heads import Reads

SETTINGS, ARRAYS, CARD = "config.json", "head.safetensors", "README.md"
Arrays = Mapping[str, NDArray[Any]]
_ADVICE = "name another folder with -o"
# A member is never used by itself.
_MEMBERS_CARD = "A member of the average in the folder above.\n"
_FileName = Annotated[
    str, Field(pattern=r"^([1-9][0-9]*/config\.json|head\.safetensors|README\.md)$")
]


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


class _About(_Strict):
    """What is known of every winner.

    Attributes:
        format: of the folder; raised when a field changes its meaning.
        clips: sha256 of the decoded samples of every clip that was fitted on.
        without_fold: the outer fold whose test clips were not, None where all were.
        scores: on test clips, before it was fitted on all.
        files: sha256 of the other files.
    """

    format: Literal[1] = 1
    voxgrid: str
    task: str
    protocol: str
    group: str
    leaks: bool
    labels: tuple[str, ...]
    clips: tuple[str, ...]
    without_fold: int | None
    scores: dict[str, float]
    packages: dict[str, str]
    made: str
    files: dict[_FileName, str] = {}


class Config(_About):
    """All that a winner of one row is, but for the arrays of its head.

    Attributes:
        backbone: the row's, a fusion by its one name.
        reads: what its head reads.
        parts: in the order in which their vectors are joined; of a head that reads frames the
            layers it sums, and of one that trains the backbone the layer that this is cut after.
        features: length of the joined vector, or width of a frame.
        most_frames: of a clip, what a head on frames or a backbone reads; None for all.
        temperature: what logits are divided by; 1 changes nothing.
        fingerprint: of the row.
    """

    kind: Literal["row"] = "row"
    backbone: str
    pooling: str
    head: str
    head_version: int
    reads: Reads
    params: dict[str, bool | int | float | str | None]
    encoders: tuple[Encoder, ...]
    parts: tuple[Part, ...]
    features: int
    most_frames: int | None
    temperature: float
    seed: int
    fingerprint: str


class Member(_Strict):
    """A winner of one row that an average is made of, and how often it counts."""

    cell: str
    weight: int


class Average(_About):
    """A winner that averages others, each in a folder named by its place, from 1."""

    kind: Literal["average"] = "average"
    members: tuple[Member, ...]


Settings = Config | Average
_SETTINGS: TypeAdapter[Settings] = TypeAdapter(Annotated[Settings, Field(discriminator="kind")])


@dataclass(frozen=True)
class Contents:
    """What is in the folder of a winner: of a row arrays, of an average its members."""

    config: Settings
    arrays: Arrays
    members: tuple[Contents, ...] = ()


def write(folder: Path, contents: Contents, card: str, *, replace: bool) -> None:
    """Write the folder whole or not at all.

    Raises:
        UserError: something is there already, and is not to be replaced.
        StorageError: it cannot be written.
    """
    refuse_to_replace(folder, replace=replace)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    with storing(folder, _ADVICE):
        partial.mkdir(parents=True)
        try:
            for name, content in _files(contents, card).items():
                (partial / name).parent.mkdir(exist_ok=True)
                (partial / name).write_bytes(content)
            if folder.is_dir():
                shutil.rmtree(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _files(contents: Contents, card: str) -> dict[str, bytes]:
    """By their names all files of a folder, the sealed settings among them."""
    files = {CARD: card.encode()}
    if isinstance(contents.config, Config):
        tensors = {name: np.ascontiguousarray(own) for name, own in contents.arrays.items()}
        files[ARRAYS] = save(tensors)
    for place, member in enumerate(contents.members, start=1):
        own = _files(member, _MEMBERS_CARD)
        files |= {f"{place}/{name}": content for name, content in own.items()}
    # what a member's settings seal is sealed with them
    sealed = {n: _sha(own) for n, own in files.items() if n.count("/") == 0 or SETTINGS in n}
    return files | {SETTINGS: _sealed(contents.config.model_copy(update={"files": sealed}))}


def refuse_to_replace(folder: Path, *, replace: bool) -> None:
    """Raise a `UserError` where something is at the folder; only a winner may be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / SETTINGS).is_file():
        raise UserError(f"{folder} is there and is no winner of voxgrid's; {_ADVICE}")
    if not replace:
        raise UserError(f"{folder} holds a winner; replace it with --replace, or {_ADVICE}")


def read(folder: Path, *, member: bool = False) -> Contents:
    """Settings, and arrays or members of a winner, as they were written.

    Args:
        member: whether it is of an average.

    Raises:
        UserError: there is none, or a file is missing or was changed; names it.
    """
    content = _file(folder, SETTINGS, MANIFEST)
    try:
        values = parse_json(content)
        seal = values.pop("sealed")
        config = _SETTINGS.validate_python(values)
    except (ValueError, AttributeError, KeyError) as error:
        raise UserError(_changed(folder, SETTINGS, _why(error))) from error
    if _sealed(config) != content or seal != _seal(config):
        raise UserError(_changed(folder, SETTINGS, "its seal is another"))
    kinds: dict[str, Kind] = {CARD: MANIFEST}
    members: list[Contents] = []
    if isinstance(config, Config):
        kinds[ARRAYS] = WINNER
    else:
        places = range(1, len(config.members) + 1)
        if member:
            raise UserError(_changed(folder, SETTINGS, "an average is no member of another"))
        members = [read(folder / str(place), member=True) for place in places]
        kinds |= {f"{place}/{SETTINGS}": MANIFEST for place in places}
    found = {name: _file(folder, name, kind) for name, kind in kinds.items()}
    for name, own in found.items():
        if _sha(own) != config.files.get(name):
            raise UserError(_changed(folder, name, "its sha256 is another"))
    try:
        return Contents(config, load(found[ARRAYS]) if ARRAYS in found else {}, tuple(members))
    except SafetensorError as error:
        raise UserError(_changed(folder, ARRAYS, str(error))) from error


def read_card(folder: Path) -> str:
    """The text of a winner's card.

    Raises:
        UserError: it cannot be read.
    """
    return _file(folder, CARD, MANIFEST).decode("utf-8", "replace")


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


def _sealed(config: Settings) -> bytes:
    values = {**config.model_dump(mode="json"), "sealed": _seal(config)}
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _seal(config: Settings) -> str:
    return _sha(canonical(config.model_dump(mode="json")).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
