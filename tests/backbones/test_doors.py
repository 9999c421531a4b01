"""Shared code stands without the plugins: deleting one breaks neither another nor an address."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import backbones
from bench.plugins import BACKBONES
from tests.backbones._hf import make_hf
from tests.backbones._nemo import make_nemo

ROOT = Path(backbones.__file__).parent
PLUGINS = {
    path.stem for path in ROOT.glob("[!_]*.py") if "\nINFO = BackboneInfo(" in path.read_text()
}
SHARED = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if path.parent != ROOT or path.stem not in {*PLUGINS, "__init__", "registry"}
]

# Encodes a clip with the backbone at an address, where no plugin can be imported.
ENCODE = """
import sys

class NoPlugins:
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.rpartition(".")
        if package == "backbones" and module in PLUGINS:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoPlugins())
import torch
from backbones import _hf, _nemo, names, weights

address = names.parse(ADDRESS)
door = _hf if address.scheme == "hf" else _nemo
cls = door.backbone_class(address)
backbone = cls(weights.resolve(cls.info, allow_download=False))
backbone.load()
frames = backbone.encode(torch.ones(1, 16_000), torch.tensor([16_000]))
print(len(frames.hidden))
"""


def test_every_plugin_is_known_here() -> None:
    assert set(BACKBONES.names()) == {name.replace("_", "-") for name in PLUGINS}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shared_code_imports_no_plugin(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported |= {str(node.module)}
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert not imported & {f"backbones.{plugin}" for plugin in PLUGINS}


@pytest.mark.parametrize("kind", ["hf:whisper", "hf:wav2vec2-layer", "nemo:citrinet"])
def test_addresses_work_without_any_plugin(kind: str, tmp_path: Path) -> None:
    if kind == "nemo:citrinet":
        path = make_nemo.save(tmp_path / "model.nemo", "ConvASREncoder")
    else:
        path = make_hf.save(kind.removeprefix("hf:"), tmp_path / "model")
    address = f"{kind.partition(':')[0]}:{path}"
    child = subprocess.run(
        [sys.executable, "-c", f"PLUGINS = {PLUGINS!r}\nADDRESS = {address!r}\n{ENCODE}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout.split()[-1]) == BACKBONES.get(address).info.layers
