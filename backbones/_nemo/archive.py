"""Reading NeMo's `.nemo` archives: in memory, and nothing but tensors."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from backbones._tensors.checkpoints import read_pickle
from backbones.base import WeightsMismatch, first_line
from backbones.reading import HEAD, pointer

if TYPE_CHECKING:
    import torch


def read_nemo(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read the configuration and the tensors of a `.nemo` archive without unpacking it.

    A `.nemo` file is a tar archive, compressed or not. No other member is looked at and nothing is
    ever written to disk. A file that holds more than tensors is refused: `WeightsMismatch`.
    """
    config = read_config(path)
    name = "model_weights.ckpt"
    checkpoint = io.BytesIO(read_member(path, name))
    tensors = read_pickle(checkpoint, f"{name} in {path}", "get the published archive again")
    if not isinstance(tensors, dict):
        raise WeightsMismatch(f"{path} is not a NeMo model: get the published archive again.")
    return config, tensors


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a `.nemo` archive, or raise `WeightsMismatch`."""
    try:
        config = yaml.safe_load(read_member(path, "model_config.yaml"))
    except yaml.YAMLError as error:
        raise WeightsMismatch(
            f"{path} has no readable model_config.yaml ({first_line(error)}); get the published "
            "archive again"
        ) from error
    if not isinstance(config, dict):
        raise WeightsMismatch(f"{path} is not a NeMo model: get the published archive again.")
    return config


def read_member(path: Path, name: str) -> bytes:
    """Read one member of a `.nemo` archive in memory, or raise `WeightsMismatch`."""
    try:
        with path.open("rb") as file:
            if found := pointer(file.read(HEAD)):
                raise WeightsMismatch(f"{path} {found}")
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                # links are not followed: they could point at another member, or out of the archive
                if member.isfile() and member.name.removeprefix("./") == name:
                    extracted = archive.extractfile(member)
                    if extracted is not None:
                        return extracted.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise WeightsMismatch(
            f"{path} is not a readable .nemo archive ({first_line(error)}); get the published one "
            "again"
        ) from error
    raise WeightsMismatch(f"{path} has no member {name}: get the published archive again.")
