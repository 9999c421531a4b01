"""A Hugging Face hub on this machine, with one repository."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import parse_qsl

from backbones import BackboneInfo

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
    # of files that are said to be larger than what comes
    sizes: ClassVar[dict[str, int]] = {}

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """Which of some files there are, and how large."""
        path = self.path.partition("?")[0]
        self.asked.append(path)
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        named = [value for key, value in parse_qsl(form) if key == "paths"]
        refused = [v for name, v in REFUSALS.items() if f"/{name}/" in path]
        if refused or "/paths-info/nope" in path:
            self.refuse(*(refused or [(404, "RevisionNotFound")])[0])
        else:
            files = {name: content for name, content in HUB_FILES.items() if name in named}
            self.answer_json([self.described(*file) for file in files.items()])

    def described(self, name: str, content: bytes) -> dict[str, object]:
        size = self.sizes.get(name, len(content))
        return {"type": "file", "path": name, "size": size, "oid": "d" * 40}

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
            self.answer_json([self.described(*file) for file in HUB_FILES.items()])
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
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass
