"""One contract for tasks of voxgrid and of other packages: a module with ENTRY and resolve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from bench import tasks
from bench.commands import list as inventory
from bench.errors import UserError
from bench.plugins import InvalidPlugin, PluginWarning
from bench.tasks import TASKS, read_task
from bench.tasks.entry import Entry

MODULE = """
from dataclasses import replace
from bench.tasks import resolve as resolve_task
from bench.tasks.entry import Entry

ENTRY = Entry("elsewhere", ("speaker-3fold",), "from elsewhere", "speaker")


def resolve(data_root, cache, allow_download):
    return replace(resolve_task("sample-emotion", data_root, cache), name="elsewhere", sample=False)
"""
CRASHING = MODULE.replace("return", "1 / 0 #").replace('"elsewhere"', '"later"')
BUILT_IN = ["ravdess", "youtube", "sample-emotion", "sample-topic"]

Install = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Entry points to modules on the path, by the names of entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "task_from_elsewhere.py").write_text(MODULE)
    (tmp_path / "task_that_crashes_later.py").write_text(CRASHING)

    def installed(**points: str) -> AbstractContextManager[None]:
        return TASKS.including(*(EntryPoint(name, value, "") for name, value in points.items()))

    return installed


def test_built_in_tasks_are_found_by_their_entries_generated_ones_last() -> None:
    assert tasks.names() == BUILT_IN
    assert [tasks.find(name).sample for name in BUILT_IN] == [False, False, True, True]
    assert TASKS.origin("ravdess") == "bench.tasks.ravdess.task"
    assert TASKS.origin("sample-topic") == "bench.tasks.sample.topic"


def test_a_task_of_another_package_is_one_of_the_tasks(
    install: Install, session_cache: Path
) -> None:
    with install(whatever="task_from_elsewhere"):
        assert tasks.names() == ["elsewhere", *BUILT_IN]
        assert tasks.find("elsewhere").summary == "from elsewhere"
        assert TASKS.origin("elsewhere") == "task_from_elsewhere (an unnamed package)"
        assert len(tasks.resolve("elsewhere", cache=session_cache).clips) == 120
        with pytest.raises(UserError, match="did you mean 'elsewhere'"):
            tasks.find("elsewere")
    assert tasks.names() == BUILT_IN


def test_an_entry_without_resolve_is_refused() -> None:
    module = ModuleType("half")
    with pytest.raises(InvalidPlugin, match="half needs a module-level `ENTRY"):
        read_task(module)
    module.ENTRY = Entry("half", ("speaker-3fold",), "half a task", "speaker")
    with pytest.raises(InvalidPlugin, match="half has no function `resolve"):
        read_task(module)


def test_a_broken_task_is_left_out_of_the_names(install: Install) -> None:
    with install(broken="no_such_module_of_ours"):
        with pytest.warns(PluginWarning, match="task plugin 'broken' left out"):
            assert tasks.names() == BUILT_IN
        with pytest.raises(UserError, match="task 'broken' was left out: no_such_module_of_ours"):
            tasks.resolve("broken")


def test_a_task_that_crashes_while_it_is_listed_is_broken_and_the_others_are_listed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    with install(later="task_that_crashes_later"):
        found = {entry["name"]: entry for entry in inventory.collect("tasks")["tasks"]}
    assert found["later"]["state"] == "broken"
    assert found["later"]["detail"] == (
        "resolve of task 'later' raised ZeroDivisionError: division by zero "
        f"({tmp_path / 'task_that_crashes_later.py'}, line 10)"
    )
    assert found["later"]["origin"] == "task_that_crashes_later (an unnamed package)"
    assert found["sample-emotion"]["state"] == "generated"
