"""What the page to explore knows is what the records say."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import numpy as np
import pandas as pd

from bench.records import store as records
from bench.records.schema import Record
from bench.report import listing, statistics
from bench.report.beside import Beside
from bench.report.site import data
from tests.bench.records.make_records import make_record, store

GROUPS = 12


def _document(results: Path, *found: Record) -> dict:
    beside = Beside.of(results, found)
    return data.document(results, listing.rows(found, beside.places), beside)


def test_a_row_holds_its_values_folds_and_command(tmp_path: Path) -> None:
    record = make_record(confusion=[[70, 30], [30, 70]], picked=(3, 5), failed_trials=2)
    store(tmp_path, record, GROUPS)
    (row,) = _document(tmp_path, record)["rows"]
    assert row["values"]["macro_f1"] == 0.7
    assert row["shown"]["rank"] == "1"
    assert row["shown"]["macro_f1"].startswith("70.0 (")
    assert row["confusion"] == [[70, 30], [30, 70]]
    assert [fold["params"] for fold in row["folds"]] == [{"layer": 3}, {"layer": 5}]
    assert [fold["trials"] for fold in row["folds"]] == [10, 10]
    assert row["command"] == (
        "voxgrid run --task ravdess --protocol speaker-6fold --backbone xlsr --pooling mean "
        "--head mlp"
    )
    assert ["failed", "4"] in row["advisories"]


def test_the_surest_mistakes_come_first(tmp_path: Path) -> None:
    record = make_record(confusion=[[8, 2], [3, 7]])
    store(tmp_path, record, GROUPS)
    path = records.predictions_path(tmp_path, record.cell)
    table = pd.read_parquet(path)
    wrong = table.index[table["label"] != table["predicted"]]
    sure = np.linspace(0.5, 0.9, len(wrong))
    for place, own in zip(wrong, sure, strict=True):
        table.loc[place, f"p_{table.loc[place, 'predicted']}"] = own
    table.to_parquet(path)
    (row,) = _document(tmp_path, record)["rows"]
    assert [clip for clip, *_ in row["wrong"]] == [table.loc[i, "clip"] for i in wrong[::-1]]
    assert [each[3] for each in row["wrong"]] == [round(own, 3) for own in sure[::-1]]
    labels = row["labels"]
    first = table.loc[wrong[-1]]
    _, truth, said, _ = row["wrong"][0]
    assert (labels[truth], labels[said]) == (first["label"], first["predicted"])


def test_rows_of_the_same_clips_share_their_list_and_say_what_they_said(tmp_path: Path) -> None:
    found = [
        make_record("a", confusion=[[8, 2], [3, 7]]),
        make_record("b", confusion=[[9, 1], [3, 7]]),
        make_record("c", confusion=[[8, 2], [3, 7]], protocol="random-80-20"),
        make_record("d", confusion=[[80, 20], [30, 70]], protocol="random-75-25"),
    ]
    for record in found:
        store(tmp_path, record, GROUPS)
    document = _document(tmp_path, *found)
    by_backbone = {row["values"]["backbone"]: row for row in document["rows"]}
    assert [by_backbone[name]["clips"] for name in "abcd"] == [0, 0, 0, 1]
    clips, first = document["clips"][0], document["first"]
    assert len(clips["names"]) == len(clips["groups"]) == len(clips["truth"]) == 20
    for name, record in zip("ab", found, strict=False):
        (said,) = by_backbone[name]["said"]
        confusion = np.zeros((2, 2), dtype=int)
        for truth, own in zip(clips["truth"], said, strict=True):
            confusion[ord(truth) - first, ord(own) - first] += 1
        assert confusion.tolist() == record.scored.confusion


def test_its_draws_are_those_of_the_intervals(tmp_path: Path) -> None:
    record = make_record(confusion=[[70, 30], [30, 70]])
    store(tmp_path, record, GROUPS)
    draws = _document(tmp_path, record)["draws"][str(GROUPS)]
    drawn = np.frombuffer(b64decode(draws["counts"]), dtype=np.uint8).reshape(-1, GROUPS)
    assert (drawn == statistics.draws(GROUPS, statistics.RESAMPLES)).all()
    assert draws["tails"] == statistics.tails(GROUPS)


def test_without_sound_predictions_a_row_has_no_clips(tmp_path: Path) -> None:
    record = make_record()
    store(tmp_path, record, GROUPS)
    records.predictions_path(tmp_path, record.cell).write_bytes(b"garbage")
    (row,) = _document(tmp_path, record)["rows"]
    assert (row["clips"], row["said"], row["wrong"]) == (None, [], [])


def test_presets_stand_in_no_rank(tmp_path: Path) -> None:
    found = [
        make_record("best", preset="w2v2-gb-ravdess", confusion=[[10, 0], [0, 10]]),
        make_record("a", confusion=[[8, 2], [3, 7]]),
    ]
    ranks = {
        row["values"]["backbone"]: row["shown"]["rank"]
        for row in _document(tmp_path, *found)["rows"]
    }
    assert ranks == {"best": "–", "a": "1"}
