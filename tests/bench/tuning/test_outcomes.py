"""What is kept of a finished fold, so that no refit runs twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StorageError
from bench.protocols.fold import Fold
from bench.tuning import outcomes
from bench.tuning.outcomes import FoldOutcome, InnerPredictions, Tested, Tried, Validated
from heads import Epoch

OUTCOME = FoldOutcome(
    best_params={"layer": 3, "rate": 0.25, "kind": "single"},
    layer=3,
    validated=Validated(
        accuracy=0.5,
        macro_f1=0.25,
        best_epoch=1,
        curve=(Epoch(0, 1.0, 0.1), Epoch(1, 1.0, 0.1, 1.0, 0.5, 0.5)),
        notes=("a note",),
        precision="32-true",
        live=True,
    ),
    tested=Tested(np.array([[0.25, 0.75], [1.0, 0.0]]), 12.5, ("of the refit",)),
    states={"complete": 2, "pruned": 1, "failed": 1},
    errors=["FitDiverged: the loss became nan"],
    notes=["a note", "of the refit"],
    seconds=1.5,
)

CLASSES = 2
FOLD = Fold(0, np.arange(4, 8), np.arange(2, 4), np.arange(2), ("a",), (np.arange(5, 8),))
# as a search on inner folds leaves it, with three seeds
SEARCHED = replace(
    OUTCOME,
    inner=InnerPredictions(np.arange(5, 8), np.full((3, CLASSES), 0.5)),
    tried=Tried("race", 7, 1, [0.25, 0.5], ["C"], []),
    again=[np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([[0.0, 1.0], [0.75, 0.25]])],
)


def _path(folder: Path, fold: int = 0, trials: int = 1, seeds: int = 1) -> Path:
    return outcomes.path(folder, fold, trials, seeds)


@pytest.mark.parametrize("layer", [3, "weighted"])
def test_the_outcome_of_a_fold_is_read_back_as_it_was(layer: int | str, tmp_path: Path) -> None:
    outcome = replace(OUTCOME, layer=layer)  # type: ignore[arg-type]
    file = _path(tmp_path)
    outcomes.save(file, outcome)
    found = outcomes.load(file, FOLD, CLASSES)
    assert found is not None
    np.testing.assert_array_equal(found.tested.probabilities, outcome.tested.probabilities)
    assert replace(found, tested=outcome.tested) == outcome
    assert found.tested.notes == outcome.tested.notes
    assert found.tested.clips_per_s == outcome.tested.clips_per_s


def test_a_search_on_inner_folds_is_read_back_as_it_was(tmp_path: Path) -> None:
    outcomes.save(_path(tmp_path), SEARCHED)
    found = outcomes.load(_path(tmp_path), FOLD, CLASSES)
    assert found is not None
    assert found.tried == SEARCHED.tried
    np.testing.assert_array_equal(found.again, SEARCHED.again)
    assert found.inner is not None
    assert SEARCHED.inner is not None
    np.testing.assert_array_equal(found.inner.clips, SEARCHED.inner.clips)
    np.testing.assert_array_equal(found.inner.probabilities, SEARCHED.inner.probabilities)


@pytest.mark.parametrize(
    "fold",
    [
        replace(FOLD, inner=(np.arange(4, 7),)),
        replace(FOLD, inner=(np.arange(5, 8), np.arange(4, 5))),
        replace(FOLD, test=np.arange(3)),
    ],
)
def test_an_outcome_of_other_inner_folds_counts_as_none(fold: Fold, tmp_path: Path) -> None:
    outcomes.save(_path(tmp_path), SEARCHED)
    assert outcomes.load(_path(tmp_path), fold, CLASSES) is None
    assert outcomes.load(_path(tmp_path), FOLD, CLASSES + 1) is None


def test_a_fold_of_more_trials_or_seeds_and_another_fold_have_files_of_their_own(
    tmp_path: Path,
) -> None:
    several = product((0, 1), (1, 11), (1, 3))
    files = {_path(tmp_path, *each) for each in several}
    assert len(files) == 8
    outcomes.save(_path(tmp_path), OUTCOME)
    found = [outcomes.load(file, FOLD, CLASSES) is None for file in sorted(files)]
    assert found.count(False) == 1


@given(cut=st.integers(min_value=0))
def test_a_damaged_outcome_counts_as_none(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = _path(tmp_path_factory.mktemp("outcome"))
    outcomes.save(file, SEARCHED)
    content = file.read_bytes()
    file.write_bytes(content[: cut % len(content)])
    assert outcomes.load(file, FOLD, CLASSES) is None


def test_an_outcome_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cell").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="choose another"):
        outcomes.save(_path(tmp_path / "cell"), OUTCOME)
