from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.grid import Cell
from bench.errors import StorageError, UserError
from bench.records import proof
from bench.records import store as records
from bench.records.schema import Record
from tests.bench.records import make_records

WORDS = st.text(max_size=12)
FIGURES = st.floats(-1e300, 1e300)


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    """A record whose texts and figures hold anything; what its path is made of stays."""
    settings = st.none() | st.dictionaries(WORDS, FIGURES | WORDS, max_size=2)
    return make_records.make_trained(
        best=[0, draw(st.integers(0, 3))],
        trained=[draw(st.none() | WORDS)],
        notes=[draw(st.lists(WORDS, max_size=2))],
        training={
            "augmentation": draw(settings),
            "crop_seconds": draw(st.none() | st.floats(0, 1e12)),
        },
        validation=draw(st.floats(0, 1)),
        hardware=draw(WORDS),
        reason=draw(st.none() | WORDS),
        labels=draw(st.lists(WORDS, min_size=2, max_size=2, unique=True)),
        excluded=[{"clip": draw(WORDS), "reason": draw(WORDS)}],
        preset=draw(st.none() | st.just("some-preset")),
    )


def test_a_record_lies_where_its_cell_says(tmp_path: Path) -> None:
    record = make_records.make_record()
    assert records.write(tmp_path, record) == records.record_path(tmp_path, record.cell)
    assert list(records.read_all(tmp_path)) == [record]


@given(kept=any_record())
def test_every_record_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, kept: Record
) -> None:
    folder = tmp_path_factory.mktemp("results")
    path = records.write(folder, kept)
    before = path.read_bytes()
    stored = records.read(path)
    assert stored == kept
    assert records.write(folder, stored).read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"status": "ok"', "\0"])
def test_a_damaged_file_and_one_of_another_schema_wait_for_a_result_to_take_their_place(
    tmp_path: Path, content: str
) -> None:
    path = records.write(tmp_path, make_records.make_record())
    older = json.loads(path.read_text()) | {"schema_version": 1}
    for text in (content, json.dumps(older)):
        path.write_text(text)
        assert isinstance(records.read(path), records.Unreadable)
        # it may hold what was measured under another schema
        records.write(tmp_path, make_records.unfinished("no weights"))
        assert path.read_text() == text
    records.write(tmp_path, make_records.make_record())
    assert records.read(path) == make_records.make_record()


def test_writing_the_same_outcome_again_changes_no_byte(tmp_path: Path) -> None:
    skipped = make_records.unfinished("no weights")
    path = records.write(tmp_path, skipped)
    before = path.read_bytes(), path.stat().st_mtime_ns
    later = skipped.provenance.model_copy(update={"utc": "2030-01-01T00:00:00Z"})
    records.write(tmp_path, skipped.model_copy(update={"provenance": later}))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_skip_or_a_failure_never_takes_the_place_of_a_result(tmp_path: Path) -> None:
    measured = make_records.make_record()
    path = records.write(tmp_path, measured)
    before = path.read_bytes()
    for status in ("skipped", "failed"):
        records.write(tmp_path, make_records.unfinished("no weights today", status=status))
        assert path.read_bytes() == before
    again = make_records.make_record(seed=7)
    records.write(tmp_path, again)
    assert records.read(path) == again


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 1}, "it is of schema 1, and this voxgrid reads 2"),
        ({"trials": "many"}, "'trials' is not what a record holds there"),
        ({"surprise": 1}, "'surprise' is not what a record holds there"),
    ],
)
def test_an_unreadable_record_says_why_in_words(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path = records.write(tmp_path, make_records.make_record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert str(records.read(path)) == f"{path} cannot be read ({reason})"
    path.write_bytes(b"\xff\xfe garbage")
    assert str(records.read(path)) == f"{path} cannot be read (it is no JSON)"


def test_a_record_of_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = records.write(tmp_path, make_records.make_record())
    newer = json.dumps(json.loads(path.read_text()) | {"schema_version": 3, "more": 1})
    path.write_text(newer)
    for refused in (
        lambda: records.read(path),
        lambda: list(records.read_all(tmp_path)),
        lambda: records.write(tmp_path, make_records.unfinished("no weights")),
    ):
        with pytest.raises(UserError, match=r"xlsr__mean__mlp\.json is a record of schema 3.*upgr"):
            refused()
    assert path.read_text() == newer


@pytest.mark.parametrize(
    "copy", ["xlsr__mean__mlp copy.json", "backup/xlsr__mean__mlp.json", "../xlsr__mean__mlp.json"]
)
def test_a_record_counts_only_at_its_own_address(tmp_path: Path, copy: str) -> None:
    record = make_records.make_record()
    path = records.write(tmp_path, record)
    second = path.parent / copy
    second.parent.mkdir(exist_ok=True)
    second.write_bytes(path.read_bytes())
    found = records.Folder.read(tmp_path)
    assert found.records == (record,)
    assert [each.resolve() for each in found.copies] == [second.resolve()]
    path.unlink()
    assert list(records.read_all(tmp_path)) == []


def test_predictions_that_do_not_give_the_scores_are_named(tmp_path: Path) -> None:
    record = make_records.make_record(confusion=[[6, 4], [3, 7]])
    make_records.store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    assert proof.flaw(tmp_path, record) is None
    whole = path.read_bytes()
    other = make_records.make_record(confusion=[[7, 3], [3, 7]])
    assert proof.flaw(tmp_path, other) == f"its predictions {path} do not give its scores"
    better = record.scored.model_copy(update={"per_class_f1": {"class0": 0.9, "class1": 0.9}})
    flattered = record.model_copy(update={"scores": better})
    assert proof.flaw(tmp_path, flattered) == f"its predictions {path} do not give its scores"
    label = make_records.make_record(confusion=[[6, 4], [3, 7]], labels=["class0", "else"])
    for content, wanted in ((b"garbage", record), (whole[:-20], record), (b"", record)):
        path.write_bytes(content)
        assert f"its predictions {path} cannot be read" in str(proof.flaw(tmp_path, wanted))
    pd.DataFrame({"label": ["class0"] * 20}).to_parquet(path)
    assert "cannot be read" in str(proof.flaw(tmp_path, record))
    path.write_bytes(whole)
    assert "cannot be read" in str(proof.flaw(tmp_path, label))
    table = pd.read_parquet(path)
    table.assign(clip=["twice", "twice", *table["clip"][2:]]).to_parquet(path)
    twice = f"its predictions {path} are of some clip more than once"
    assert proof.flaw(tmp_path, record) == twice
    path.unlink()
    assert proof.flaw(tmp_path, record) == f"its predictions {path} are not there"


def test_predictions_of_repeated_splits_give_the_scores_of_each_and_their_mean(
    tmp_path: Path,
) -> None:
    confusions = ([[6, 4], [3, 7]], [[9, 1], [2, 8]], [[5, 5], [0, 10]])
    record = make_records.make_repeated(*confusions)
    path = records.predictions_path(tmp_path, record.cell)
    path.parent.mkdir(parents=True)
    table = make_records.predictions(record.labels, *confusions)

    def flaw(given: pd.DataFrame, of: Record = record) -> str:
        given.to_parquet(path)
        return str(proof.flaw(tmp_path, of))

    assert flaw(table) == "None"
    pooled = make_records.make_record(confusion=record.scored.confusion).scored
    assert pooled.macro_f1 != pytest.approx(record.scored.macro_f1, abs=1e-4)
    first = record.folds[0].model_copy(update={"test_macro_f1": 0.9})
    wrong = f"its predictions {path} do not give its scores"
    assert flaw(table, record.model_copy(update={"scores": pooled})) == wrong
    assert flaw(table, record.model_copy(update={"folds": [first, *record.folds[1:]]})) == wrong
    assert flaw(table, record.model_copy(update={"folds": record.folds[:2]})) == wrong
    assert flaw(table.assign(fold=table["fold"].sample(frac=1, random_state=0).to_numpy())) == wrong
    assert flaw(table.assign(fold=table["fold"] + 1)) == wrong
    assert "cannot be read" in flaw(table.assign(fold=table["fold"].astype(float)))
    assert "cannot be read" in flaw(table.drop(columns="fold"))


def test_controls_and_pretrained_rows_of_one_cell_have_files_of_their_own(tmp_path: Path) -> None:
    cells = [
        Cell("ravdess", "speaker-6fold", "xlsr", "mean", "mlp"),
        Cell("ravdess", "speaker-6fold", "xlsr", "mean", "mlp", "random-init"),
        Cell("ravdess", "speaker-6fold", "xlsr-v1.5", "mean", "mlp"),
        Cell("ravdess", "speaker-6fold", "xlsr-v1.7", "mean", "mlp"),
    ]
    assert len({records.record_path(tmp_path, cell) for cell in cells}) == len(cells)
    assert all(p.suffix == ".json" for p in (records.record_path(tmp_path, c) for c in cells))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ravdess").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="free some space, make the folder writable"):
        records.write(tmp_path, make_records.make_record(task="ravdess"))


def test_a_seed_depends_on_the_names_and_on_nothing_else() -> None:
    cell = Cell("ravdess", "speaker-6fold", "xlsr", "mean", "mlp")
    again = Cell("ravdess", "speaker-6fold", "xlsr", "mean", "mlp")
    assert cell.seed(0, 1, "fit") == again.seed(0, 1, "fit") == 2_654_355_901
    others = {cell.seed(0, 1, "fit"), cell.seed(0, 2, "fit"), cell.seed(1, 1, "fit")}
    others.add(Cell("ravdess", "speaker-6fold", "xlsr", "max", "mlp").seed(0, 1, "fit"))
    assert len(others) == 4
