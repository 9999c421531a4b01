"""Shared code stands without the plugins: deleting one breaks neither another nor an address."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import backbones
from backbones import _hf, _nemo
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


class NoPlugins:
    """Lets no plugin be imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        package, _, module = name.rpartition(".")
        if package == "backbones" and module in PLUGINS:
            raise ModuleNotFoundError(name)


@pytest.fixture
def _without_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import `backbones` anew, without any plugin, and then have the one back that was there."""

    def imported() -> dict[str, ModuleType]:
        return {k: v for k, v in sys.modules.items() if k.partition(".")[0] == "backbones"}

    def forget() -> None:
        for name in imported():
            del sys.modules[name]

    monkeypatch.setattr(sys, "meta_path", [NoPlugins(), *sys.meta_path])
    before = imported()
    forget()
    yield
    forget()
    sys.modules.update(before)


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


@pytest.mark.usefixtures("_without_plugins")
@pytest.mark.parametrize("kind", ["hf:whisper", "hf:wav2vec2-layer", "nemo:citrinet"])
def test_addresses_work_without_any_plugin(kind: str, tmp_path: Path) -> None:
    scheme, _, name = kind.partition(":")
    if scheme == "nemo":
        path = make_nemo.save(tmp_path / "model.nemo", "ConvASREncoder")
    else:
        path = make_hf.save(name, tmp_path / "model")
    address = importlib.import_module("backbones.names").parse(f"{scheme}:{path}")
    anew = importlib.import_module(f"backbones._{scheme}")
    assert anew not in (_hf, _nemo)
    cls = anew.backbone_class(address)
    weights = importlib.import_module("backbones.weights")
    backbone = cls(weights.resolve(cls.info, allow_download=False))
    backbone.load()
    frames = backbone.encode(torch.ones(1, 16_000), torch.tensor([16_000]))
    assert len(frames.hidden) == BACKBONES.get(f"{scheme}:{path}").info.layers
    assert not sys.modules.keys() & {f"backbones.{plugin}" for plugin in PLUGINS}
