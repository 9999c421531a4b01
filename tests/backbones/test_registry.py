"""Plugins are found where they are dropped, and a broken one does not take the others along."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import backbones
from backbones import Backbone, BackboneError, Weights, registry

PLUGIN = """
from backbones.base import Backbone, BackboneInfo, Frames

INFO = BackboneInfo(
    name="{name}", summary="a test", weights_id=None, revision=None, licence="MIT",
    sample_rate=16_000, layers=1, width=1, frame_rate=100.0, max_seconds=30.0,
    attention_mask=True, normalised=False, extra={extra!r},
)


class Plugin(Backbone):
    info = INFO

    def load(self, device="cpu", dtype="float32"):
        pass

    def encode(self, waves, lengths):
        raise NotImplementedError
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package `dropins` to drop plugin files into."""
    folder = tmp_path / "dropins"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "dropins"]:
        del sys.modules[name]


def drop(package: Path, file: str, name: str, extra: str | None = None) -> None:
    (package / file).write_text(PLUGIN.format(name=name, extra=extra))


def imported() -> ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module("dropins")


def test_every_plugin_file_of_the_package_is_registered() -> None:
    files = {
        path.stem
        for path in Path(backbones.__file__).parent.glob("[!_]*.py")
        if "\nINFO = " in path.read_text(encoding="utf-8")
    }
    found = {plugin.origin.rpartition(".")[2] for plugin in registry.walk(backbones)}
    assert found == files
    assert {"wav2vec2", "xlsr", "speech2text"} <= set(backbones.infos())


def test_infos_and_classes_agree() -> None:
    for name, info in backbones.infos().items():
        assert info.name == name
        assert backbones.get(name).info is info


def test_listing_imports_no_model_code() -> None:
    code = (
        "import sys, backbones; "
        "[backbones.availability(info) for info in backbones.infos().values()]; "
        "print([m for m in ('torch', 'transformers', 'nemo') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_dropped_file_is_found(package: Path) -> None:
    drop(package, "mine.py", "mine")
    drop(package, "_private.py", "private")
    (package / "helpers.py").write_text("X = 1\n")
    found = registry.collect(registry.walk(imported()))
    assert set(found) == {"mine"}
    assert found["mine"].origin == "dropins.mine"


def test_broken_file_is_a_warning_with_the_reason(package: Path) -> None:
    drop(package, "good.py", "good")
    (package / "bad.py").write_text("import no_such_module_at_all\n")
    with pytest.warns(registry.PluginWarning, match=r"dropins\.bad.*no_such_module_at_all"):
        found = registry.collect(registry.walk(imported()))
    assert set(found) == {"good"}


def test_file_with_info_but_no_class_is_a_warning(package: Path) -> None:
    (package / "half.py").write_text(PLUGIN.format(name="half", extra=None).partition("class")[0])
    with pytest.warns(registry.PluginWarning, match="has 0 Backbone classes"):
        assert list(registry.walk(imported())) == []


CUSTOM = "class Boom(Exception):\n    pass\n\nraise Boom('no driver')\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("assert False, 'needs a licence file'\n", "AssertionError: needs a licence file"),
        ("raise SystemExit('no GPU')\n", "SystemExit: no GPU"),
        (CUSTOM, "Boom: no driver"),
    ],
)
def test_whatever_a_plugin_raises_it_alone_is_left_out(
    source: str, reason: str, package: Path
) -> None:
    drop(package, "good.py", "good")
    (package / "bad.py").write_text(source)
    failures: dict[str, str] = {}
    with pytest.warns(registry.PluginWarning, match=reason):
        found = registry.collect(registry.walk(imported(), failures))
    assert set(found) == {"good"}
    assert failures == {"bad": f"dropins.bad: {reason}"}


def test_an_interrupt_is_not_taken_for_a_broken_plugin(package: Path) -> None:
    (package / "bad.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        list(registry.walk(imported()))


@pytest.mark.parametrize("name", ["../../x", "Upper", "", "a b", 7])
def test_a_name_that_no_file_may_have_is_a_warning(name: object, package: Path) -> None:
    (package / "bad.py").write_text(PLUGIN.replace('"{name}"', repr(name)).format(extra=None))
    with pytest.warns(registry.PluginWarning, match="cannot be that of a file; rename"):
        assert list(registry.walk(imported())) == []


def test_a_record_of_another_type_is_a_warning(package: Path) -> None:
    (package / "bad.py").write_text(
        "from types import SimpleNamespace as BackboneInfo\n"
        + PLUGIN.replace("Backbone, BackboneInfo, Frames", "Backbone").format(name="x", extra=None)
    )
    with pytest.warns(registry.PluginWarning, match=r"SimpleNamespace; make it a BackboneInfo"):
        assert list(registry.walk(imported())) == []


@pytest.fixture
def enter(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make entry points to modules of `dropins`, by the names of backbones."""

    def entered(**points: tuple[str, ...]) -> None:
        imported()
        entries = [
            EntryPoint(name, f"dropins.{module}", registry.ENTRY_POINTS)
            for name, modules in points.items()
            for module in modules
        ]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)
        registry._discovered.cache_clear()

    yield entered
    registry._discovered.cache_clear()


def test_a_name_of_voxgrids_own_is_refused_to_others_and_stays_with_it(
    package: Path, enter: Callable[..., None]
) -> None:
    drop(package, "one.py", "logmel")
    drop(package, "fine.py", "fine")
    enter(logmel=("one",), fine=("fine",))
    with pytest.warns(registry.PluginWarning, match=r"both backbones\.logmel and dropins\.one"):
        assert backbones.get("logmel").__module__ == "backbones.logmel"
    assert list(registry.broken()) == ["logmel"]
    assert "backbones.logmel is the one in use" in registry.broken()["logmel"]
    assert {"fine", "logmel", "xlsr"} <= set(backbones.infos())


def test_a_name_that_two_plugins_claim_belongs_to_none_and_names_both_origins(
    package: Path, enter: Callable[..., None]
) -> None:
    for file in ("one", "two"):
        drop(package, f"{file}.py", "same")
    enter(same=("one", "two"), again=("one",))
    with pytest.warns(registry.PluginWarning, match=r"'same'.*dropins\.one.*dropins\.two"):
        assert "same" not in backbones.infos()
    assert list(registry.broken()) == ["same"]
    with pytest.raises(registry.DuplicateBackbone, match=r"'same'.*dropins\.one.*dropins\.two"):
        backbones.get("same")
    assert backbones.get("logmel").info.name == "logmel"


def test_one_class_found_twice_is_one_backbone(package: Path, enter: Callable[..., None]) -> None:
    drop(package, "one.py", "same")
    enter(same=("one",), again=("one",))
    assert backbones.get("same").info.name == "same"
    assert dict(registry.broken()) == {}


@pytest.mark.parametrize("target", ["dropins.mine", "dropins.mine:Plugin"])
def test_entry_point_may_be_a_module_or_a_class(
    target: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(package, "mine.py", "from-elsewhere")
    imported()
    entries = [EntryPoint("from-elsewhere", target, registry.ENTRY_POINTS)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)
    registry._discovered.cache_clear()
    try:
        assert backbones.get("from-elsewhere").info.name == "from-elsewhere"
        assert "xlsr" in backbones.infos()
    finally:
        registry._discovered.cache_clear()


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(registry.UnknownBackbone, match="did you mean 'xlsr'"):
        backbones.get("xslr")
    with pytest.raises(registry.UnknownBackbone, match=r"known: .*wav2vec2"):
        backbones.get("zzz")


def test_a_name_that_an_address_may_have_is_a_warning(package: Path) -> None:
    drop(package, "one.py", "hf--microsoft--wavlm-base")
    drop(package, "two.py", "hf:microsoft/wavlm-base")
    with pytest.warns(registry.PluginWarning, match="rename the backbone"):
        assert list(registry.walk(imported())) == []


def test_a_repository_without_its_scheme_is_pointed_out() -> None:
    with pytest.raises(registry.UnknownBackbone, match="is hf:microsoft/wavlm-base"):
        backbones.get("microsoft/wavlm-base")


def test_create_returns_an_unloaded_backbone() -> None:
    weights = Weights("random-init", size="small")
    backbone = backbones.create("xlsr", weights)
    assert isinstance(backbone, Backbone)
    assert backbone.weights is weights


def test_missing_extra_says_what_to_install(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(package, "mine.py", "mine", extra="egemaps")
    (plugin,) = registry.walk(imported())
    monkeypatch.setitem(registry.EXTRA_MODULES, "egemaps", ("no_such_module_at_all",))
    assert backbones.missing_extra(plugin.backbone.info) == (
        "not installed, since it is optional; get it with: pip install 'opensmile>=2.5' "
        "(or run `tox -e bench-egemaps`)"
    )
    assert backbones.missing_extra(replace(plugin.backbone.info, extra=None)) is None
    inside = backbones.missing_extra(replace(plugin.backbone.info, extra="no_such_package.part"))
    assert inside is not None
    assert inside.endswith("pip install no_such_package.part")
    monkeypatch.setattr(registry, "_discovered", lambda: {"mine": plugin})
    with pytest.raises(BackboneError, match="mine: not installed"):
        backbones.create("mine", Weights("none"))
