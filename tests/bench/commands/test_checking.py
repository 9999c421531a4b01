"""A name leads to its conformance suite, whatever it names."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from backbones import BackboneError
from backbones import registry as backbone_registry
from bench.commands import checking, suites
from bench.errors import UserError
from heads import registry as head_registry
from heads.checks import CheckResult
from tests.bench.tasks.ravdess.make_ravdess import ravdess_like, spoil
from tests.conftest import Voxgrid


@pytest.mark.parametrize(
    ("name", "kind"),
    [("logmel", "backbone"), ("logistic_regression", "head"), ("sample-emotion", "task")],
)
def test_a_name_is_looked_up_among_backbones_heads_and_tasks(name: str, kind: str) -> None:
    (subject,) = checking.subjects(name)
    assert (subject.kind, subject.name) == (kind, name)
    results = checking.results(subject)
    first = next(iter(results))
    assert first.name
    assert first.problem is None
    assert first.passed


def test_a_name_of_nothing_gets_a_suggestion_from_all_three() -> None:
    with pytest.raises(UserError, match="did you mean 'logistic_regression'"):
        checking.subjects("logistic_regresion")
    with pytest.raises(UserError, match="did you mean 'sample-emotion'"):
        checking.subjects("sample-emotions")


def test_an_address_is_a_backbone(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="nothing"):
        checking.subjects(f"hf:{tmp_path / 'nothing'}")


@pytest.mark.parametrize("registry", [backbone_registry, head_registry])
def test_the_name_of_a_broken_plugin_gives_its_reason(
    registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "broken", lambda: {"defective": "elsewhere: ImportError: no x"})
    with pytest.raises(UserError, match="'defective' was left out: elsewhere: ImportError: no x"):
        checking.subjects("defective")


def test_one_name_in_two_places_is_two_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking.tasks, "names", lambda: ["mlp"])
    assert [subject.kind for subject in checking.subjects("mlp")] == ["head", "task"]


def test_heads_and_tasks_are_shown_check_by_check(voxgrid: Voxgrid) -> None:
    done = voxgrid("check", "logistic_regression", "sample-emotion")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"fit is repeatable +passed", done.stdout)
    assert re.search(r"scikit-learn's check_estimator +\d+ of \d+ passed", done.stdout)
    assert re.search(r"every protocol folds +passed", done.stdout)
    assert "1 head and 1 task checked, 0 failed" in done.stdout


def test_a_task_that_fails_ends_with_code_1_and_says_why(
    voxgrid: Voxgrid, tmp_path: Path, session_cache: Path
) -> None:
    written = ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    spoil(written["03-01-05-01-01-01-07"], "text")
    done = voxgrid("check", "ravdess", "--json", VOXGRID_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["passed"] is False
    (task,) = found["tasks"]
    problems = {check["name"]: check["problem"] for check in task["checks"] if check["problem"]}
    assert list(problems) == ["every clip decodes"]
    assert "03-01-05-01-01-01-07" in problems["every clip decodes"]
    assert "1 task checked, 1 failed (ravdess)" in done.stderr


def test_options_of_weights_are_refused_for_a_head(voxgrid: Voxgrid) -> None:
    done = voxgrid("check", "mlp", "--pretrained")
    assert done.returncode == 2
    assert "mlp is a head: leave out the options of weights" in done.stderr


def test_what_failed_or_was_skipped_is_said_below_the_table() -> None:
    examined = suites.Examined(
        checking.Subject("head", "mine"),
        (
            CheckResult("check_fit_is_repeatable", "two fits differ by 0.1"),
            CheckResult("check_input_is_left_alone", skipped="no input"),
            CheckResult("scikit-learn's check_one"),
            CheckResult("scikit-learn's check_two", "ValueError: y"),
        ),
    )
    console = Console(record=True, width=80, file=io.StringIO())
    suites.render(examined, console)
    text = console.export_text()
    assert re.search(r"fit is repeatable +failed", text)
    assert re.search(r"scikit-learn's check_estimator +1 of 2 failed", text)
    assert "failed fit is repeatable: two fits differ by 0.1" in text
    assert "failed scikit-learn's two: ValueError: y" in text
    assert "skipped input is left alone: no input" in text
    assert suites.summary([examined, examined]) == "2 heads checked, 2 failed (mine, mine)"
