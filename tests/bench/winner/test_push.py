"""A winner pushed to a hub on this machine: its three files, and only when asked."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.bench.tasks.own.make_own import make_clips
from tests.bench.winner.make_winner import make_winner
from tests.conftest import Voxgrid


class Hub(BaseHTTPRequestHandler):
    """What of the hub an upload touches."""

    repositories: ClassVar[list[dict[str, object]]] = []
    files: ClassVar[dict[str, bytes]] = {}
    tokens: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.tokens.append(self.headers.get("Authorization"))
        place = self.path.partition("?")[0]
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self._answer({"error": "Invalid username or password."}, 401)
        if place == "/api/repos/create":
            self.repositories.append(json.loads(text))
            return self._answer({"url": f"{self._address}/someone/model"})
        if place == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if place.endswith("/preupload/main"):
            named = [each["path"] for each in json.loads(text)["files"]]
            return self._answer(
                {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False}
                           for n in named]}
            )  # fmt: skip
        assert place.endswith("/commit/main"), place
        for line in map(json.loads, text.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.files[line["value"]["path"]] = content
        done = f"{self._address}/someone/model/commit/1"
        return self._answer({"commitUrl": done, "commitOid": "1"})

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def _answer(self, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for seen in (Hub.repositories, Hub.files, Hub.tokens):
        seen.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    clips = [path for path, _, _ in make_clips(tmp_path / "sound")]
    make_winner(tmp_path / "model", [("logmel", 0)], "mean", "lda", clips)
    return tmp_path / "model"


def test_its_files_are_pushed_to_a_private_repository(
    voxgrid_process: Voxgrid, hub: str, model: Path
) -> None:
    pushed = ("export", str(model), "--push=someone/model")
    asked = {"HF_ENDPOINT": hub, "HF_TOKEN": "hf_right", "NO_PROXY": "127.0.0.1"}
    asked |= {"VOXGRID_OFFLINE": "", "HF_HUB_OFFLINE": "0"}
    done = voxgrid_process(*pushed, **asked)
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub}/someone/model/commit/1" in done.stdout
    assert {each["visibility"] for each in Hub.repositories} == {"private"}
    assert Hub.files == {path.name: path.read_bytes() for path in model.iterdir()}
    refused = voxgrid_process(*pushed, **{**asked, "HF_TOKEN": "hf_wrong"})
    assert refused.returncode == 2
    assert "cannot be pushed to someone/model: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_nothing_is_pushed_offline_or_to_no_repository(voxgrid: Voxgrid, model: Path) -> None:
    refused = voxgrid("export", str(model), "--push=someone/model", VOXGRID_OFFLINE="1")
    assert refused.returncode == 2
    assert "VOXGRID_OFFLINE or --offline forbids the network" in refused.stderr
    refused = voxgrid("export", str(model), "--push=one/two/three", VOXGRID_OFFLINE="")
    assert refused.returncode == 2
    assert "'one/two/three' is no name of a repository: write OWNER/NAME" in refused.stderr
