"""Weights are found in the promised order, and their absence is explained."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants

from backbones import BackboneError, Weights, WeightsUnavailable, names, weights
from tests.backbones._hf.fake_hub import INFO, Hub

pytestmark = pytest.mark.usefixtures("hub_cache")


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
    assert found.commit is None
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
    monkeypatch.setattr(httpx, "head", lambda url, **_: pytest.fail(f"asked {url}"))
    found = weights.resolve(INFO)
    assert found.path == folder
    assert found.commit == "a" * 40
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
    with pytest.raises(BackboneError, match=r"thing lacks one of model\.safetensors") as caught:
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
    assert weights.availability(INFO, tmp_path) == ("missing", names.how_to_get(INFO))


@pytest.mark.parametrize("variable", ["VOXGRID_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_is_respected(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "head", lambda url, **_: pytest.fail(f"asked {url}"))
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", variable == "HF_HUB_OFFLINE")
    with pytest.raises(WeightsUnavailable, match=f"{variable} is set"):
        weights.resolve(INFO)


def test_an_unreachable_host_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert found.commit is None
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


def test_hub_download_takes_one_format_and_is_found_offline_afterwards(
    hub: type[Hub], hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = weights.resolve(INFO)
    assert found.path is not None
    assert found.path.is_relative_to(hub_cache)
    assert INFO.revision == "main"
    assert found.commit == hub.commit
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


def test_a_path_is_never_looked_for_elsewhere(tmp_path: Path, hub: type[Hub]) -> None:
    info = replace(INFO, name=f"hf:{tmp_path}/mine", weights_id=f"{tmp_path}/mine")
    with pytest.raises(BackboneError, match=r"lacks config\.json and one of"):
        weights.resolve(info)
    folder = checkpoint(tmp_path / "mine", b"own")
    assert weights.resolve(info).path == folder
    assert hub.asked == []
