"""Tasks of other packages are found, and a broken one does not take the others along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import tasks
from bench.errors import UserError
from bench.report import inventory
from bench.tasks import plugins

MODULE = """
from dataclasses import replace
from bench.tasks import TASKS, resolve as resolve_task

ENTRY = replace(TASKS["sample-emotion"], module=__name__, summary="from elsewhere")


def resolve(data_root, cache, allow_download):
    return replace(resolve_task("sample-emotion", data_root, cache), name="elsewhere")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put modules on the path and entry points to them in place."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(**points: str) -> None:
        found = [EntryPoint(name, module, plugins.GROUP) for name, module in points.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found)

    (tmp_path / "task_from_elsewhere.py").write_text(MODULE)
    (tmp_path / "task_that_crashes_later.py").write_text(MODULE.replace("return", "1 / 0 #"))
    (tmp_path / "task_that_crashes.py").write_text("1 / 0\n")
    plugins.found.cache_clear()
    yield installed
    plugins.found.cache_clear()


def test_a_task_of_another_package_is_one_of_the_tasks(
    install: Callable[..., None], session_cache: Path
) -> None:
    install(elsewhere="task_from_elsewhere")
    assert tasks.names() == [*tasks.TASKS, "elsewhere"]
    assert tasks.find("elsewhere").summary == "from elsewhere"
    assert tasks.origin("elsewhere") == "task_from_elsewhere (an unnamed package)"
    assert tasks.origin("ravdess") == "bench.tasks.ravdess"
    assert len(tasks.resolve("elsewhere", cache=session_cache).clips) == 120
    with pytest.raises(UserError, match="did you mean 'elsewhere'"):
        tasks.find("elsewere")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("task_that_crashes", "ZeroDivisionError"),
        ("no_such_module_of_ours", "ModuleNotFoundError.*no_such_module_of_ours"),
        ("json", "json needs a module-level `ENTRY"),
    ],
)
def test_a_broken_plugin_is_left_out_with_its_reason(
    module: str, reason: str, install: Callable[..., None]
) -> None:
    install(defective=module, elsewhere="task_from_elsewhere")
    with pytest.warns(plugins.PluginWarning, match=f"'defective' left out.*{reason}"):
        assert list(tasks.broken()) == ["defective"]
    assert tasks.names() == [*tasks.TASKS, "elsewhere"]
    with pytest.raises(UserError, match=f"'defective' was left out.*{reason}"):
        tasks.find("defective")


def test_a_name_that_is_taken_is_refused_with_both_origins(
    install: Callable[..., None],
) -> None:
    install(ravdess="task_from_elsewhere")
    with pytest.raises(UserError, match=r"'ravdess' comes from both voxgrid and task_from_else"):
        tasks.names()


def test_a_task_that_crashes_while_it_is_listed_is_broken_and_the_others_are_listed(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    install(later="task_that_crashes_later")
    found = {entry["name"]: entry for entry in inventory.collect("tasks")["tasks"]}
    assert found["later"]["state"] == "broken"
    assert found["later"]["detail"] == "ZeroDivisionError: division by zero"
    assert found["later"]["origin"] == "task_that_crashes_later (an unnamed package)"
    assert found["sample-emotion"]["state"] == "generated"
