"""The records and the leaderboard that are committed keep their promises.

What a run of one's own has added to `results/` since is not judged here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.records import store as records
from bench.records.schema import Record, predicted_by
from bench.report.leaderboard import Leaderboard
from bench.scoring import mean_scores, over_seeds, score

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`results/` and leaderboard.md as of the last commit."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("committed")
    archive = subprocess.run(
        ["git", "archive", "HEAD", "results", "leaderboard.md"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


@pytest.fixture(scope="module")
def finished(committed: Path) -> list[Record]:
    found = [r for r in records.read_all(committed / "results") if r.status == "ok"]
    assert found
    return found


def test_the_leaderboard_agrees_with_the_records(committed: Path) -> None:
    made = Leaderboard.of(committed / "results", committed / "leaderboard.md")
    assert made.difference() is None
    assert made.unfounded() == []


def test_every_record_can_be_read_and_names_no_path_of_a_machine(committed: Path) -> None:
    assert not records.Folder.read(committed / "results").copies
    for path in records.record_files(committed / "results"):
        record = records.read(path)
        assert isinstance(record, Record), path
        assert not record.sample
        for fragment in ("/home/", "/tmp/", "/root/", "/Users/"):
            assert fragment not in path.read_text()


def test_every_score_follows_from_the_stored_predictions(
    committed: Path, finished: list[Record]
) -> None:
    for record in finished:
        table = pd.read_parquet(records.predictions_path(committed / "results", record.cell))
        index = {label: i for i, label in enumerate(record.labels)}
        columns = ["label", *map(predicted_by, range(max(1, len(record.seeds))))]
        truth, *seeds = (np.array([index[label] for label in table[name]]) for name in columns)
        parts = [np.ones(len(table), dtype=bool)]
        if record.folding.repeats:
            parts = [table["fold"] == number for number in range(len(record.folds))]
        each = [
            mean_scores([score(truth[own], said[own], record.labels) for own in parts])
            for said in seeds
        ]
        assert over_seeds(each).close_to(record.scored), record.cell


def test_every_validation_score_follows_from_what_was_said_on_inner_folds(
    committed: Path, finished: list[Record]
) -> None:
    searched = [record for record in finished if record.folds[0].tried is not None]
    assert len(searched) >= 80
    for record in searched:
        table = pd.read_parquet(records.inner_path(committed / "results", record.cell))
        tested = pd.read_parquet(records.predictions_path(committed / "results", record.cell))
        for number, fold in enumerate(record.folds):
            own = table[table["fold"] == number]
            assert own["clip"].is_unique
            assert not set(own["clip"]) & set(tested["clip"][tested["fold"] == number])
            right = (own["label"] == own["predicted"]).mean()
            assert right == pytest.approx(fold.val_accuracy, abs=1e-9)


def test_grouped_folds_never_share_a_speaker_and_test_every_clip_once(
    committed: Path, finished: list[Record]
) -> None:
    grouped = [record for record in finished if record.protocol == "speaker-6fold"]
    assert grouped
    for record in grouped:
        table = pd.read_parquet(records.predictions_path(committed / "results", record.cell))
        assert table["clip"].is_unique
        assert len(table) == record.clips == 1440
        assert table.groupby("group")["fold"].nunique().max() == 1


def _on_vectors(found: list[Record]) -> list[Record]:
    """Rows of heads on frozen vectors that were tuned."""
    return [r for r in found if r.training is None and r.preset is None]


def test_every_cell_of_a_head_on_vectors_had_the_same_number_of_trials(
    finished: list[Record],
) -> None:
    budgets: dict[tuple[str, bool], set[float]] = defaultdict(set)
    for record in _on_vectors(finished):
        for fold in record.folds:
            trials = sum(fold.trials.model_dump().values())
            tried = fold.tried
            # of a fusion a head with a list of settings tries all of it on so many joined layers
            layers = len(tried.curve) if tried and tried.how in ("every", "best") else 1
            budget = trials / layers
            budgets[record.head, fold.tried is not None].add(budget)
    searched = {head: counts for (head, inner), counts in budgets.items() if inner}
    assert searched == {
        "logistic_regression": {13},
        "lda": {1},
        "mlp": {50},
        "gradient_boosting": {25},
    }
    assert {count for (_, inner), own in budgets.items() if not inner for count in own} <= {10}


def test_trained_rows_hold_a_curve_for_each_fold_and_the_epoch_that_was_chosen(
    finished: list[Record],
) -> None:
    trained = [r for r in finished if r.training is not None]
    assert {(r.backbone, r.head) for r in trained} >= {
        (backbone, head)
        for backbone in ("quartznet", "whisper-base")
        for head in ("mlp", "fine_tune")
    }
    for record in trained:
        for fold in record.folds:
            assert fold.best_epoch is not None
            chosen = fold.curve[fold.best_epoch]
            assert chosen.validation_macro_f1 == fold.val_macro_f1
            if record.head == "fine_tune" and record.preset is None:
                assert fold.val_macro_f1 == max(e.validation_macro_f1 or 0 for e in fold.curve)


def test_rows_of_presets_were_not_tuned(finished: list[Record]) -> None:
    presets = [record for record in finished if record.preset is not None]
    assert {record.preset for record in presets} >= {"w2v2-gb-ravdess", "quartznet-mlp-youtube"}
    for record in presets:
        assert record.trials == 1
        assert len({str(fold.best_params) for fold in record.folds}) == 1


def test_the_random_split_reads_several_points_higher_than_unseen_speakers(
    finished: list[Record],
) -> None:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in _on_vectors(finished):
        if record.scores is not None and record.control is None:
            scores[record.protocol][record.backbone].append(record.scores.macro_f1)
    assert scores["speaker-6fold"]
    for backbone, grouped in scores["speaker-6fold"].items():
        assert max(scores["random-80-20"][backbone]) > max(grouped) + 0.03, backbone
        assert max(grouped) < 0.80, "a frozen probe this good on unseen speakers hints at a leak"
