"""Reading NeMo's `.nemo` archives: in memory, and nothing but tensors."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._hub import first_line
from backbones.base import WeightsMismatch

if TYPE_CHECKING:
    import torch


def read_nemo(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read the configuration and the tensors of a `.nemo` archive without unpacking it.

    A `.nemo` file is a tar archive, compressed or not. Its two members are read in memory;
    no other member is looked at and nothing is ever written to disk.

    Args:
        path: the archive.

    Returns:
        The parsed `model_config.yaml` and the tensors of `model_weights.ckpt`.

    Raises:
        WeightsMismatch: the file is no such archive, or holds more than tensors.
    """
    import torch
    import yaml

    try:
        with tarfile.open(path, "r:*") as archive:
            config = yaml.safe_load(_member(archive, "model_config.yaml", path))
            checkpoint = io.BytesIO(_member(archive, "model_weights.ckpt", path))
        tensors = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (tarfile.TarError, EOFError, OSError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise WeightsMismatch(
            f"model_weights.ckpt in {path} is refused, it holds something else than tensors or "
            f"is damaged ({first_line(error)}); get the published archive "
            "again"
        ) from error
    if not isinstance(config, dict) or not isinstance(tensors, dict):
        raise WeightsMismatch(f"{path} is not a NeMo model: get the published archive again.")
    return config, tensors


def read_member(path: Path, name: str) -> bytes:
    """Read one member of a `.nemo` archive in memory.

    Raises:
        WeightsMismatch: the file is no archive, or has no such member.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            return _member(archive, name, path)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> WeightsMismatch:
    return WeightsMismatch(
        f"{path} is not a readable .nemo archive ({first_line(error)}); get the published one again"
    )


def _member(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    for member in archive:
        # links are not followed: they could point at another member, or out of the archive
        if member.isfile() and member.name.removeprefix("./") == name:
            extracted = archive.extractfile(member)
            if extracted is not None:
                return extracted.read()
    raise WeightsMismatch(f"{path} has no member {name}: get the published archive again.")


def target_of(config: Mapping[str, Any], name: str) -> str:
    """The class that a part of a NeMo configuration names, without its module; or nothing."""
    part = config.get(name)
    found = (part.get("_target_") or part.get("cls") or "") if isinstance(part, dict) else ""
    return str(found).rpartition(".")[2]


def section(config: Mapping[str, Any], name: str, target: str, source: Path) -> dict[str, Any]:
    """One part of a NeMo configuration, in the style of today or of 2020 (`cls`, `params`).

    Args:
        config: the parsed `model_config.yaml`.
        name: of the part, such as `encoder`.
        target: the class it has to name, without its module.
        source: the archive, for messages.

    Raises:
        WeightsMismatch: there is no such part, or it is of another class.
    """
    if target_of(config, name) == target:
        parameters = config[name].get("params", config[name])
        return {key: value for key, value in parameters.items() if key != "_target_"}
    raise WeightsMismatch(f"{source}: the {name} in its model_config.yaml is not a {target}.")


def expect(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Refuse a configuration that says something else than `wanted`; saying nothing is fine.

    Raises:
        WeightsMismatch: naming the first setting that differs.
    """
    for key, value in wanted.items():
        if found.get(key, value) != value:
            raise WeightsMismatch(
                f"{where} has {key} = {found[key]}, wanted is {value}: this is another "
                "model, get the published archive."
            )
