"""The plugin in CONTRIBUTING.md is complete and keeps the contract."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from backbones.checks import check_backbone
from bench.plugins import read_backbone

PAGE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


def test_the_first_backbone_passes_every_check(tmp_path: Path) -> None:
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "class MyBackbone" in block
    )
    path = tmp_path / "my_backbone.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("my_backbone", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, backbone = read_backbone(module)
    problems = {r.name: r.problem for r in check_backbone(backbone) if not r.passed}
    # it is not installed, so that a listing in another process cannot know it
    problems.pop("check_listing_is_light", None)
    assert problems == {}
