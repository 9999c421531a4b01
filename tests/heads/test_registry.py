"""Discovery of heads, and what its errors say."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import heads
from heads import registry
from heads.base import Head, HeadError, HeadInfo


def head_module(module_name: str, head_name: str) -> ModuleType:
    """A plugin module as a third party would write it."""
    module = ModuleType(module_name)
    module.INFO = HeadInfo(name=head_name, summary="for a test")
    module.TestHead = type("TestHead", (Head,), {"info": module.INFO, "__module__": module_name})
    return module


def kinds() -> list[tuple[str, str]]:
    return [(info.name, reads) for info in registry.infos() for reads in registry.reads(info.name)]


def test_every_head_file_is_registered():
    files = {path.stem for path in Path(heads.__path__[0]).glob("*.py")}
    assert files >= {"__init__", *registry.NOT_HEADS}
    registered = {registry.get(name, reads).__module__ for name, reads in kinds()}
    public = {name for name in files if not name.startswith("_")}
    assert registered >= {f"heads.{name}" for name in public - registry.NOT_HEADS}


def test_infos_are_sorted_and_belong_to_their_class():
    names = [info.name for info in registry.infos()]
    assert names == sorted(names)
    assert {"fine_tune", "gradient_boosting", "logistic_regression", "mlp"} <= set(names)
    for info in registry.infos():
        for reads in registry.reads(info.name):
            cls = registry.get(info.name, reads)
            assert cls.info is info
            assert cls.reads == reads


def test_a_head_may_be_fitted_on_more_than_one_thing():
    assert registry.reads("mlp") == {"vectors", "frames"}
    assert registry.reads("fine_tune") == {"backbone"}
    assert registry.reads("logistic_regression") == {"vectors"}
    assert registry.get("mlp", "frames") is not registry.get("mlp")


def test_what_a_head_is_not_fitted_on_is_refused_with_what_it_is():
    with pytest.raises(HeadError, match="'fine_tune' is not fitted on vectors, it is fitted on ba"):
        registry.get("fine_tune")
    with pytest.raises(HeadError, match=r"'mlp' is not fitted on backbone.*on frames or vectors"):
        registry.get("mlp", "backbone")
    with pytest.raises(registry.UnknownHead, match="did you mean 'fine_tune'"):
        registry.reads("finetune")


def test_a_typo_gets_a_suggestion():
    with pytest.raises(registry.UnknownHead, match="did you mean 'logistic_regression'"):
        registry.get("logistic_regresion")


def test_a_name_close_to_nothing_gets_the_list():
    with pytest.raises(registry.UnknownHead, match=r"known: .*gradient_boosting.*mlp"):
        registry.get("zzz")


@pytest.fixture
def enter(tmp_path, monkeypatch):
    """Make entry points, given as (name, module, source of the module)."""
    monkeypatch.syspath_prepend(tmp_path)

    def entered(*points: tuple[str, str, str]) -> None:
        for _, module, source in points:
            (tmp_path / f"{module}.py").write_text(source)
        found = [EntryPoint(name, module, registry.GROUP) for name, module, _ in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)
        registry._discovered.cache_clear()

    yield entered
    registry._discovered.cache_clear()


HEAD = """
from heads.base import Head, HeadInfo

INFO = HeadInfo(name={name!r}, summary="for a test")


class Plugged(Head):
    info = INFO
"""


def test_a_name_of_voxgrids_own_is_refused_to_others_and_stays_with_it(enter):
    enter(("mlp", "head_twin", HEAD.format(name="mlp")), ("x", "head_x", HEAD.format(name="x")))
    with pytest.warns(registry.PluginWarning, match=r"both heads\.mlp and head_twin"):
        assert registry.get("mlp").__module__ == "heads.mlp"
    assert list(registry.broken()) == ["mlp"]
    assert "heads.mlp is the one in use" in registry.broken()["mlp"]
    assert registry.get("x").__name__ == "Plugged"


def test_a_name_that_two_plugins_claim_belongs_to_none_and_names_both_places(enter):
    source = HEAD.format(name="same")
    enter(("same", "head_one", source), ("same", "head_two", source), ("n", "head_one", source))
    with pytest.warns(registry.PluginWarning, match=r"'same'.* both head_one .* and head_two"):
        assert "same" not in [info.name for info in registry.infos()]
    with pytest.raises(registry.DuplicateHead, match=r"'same'.* both head_one .* and head_two"):
        registry.get("same")
    assert registry.reads("logistic_regression") == {"vectors"}


def test_one_module_named_twice_is_one_head(enter):
    source = HEAD.format(name="once")
    enter(("once", "head_once", source), ("again", "head_once", source))
    assert registry.get("once").info.name == "once"
    assert dict(registry.broken()) == {}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("assert False, 'a licence'\n", "AssertionError: a licence"),
        ("raise SystemExit('no GPU')\n", "SystemExit: no GPU"),
        ("class Boom(Exception):\n    pass\n\nraise Boom('no driver')\n", "Boom: no driver"),
        (HEAD.format(name="../x"), "cannot be that of a file"),
    ],
)
def test_whatever_a_plugin_raises_it_alone_is_left_out(source, reason, enter):
    enter(("bad", "head_bad", source), ("fine", "head_fine", HEAD.format(name="fine")))
    with pytest.warns(registry.PluginWarning, match=reason):
        assert list(registry.broken()) == ["bad"]
    assert {"fine", "mlp"} <= {info.name for info in registry.infos()}
    sys.modules.pop("head_bad", None)
    sys.modules.pop("head_fine", None)


def test_a_plugin_without_info_is_refused():
    with pytest.raises(registry.InvalidHead, match="bare needs a module-level `INFO"):
        registry.kinds_of(ModuleType("bare"))


def test_a_module_with_two_heads_on_the_same_thing_is_refused():
    module = head_module("crowded", "one")
    module.Other = type("Other", (Head,), {"info": module.INFO, "__module__": "crowded"})
    with pytest.raises(registry.InvalidHead, match="one Head subclass that reads vectors"):
        registry.kinds_of(module)
    module.Other.reads = "frames"
    assert registry.kinds_of(module) == {"vectors": module.TestHead, "frames": module.Other}


def test_a_module_without_a_head_is_refused():
    module = head_module("headless", "one")
    del module.TestHead
    with pytest.raises(registry.InvalidHead, match="needs a Head subclass, found: none"):
        registry.kinds_of(module)


def test_a_class_that_wants_what_there_is_not_is_refused():
    module = head_module("demanding", "one")
    module.TestHead.reads = "spectrograms"
    with pytest.raises(registry.InvalidHead, match="reads 'spectrograms'; known: vectors, frames"):
        registry.kinds_of(module)


def test_a_class_that_carries_another_record_is_refused():
    module = head_module("mixed_up", "one")
    module.INFO = HeadInfo(name="two", summary="for a test")
    with pytest.raises(registry.InvalidHead, match="info = INFO"):
        registry.kinds_of(module)


def test_plugins_come_from_entry_points(tmp_path, monkeypatch):
    (tmp_path / "voxgrid_test_plugin.py").write_text(
        "from heads.base import Head, HeadError, HeadInfo\n"
        "INFO = HeadInfo(name='plugged', summary='for a test')\n"
        "class PluggedHead(Head):\n"
        "    info = INFO\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("plugged", "voxgrid_test_plugin", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry._discovered.cache_clear()
    try:
        assert registry.get("plugged").__name__ == "PluggedHead"
        assert registry.origin("plugged") == "voxgrid_test_plugin (an unnamed package)"
        assert "mlp" in [info.name for info in registry.infos()]
    finally:
        registry._discovered.cache_clear()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("no_such_module_of_ours", "ModuleNotFoundError.*no_such_module_of_ours"),
        ("json", "needs a module-level `INFO"),
        ("divides_by_zero", "ZeroDivisionError"),
    ],
)
def test_a_broken_plugin_is_left_out_with_its_reason(module, reason, tmp_path, monkeypatch):
    (tmp_path / "divides_by_zero.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("defective", module, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry._discovered.cache_clear()
    try:
        with pytest.warns(registry.PluginWarning, match=f"'defective'.*left out.*{reason}"):
            assert list(registry.broken()) == ["defective"]
        assert re.search(reason, registry.broken()["defective"])
        assert "mlp" in [info.name for info in registry.infos()]
        with pytest.raises(registry.UnknownHead, match=f"'defective' was left out.*{reason}"):
            registry.get("defective")
    finally:
        registry._discovered.cache_clear()


def test_every_head_says_where_it_comes_from():
    assert registry.origin("mlp") == "heads.mlp"
    assert dict(registry.broken()) == {}


def test_listing_heads_loads_neither_torch_nor_xgboost():
    code = (
        "import sys; from heads import registry; "
        "[registry.reads(info.name) for info in registry.infos()]; "
        "heavy = {'torch', 'lightning', 'peft', 'xgboost', 'bench', 'backbones'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
