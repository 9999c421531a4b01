"""Plugins that raise what nobody expects, or say what is no answer: they fall alone."""

from __future__ import annotations

import importlib
import pickle
import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import backbones.checks
import bench.tasks.checks
import heads.checks
from bench.cli import app
from bench.errors import PluginCrashed, raised, said
from bench.executors import local
from bench.executors.base import Worker
from bench.planning.plan import BackbonePlan
from bench.plugins import BACKBONES, HEADS, PluginWarning, Registry
from bench.run.execute import Summary, _Run
from bench.tasks import TASKS
from tests.bench.run import test_compose as made
from tests.bench.test_plugins import BACKBONE, HEAD, TASK


class Odd(BaseException):
    """As those of pytest, trio or Rust: no Exception."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise Odd("no words")


class TwoWords(PluginCrashed):
    """One of voxgrid's own, and cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


ODD = [Odd("down"), Mute(), SystemExit(3), GeneratorExit(), TwoWords("a", "b")]


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_any_exception_has_words(error: BaseException) -> None:
    assert said(error) is not None
    assert type(error).__name__ in raised(error) or isinstance(error, PluginCrashed)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Write a plugin, and give its entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(text: str, group: str) -> EntryPoint:
        name = f"stranger_{len(names)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return EntryPoint("odd-one", name, group)

    yield write
    for name in names:
        sys.modules.pop(name, None)


RAISING = {
    "no Exception": "class Odd(BaseException): pass\nraise Odd('down')",
    "skipping": "import pytest\npytest.skip('not here', allow_module_level=True)",
    "without words": (
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute()"
    ),
    "exiting": "raise SystemExit(3)",
}
FIELDS = {
    "summary": BACKBONE.replace('summary="a test"', "summary=5"),
    "layers": BACKBONE.replace("layers=1", "layers='1'"),
    "width": BACKBONE.replace("width=1", "width=None"),
    "size": BACKBONE.replace("width=1", "width=-3"),
    "rate": BACKBONE.replace("frame_rate=100.0", "frame_rate=float('nan')"),
    "licence": BACKBONE.replace('licence="MIT"', "licence=['MIT']"),
    "extra": BACKBONE.replace('extra="egemaps"', "extra=1"),
}


@pytest.mark.parametrize("text", [*RAISING.values(), *FIELDS.values()], ids=[*RAISING, *FIELDS])
def test_an_odd_backbone_is_broken_and_the_others_stay(text: str, plugin: Any) -> None:
    point = plugin(text.replace("{name!r}", "'odd-one'"), BACKBONES.group)
    with BACKBONES.including(point):
        with pytest.warns(PluginWarning, match="odd-one"):
            names = BACKBONES.names()
        assert "logmel" in names
        assert list(BACKBONES.broken()) == ["odd-one"]


@pytest.mark.parametrize(
    ("registry", "text"),
    [
        (HEADS, HEAD.replace('summary="a test"', "summary=b'x'")),
        (HEADS, HEAD + "    version = {1, 2}\n"),
        (TASKS, TASK.replace('("speaker-3fold",)', "5")),
        (TASKS, TASK.replace('"speaker")', "None)")),
        (TASKS, "raise KeyboardInterrupt.__base__('down')"),
    ],
)
def test_an_odd_head_or_task_is_broken_and_list_goes_on(
    registry: Registry[Any], text: str, plugin: Any
) -> None:
    point = plugin(text.replace("{name!r}", "'odd-one'"), registry.group)
    with registry.including(point):
        with pytest.warns(PluginWarning, match="odd-one"):
            broken = registry.broken()
        assert list(broken) == ["odd-one"]
        done = CliRunner().invoke(app, ["list", "--json"])
    assert done.exit_code == 0, done.output
    assert "odd-one" in done.output


@dataclass(frozen=True)
class Raises:
    which: int

    def __call__(self, worker: Worker) -> int:
        worker.emit(Unheard())
        raise ODD[self.which]


@dataclass(frozen=True)
class Interrupts:
    def __call__(self, worker: Worker) -> int:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Gives:
    what: str

    def __call__(self, worker: Worker) -> object:
        return lambda: self.what if self.what == "unpicklable" else None


class Trap:
    """Nobody can unpack it."""

    def __reduce__(self) -> Any:
        return _sprung, ()


def _sprung() -> None:
    raise Odd("sprung")


@dataclass(frozen=True)
class GivesATrap:
    def __call__(self, worker: Worker) -> Trap:
        return Trap()


class Unheard:
    """An event that nobody can unpack."""

    def __reduce__(self) -> Any:
        return _sprung, ()


JOBS = [*map(Raises, range(len(ODD))), Interrupts(), Gives("unpicklable"), GivesATrap()]


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_a_job_that_raises_or_gives_odd_things_is_an_error_of_its_own(
    job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_worker", Worker(lambda event: None, 1))
    monkeypatch.setattr(local, "_started", [0])
    future: Future[bytes] = Future()
    try:
        future.set_result(local._call(0, job))
    except Exception as error:  # noqa: BLE001 as the pool does, with what it can send
        future.set_exception(pickle.loads(pickle.dumps(error)))
    assert isinstance(local.unpacked(future.result), Exception)


def test_who_listens_to_jobs_outlives_odd_events() -> None:
    events: queue.Queue[Any] = queue.Queue()
    finished, heard = threading.Event(), []

    def hear(event: int) -> None:
        heard.append(event)
        if event == 2:
            finished.set()
        raise Odd("no event")

    for event in range(3):
        events.put(event)
    local._listen(events, finished, hear)  # type: ignore[arg-type]
    assert heard == [0, 1, 2]


def _raises(error: BaseException) -> Any:
    def check(_subject: object) -> Any:
        raise error

    return check


@pytest.mark.parametrize("error", ODD[:4], ids=lambda error: type(error).__name__)
def test_a_check_that_raises_odd_things_fails_alone(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = backbones.checks.BackboneSubject(BACKBONES.get("logmel"), None, (0.1, 0.2))
    found = backbones.checks.run_check(_raises(error), subject)
    assert type(error).__name__ in found.measured
    of_head = heads.checks._result("check", lambda: _raises(error)(None), __name__)
    assert type(error).__name__ in (of_head.problem or "")
    monkeypatch.setattr(bench.tasks.checks, "TASK_CHECKS", (_raises(error),))
    (of_task,) = bench.tasks.checks.check_task(TASKS.get("sample-emotion"))
    assert type(error).__name__ in (of_task.problem or "")


folded, row = made.folded, made.row


@pytest.mark.parametrize("fault", ["nan", "trains", "shape", "timing"])
def test_an_outcome_that_makes_no_record_is_a_failed_row(
    fault: str, row: BackbonePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Any] = []
    cell, outcome = made.make_ready(folds=made.FOLDS), made.outcome_of(20, 10)
    features = made.filled(row, tmp_path, made.TIMING)
    if fault == "nan":
        (first, *rest) = outcome.folds
        odd = replace(first, validated=replace(first.validated, accuracy=float("nan")))
        outcome = replace(outcome, folds=(odd, *rest))
    elif fault == "trains":
        monkeypatch.setattr(HEADS.reading("mlp", "vectors"), "trains", _raises_of_three)
    elif fault == "shape":
        outcome = replace(outcome, folds=outcome.folds[:1])
    else:
        features._where.clear()
    plan = type("Plan", (), {"spec": replace_results(tmp_path)})()
    run = _Run(plan, None, None, 1, None, Summary())  # type: ignore[arg-type]
    monkeypatch.setattr(_Run, "_store", lambda self, record: stored.append(record))
    cell = replace(cell, job=replace(cell.job, studies=_NoStudies()))
    words = run._settle(row, cell, outcome, features, cache_hit=False)
    assert words.startswith("failed: ")
    assert [record.status for record in stored] == ["failed"]
    assert run.summary.failed == 1


def _raises_of_three(*_: object) -> str:
    raise Mute


class _NoStudies:
    def discard(self, name: str) -> None:
        pass


def replace_results(folder: Path) -> Any:
    return made.SPEC.altered(results=folder)
