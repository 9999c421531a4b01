"""`voxgrid check` examines whatever a name is of, and reports plugins of any package."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from rich.console import Console

from backbones import BackboneError
from backbones.checks import CheckResult as BackboneResult
from bench.commands import check
from bench.commands.check import Checkable, Examined
from bench.errors import UserError
from bench.plugins import BACKBONES, HEADS
from bench.tasks import TASKS
from heads.checks import CheckResult
from tests.bench.tasks.ravdess.make_ravdess import ravdess_like, spoil
from tests.conftest import Voxgrid

PLUGIN = """
from dataclasses import replace

from backbones.logmel import INFO, LogMel


class Quiet(LogMel):
    info = replace(INFO, name="quiet", frame_rate=50.0)
"""


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data, no weights, no network, a wide terminal."""
    for name in ("VOXGRID_DATA", "VOXGRID_WEIGHTS", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin of another package that keeps its contract but for one check."""
    (tmp_path / "elsewhere.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with BACKBONES.including(EntryPoint("quiet", "elsewhere:Quiet", BACKBONES.group)):
        yield


def shown(examined: Examined) -> str:
    console = Console(record=True, width=80, file=io.StringIO())
    check.render(examined, console)
    return console.export_text()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("logmel", "backbone"), ("logistic_regression", "head"), ("sample-emotion", "task")],
)
def test_a_name_is_looked_up_among_backbones_heads_and_tasks(name: str, kind: str) -> None:
    assert check.subjects(name, {}) == (Checkable(kind, name),)


def test_a_name_of_nothing_gets_a_suggestion_from_all_three() -> None:
    with pytest.raises(UserError, match="did you mean 'logistic_regression'"):
        check.subjects("logistic_regresion", {})
    with pytest.raises(UserError, match="did you mean 'sample-emotion'"):
        check.subjects("sample-emotions", {})


def test_an_address_is_a_backbone(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="nothing"):
        check.subjects(f"hf:{tmp_path / 'nothing'}", {})


@pytest.mark.parametrize("registry", [BACKBONES, HEADS, TASKS], ids=lambda each: each.kind)
def test_the_name_of_a_broken_plugin_gives_its_reason(registry) -> None:
    with registry.including(EntryPoint("defective", "no_such_module_at_all", registry.group)):
        ((kind, name, reason),) = check.broken_plugins()
        assert (kind, name) == (registry.kind, "defective")
        assert "no_such_module_at_all" in reason
        with pytest.raises(UserError, match=f"{kind} 'defective' was left out: no_such_module"):
            check.subjects("defective", {})


def test_one_name_in_two_places_is_two_subjects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task_like_a_head.py").write_text(
        "from bench.tasks.entry import Entry\n"
        "ENTRY = Entry('mlp', ('speaker-3fold',), 'named as a head is', 'speaker')\n"
        "resolve = print\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with TASKS.including(EntryPoint("mlp", "task_like_a_head", TASKS.group)):
        assert [subject.kind for subject in check.subjects("mlp", {})] == ["head", "task"]


def test_a_name_stands_for_all_classes_of_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "heads.checks.check_head", lambda cls: iter([CheckResult(f"check_{cls.reads}")])
    )
    found = check.examine(Checkable("head", "mlp"))
    assert [result.name for result in found.results] == ["check_vectors", "check_frames"]
    assert found.passed


def test_heads_and_tasks_are_shown_check_by_check(capsys: pytest.CaptureFixture[str]) -> None:
    check.check(["logistic_regression", "sample-emotion"])
    said = capsys.readouterr().out
    assert re.search(r"fit is repeatable +passed", said)
    assert re.search(r"scikit-learn's check_estimator +\d+ of \d+ passed", said)
    assert re.search(r"every protocol folds +passed", said)
    assert "1 of 1 heads and 1 of 1 tasks checked, 0 failed" in said


def test_a_task_that_fails_ends_with_code_1_and_says_why(
    tmp_path: Path,
    session_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    spoil(written["03-01-05-01-01-01-07"], "text")
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path / "data"))
    with pytest.raises(typer.Exit) as ended:
        check.check(["ravdess"], as_json=True)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["passed"] is False
    (task,) = found["tasks"]
    problems = {each["name"]: each["problem"] for each in task["checks"] if each["problem"]}
    assert list(problems) == ["every clip decodes"]
    assert "03-01-05-01-01-01-07" in problems["every clip decodes"]
    assert "1 of 1 tasks checked, 1 failed (ravdess)" in said.err


def test_options_of_weights_are_refused_for_a_head() -> None:
    with pytest.raises(UserError, match="mlp is a head: leave out the options of weights"):
        check.check(["mlp"], pretrained=True)
    with pytest.raises(UserError, match="leave out one"):
        check.check(["logmel"], pretrained=True, control="random-init")
    with pytest.raises(UserError, match="--control knows only 'random-init', not 'rnd'"):
        check.check(["logmel"], control="rnd")


def test_what_failed_or_was_skipped_is_said_below_the_table() -> None:
    examined = Examined(
        Checkable("head", "mine"),
        (
            CheckResult("check_fit_is_repeatable", "two fits differ by 0.1"),
            CheckResult("check_input_is_left_alone", skipped="no input"),
            CheckResult("scikit-learn's check_one"),
            CheckResult("scikit-learn's check_two", "ValueError: y"),
        ),
        "a head",
    )
    text = shown(examined)
    assert re.search(r"fit is repeatable +failed", text)
    assert re.search(r"scikit-learn's check_estimator +1 of 2 failed", text)
    assert "failed fit is repeatable: two fits differ by 0.1" in text
    assert "failed scikit-learn's two: ValueError: y" in text
    assert "skipped input is left alone: no input" in text


def test_the_summary_leaves_out_nobody() -> None:
    failed = CheckResult("check_x", "wrong")
    found = [
        Examined(Checkable("backbone", "right"), (), "no weights"),
        Examined(Checkable("backbone", "lost"), (), "a backbone", skipped="not installed"),
        Examined(Checkable("backbone", "torn"), (), "a backbone", problem="no config.json"),
        Examined(Checkable("head", "mine"), (failed,), "a head"),
    ]
    assert check.summary(found) == (
        "1 of 3 backbones and 1 of 1 heads checked, 1 skipped (lost), 2 failed (torn, mine)"
    )
    listed = check.listing(found, [])
    assert not listed["passed"]
    assert [each["problem"] for each in listed["backbones"]] == [None, None, "no config.json"]
    assert shown(found[1]).startswith("lost not checked: not installed")
    assert shown(found[2]).startswith("torn failed no config.json")


def test_a_failure_is_shown_with_measure_limit_and_remedy(
    quiet: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        check.check(["quiet"])
    said = capsys.readouterr().out
    assert "frame rate matches metadata" in said
    assert "measured 130 frames more for 1.30 s more, limit 65 ± 5" in said
    assert "→ correct frame_rate in INFO" in said
    assert "skipped no pickle is executed: it has no weights" in said
    assert "1 of 1 backbones checked, 1 failed (quiet)" in said


def test_several_names_as_json_and_golden_vectors_of_what_is_right(
    quiet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        check.check(["logmel", "quiet"], as_json=True, write_golden=tmp_path / "golden")
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    right, wrong = found["backbones"]
    assert (right["name"], right["passed"]) == ("logmel", True)
    assert right["weights"] == {"kind": "none", "full_size": True, "sha256": None}
    (failure,) = (each for each in wrong["checks"] if each["outcome"] == "failed")
    assert failure["name"] == "frame rate matches metadata"
    assert all(failure[key] for key in ("problem", "measured", "limit", "remedy"))
    # nothing is written for a backbone that is wrong
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["logmel.json"]


def test_a_plugin_that_does_not_import_is_no_silent_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def passes(subject: Checkable, **options: object) -> Examined:
        return Examined(subject, (BackboneResult("check_x"),), "not looked at")

    monkeypatch.setattr(check, "examine", passes)
    point = EntryPoint("lost", "no_such_module_at_all", BACKBONES.group)
    with BACKBONES.including(point):
        with pytest.raises(typer.Exit):
            check.check()
        count = len(BACKBONES.names())
    said = capsys.readouterr().out
    assert f"{count} of {count} backbones checked, 0 failed\n" in said
    assert "backbone plugin 'lost' left out: no_such_module_at_all" in said


def test_weights_that_are_not_there_are_a_sentence(voxgrid: Voxgrid) -> None:
    done = voxgrid("check", "whisper-base", "--pretrained")
    assert done.returncode == 2
    assert "hf download openai/whisper-base" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
