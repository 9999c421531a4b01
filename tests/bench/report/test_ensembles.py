"""Averages of rows: chosen on inner predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import store as records
from bench.records.schema import Record
from bench.report.ensembles import MOST, Ensemble, ensembles, greedy
from bench.report.stored import stored
from bench.scoring import macro_f1, score
from tests.bench.records.make_records import make_record

LABELS, GROUPS, CLIPS, FOLDS = ("a", "b", "c"), 12, 240, 3
TRIED = {
    "how": "every",
    "settings": 3,
    "inner_folds": 2,
    "curve": [0.5],
    "lowest": [],
    "highest": [],
}


def _said(rng: np.random.Generator, truth: np.ndarray, right: float) -> np.ndarray:
    """Probabilities (clips, classes) that are highest for the true class that often."""
    odds = rng.random((len(truth), len(LABELS)))
    told = rng.random(len(truth)) < right
    odds[np.arange(len(truth)), truth] += np.where(told, 1.0, 0.0)
    return odds / odds.sum(axis=1, keepdims=True)


def _frame(
    truth: np.ndarray, said: np.ndarray, folds: np.ndarray, clips: np.ndarray
) -> pd.DataFrame:
    labels = np.array(LABELS)
    frame = pd.DataFrame(
        {
            "clip": [f"clip{clip}" for clip in clips],
            "group": [f"group{clip % GROUPS}" for clip in clips],
            "fold": folds,
            "label": labels[truth],
            "predicted": labels[said.argmax(axis=1)],
        }
    )
    frame[[f"p_{label}" for label in LABELS]] = said.astype(np.float32)
    return frame


def _store(results: Path, name: str, right: float, seed: int, **changes: object) -> Record:
    """A row that is right so often, on clips whose truth is the same for all rows."""
    rng = np.random.default_rng(seed)
    clips = np.arange(CLIPS)
    truth, fold_of = clips // 3 % len(LABELS), clips % FOLDS
    said = _said(rng, truth, right)
    backbone, _, head = name.partition(" ")
    record = make_record(
        backbone,
        head,
        picked=[1] * FOLDS,
        labels=list(LABELS),
        confusion=np.eye(3, dtype=int).tolist(),
        **changes,
    )
    folds = [fold.model_dump() | {"tried": TRIED} for fold in record.folds]
    scores = score(truth, said.argmax(axis=1), LABELS)
    record = Record.model_validate(
        record.model_dump() | {"folds": folds, "scores": scores, "clips": CLIPS}
    )
    records.write(results, record)
    _frame(truth, said, fold_of, clips).to_parquet(records.predictions_path(results, record.cell))
    inner = [clips[fold_of != fold] for fold in range(FOLDS)]
    asked, number = np.concatenate(inner), np.repeat(np.arange(FOLDS), list(map(len, inner)))
    told = _said(rng, truth[asked], right)
    _frame(truth[asked], told, number, asked).to_parquet(records.inner_path(results, record.cell))
    return record


def _ensembles(results: Path, found: Sequence[Record]) -> list[Ensemble]:
    return ensembles([row for row in stored(results, found).values() if row.tuned])


def test_rows_that_err_elsewhere_are_better_together(tmp_path: Path) -> None:
    found = [_store(tmp_path, f"b{n} lda", 0.5, n) for n in range(5)]
    (every,) = _ensembles(tmp_path, found)
    assert every.name == "all"
    assert every.macro_f1 > every.best.scored.macro_f1 + 0.05
    assert every.over_best is not None
    assert every.over_best.low > 0
    assert every.interval is not None
    assert every.interval.low < every.macro_f1 < every.interval.high
    assert sum(count for _, count in every.members) <= MOST * FOLDS


def test_test_predictions_choose_nothing(tmp_path: Path) -> None:
    found = [_store(tmp_path, f"b{n} lda", 0.4 + n / 20, n) for n in range(5)]
    (before,) = _ensembles(tmp_path, found)
    for record in found:
        path = records.predictions_path(tmp_path, record.cell)
        spoiled = pd.read_parquet(path)
        rng = np.random.default_rng(1)
        odds = rng.random((CLIPS, len(LABELS)))
        spoiled[[f"p_{label}" for label in LABELS]] = odds / odds.sum(axis=1, keepdims=True)
        spoiled.to_parquet(path)
    (after,) = _ensembles(tmp_path, found)
    chosen = [[(str(row.cell), count) for row, count in own.members] for own in (before, after)]
    assert chosen[0] == chosen[1]
    assert after.macro_f1 < 0.5 < before.macro_f1


def test_rows_at_chance_stay_there(tmp_path: Path) -> None:
    found = [_store(tmp_path, f"b{n} lda", 0.0, n) for n in range(8)]
    (every,) = _ensembles(tmp_path, found)
    assert abs(every.macro_f1 - 1 / len(LABELS)) < 0.08


def test_each_backbone_of_several_rows_has_one_of_its_own(tmp_path: Path) -> None:
    found = [_store(tmp_path, name, 0.5, n) for n, name in enumerate(("w a", "w b", "x a"))]
    assert [own.name for own in _ensembles(tmp_path, found)] == ["all", "w"]
    assert [own.name for own in _ensembles(tmp_path, found[:2])] == ["w"]
    assert _ensembles(tmp_path, found[:1]) == []


def test_controls_presets_and_rows_without_inner_predictions_take_no_part(tmp_path: Path) -> None:
    found = [_store(tmp_path, name, 0.5, n) for n, name in enumerate(("w a", "w b"))]
    control = _store(tmp_path, "w a", 0.9, 7, control="random-init")
    trained = make_record("w", "fine_tune")
    records.write(tmp_path, trained)
    lost = _store(tmp_path, "w c", 0.9, 8)
    records.inner_path(tmp_path, lost.cell).unlink()
    (own,) = _ensembles(tmp_path, [*found, control, trained, lost])
    assert {str(row.cell) for row, _ in own.members} <= {str(record.cell) for record in found}


def test_where_groups_are_on_both_sides_there_is_no_interval(tmp_path: Path) -> None:
    found = [_store(tmp_path, f"b{n} lda", 0.5, n, protocol="random-80-20") for n in range(2)]
    (every,) = _ensembles(tmp_path, found)
    assert every.interval is None
    assert every.over_best is None


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), most=st.integers(1, 6))
def test_no_row_more_would_help_and_none_was_chosen_in_vain(
    seed: int, rows: int, most: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(30) % 3
    said = [_said(rng, truth, rng.random()) for _ in range(rows)]
    chosen = greedy(said, truth, most)
    assert 1 <= len(chosen) <= most

    def f1(places: list[int]) -> float:
        return macro_f1(truth, sum(said[place] for place in places).argmax(axis=1))

    reached = [f1(chosen[: length + 1]) for length in range(len(chosen))]
    assert reached == sorted(set(reached))
    assert reached[0] == pytest.approx(max(f1([place]) for place in range(rows)))
    if len(chosen) < most:
        assert all(f1([*chosen, place]) <= reached[-1] + 1e-9 for place in range(rows))
