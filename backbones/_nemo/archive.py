"""Reading NeMo's `.nemo` archives: in memory, and nothing but tensors."""

from __future__ import annotations

import gzip
import tarfile
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._tensors.checkpoints import CONTRADICTIONS, DAMAGES, read_pickle
from backbones.base import WeightsMismatch, first_line
from backbones.reading import HEAD, UNPACKED, UNPACKED_TIMES, YAML, opened, parse_yaml, pointer
from backbones.reading import size as in_words

if TYPE_CHECKING:
    import torch

CONFIG, TENSORS = "model_config.yaml", "model_weights.ckpt"
_AGAIN = "get the published archive again"


def read_nemo(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], int]:
    """Read the configuration and the tensors of a `.nemo` archive without unpacking it.

    A `.nemo` file is a tar archive, as it is or in gzip. No other member is looked at and nothing
    is ever written to disk. A file that holds more than tensors is refused: `WeightsMismatch`.

    Returns:
        The configuration, the tensors, and how many bytes they were read from.
    """
    config, tensors = read_members(path, CONFIG, TENSORS)
    named = read_pickle(tensors, f"{TENSORS} in {path}", _AGAIN)
    return parse_config(config, path), named, len(tensors)


def parse_config(content: bytes, path: Path) -> dict[str, Any]:
    """What the configuration of a `.nemo` archive says, or `WeightsMismatch`."""
    try:
        config = parse_yaml(content)
    except (*CONTRADICTIONS, MemoryError) as error:
        raise WeightsMismatch(
            f"{path} has no readable {CONFIG} ({first_line(error)}); {_AGAIN}"
        ) from error
    if not isinstance(config, dict):
        raise WeightsMismatch(f"{path} is not a NeMo model: {_AGAIN}.")
    return config


def read_members(path: Path, *names: str) -> list[bytes]:
    """Read members of a `.nemo` archive in memory and in one go, or raise `WeightsMismatch`."""
    found: dict[str, bytes] = {}
    try:
        with opened(path) as file:
            head = file.read(HEAD)
            if said := pointer(head):
                raise WeightsMismatch(f"{path} {said}")
            file.seek(0)
            zipped = head.startswith(b"\x1f\x8b")
            times = UNPACKED_TIMES if zipped else 1
            bounded = _Bounded(
                gzip.GzipFile(fileobj=file) if zipped else file,
                times * path.stat().st_size + UNPACKED,
            )
            with tarfile.open(fileobj=bounded, mode="r:") as archive:  # type: ignore[call-overload]
                for member in archive:
                    # what follows is only found by passing over this one
                    bounded.require(member.offset_data + member.size)
                    name = member.name.removeprefix("./")
                    # links are not followed: they could point at another member, or out of it
                    if member.isreg() and name in names and name not in found:
                        found[name] = _content(bounded, member, name)
                    if len(found) == len(names):
                        return [found[name] for name in names]
    except (tarfile.TarError, *DAMAGES, *CONTRADICTIONS) as error:
        raise WeightsMismatch(
            f"{path} is not a readable .nemo archive ({first_line(error)}); get the published one "
            "again"
        ) from error
    missing = next(name for name in names if name not in found)
    raise WeightsMismatch(f"{path} has no member {missing}: {_AGAIN}.")


def _content(source: _Bounded, member: tarfile.TarInfo, name: str) -> bytes:
    if member.issparse():
        raise tarfile.ReadError(f"{name} has holes in it, which NeMo never makes")
    if name == CONFIG and member.size > YAML.most:
        raise tarfile.ReadError(f"{name} {YAML.excess}")
    source.seek(member.offset_data)
    content = source.read(member.size)
    if len(content) < member.size:
        raise tarfile.ReadError(f"{name} ends too early")
    return content


class _Bounded:
    """A file for `tarfile`, which reads and passes over what a header says without any bound."""

    def __init__(self, file: BufferedReader | gzip.GzipFile, most: int) -> None:
        self.tell, self.seek = file.tell, file.seek
        self._file, self._most = file, most

    def require(self, end: int) -> None:
        """Refuse what lies further on than an archive of this size can reach."""
        if end > self._most:
            raise tarfile.ReadError(f"it says of itself that it unpacks to {in_words(end)}")

    def read(self, count: int) -> bytes:
        """Bytes from here on."""
        self.require(self.tell() + count)
        return self._file.read(count)
