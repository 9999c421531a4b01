"""Settings and weights of the hub's models are of one commit; what cannot be had is explained."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backbones import BackboneError, WeightsUnavailable, names, weights
from backbones._hf.hub import settings_folder
from bench.plugins import BACKBONES
from tests.backbones._hf.fake_hub import HUB_FILES, INFO, Hub


def parsed(name: str) -> names.Address:
    found = names.parse(name)
    assert found is not None
    return found


def test_settings_of_a_repository_come_without_its_weights_and_stay(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = parsed(f"hf:{INFO.weights_id}")
    folder = settings_folder(where)
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        "README.md",
    }
    before = len(hub.asked)
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    assert settings_folder(where) == folder
    assert len(hub.asked) == before


def test_weights_of_a_repository_follow_its_settings(hub: type[Hub]) -> None:
    info = replace(INFO, name=f"hf:{INFO.weights_id}")
    folder = settings_folder(parsed(info.name))
    assert weights.availability(info)[0] == "missing"
    found = weights.resolve(info)
    assert found.path == folder
    assert found.commit == folder.name
    assert found.sha == hashlib.sha256(b"published weights").hexdigest()
    # the same settings decide what random weights are shaped like
    assert weights.resolve(info, control="random-init").config_sha == found.config_sha
    assert weights.resolve(INFO, control="random-init").config_sha is None


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backbone whose settings are on the hub."""
    settings = {"model_type": "wav2vec2", "num_hidden_layers": 1, "hidden_size": 48}
    monkeypatch.setitem(HUB_FILES, "config.json", json.dumps(settings).encode())
    return f"hf:{INFO.weights_id}"


def test_settings_and_weights_are_of_one_commit(
    hub: type[Hub], published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = BACKBONES.get(published).info
    assert info.revision == "b" * 40
    # somebody publishes another version between the two
    monkeypatch.setattr(Hub, "commit", "c" * 40)
    monkeypatch.setitem(HUB_FILES, "config.json", b"{}")
    path = weights.resolve(info).path
    assert path is not None
    assert path.name == info.revision
    assert BACKBONES.get(published).info == info


def test_another_process_finds_the_commit_that_was_resolved(
    hub: type[Hub], hub_cache: Path, published: str
) -> None:
    """Offline, from the cache, even where the hub has moved on."""
    info = BACKBONES.get(published).info
    program = (
        "from backbones import names; "
        "from backbones._hf.hub import settings_folder; "
        f"print(settings_folder(names.parse({published!r})).name)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_CACHE": str(hub_cache), "VOXGRID_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == info.revision


@pytest.mark.parametrize(("stem", "suffix"), [("model", "safetensors"), ("pytorch_model", "bin")])
def test_weights_in_several_files_are_fetched_with_their_index(
    stem: str, suffix: str, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(HUB_FILES, "pytorch_model.bin")
    parts = {f"{stem}-0000{n}-of-00002.{suffix}": f"part {n}".encode() for n in (1, 2)}
    where = f"{stem}.{suffix}.index.json"
    index = {"weight_map": dict(zip("ab", parts, strict=True))}
    for name, content in parts.items():
        monkeypatch.setitem(HUB_FILES, name, content)
    monkeypatch.setitem(HUB_FILES, where, json.dumps(index).encode())
    found = weights.resolve(INFO)
    assert found.path is not None
    assert {file.name for file in found.path.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        where,
        *parts,
    }
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    assert weights.resolve(INFO) == found
    # as an interrupted download leaves it
    (found.path / max(parts)).unlink()
    with pytest.raises(WeightsUnavailable, match="VOXGRID_OFFLINE is set"):
        weights.resolve(INFO)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:someone/typo", "has no repository someone/typo, or it is private: check its spelling"),
        ("hf:someone/gated", "is gated: accept its terms at http"),
        (f"hf:{INFO.weights_id}@nope", "has no revision 'nope': pick a branch, tag or commit"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_with_the_next_step(
    name: str, said: str, hub: type[Hub]
) -> None:
    with pytest.raises(BackboneError) as caught:
        settings_folder(parsed(name))
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert said in message
    assert "\n" not in message


def test_a_folder_that_was_meant_is_pointed_out(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "someone" / "typo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackboneError, match=r"write hf:\./someone/typo for the folder here"):
        settings_folder(parsed("hf:someone/typo"))


def test_settings_that_cannot_be_had_say_how_to_get_them(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = parsed("hf:someone/thing-large@v1")
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="VOXGRID_OFFLINE is set") as caught:
        settings_folder(where)
    assert "hf download someone/thing-large --revision v1" in str(caught.value)
    with pytest.raises(WeightsUnavailable, match="downloads are not allowed"):
        settings_folder(where, allow_download=False)
    assert hub.asked == []
