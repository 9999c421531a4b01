"""Weights are found in the promised order, and their absence is explained."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from huggingface_hub import constants

from backbones import BackboneError, BackboneInfo, Weights, WeightsUnavailable, names, weights
from backbones._hub import settings_folder
from bench.plugins import BACKBONES

INFO = BackboneInfo(
    name="thing",
    summary="a thing",
    weights_id="someone/thing-large",
    revision="main",
    licence="MIT",
    sample_rate=16_000,
    layers=3,
    width=8,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=1,
)


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, no local folder, and a network that is not asked unless a test says so."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "voxgrid-cache"))
    monkeypatch.delenv("VOXGRID_WEIGHTS", raising=False)
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)
    weights.reachable.cache_clear()
    return cache


def checkpoint(folder: Path, content: bytes = b"weights", name: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes(content)
    return folder


def cached(hub_cache: Path, content: bytes = b"cached") -> Path:
    repository = hub_cache / "models--someone--thing-large"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    return checkpoint(repository / "snapshots" / ("a" * 40), content, "pytorch_model.bin")


def test_local_folder_comes_before_the_hub_cache(tmp_path: Path, hub_cache: Path) -> None:
    cached(hub_cache)
    folder = checkpoint(tmp_path / "root" / "thing", b"local")
    found = weights.resolve(INFO, root=tmp_path / "root")
    assert found.path == folder
    assert found.kind == "pretrained"
    assert found.id == INFO.weights_id
    assert found.sha == hashlib.sha256(b"local").hexdigest()


def test_environment_names_the_local_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "root" / "thing")
    monkeypatch.setenv("VOXGRID_WEIGHTS", str(tmp_path / "root"))
    assert weights.resolve(INFO).path == folder


def test_nemo_archive_is_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "thing.nemo").write_bytes(b"archive")
    found = weights.resolve(INFO, root=tmp_path)
    assert found.path == tmp_path / "thing.nemo"
    assert found.sha == hashlib.sha256(b"archive").hexdigest()


def test_hub_cache_is_used_without_the_network(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cached(hub_cache)
    monkeypatch.setattr(weights, "reachable", lambda origin: pytest.fail(f"asked {origin}"))
    found = weights.resolve(INFO)
    assert found.path == folder
    assert found.sha == hashlib.sha256(b"cached").hexdigest()


def test_hub_cache_without_weight_file_does_not_count(hub_cache: Path) -> None:
    (cached(hub_cache) / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsUnavailable):
        weights.resolve(INFO, allow_download=False)


def test_sha_follows_the_content(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "thing", b"one")
    before = weights.resolve(INFO, root=tmp_path).sha
    (folder / "model.safetensors").write_bytes(b"two")
    assert weights.resolve(INFO, root=tmp_path).sha != before


def test_folder_without_weights_is_an_error_not_a_download(tmp_path: Path) -> None:
    (checkpoint(tmp_path / "thing") / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"thing needs config\.json and one of") as caught:
        weights.resolve(INFO, root=tmp_path)
    assert not isinstance(caught.value, WeightsUnavailable)
    assert weights.availability(INFO, tmp_path)[0] == "broken"


def test_absence_is_one_sentence_that_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        weights.resolve(INFO, root=tmp_path, allow_download=False)
    message = str(caught.value)
    assert "\n" not in message
    assert (
        "get them with: hf download someone/thing-large --local-dir $VOXGRID_WEIGHTS/thing"
        in message
    )
    assert weights.availability(INFO, tmp_path) == ("missing", weights.how_to_get(INFO))


@pytest.mark.parametrize("variable", ["VOXGRID_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_is_respected(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "reachable", lambda origin: pytest.fail(f"asked {origin}"))
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", variable == "HF_HUB_OFFLINE")
    with pytest.raises(WeightsUnavailable, match=f"{variable} is set"):
        weights.resolve(INFO)


def test_an_unreachable_host_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    asked: list[str] = []

    def refuse(url: str, **_: object) -> httpx.Response:
        asked.append(url)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "head", refuse)
    for _ in range(3):
        with pytest.raises(WeightsUnavailable, match="does not answer"):
            weights.resolve(INFO)
    assert asked == [constants.ENDPOINT]


def test_random_initialisation_only_when_asked_for(tmp_path: Path) -> None:
    assert weights.resolve(INFO, sample=True, seed=3) == Weights(
        "random-init", id=INFO.weights_id, size="small", seed=3
    )
    assert weights.resolve(INFO, control="random-init", root=tmp_path) == Weights(
        "random-init", id=INFO.weights_id, size="full"
    )


def test_hand_made_features_need_no_weights() -> None:
    info = replace(INFO, weights_id=None, revision=None)
    assert weights.resolve(info, control="random-init") == Weights("none")
    assert weights.availability(info)[0] == "not needed"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An archive on a web server on this machine."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "thing.nemo").write_bytes(b"archive")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/thing.nemo"
    server.shutdown()
    server.server_close()


def test_address_is_downloaded_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = hashlib.sha256(b"archive").hexdigest()
    info = replace(INFO, weights_id=address, revision=f"sha256:{sha}")
    found = weights.resolve(info)
    assert found.path == tmp_path / "voxgrid-cache" / "weights" / "thing.nemo"
    assert found.sha == sha
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    assert weights.resolve(info) == found
    assert weights.availability(info) == ("found", str(found.path))


def test_download_with_a_wrong_hash_is_refused(address: str, tmp_path: Path) -> None:
    info = replace(INFO, weights_id=address, revision="sha256:" + "0" * 64)
    with pytest.raises(WeightsUnavailable, match="download failed"):
        weights.resolve(info)
    assert not list((tmp_path / "voxgrid-cache").rglob("*.nemo"))


def test_damaged_download_is_not_taken_from_the_cache(address: str, tmp_path: Path) -> None:
    sha = hashlib.sha256(b"archive").hexdigest()
    info = replace(INFO, weights_id=address, revision=f"sha256:{sha}")
    path = weights.resolve(info).path
    assert path is not None
    path.write_bytes(b"damaged")
    assert weights.resolve(info).sha == sha


HUB_FILES = {
    "config.json": b"{}",
    "preprocessor_config.json": b"{}",
    "pytorch_model.bin": b"published weights",
    "tf_model.h5": b"the same once more",
    "README.md": b"a thing",
}


REFUSALS = {"someone/typo": (404, "RepoNotFound"), "someone/gated": (403, "GatedRepo")}


class Hub(BaseHTTPRequestHandler):
    """What of the Hugging Face hub a download touches."""

    protocol_version = "HTTP/1.1"
    commit = "b" * 40
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        api, files = f"/api/models/{INFO.weights_id}", f"/{INFO.weights_id}/resolve/"
        if path == "/":
            self.answer(b"")
        elif any(path.startswith(f"/api/models/{name}") for name in REFUSALS):
            status, code = next(v for name, v in REFUSALS.items() if f"/{name}" in path)
            self.refuse(status, code)
        elif path.startswith(f"{api}/revision/nope"):
            self.refuse(404, "RevisionNotFound")
        elif path.startswith(f"{api}/revision/"):
            siblings = [{"rfilename": name} for name in HUB_FILES]
            sha = self.commit_of(path.removeprefix(f"{api}/revision/"))
            self.answer_json({"id": INFO.weights_id, "sha": sha, "siblings": siblings})
        elif path.startswith(f"{api}/tree/"):
            self.answer_json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": "d" * 40}
                    for name, content in HUB_FILES.items()
                ]
            )
        elif path.startswith(files):
            content = HUB_FILES[path.rpartition("/")[2]]
            etag = hashlib.sha256(content).hexdigest()
            commit = self.commit_of(path.removeprefix(files).partition("/")[0])
            self.answer(content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})
        else:
            self.send_error(404)

    def commit_of(self, revision: str) -> str:
        return revision if len(revision) == len(self.commit) else self.commit

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_json(self, value: object) -> None:
        self.answer(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Hub.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield Hub
    server.shutdown()
    server.server_close()


def test_hub_download_takes_one_format_and_is_found_offline_afterwards(
    hub: type[Hub], hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = weights.resolve(INFO)
    assert found.path is not None
    assert found.path.is_relative_to(hub_cache)
    assert {file.name for file in found.path.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        "pytorch_model.bin",
    }
    assert found.sha == hashlib.sha256(b"published weights").hexdigest()
    assert not any(path.endswith(".h5") for path in hub.asked)

    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    assert weights.resolve(INFO) == found


def test_repository_the_hub_does_not_know_is_unavailable(hub: type[Hub]) -> None:
    info = replace(INFO, weights_id="someone/else")
    with pytest.raises(WeightsUnavailable, match="someone/else unavailable"):
        weights.resolve(info)


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
        "from backbones import _hub, names; "
        f"print(_hub.settings_folder(names.parse({published!r})).name)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_CACHE": str(hub_cache), "VOXGRID_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == info.revision


def test_weights_in_several_files_are_fetched_with_their_index(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {f"model-0000{n}-of-00002.safetensors": f"part {n}".encode() for n in (1, 2)}
    index = {"weight_map": dict(zip("ab", parts, strict=True))}
    for name, content in parts.items():
        monkeypatch.setitem(HUB_FILES, name, content)
    monkeypatch.setitem(HUB_FILES, weights.WEIGHT_INDEX, json.dumps(index).encode())
    found = weights.resolve(INFO)
    assert found.path is not None
    assert {file.name for file in found.path.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        weights.WEIGHT_INDEX,
        *parts,
    }
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    assert weights.resolve(INFO) == found
    # as an interrupted download leaves it
    (found.path / "model-00002-of-00002.safetensors").unlink()
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


def test_a_path_is_never_looked_for_elsewhere(tmp_path: Path, hub: type[Hub]) -> None:
    info = replace(INFO, name=f"hf:{tmp_path}/mine", weights_id=f"{tmp_path}/mine")
    with pytest.raises(BackboneError, match=r"needs config\.json and one of"):
        weights.resolve(info)
    folder = checkpoint(tmp_path / "mine", b"own")
    assert weights.resolve(info).path == folder
    assert hub.asked == []
