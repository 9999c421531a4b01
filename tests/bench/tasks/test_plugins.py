"""Tasks of other packages are found, and a broken one does not take the others along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import tasks
from bench.commands import list as inventory
from bench.errors import UserError
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
    (tmp_path / "task_that_asserts.py").write_text("assert False, 'a licence'\n")
    (tmp_path / "task_that_exits.py").write_text("raise SystemExit('no GPU')\n")
    (tmp_path / "task_with_its_own_error.py").write_text(
        "class Boom(Exception):\n    pass\n\nraise Boom('no driver')\n"
    )
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
    assert tasks.origin("ravdess") == "bench.tasks.ravdess.task"
    assert len(tasks.resolve("elsewhere", cache=session_cache).clips) == 120
    with pytest.raises(UserError, match="did you mean 'elsewhere'"):
        tasks.find("elsewere")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("task_that_crashes", "ZeroDivisionError"),
        ("no_such_module_of_ours", "ModuleNotFoundError.*no_such_module_of_ours"),
        ("json", "json needs a module-level `ENTRY"),
        ("task_that_asserts", "AssertionError: a licence"),
        ("task_that_exits", "SystemExit: no GPU"),
        ("task_with_its_own_error", "Boom: no driver"),
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


def test_a_name_of_voxgrids_own_is_refused_to_others_and_stays_with_it(
    install: Callable[..., None],
) -> None:
    install(ravdess="task_from_elsewhere", elsewhere="task_from_elsewhere")
    reason = r"'ravdess' comes from both voxgrid and task_from_else.*voxgrid's is the one in use"
    with pytest.warns(plugins.PluginWarning, match=reason):
        assert tasks.names() == [*tasks.TASKS, "elsewhere"]
    assert list(tasks.broken()) == ["ravdess"]
    assert tasks.find("ravdess") is tasks.TASKS["ravdess"]
    assert tasks.origin("ravdess") == "bench.tasks.ravdess.task"


def test_a_name_that_two_plugins_claim_belongs_to_none_and_names_both_origins(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    modules = ("task_from_elsewhere", "task_that_crashes_later")
    points = [EntryPoint("same", module, plugins.GROUP) for module in modules]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    reason = "'same' comes from both task_from_elsewhere .* and task_that_crashes_later"
    with pytest.warns(plugins.PluginWarning, match=reason):
        assert tasks.names() == [*tasks.TASKS]
    with pytest.raises(UserError, match=reason):
        tasks.find("same")


def test_a_name_that_no_file_may_have_is_refused(install: Callable[..., None]) -> None:
    install(**{"../x": "task_from_elsewhere"})
    with pytest.warns(plugins.PluginWarning, match="cannot be that of a file; rename"):
        assert tasks.names() == [*tasks.TASKS]


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
