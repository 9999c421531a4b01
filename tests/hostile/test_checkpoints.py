"""Checkpoints from strangers load, or are refused in one sentence, in seconds and little memory."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backbones import BackboneError, WeightsMismatch, weights
from backbones._conformance.golden import write_golden
from backbones._hf.hub import settings_folder
from backbones._tensors.checkpoints import read_pickle
from backbones.base import first_line
from backbones.checks import BackboneSubject
from backbones.names import parse
from backbones.weights import resolve
from bench.plugins import BACKBONES
from tests.backbones._hf import make_hf
from tests.backbones._hf.fake_hub import INFO, Hub
from tests.backbones.broken.reference import PRETRAINED, Reference
from tests.backbones.conftest import hub, hub_cache  # noqa: F401 fixtures
from tests.hostile.conftest import refused

ESCAPE = "\x1b]0;"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hf.save("wav2vec2-layer", tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of a small checkpoint, to be damaged."""
    return shutil.copytree(saved, tmp_path / "model")


def change(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def loaded(folder: Path) -> None:
    name = f"hf:{folder}"
    backbone = BACKBONES.create(name, resolve(BACKBONES.get(name).info, allow_download=False))
    backbone.load()


def refusal(folder: Path) -> str:
    return refused(BackboneError, loaded, folder)


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"model_type": ["wav2vec2"]}',
        b'{"model_type": "\\u001b]0;' + b"x" * 100_000 + b'"}',
        b'{"x": "' + b" " * (17 << 20) + b'"}',
    ],
)
def test_a_file_of_settings_that_is_none(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    refusal(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 10**400},
        {"hidden_size": 10**9},
        {"hidden_size": 8192, "num_hidden_layers": 48},
        {"intermediate_size": 10**7},
        {"conv_dim": [16] * 100_000},
        {"conv_dim": [1] * 7, "conv_kernel": [10**9] * 7},
        {"conv_stride": [5000] * 7},
        {"conv_kernel": [900] * 7},
        {"layer_norm_eps": float("inf")},
        {"feat_extract_norm": ESCAPE + "x" * 10_000},
    ],
    ids=lambda settings: repr(settings)[:60],
)
def test_a_network_that_nothing_could_fill(settings: dict[str, Any], folder: Path) -> None:
    change(folder / "config.json", **settings)
    refusal(folder)


@pytest.mark.parametrize("settings", [{"num_labels": 10**9}, {"id2label": {"0": "a"}}])
def test_labels_are_not_made_of_a_classifier_that_is_not_built(
    settings: dict[str, Any], folder: Path
) -> None:
    change(folder / "config.json", **settings)
    loaded(folder)


@pytest.mark.parametrize("name", ["xlsr", "wav2vec2"])
def test_a_plugins_weights_with_settings_of_a_larger_network(
    name: str, saved: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved, tmp_path / name)
    change(folder / "config.json", hidden_size=8192, num_hidden_layers=48)
    backbone = BACKBONES.create(name, resolve(BACKBONES.get(name).info, root=tmp_path))
    with pytest.raises(WeightsMismatch, match="can fill"):
        backbone.load()


def test_random_weights_of_a_network_that_no_memory_holds(folder: Path) -> None:
    change(folder / "config.json", hidden_size=65_536, intermediate_size=65_536)
    with pytest.raises(BackboneError, match="more than the 10,000,000,000"):
        BACKBONES.get(f"hf:{folder}")


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling_rate": 10**9},
        {"sampling_rate": 1},
        {"sampling_rate": [16_000]},
        {"feature_extractor_type": ESCAPE},
    ],
    ids=lambda settings: repr(settings)[:60],
)
def test_features_beyond_any_sound(settings: dict[str, Any], folder: Path) -> None:
    change(folder / "preprocessor_config.json", **settings)
    refusal(folder)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("whisper", {"n_fft": 10**9}), ("wav2vec2-bert", {"stride": 10**9})],
)
def test_windows_beyond_any_sound(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = make_hf.save(name, tmp_path / "model")
    change(folder / "preprocessor_config.json", **settings)
    refusal(folder)


@pytest.mark.parametrize(
    "front",
    [
        "license: " + "[" * 5000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "license: *i",
        "license: {a: b}",
        "license: [1, 2]",
        "x: [" + "1," * 100_000 + "]\nlicense: mit",
        "license: mit\ndate: 2024-13-45",
    ],
    ids=range(6),
)
def test_a_model_card_that_is_none(front: str, folder: Path) -> None:
    (folder / "README.md").write_text(f"---\n{front}\n---\n")
    assert BACKBONES.get(f"hf:{folder}").info.licence.startswith("unknown")


def test_a_licence_is_short_and_printable(folder: Path) -> None:
    (folder / "README.md").write_text(f'---\nlicense: "a\\e]0;{"b" * 9000}"\n---\n')
    licence = BACKBONES.get(f"hf:{folder}").info.licence
    assert licence.isprintable()
    assert len(licence) < 400


# --- weights ----------------------------------------------------------------------------------


def sharded(folder: Path, index: bytes) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_bytes(index)


@pytest.mark.parametrize(
    "index",
    [
        b"[" * 100_000,
        b'{"weight_map": {"a": "../x.safetensors"}}',
        b'{"weight_map": {"a": "\\u001b]0;.safetensors"}}',
        b'{"weight_map": [1]}',
        b"\xff",
    ],
)
def test_an_index_of_weights_that_is_none(index: bytes, folder: Path) -> None:
    sharded(folder, index)
    refusal(folder)


def bare(*pickles: bytes) -> bytes:
    return b"".join(pickles)


def zipped(pickled: bytes, method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    """A checkpoint as torch lays it out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def saved_by_torch(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


BYTEARRAY = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R."
TENSOR = b"\x80\x02ctorch\nFloatTensor\n\x8a\x05\x00\xe8\x76\x48\x17\x85R."
HOLLOW: dict[str, Callable[[], bytes]] = {
    "stride 0": lambda: saved_by_torch({"a": torch.zeros(1).expand(3_000_000_000)}),
    "meta": lambda: saved_by_torch({"a": torch.empty(10**11, device="meta")}),
    "sparse": lambda: saved_by_torch({"a": torch.zeros(9, 9).to_sparse()}),
    "one for all": lambda: saved_by_torch(dict.fromkeys(map(str, range(99)), torch.zeros(10**6))),
    "bytearray": lambda: zipped(BYTEARRAY),
    "bytearray, bare": lambda: bare(BYTEARRAY),
    "bytearray, third": lambda: bare(pickle.dumps(1, 2), pickle.dumps(2, 2), BYTEARRAY),
    "Tensor": lambda: zipped(TENSOR.replace(b"Float", b"")),
    "FloatTensor": lambda: zipped(TENSOR),
    "bomb": lambda: zipped(b"\x80\x02" + b"]" * (64 << 20), zipfile.ZIP_DEFLATED),
    "stored": lambda: zipped(b"\x80\x02" + b"]0" * (9 << 20) + b"."),
    "empty": lambda: b"",
    "pop": lambda: bare(b"\x80\x02."),
    "get": lambda: bare(b"\x80\x02h\x05."),
    "reduce": lambda: bare(b"\x80\x02R."),
    "pop, zip": lambda: zipped(b"\x80\x02."),
    "get, zip": lambda: zipped(b"\x80\x02h\x05."),
    "long text": lambda: zipped(b"\x80\x02X\xff\xff\xff\xffabc."),
    "words": lambda: saved_by_torch({"a": "words", "b": [1]}),
    "list": lambda: saved_by_torch([torch.zeros(3)]),
    "zip of nothing": lambda: b"PK\x03\x04" + b"\0" * 100,
    "names": lambda: saved_by_torch({ESCAPE + "x" * 100_000: torch.zeros(3)}),
}


@pytest.mark.parametrize("kind", HOLLOW)
def test_a_pickle_that_is_damaged_or_wants_memory(kind: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(HOLLOW[kind]())
    refusal(folder)
    with pytest.raises(WeightsMismatch):
        # of the archive of NeMo's, in memory; only the names are the network's to refuse
        read_pickle(HOLLOW[kind]() if kind != "names" else b"", "it", "get it again")


def test_what_torch_saves_is_read(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    plain = {name: tensor.half() for name, tensor in tensors.items()}
    with_attributes = torch.nn.Parameter(torch.ones(2))
    with_attributes.note = "x"  # type: ignore[attr-defined]
    buffer = torch.nn.Buffer(torch.ones(2))
    for way in (True, False):
        file = io.BytesIO()
        torch.save(
            {**plain, "p": with_attributes, "b": buffer}, file, _use_new_zipfile_serialization=way
        )
        assert read_pickle(file.getvalue(), "it", "again").keys() == {*plain, "p", "b"}


def test_a_rate_that_sound_has_is_read(folder: Path) -> None:
    change(folder / "preprocessor_config.json", sampling_rate=96_000)
    assert BACKBONES.get(f"hf:{folder}").info.sample_rate == 96_000


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 2000])
def test_weights_cut_short(cut: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    refusal(folder)


# --- what is on the hub, and on the web ---------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["foo--bar", "foo..bar", "foo.", "a/b--c", "a-/b", "a.git", "x" * 97]
)
def test_a_repository_that_can_have_no_such_name(where: str) -> None:
    with pytest.raises(BackboneError, match="what follows hf: is a repository of the hub"):
        parse(f"hf:{where}")


def test_settings_of_the_hub_are_asked_for_their_size_first(
    hub: type[Hub],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = parse(f"hf:{INFO.weights_id}")
    assert address is not None
    monkeypatch.setattr(Hub, "sizes", {"config.json": 50 << 30})
    with pytest.raises(BackboneError, match=r"config\.json of .* is larger than 16 MiB"):
        settings_folder(address)
    monkeypatch.setattr(Hub, "sizes", {"README.md": 50 << 30})
    assert not (settings_folder(address) / "README.md").exists()
    monkeypatch.setattr(Hub, "sizes", {"pytorch_model.bin": 1 << 60})
    with pytest.raises(BackboneError, match="do not fit into"):
        weights.resolve(INFO)


def test_what_is_called_like_weights_and_is_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thing" / "x.nemo").mkdir(parents=True)
    assert weights.availability(INFO, tmp_path)[0] == "broken"


# --- texts and golden files ---------------------------------------------------------------------


def test_what_a_library_says_is_cut_and_printable() -> None:
    line = first_line(ValueError(ESCAPE + "\x9b\r\u202e" + "x" * 10_000))
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"\xff"])
def test_golden_vectors_that_are_none(content: bytes, tmp_path: Path) -> None:
    subject = BackboneSubject(Reference, PRETRAINED)
    path = tmp_path / subject.golden_name
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="holds no golden vectors"):
        write_golden(subject, tmp_path)
    assert path.read_bytes() == content


def test_golden_vectors_are_not_written_through_a_link(tmp_path: Path) -> None:
    subject = BackboneSubject(Reference, PRETRAINED)
    victim = tmp_path / "victim"
    victim.write_text("{}")
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / subject.golden_name).symlink_to(victim)
    with pytest.raises(BackboneError, match="is a link"):
        write_golden(subject, tmp_path / "golden")
    assert victim.read_text() == "{}"


def nested(levels: int) -> bytes:
    """A tuple twice in a tuple twice in a tuple …, as the key of a dict."""
    pickled = b"\x80\x02})q\x00" + b"h\x00\x86q\x00" * levels + b"K\x01s."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3")
    return file.getvalue()


def test_a_pickle_whose_parts_double_is_refused_unread() -> None:
    with pytest.raises(WeightsMismatch, match="its pickle repeats its lists"):
        read_pickle(nested(60), "it", "get it again")
