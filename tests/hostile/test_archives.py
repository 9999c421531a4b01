"""Archives of NeMo's layout from strangers load, or are refused in one sentence."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import nemo.collections.asr  # noqa: F401 what takes long to import is no part of a test
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbones import BackboneError
from backbones._nemo.archive import CONFIG, TENSORS, read_nemo
from backbones.weights import resolve
from bench.plugins import BACKBONES
from tests.backbones._nemo import make_nemo
from tests.hostile.conftest import refused

GIB = 1 << 30
MIB = 1 << 20


def member(name: str, content: bytes, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size = len(content)
    for key, value in fields.items():
        setattr(found, key, value)
    return found, content


def pack(
    path: Path,
    *members: tuple[tarfile.TarInfo, bytes],
    mode: str = "w",
    form: int = tarfile.PAX_FORMAT,
) -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def plain(target: str = "ConformerEncoder", **changed: Any) -> bytes:
    return yaml.safe_dump(make_nemo.config(target, **changed)).encode()


def loaded(path: Path) -> None:
    name = f"nemo:{path}"
    BACKBONES.create(name, resolve(BACKBONES.get(name).info)).load()


def refusal(path: Path) -> str:
    return refused(BackboneError, loaded, path)


# --- what is packed -----------------------------------------------------------------------------


def bomb(path: Path, name: str) -> Path:
    """An archive whose first member is a gigabyte of zeros, a megabyte of them packed once."""
    zeros, last = gzip.compress(bytes(MIB)), plain()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member(CONFIG, last)[0], io.BytesIO(last))
    with path.open("wb") as file:
        file.write(gzip.compress(member(name, b"", size=GIB)[0].tobuf()))
        file.writelines([zeros] * (GIB // MIB))
        file.write(gzip.compress(packed.getvalue()))
    return path


@pytest.mark.parametrize("name", [CONFIG, TENSORS, "x"])
def test_a_megabyte_does_not_unpack_to_a_gigabyte(name: str, tmp_path: Path) -> None:
    assert "1 GiB" in refusal(bomb(tmp_path / "x.nemo", name))


@pytest.mark.parametrize("name", [CONFIG, TENSORS, "x"])
def test_a_member_is_no_larger_than_its_archive(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.nemo"
    header, _ = member(name, b"", size=100 * GIB)
    path.write_bytes(header.tobuf() + plain())
    refusal(path)


@pytest.mark.parametrize("name", [CONFIG, TENSORS])
def test_a_member_with_holes_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.nemo"
    holes = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    holes |= {"GNU.sparse.name": name, "GNU.sparse.realsize": str(1 << 19)}
    first = () if name == CONFIG else (member(CONFIG, plain()),)
    pack(path, *first, member(name, b"1\n0\n0\n".ljust(512, b"\0"), pax_headers=holes))
    assert "has holes in it" in refusal(path)


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.size": "abc", "GNU.sparse.map": "0,1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"size": "-5"},
        {"size": str(10**30)},
        {"mtime": "nan"},
    ],
    ids=repr,
)
def test_headers_that_are_none(headers: dict[str, str], tmp_path: Path) -> None:
    path = pack(tmp_path / "x.nemo", member(CONFIG, b"x", pax_headers=headers))
    refusal(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_nothing_but_a_file_is_read(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.nemo"
    pack(path, member(CONFIG, b"", type=kind, linkname="/etc/passwd"))
    assert "has no member" in refusal(path)


@pytest.mark.parametrize("damage", ["checksum", "cut", "deflated"])
def test_a_compressed_archive_that_is_damaged(damage: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "x.nemo", member(CONFIG, plain()), mode="w:gz")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[-6 if damage == "checksum" else 40] ^= 255
    path.write_bytes(content)
    refusal(path)


# --- the configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"a: 2001-99-99",
        b"[" * 20_000,
        b"\xff\xfe\x00",
        b"x: " + b" " * (1 << 20),
        b"encoder: 5",
        b"encoder: {_target_: x.ConformerEncoder, params: 5}",
        b"encoder: {_target_: [x]}",
        b'encoder: {_target_: "\\e]0;"}',
        b"? [a]\n: b",
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n".encode()
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + b"encoder: {_target_: *i}",
    ],
    ids=range(10),
)
def test_a_configuration_that_is_none(content: bytes, tmp_path: Path) -> None:
    refusal(pack(tmp_path / "x.nemo", member(CONFIG, content)))


@pytest.mark.parametrize(
    ("target", "changed"),
    [
        ("ConformerEncoder", {"n_layers": 10**6}),
        ("ConformerEncoder", {"d_model": 10**9}),
        ("ConformerEncoder", {"d_model": 8192, "n_layers": 48}),
        ("ConformerEncoder", {"d_model": 65_536, "n_layers": 200, "n_heads": 2}),
        ("ConformerEncoder", {"pos_emb_max_len": 10**9}),
        ("ConformerEncoder", {"n_layers": [2]}),
        ("ConvASREncoder", {"jasper": make_nemo.CITRINET["jasper"] * 1000}),
        ("ConvASREncoder", {"jasper": 5}),
        ("ConvASREncoder", {"jasper": [5]}),
        ("ConvASREncoder", {"jasper": [{**make_nemo.CITRINET["jasper"][0], "repeat": 10**6}]}),
        ("ConvASREncoder", {"jasper": [{**make_nemo.CITRINET["jasper"][0], "filters": 10**6}]}),
        ("ConvASREncoder", {"normalization_mode": "\x1b" + "x" * 100_000}),
    ],
    ids=range(12),
)
def test_a_network_that_nothing_could_fill(
    target: str, changed: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.nemo"
    make_nemo.write(path, make_nemo.config(target, **changed), {"encoder.a": torch.zeros(9)})
    refusal(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"sample_rate": 10**9},
        {"window_size": 10**4},
        {"n_fft": 10**9},
        {"features": 10**6},
        {"window_stride": 1e-9},
        {"window_stride": 0},
        {"sample_rate": "fast"},
    ],
    ids=repr,
)
def test_features_beyond_any_sound(changed: dict[str, Any], tmp_path: Path) -> None:
    found = make_nemo.config("ConformerEncoder")
    found["preprocessor"].update(changed)
    refusal(make_nemo.write(tmp_path / "x.nemo", found, {"encoder.a": torch.zeros(9)}))


def test_a_plugins_archive_with_wider_blocks_than_its_weights_fill(tmp_path: Path) -> None:
    from backbones._nemo.quartznet import FEATURE_SETTINGS, quartznet_config

    wide = quartznet_config("small")
    for block in wide["jasper"]:
        block["filters"] = 60_000
    found = {
        "preprocessor": {"_target_": "x.AudioToMelSpectrogramPreprocessor", **FEATURE_SETTINGS},
        "encoder": {"_target_": "x.ConvASREncoder", **wide},
    }
    make_nemo.write(tmp_path / "quartznet.nemo", found, {"encoder.a": torch.zeros(9)})
    weights = resolve(BACKBONES.get("quartznet").info, root=tmp_path)
    with pytest.raises(BackboneError, match="can fill"):
        BACKBONES.create("quartznet", weights).load()


@pytest.mark.parametrize("tensors", [[], {"a": 1}, {"encoder.a": torch.zeros(1).expand(10**9)}])
def test_tensors_that_are_none(tensors: Any, tmp_path: Path) -> None:
    refusal(make_nemo.write(tmp_path / "x.nemo", make_nemo.config("ConformerEncoder"), tensors))


# --- anything at all ----------------------------------------------------------------------------

NAMES = st.sampled_from([CONFIG, TENSORS, f"./{CONFIG}", f"./{TENSORS}", "x", "../x", ""])
MEMBERS = st.lists(
    st.tuples(
        NAMES,
        st.binary(max_size=600),
        st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE, b"\xff"]),
        st.dictionaries(
            st.sampled_from(["size", "path", "GNU.sparse.map", "GNU.sparse.size", "mtime"]),
            st.sampled_from(["0", "-1", "abc", "1e9", "9" * 30, "1,2", "ü"]),
            max_size=2,
        ),
    ),
    max_size=4,
)


def _read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with suppress(BackboneError):
        config, tensors, _ = read_nemo(path)
        assert isinstance(config, dict)
        assert all(map(torch.is_tensor, tensors.values()))


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(members=MEMBERS, mode=st.sampled_from(["w", "w:gz"]))
def test_any_members(members: list[Any], mode: str, tmp_path: Path) -> None:
    made = [
        member(name, content, type=kind, pax_headers=headers)
        for name, content, kind, headers in members
    ]
    path = pack(tmp_path / "made.nemo", *made, mode=mode)
    _read(tmp_path / "x.nemo", path.read_bytes())


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """An archive as it is, and in gzip."""
    path = tmp_path_factory.mktemp("honest") / "x.nemo"
    content = make_nemo.save(path, "ConvASREncoder").read_bytes()
    return content, gzip.compress(content)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    zipped=st.booleans(),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_any_damage(
    zipped: bool,
    damage: list[tuple[float, bytes]],
    kept: float,
    honest: tuple[bytes, bytes],
    tmp_path: Path,
) -> None:
    content = bytearray(honest[zipped])
    for place, written in damage:
        start = int(place * (len(content) - len(written)))
        content[start : start + len(written)] = written
    _read(tmp_path / "x.nemo", bytes(content[: round(kept * len(content))]))
