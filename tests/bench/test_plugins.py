"""Plugins are found where they are dropped, and a broken one does not take the others along."""

from __future__ import annotations

import copyreg
import importlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import backbones
import heads
from backbones import Backbone, BackboneError, Weights
from backbones.extras import EXTRA_MODULES, missing_extra
from bench.errors import PluginCrashed, UserError, crashes_of
from bench.plugins import (
    BACKBONES,
    HEADS,
    InvalidPlugin,
    PluginWarning,
    Registry,
    read_backbone,
    read_head,
)
from bench.tasks import TASKS, read_task
from heads.base import Head, HeadError, HeadInfo

BACKBONE = """
from backbones.base import Backbone, BackboneInfo

INFO = BackboneInfo(
    name={name!r}, summary="a test", weights_id=None, revision=None, licence="MIT",
    sample_rate=16_000, layers=1, width=1, frame_rate=100.0, max_seconds=30.0,
    attention_mask=True, normalised=False, extra="egemaps",
)


class Plugin(Backbone):
    info = INFO

    def load(self, device="cpu", dtype="float32"):
        pass

    def encode(self, waves, lengths):
        raise NotImplementedError
"""
HEAD = """
from heads.base import Head, HeadInfo

INFO = HeadInfo(name={name!r}, summary="a test")


class Plugin(Head):
    info = INFO
"""
TASK = """
from bench.tasks.entry import Entry

ENTRY = Entry({name!r}, ("speaker-3fold",), "a test", "speaker")


def resolve(data_root, cache, allow_download):
    raise NotImplementedError
"""


@dataclass(frozen=True)
class Kind:
    """What is registered, voxgrid's own registry of it, and what a plugin looks like."""

    name: str
    registry: Registry[Any]
    marker: str
    read: Callable[[object], tuple[str, Any]]
    source: str
    own: str


KINDS = [
    Kind("backbone", BACKBONES, "INFO", read_backbone, BACKBONE, "logmel"),
    Kind("head", HEADS, "INFO", read_head, HEAD, "mlp"),
    Kind("task", TASKS, "ENTRY", read_task, TASK, "ravdess"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `dropins` with nothing in it but an empty folder `deeper`."""
    folder = tmp_path / "dropins"
    (folder / "deeper").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "deeper" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] in ("dropins", "others")]:
        del sys.modules[name]


def own(kind: Kind) -> Registry[Any]:
    """A registry of the kind whose own package is `dropins`."""
    return Registry(kind.name, "dropins", kind.marker, kind.read, lambda group: [])


@pytest.fixture
def enter(package: Path) -> Callable[..., list[EntryPoint]]:
    """Write modules of the package `others`, and return entry points to them."""
    others = package.parent / "others"
    others.mkdir()
    (others / "__init__.py").touch()

    def entered(*points: tuple[str, str, str]) -> list[EntryPoint]:
        for _, module, source in points:
            (others / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return [EntryPoint(name, f"others.{module}", "") for name, module, _ in points]

    return entered


def test_a_dropped_file_is_found_in_the_package_and_in_its_folders(
    kind: Kind, package: Path
) -> None:
    (package / "mine.py").write_text(kind.source.format(name="mine"))
    (package / "deeper" / "too.py").write_text(kind.source.format(name="too"))
    (package / "_private.py").write_text(kind.source.format(name="private"))
    (package / "helpers.py").write_text("raise AssertionError('nobody asked')\n")
    (package / "about.py").write_text(f'"""Says {kind.marker} and has none."""\n')
    found = own(kind)
    assert found.names() == ["mine", "too"]
    assert found.origin("mine") == "dropins.mine"
    assert found.origin("too") == "dropins.deeper.too"
    assert dict(found.broken()) == {}


BROKEN = [
    ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_"),
    ("assert False, 'needs a licence file'\n", "AssertionError: needs a licence file"),
    ("raise SystemExit('no GPU')\n", "SystemExit: no GPU"),
    ("class Boom(Exception):\n    pass\n\nraise Boom('no driver')\n", "Boom: no driver"),
    ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ("def (\n", "SyntaxError: "),
]


@pytest.mark.parametrize(("source", "reason"), BROKEN)
def test_whatever_a_file_raises_it_alone_is_left_out_with_its_reason(
    source: str, reason: str, kind: Kind, package: Path
) -> None:
    (package / "good.py").write_text(kind.source.format(name="good"))
    (package / "bad.py").write_text(source + kind.source.format(name="bad"))
    found = own(kind)
    with pytest.warns(PluginWarning, match=f"{kind.name} plugin 'bad' left out"):
        assert found.names() == ["good"]
    assert found.broken()["bad"].startswith(f"dropins.bad: {reason}")
    assert str(package / "bad.py") in found.broken()["bad"] or reason == "SyntaxError: "


def test_the_line_that_is_named_is_the_plugins_own_and_not_the_librarys(
    kind: Kind, enter: Callable[..., list[EntryPoint]], package: Path
) -> None:
    points = enter(("bad", "bad", "import json\n\n\nWORDS = json.loads('{')\n"))
    with kind.registry.including(*points), pytest.warns(PluginWarning, match="left out"):
        said = kind.registry.broken()["bad"]
    assert said.endswith(f"(char 1) ({package.parent / 'others' / 'bad.py'}, line 4)")


def test_a_crash_goes_to_another_process_whatever_was_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # once Dask is imported, errors are packed with their causes, which executors take care of
    monkeypatch.delitem(copyreg.dispatch_table, PluginCrashed, raising=False)

    class Odd(Exception):
        def __init__(self, number: int, words: str) -> None:
            super().__init__(words)

    with pytest.raises(PluginCrashed) as caught, crashes_of("it raised ", lambda: [__name__]):
        raise Odd(1, "of\na kind")
    sent = pickle.loads(pickle.dumps(caught.value))
    assert str(sent).startswith(f"it raised Odd: of a kind ({__file__}, line ")


def test_errors_of_voxgrids_own_speak_for_themselves() -> None:
    for own in (UserError("a typo"), BackboneError("no weights"), HeadError("no")):
        with pytest.raises(type(own)) as caught, crashes_of("it raised ", lambda: [__name__]):
            raise own
        assert caught.value is own


def test_a_place_that_is_missing_is_none_of_ours(kind: Kind, package: Path) -> None:
    point = EntryPoint("bad", "no_such_module", "")
    with kind.registry.including(point), pytest.warns(PluginWarning, match="left out"):
        assert kind.registry.broken()["bad"].endswith("No module named 'no_such_module'")


@pytest.mark.parametrize(("source", "reason"), BROKEN)
def test_whatever_a_plugin_raises_it_alone_is_left_out_with_its_reason(
    source: str, reason: str, kind: Kind, enter: Callable[..., list[EntryPoint]]
) -> None:
    points = enter(("bad", "bad", source), ("fine", "fine", kind.source.format(name="fine")))
    with kind.registry.including(*points):
        with pytest.warns(PluginWarning, match=r"'bad' left out: others\.bad \(an unnamed packag"):
            assert {"fine", kind.own} <= set(kind.registry.names())
        assert list(kind.registry.broken()) == ["bad"]
        assert reason in kind.registry.broken()["bad"]
        with pytest.raises(UserError, match=f"{kind.name} 'bad' was left out: others.bad"):
            kind.registry.get("bad")
        assert kind.registry.origin("fine") == "others.fine (an unnamed package)"
    assert "fine" not in kind.registry.names()


def test_what_was_left_out_is_warned_of_once(
    kind: Kind, enter: Callable[..., list[EntryPoint]], recwarn: pytest.WarningsRecorder
) -> None:
    with kind.registry.including(*enter(("bad", "bad", "1 / 0\n"))):
        for _ in range(3):
            kind.registry.names()
            kind.registry.broken()
    assert [each.category for each in recwarn] == [PluginWarning]


def test_a_file_that_cannot_be_read_is_left_out_with_its_reason(kind: Kind, package: Path) -> None:
    (package / "gone.py").symlink_to(package / "nowhere.py")
    (package / "good.py").write_text(kind.source.format(name="good"))
    found = own(kind)
    with pytest.warns(PluginWarning, match=r"'gone' left out: dropins\.gone: "):
        assert found.names() == ["good"]


def test_an_interrupt_is_not_taken_for_a_broken_plugin(kind: Kind, package: Path) -> None:
    (package / "bad.py").write_text(f"{kind.marker} = 1\nraise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        own(kind).names()


def test_two_entry_points_of_one_name_both_say_what_is_wrong(
    kind: Kind, enter: Callable[..., list[EntryPoint]]
) -> None:
    points = enter(("bad", "one", "1 / 0\n"), ("bad", "two", "raise SystemExit('no GPU')\n"))
    with kind.registry.including(*points), pytest.warns(PluginWarning):
        reason = kind.registry.broken()["bad"]
    assert "ZeroDivisionError" in reason
    assert "no GPU" in reason


@pytest.mark.parametrize("name", ["../../x", "Upper", "", "a b", 7])
def test_a_name_that_no_file_may_have_is_refused(name: object, kind: Kind, package: Path) -> None:
    (package / "bad.py").write_text(kind.source.format(name=name))
    found = own(kind)
    with pytest.warns(
        PluginWarning,
        match=f"cannot be that of a file; rename the {kind.name}|name of (INFO|ENTRY): ",
    ):
        assert found.names() == []


def test_a_name_of_voxgrids_own_is_refused_to_others_and_stays_with_it(
    kind: Kind, enter: Callable[..., list[EntryPoint]]
) -> None:
    before, origin = kind.registry.get(kind.own), kind.registry.origin(kind.own)
    points = enter(
        ("twin", "twin", kind.source.format(name=kind.own)),
        ("fine", "fine", kind.source.format(name="fine")),
    )
    with kind.registry.including(*points):
        with pytest.warns(PluginWarning, match=rf"both {origin} and others\.twin \(an unnamed"):
            assert kind.registry.get(kind.own) == before
        assert list(kind.registry.broken()) == [kind.own]
        assert f"{origin} is the one in use" in kind.registry.broken()[kind.own]
        assert kind.registry.origin(kind.own) == origin
        assert "fine" in kind.registry.names()


def test_a_name_that_two_plugins_claim_belongs_to_none_and_names_both_origins(
    kind: Kind, enter: Callable[..., list[EntryPoint]]
) -> None:
    source = kind.source.format(name="same")
    points = enter(("same", "one", source), ("same", "two", source), ("again", "one", source))
    both = r"'same' (was )?left out: it comes from both others\.one .* and others\.two"
    with kind.registry.including(*points):
        with pytest.warns(PluginWarning, match=both):
            assert "same" not in kind.registry.names()
        assert list(kind.registry.broken()) == ["same"]
        with pytest.raises(UserError, match=both):
            kind.registry.get("same")
        assert kind.own in kind.registry.names()


def test_one_plugin_named_twice_is_one(kind: Kind, enter: Callable[..., list[EntryPoint]]) -> None:
    source = kind.source.format(name="once")
    with kind.registry.including(*enter(("once", "one", source), ("again", "one", source))):
        assert "once" in kind.registry.names()
        assert dict(kind.registry.broken()) == {}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("no_such_module_of_ours", "ModuleNotFoundError.*no_such_module_of_ours"),
        ("json", "InvalidPlugin: .*json.* (needs a module-level `|is neither a Backbone class)"),
    ],
)
def test_an_entry_point_to_something_else_is_left_out(module: str, reason: str, kind: Kind) -> None:
    with kind.registry.including(EntryPoint("defective", module, "")):
        with pytest.warns(PluginWarning, match=f"'defective' left out: {module} .*{reason}"):
            assert list(kind.registry.broken()) == ["defective"]
        assert kind.own in kind.registry.names()


def test_an_unknown_name_suggests_the_nearest_or_lists_what_there_is(kind: Kind) -> None:
    typo = kind.own + "s"
    with pytest.raises(UserError, match=f"unknown {kind.name} '{typo}': did you mean '{kind.own}'"):
        kind.registry.get(typo)
    with pytest.raises(UserError, match=rf"known: .*{kind.own}"):
        kind.registry.origin("zzz")


def test_entry_points_of_the_group_are_those_used(kind: Kind) -> None:
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return []

    Registry(kind.name, "dropins_of_nobody.x", kind.marker, kind.read, entry_points)
    assert asked == []  # until something is asked for
    package = {"backbone": "backbones", "head": "heads", "task": "bench.tasks"}[kind.name]
    found = Registry(kind.name, package, kind.marker, kind.read, entry_points)
    assert found.names() == kind.registry.names()
    assert asked == [f"voxgrid.{kind.name}s"]


@pytest.mark.parametrize(("package", "registry"), [(backbones, BACKBONES), (heads, HEADS)])
def test_every_plugin_file_of_a_package_is_registered(
    package: ModuleType, registry: Registry[Any]
) -> None:
    files = {
        path.stem
        for path in Path(str(package.__file__)).parent.glob("[!_]*.py")
        if "\nINFO = " in path.read_text(encoding="utf-8")
    }
    assert {registry.origin(name).rpartition(".")[2] for name in registry.names()} == files


def test_listing_imports_no_model_code() -> None:
    code = (
        "import sys\n"
        "from backbones.weights import availability\n"
        "from bench.plugins import BACKBONES, HEADS\n"
        "from bench.tasks import TASKS\n"
        "[availability(BACKBONES.get(name).info) for name in BACKBONES.names()]\n"
        "print(*(m for m in ('heads', 'sklearn') if m in sys.modules))\n"
        "TASKS.names(), HEADS.names()\n"
        "heavy = ('torch', 'transformers', 'nemo', 'lightning', 'peft', 'xgboost', 'yt_dlp')\n"
        "print(*(m for m in heavy if m in sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n\n"


# backbones


def test_names_and_classes_agree() -> None:
    assert {"wav2vec2", "xlsr", "speech2text"} <= set(BACKBONES.names())
    assert all(BACKBONES.get(name).info.name == name for name in BACKBONES.names())


@pytest.mark.parametrize("target", ["others.mine", "others.mine:Plugin"])
def test_an_entry_point_may_name_a_module_or_a_backbone_class(
    target: str, enter: Callable[..., list[EntryPoint]]
) -> None:
    enter(("mine", "mine", BACKBONE.format(name="mine")))
    with BACKBONES.including(EntryPoint("another-name", target, "")):
        assert BACKBONES.get("mine").info.name == "mine"


def test_a_file_with_info_but_no_class_is_left_out(package: Path) -> None:
    (package / "half.py").write_text(BACKBONE.format(name="half").partition("class")[0])
    with pytest.warns(PluginWarning, match="has 0 Backbone classes"):
        assert own(KINDS[0]).names() == []


def test_a_record_of_another_type_is_left_out(package: Path) -> None:
    changed = BACKBONE.replace("Backbone, BackboneInfo", "Backbone").format(name="x")
    (package / "bad.py").write_text("from types import SimpleNamespace as BackboneInfo\n" + changed)
    with pytest.warns(PluginWarning, match="SimpleNamespace; make it a BackboneInfo"):
        assert own(KINDS[0]).names() == []


@pytest.mark.parametrize("name", ["hf--microsoft--wavlm-base", "hf:microsoft/wavlm-base"])
def test_a_name_that_an_address_may_have_is_left_out(name: str, package: Path) -> None:
    (package / "bad.py").write_text(BACKBONE.format(name=name))
    with pytest.warns(PluginWarning, match="rename the backbone"):
        assert own(KINDS[0]).names() == []


def test_a_repository_without_its_scheme_is_pointed_out() -> None:
    with pytest.raises(UserError, match="is hf:microsoft/wavlm-base"):
        BACKBONES.get("microsoft/wavlm-base")


def test_create_returns_an_unloaded_backbone() -> None:
    weights = Weights("random-init", size="small")
    backbone = BACKBONES.create("xlsr", weights)
    assert isinstance(backbone, Backbone)
    assert backbone.weights is weights


def test_what_an_extra_lacks_is_said_before_a_backbone_is_made(
    enter: Callable[..., list[EntryPoint]], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = enter(("mine", "mine", BACKBONE.format(name="mine")))
    monkeypatch.setitem(EXTRA_MODULES, "egemaps", ("no_such_module_at_all",))
    with BACKBONES.including(*points):
        assert "pip install 'opensmile" in str(missing_extra(BACKBONES.get("mine").info))
        with pytest.raises(BackboneError, match="mine: not installed"):
            BACKBONES.create("mine", Weights("none"))


# heads


def head_module(module_name: str, head_name: str) -> ModuleType:
    """A plugin module as a third party would write it."""
    module = ModuleType(module_name)
    module.INFO = HeadInfo(name=head_name, summary="for a test")
    module.TestHead = type("TestHead", (Head,), {"info": module.INFO, "__module__": module_name})
    return module


def test_classes_of_heads_belong_to_their_record() -> None:
    assert {"fine_tune", "gradient_boosting", "logistic_regression"} <= set(HEADS.names())
    for name in HEADS.names():
        assert HEADS.info(name).name == name
        for reads, cls in HEADS.get(name).items():
            assert cls.info is HEADS.info(name)
            assert cls.reads == reads


def test_a_head_may_be_fitted_on_more_than_one_thing() -> None:
    assert set(HEADS.get("mlp")) == {"vectors", "frames"}
    assert set(HEADS.get("fine_tune")) == {"backbone"}
    assert HEADS.reading("mlp", "frames") is not HEADS.reading("mlp", "vectors")


def test_what_a_head_is_not_fitted_on_is_refused_with_what_it_is() -> None:
    with pytest.raises(HeadError, match="'fine_tune' does not read vectors, it reads backbone"):
        HEADS.reading("fine_tune", "vectors")
    with pytest.raises(HeadError, match=r"'mlp' does not read backbone.*reads frames or vectors"):
        HEADS.reading("mlp", "backbone")


def test_a_head_without_info_is_refused() -> None:
    with pytest.raises(InvalidPlugin, match="bare needs a module-level `INFO"):
        read_head(ModuleType("bare"))


def test_a_module_with_two_heads_on_the_same_thing_is_refused() -> None:
    module = head_module("crowded", "one")
    module.Other = type("Other", (Head,), {"info": module.INFO, "__module__": "crowded"})
    with pytest.raises(InvalidPlugin, match="one Head subclass that reads vectors"):
        read_head(module)
    module.Other.reads = "frames"
    assert read_head(module) == ("one", {"vectors": module.TestHead, "frames": module.Other})


def test_a_module_without_a_head_is_refused() -> None:
    module = head_module("headless", "one")
    del module.TestHead
    with pytest.raises(InvalidPlugin, match="needs a Head subclass, found: none"):
        read_head(module)


def test_a_head_that_reads_what_there_is_not_is_refused() -> None:
    module = head_module("demanding", "one")
    module.TestHead.reads = "spectrograms"
    with pytest.raises(InvalidPlugin, match="reads 'spectrograms'; known: vectors, frames"):
        read_head(module)


def test_a_head_that_carries_another_record_is_refused() -> None:
    module = head_module("mixed_up", "one")
    module.INFO = HeadInfo(name="two", summary="for a test")
    with pytest.raises(InvalidPlugin, match="info = INFO"):
        read_head(module)


def test_a_version_belongs_to_one_class_of_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    before = HEADS.reading("mlp", "vectors").version
    monkeypatch.setattr(HEADS.reading("mlp", "frames"), "version", before + 1)
    assert HEADS.reading("mlp", "vectors").version == before
