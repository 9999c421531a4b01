"""What is kept of a finished fold, so that no refit runs twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StorageError
from bench.tuning import outcomes, search
from bench.tuning.search import FoldOutcome, Validated
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
    tested=search.Tested(np.array([[0.25, 0.75], [1.0, 0.0]]), 12.5, ("of the refit",)),
    states={"complete": 2, "pruned": 1, "failed": 1},
    errors=["FitDiverged: the loss became nan"],
    notes=["a note", "of the refit"],
    seconds=1.5,
)

SHAPE = OUTCOME.tested.probabilities.shape


@pytest.mark.parametrize("layer", [3, "weighted"])
def test_the_outcome_of_a_fold_is_read_back_as_it_was(layer: int | str, tmp_path: Path) -> None:
    outcome = replace(OUTCOME, layer=layer)  # type: ignore[arg-type]
    file = outcomes.path(tmp_path, 0, 4)
    outcomes.save(file, outcome)
    found = outcomes.load(file, SHAPE)
    assert found is not None
    np.testing.assert_array_equal(found.tested.probabilities, outcome.tested.probabilities)
    assert replace(found, tested=outcome.tested) == outcome
    assert found.tested.notes == outcome.tested.notes
    assert found.tested.clips_per_s == outcome.tested.clips_per_s


def test_a_fold_of_more_trials_and_another_fold_have_files_of_their_own(tmp_path: Path) -> None:
    files = {outcomes.path(tmp_path, fold, trials) for fold in (0, 1) for trials in (1, 11)}
    assert len(files) == 4
    outcomes.save(outcomes.path(tmp_path, 0, 1), OUTCOME)
    assert [outcomes.load(file, SHAPE) is None for file in sorted(files)].count(False) == 1


@given(cut=st.integers(min_value=0))
def test_a_damaged_outcome_counts_as_none(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = outcomes.path(tmp_path_factory.mktemp("outcome"), 0, 1)
    outcomes.save(file, OUTCOME)
    content = file.read_bytes()
    file.write_bytes(content[: cut % len(content)])
    assert outcomes.load(file, SHAPE) is None


def test_an_outcome_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cell").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="choose another"):
        outcomes.save(outcomes.path(tmp_path / "cell", 0, 1), OUTCOME)
