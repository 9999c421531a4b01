"""The committed records and leaderboard keep their promises."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from bench import records
from bench.scoring import score

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
FINISHED = [r for r in records.read_all(RESULTS) if r.status == "ok"]


def test_the_leaderboard_agrees_with_the_records() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "bench", "leaderboard", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert check.returncode == 0, check.stderr


def test_every_record_can_be_read() -> None:
    assert records.unreadable(RESULTS) == []
    assert FINISHED


def test_every_score_follows_from_the_stored_predictions() -> None:
    for record in FINISHED:
        table = pd.read_parquet(records.predictions_path(RESULTS, record.cell))
        index = {label: i for i, label in enumerate(record.labels)}
        truth, predicted = (
            np.array([index[label] for label in table[column]]) for column in ("label", "predicted")
        )
        assert score(truth, predicted, record.labels) == record.scores, record.cell


def test_grouped_folds_never_share_a_speaker_and_test_every_clip_once() -> None:
    for record in FINISHED:
        if record.protocol != "speaker-6fold":
            continue
        table = pd.read_parquet(records.predictions_path(RESULTS, record.cell))
        assert table["clip"].is_unique
        assert len(table) == record.clips == 1440
        assert table.groupby("group")["fold"].nunique().max() == 1


def test_every_cell_had_the_same_number_of_trials() -> None:
    budgets = {
        sum(fold.trials.model_dump().values()) for record in FINISHED for fold in record.folds
    }
    assert budgets == {10}


def test_the_random_split_reads_several_points_higher_than_unseen_speakers() -> None:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in FINISHED:
        if record.scores is not None and record.control is None:
            scores[record.protocol][record.backbone].append(record.scores.macro_f1)
    for backbone, grouped in scores["speaker-6fold"].items():
        assert max(scores["random-80-20"][backbone]) > max(grouped) + 0.03, backbone
        assert max(grouped) < 0.80, "a frozen probe this good on unseen speakers hints at a leak"


def test_no_record_names_a_path_of_the_machine_it_was_made_on() -> None:
    for path in records.record_files(RESULTS):
        text = path.read_text()
        assert "/home/" not in text
        assert "/tmp/" not in text
        assert "$VOXGRID_WEIGHTS" in text or '"reason": null' in text
