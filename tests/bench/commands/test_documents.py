"""The JSON documents hold nothing but JSON, and their rows stand as on the page."""

from __future__ import annotations

import pytest

from bench.commands import documents
from tests.bench.commands.reading import document
from tests.bench.records.make_records import SYSTEM, make_record


def test_rows_keep_tuned_ones_controls_and_presets_apart_best_first() -> None:
    found = documents.rows(
        [
            make_record("wav2vec2", confusion=[[5, 5], [5, 5]]),
            make_record("xlsr", confusion=[[9, 1], [1, 9]]),
            make_record("xlsr", control="random-init", weights="random-init"),
            make_record("xlsr", preset="some-preset", published=SYSTEM),
            make_record("xlsr", protocol="random-80-20"),
            make_record("logmel", status="skipped", reason="why", scores=None),
        ]
    )
    assert [(row["kind"], row["protocol"], row["leaks"], row["backbone"]) for row in found] == [
        ("tuned", "speaker-6fold", False, "xlsr"),
        ("tuned", "speaker-6fold", False, "wav2vec2"),
        ("tuned", "random-80-20", True, "xlsr"),
        ("control", "speaker-6fold", False, "xlsr"),
        ("preset", "speaker-6fold", False, "xlsr"),
    ]
    assert found[0]["macro_f1"] == pytest.approx(0.9)
    assert document(documents.text("leaderboard", rows=found))["rows"] == found


def test_no_number_is_nan() -> None:
    (row,) = documents.rows([make_record()])
    with pytest.raises(ValueError, match="not JSON compliant"):
        documents.text("leaderboard", rows=[{**row, "uar": float("nan")}])
