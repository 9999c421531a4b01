"""Studies of many journals in one storage: whole, as they are, and without touching any."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import optuna
import optuna_dashboard
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from bench.planning.make import STUDIES
from bench.tuning.gather import gathered
from bench.tuning.search import open_study, recalled
from bench.tuning.storage import JournalStudies
from tests.bench.tuning.make_studies import CELL, everything, searched
from tests.bench.tuning.test_search import Trainings

OTHER = CELL.replace("xlsr", "logmel")


def names(results: Path) -> list[str]:
    return [study.study_name for study in gathered(results / STUDIES)[0].get_all_studies()]


def test_studies_of_all_journals_are_there_as_they_were_searched(tmp_path: Path) -> None:
    journal = searched(tmp_path)
    searched(tmp_path, OTHER, trials=2)
    before = everything(tmp_path)
    storage, left_out = gathered(tmp_path / STUDIES)
    assert everything(tmp_path) == before
    assert left_out == []
    assert names(tmp_path) == [f"{OTHER}/fold-0", f"{CELL}/fold-0"]
    copy = optuna.load_study(study_name=f"{CELL}/fold-0", storage=storage)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    own = optuna.load_study(study_name="fold-0", storage=optuna.storages.JournalStorage(backend))
    assert copy.direction == own.direction
    assert copy.best_value == own.best_value
    for mine, theirs in zip(copy.trials, own.trials, strict=True):
        assert (mine.params, mine.values, mine.state) == (
            theirs.params,
            theirs.values,
            theirs.state,
        )
        assert mine.intermediate_values == theirs.intermediate_values
        assert mine.user_attrs == theirs.user_attrs
        assert mine.datetime_complete == theirs.datetime_complete


def test_a_search_that_is_at_it_goes_on(tmp_path: Path) -> None:
    space = Trainings()
    store = JournalStudies(tmp_path / STUDIES)
    study = open_study(store.open(CELL, lambda _, trial: recalled(space, trial, 4, None)), "fold-0")
    trial = study.ask()
    space.draw(trial, 4)
    trial.report(0.5, 0)
    # it holds its lock, and is in the middle of a line
    journal = store.journal(CELL)
    lock = journal.with_name(journal.name + ".lock")
    lock.touch()
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 6, "wor')
    before = everything(tmp_path)
    storage, left_out = gathered(tmp_path / STUDIES)
    assert (everything(tmp_path), left_out) == (before, [])
    (copy,) = storage.get_all_trials(storage.get_all_studies()[0]._study_id)
    assert (copy.state, copy.intermediate_values) == (TrialState.RUNNING, {0: 0.5})
    journal.write_bytes(whole)
    lock.unlink()
    study.tell(trial, state=TrialState.FAIL)


def test_without_journals_there_are_no_studies(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    (tmp_path / STUDIES / CELL).mkdir(parents=True)
    (tmp_path / STUDIES / f"{CELL}.journal").touch()  # a search just began
    assert gathered(tmp_path / STUDIES)[1] == []
    assert names(tmp_path) == []


def _nested(path: Path) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000 + "\n")


def _linked(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def _with_changed(what: str, value: Any, path: Path) -> None:
    lines = [json.loads(line) for line in searched(path.parents[3], OTHER).read_text().splitlines()]
    for line in lines:
        if what in line:
            line[what] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


DAMAGES = {
    "no JSON": lambda path: path.write_text("Dear diary\n"),
    "no journal": lambda path: path.write_text("[1, 2]\n"),
    "of no operation": lambda path: path.write_text('{"op_code": 77, "worker_id": "a"}\n'),
    "nested": _nested,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link": _linked,
    "minimised": lambda path: _with_changed("directions", [1], path),
    "of two objectives": lambda path: _with_changed("directions", [2, 2], path),
    "values not finite": lambda path: _with_changed("values", [float("inf")], path),
    "two values": lambda path: _with_changed("values", [0.5, 0.5], path),
    "values out of range": lambda path: _with_changed("param_value_internal", 77, path),
    "trials that never began": lambda path: _with_changed("datetime_start", None, path),
    "attributes of others": lambda path: _with_changed("user_attr", {"validated": {}}, path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_journal_is_named_and_costs_itself(damage, tmp_path: Path) -> None:
    searched(tmp_path)
    path = tmp_path / STUDIES / f"{CELL.replace('mlp', 'fine_tune')}.journal"
    damage(path)
    storage, left_out = gathered(tmp_path / STUDIES)
    assert f"{CELL}/fold-0" in [study.study_name for study in storage.get_all_studies()]
    (reason,) = left_out
    assert str(path) in reason
    assert not any("fine_tune" in name for name in names(tmp_path))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=3,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_journal_says_it_is_shown_or_left_out(
    data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / STUDIES / f"{CELL}.journal"
    if not (original := tmp_path / "original").exists():
        original.write_bytes(searched(tmp_path).read_bytes())
    lines = [json.loads(line) for line in original.read_text().splitlines()]
    line = data.draw(st.sampled_from(lines))
    key = data.draw(st.sampled_from(sorted(line)))
    value = line[key]
    if isinstance(value, dict) and value:  # an attribute
        within = next(iter(value.values()))
        if isinstance(within, dict):
            value, key = within, data.draw(st.sampled_from(sorted(within)))
            line = value
    line[key] = data.draw(_VALUES)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    storage, left_out = gathered(tmp_path / STUDIES)
    studies = storage.get_all_studies()
    assert len(left_out) <= (not studies)
    with httpx.Client(
        transport=httpx.WSGITransport(optuna_dashboard.wsgi(storage)), base_url="http://here"
    ) as page:
        for address in ("", *(f"/{study._study_id}" for study in studies)):
            assert page.get(f"/api/studies{address}").status_code == 200
