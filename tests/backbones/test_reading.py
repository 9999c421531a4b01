"""A Git LFS pointer is called so, wherever a file of a person's own is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbones import BackboneError
from backbones.reading import HEAD, pointer
from backbones.weights import availability, resolve
from bench.audio.decode import load
from bench.errors import ClipError, UserError
from bench.plugins import BACKBONES
from bench.tasks.youtube import table

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 377607901\n" % (
    b"0" * 64
)
SAID = "is a Git LFS pointer and not the file itself: fetch it with `git lfs pull`"


def test_a_pointer_is_known_by_its_first_bytes() -> None:
    assert pointer(POINTER[:HEAD]) == pointer(POINTER) == SAID
    assert pointer(POINTER[: HEAD - 1]) is None
    assert pointer(b"RIFF") is None
    assert pointer(b"") is None


@pytest.mark.parametrize("file", ["xlsr/model.safetensors", "xlsr/pytorch_model.bin", "xlsr.nemo"])
def test_weights(file: str, tmp_path: Path) -> None:
    (tmp_path / "xlsr").mkdir()
    (tmp_path / "xlsr" / "config.json").write_text("{}")
    (tmp_path / file).write_bytes(POINTER)
    info = BACKBONES.get("xlsr").info
    with pytest.raises(BackboneError) as caught:
        resolve(info, root=tmp_path)
    assert str(caught.value) == f"xlsr: {tmp_path / file} {SAID}"
    assert availability(info, tmp_path) == ("broken", str(caught.value))


def test_an_archive_by_its_address(tmp_path: Path) -> None:
    (tmp_path / "x.nemo").write_bytes(POINTER)
    with pytest.raises(BackboneError, match=r"x\.nemo is a Git LFS pointer"):
        BACKBONES.get(f"nemo:{tmp_path / 'x.nemo'}")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
def test_sound(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(ClipError) as caught:
        load(tmp_path / name)
    assert str(caught.value) == f"{name}: {SAID}"


def test_a_table() -> None:
    with pytest.raises(UserError) as caught:
        table.parse(POINTER, "youtube.csv")
    assert str(caught.value) == f"the table youtube.csv {SAID}"
