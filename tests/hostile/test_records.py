"""Records, predictions and benchmarks of strangers: none ends a command or is read without end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import ValidationError

from backbones import names
from bench.errors import StorageError, UserError
from bench.records import benchmarks, predictions, proof
from bench.records import store as records
from bench.records.schema import Record
from bench.records.store import Folder, Unreadable
from bench.report.leaderboard import Leaderboard
from tests.bench.records.make_benchmarks import entry, measured
from tests.bench.records.make_records import make_record, make_trained, store, unfinished
from tests.conftest import Voxgrid
from tests.hostile import parquets
from tests.hostile.conftest import NO_FILES, Put

BIG = 10**400
NAMES = ("task", "protocol", "pooling", "head", "preset", "backbone")


def deep(path: Path) -> None:
    path.write_text("[" * 200_000)


PLANTED = (*NO_FILES.values(), deep)


def changed(*path: str | int, to: Any, record: Record | None = None) -> dict[str, Any]:
    """A record as JSON, one value of which is another."""
    content = (record or make_trained()).model_dump(mode="json")
    place: Any = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return content


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_no_file_or_has_no_end_is_an_unreadable_record(tmp_path: Path, plant: Put) -> None:
    kept = make_record()
    path = records.write(tmp_path, kept).with_name("a__b__c.json")
    plant(path)
    found = Folder.read(tmp_path)
    assert found.records == (kept,)
    assert [each.path for each in found.unreadable] == [path]


MISTAKEN = {
    "fields": lambda: "{" + ",".join(f'"{key:x}":1' for key in range(1_400_000)) + "}",
    "labels": lambda: '{"labels":[' + ",".join("1" * 8_000_000) + "]}",
    "folds": lambda: '{"folds":[' + ",".join(["{}"] * 5_500_000) + "]}",
}


@pytest.mark.parametrize("made", MISTAKEN.values(), ids=MISTAKEN)
def test_a_record_of_a_million_mistakes_is_refused_at_the_first(
    tmp_path: Path, made: Callable[[], str]
) -> None:
    path = tmp_path / "a__b__c.json"
    path.write_text(made())
    assert isinstance(records.read(path), Unreadable)


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize(
    "name", ["", "..", "../up", "/etc/cron.d/x", "a/b", ".x", "a\nb", "a\0b", "\udcff", "n" * 300]
)
def test_no_name_of_a_record_is_a_path(tmp_path: Path, field: str, name: str) -> None:
    content = changed(field, to=name, record=make_record(preset="some"))
    with pytest.raises(ValidationError, match=field):
        Record.model_validate(content)


@pytest.mark.parametrize("backbone", ["foo:bar", "hf:", "nemo:x", "hf:a/../../b", "hf:x@../.."])
def test_a_backbone_that_can_have_no_address_costs_its_record_alone(
    tmp_path: Path, backbone: str
) -> None:
    kept = make_record()
    path = records.write(tmp_path, kept).with_name("a__b__c.json")
    path.write_text(json.dumps(changed("backbone", to=backbone)))
    found = Folder.read(tmp_path)
    assert (found.records, len(found.unreadable)) == ((kept,), 1)
    assert "'backbone' is not what a record holds" in str(found.unreadable[0])


@given(st.text(max_size=300).map(lambda text: f"hf:./{text}") | st.text(), st.text())
def test_an_address_of_a_record_lies_in_its_folder_and_is_a_file_name(
    backbone: str, task: str
) -> None:
    content = make_record().model_dump() | {"backbone": backbone}
    for name in (task, "some"):
        try:
            path = Record.model_validate(content | {"task": name}).cell.relative_path
        except ValidationError:
            continue
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert len(path.parts) == 3
        assert len(os.fsencode(path.name)) <= 204


def test_a_repository_with_a_long_name_has_a_short_file_name_of_its_own() -> None:
    long = [f"hf:{'o' * 40}/{'m' * 90}{end}@{'0' * 40}" for end in "ab"]
    found = [names.file_name(name) for name in long]
    assert len(set(found)) == 2
    assert all(len(name) < 100 for name in found)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("parameters",), BIG),
        (("parameters",), -1),
        (("layers",), BIG),
        (("seed",), BIG),
        (("trials",), BIG),
        (("folds", 0, "layer"), BIG),
        (("folds", 0, "best_epoch"), -100),
        (("folds", 0, "best_epoch"), 4),
        (("folds", 0, "best_params"), {"C": BIG}),
        (("folds", 0, "val_macro_f1"), 1e308),
        (("folds", 0, "trials", "failed"), BIG),
        (("folds", 0, "curve", 0, "train_loss"), 1e308),
        (("throughput", "end_to_end_rtfx"), 5e-324),
        (("throughput", "backbone_rtfx"), 0),
        (("throughput", "tuning_seconds"), 1e308),
        (("throughput", "tuning_seconds"), -1),
        (("memory", "peak_rss_mb"), 1e308),
        (("scores", "accuracy"), 2),
        (("scores", "confusion"), []),
        (("scores", "confusion"), [[1], [1, 2]]),
        (("scores", "confusion"), [[BIG, 0], [0, 1]]),
        (("scores", "confusion"), [[-1, 0], [0, 1]]),
        (("scores", "confusion"), [[60_000_000, 0], [0, 1]]),
        (("labels",), ["one"]),
        (("labels",), ["same", "same"]),
        (("labels",), [str(number) for number in range(2000)]),
        (("folds",), [make_trained().model_dump(mode="json")["folds"][0]] * 1001),
    ],
)
def test_a_figure_that_nothing_measured_comes_near_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], to: Any
) -> None:
    file = tmp_path / "a__b__c.json"
    file.write_text(json.dumps(changed(*path, to=to)))
    assert isinstance(records.read(file), Unreadable)


def test_a_text_too_long_to_be_read_is_cut_and_so_fails_no_run() -> None:
    record = unfinished("word " * 100_000, notes=["x" * 100_000])
    assert len(record.reason or "") == len(record.notes[0]) == 10_001


def test_half_a_character_becomes_a_code_so_that_any_text_can_be_written(tmp_path: Path) -> None:
    path = records.write(tmp_path / "results", make_record())
    halves = "\ud800 and \udcff"
    path.write_text(json.dumps(changed("notes", to=[halves], record=make_record(hardware="CPU"))))
    (record,) = Folder.read(tmp_path / "results").records
    assert record.notes == [r"\ud800 and \udcff"]
    Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md").write()
    assert r"**Note:** \ud800 and \udcff." in (tmp_path / "leaderboard.md").read_text()
    assert records.write(tmp_path / "results", record) == path


def test_a_field_unknown_to_all_is_named_on_one_short_line(tmp_path: Path) -> None:
    file = tmp_path / "a__b__c.json"
    file.write_text(json.dumps(make_record().model_dump() | {"\x1b]0;\n" + "x" * 10_000: 1}))
    found = records.read(file)
    assert isinstance(found, Unreadable)
    assert found.reason.isprintable()
    assert len(found.reason) < 300


@pytest.mark.parametrize("version", [10**30, True])
def test_a_schema_that_will_never_be_is_no_newer_one(tmp_path: Path, version: int) -> None:
    file = tmp_path / "a__b__c.json"
    file.write_text(json.dumps(changed("schema_version", to=version)))
    assert isinstance(records.read(file), Unreadable)


def test_a_link_is_no_record_and_linked_folders_are_not_walked(tmp_path: Path) -> None:
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    path = records.write(elsewhere, make_record())
    linked = results / path.relative_to(elsewhere)
    linked.parent.mkdir(parents=True)
    linked.symlink_to(path)
    (results / "other").symlink_to(elsewhere)
    (results / "round").symlink_to(results)
    found = Folder.read(results)
    assert (found.records, found.copies) == ((), ())
    assert [each.path for each in found.unreadable] == [linked]


def test_folders_within_folders_without_end_are_not_walked(tmp_path: Path) -> None:
    before = Path.cwd()
    deepest = 1200
    try:
        os.chdir(tmp_path)
        for _ in range(deepest):
            os.mkdir("d")  # noqa: PTH102 a path of all of them is long
            os.chdir("d")
        bottom = os.open(".", os.O_RDONLY)
        os.chdir(before)
        assert Folder.read(tmp_path) == Folder((), (), ())
    finally:
        # what removes the folders of tests is not made for so many
        os.chdir(bottom)
        os.close(bottom)
        for _ in range(deepest):
            os.chdir("..")
            os.rmdir("d")  # noqa: PTH106 as above
        os.chdir(before)


def test_nothing_is_written_through_a_link_in_the_folder(tmp_path: Path) -> None:
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    results.mkdir()
    elsewhere.mkdir()
    (results / "ravdess").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="ravdess is a link"):
        records.write(results, make_record())
    assert list(elsewhere.iterdir()) == []


def test_a_link_at_the_address_of_a_record_gives_way_and_its_target_stays(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    results = tmp_path / "results"
    path = records.record_path(results, make_record().cell)
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    records.write(results, unfinished("no weights"))
    assert path.is_symlink()
    records.write(results, make_record())
    assert records.read(path) == make_record()
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("no_file", ["pipe", "device", "dangling", "huge"], indirect=True)
def test_what_lies_where_a_file_is_written_is_not_read_without_end(
    tmp_path: Path, no_file: Put
) -> None:
    path = tmp_path / "file"
    no_file(path)
    records.write_atomically(path, b"content")
    assert not path.is_symlink()
    assert path.read_bytes() == b"content"


def bomb(path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000), ["class0"])
    table = pa.table({"label": column, "predicted": column})
    with parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(60):
            writer.write_table(table)


@pytest.mark.parametrize("plant", [*PLANTED, bomb])
def test_predictions_that_are_something_else_are_named(tmp_path: Path, plant: Put) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    path.unlink()
    plant(path)
    assert f"its predictions {path} " in str(proof.flaw(tmp_path, record))


@pytest.mark.parametrize("name", parquets.LIES)
def test_predictions_that_lie_about_their_size_are_named(tmp_path: Path, name: str) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    parquets.plant(name, path, ["label", "predicted"])
    assert f"its predictions {path} " in str(proof.flaw(tmp_path, record))


@pytest.mark.parametrize(
    "columns",
    [
        {"label": [{"x": 1}] * 20, "predicted": [1] * 20},
        {"label": [None] * 20},
        {"label": [["class0"]] * 20},
        {"label": [b"class0"] * 20},
        {"clip": [b"\xff"] * 20},
        {"clip": range(20)},
        {"group": [b"group0"] * 20},
        {"group": [None] * 20},
        {"fold": ["0"] * 20},
    ],
    ids=str,
)
def test_columns_of_another_kind_are_named(tmp_path: Path, columns: dict[str, Any]) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    assert f"its predictions {path} cannot be read" in str(proof.flaw(tmp_path, record))


@pytest.mark.parametrize(
    "columns",
    [
        {"p_class1": ["much"] * 20},
        {"p_class1": [{"x": 1}] * 20},
        {"p_class1": [[0.5]] * 20},
        {"p_class1": [None] * 20},
        {"p_class1": [float("nan")] * 20},
        {"clip": [b"clip"] * 20},
        {"clip": range(20)},
    ],
    ids=str,
)
def test_probabilities_of_another_kind_are_named(tmp_path: Path, columns: dict[str, Any]) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    with pytest.raises(predictions.Unsound, match="cannot be read"):
        predictions.told(tmp_path, record)
    path.unlink()
    with pytest.raises(predictions.Unsound, match="are not there"):
        predictions.told(tmp_path, record)


def test_of_long_names_of_clips_and_groups_the_beginning_is_kept(tmp_path: Path) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    long = {name: [f"{'x' * 10_000}{number}" for number in range(20)] for name in ("clip", "group")}
    pd.read_parquet(path).assign(**long).to_parquet(path)
    found, told = predictions.tested(tmp_path, record), predictions.told(tmp_path, record)
    assert len(np.unique(found.groups)) == len(found.group_names) == 20
    assert {*map(len, (*found.group_names, *told.clips))} == {200}


def test_of_many_columns_two_are_read(tmp_path: Path) -> None:
    record = make_record(confusion=[[6, 4], [3, 7]])
    store(tmp_path, record)
    path = records.predictions_path(tmp_path, record.cell)
    table = pd.read_parquet(path)
    table["more"] = "x" * 1000
    table.to_parquet(path)
    assert proof.flaw(tmp_path, record) is None


@pytest.mark.parametrize("plant", PLANTED)
def test_a_benchmark_that_is_no_file_or_has_no_end_is_named(tmp_path: Path, plant: Put) -> None:
    path = tmp_path / benchmarks.FOLDER / "machine" / "x.json"
    path.parent.mkdir(parents=True)
    plant(path)
    with pytest.raises(UserError, match=r"x\.json is not what `tox -e perf` writes .* delete it"):
        benchmarks.read(tmp_path)


@pytest.mark.parametrize(
    "planted",
    [
        entry(1, 0),
        entry(1, float("nan")),
        entry(1, -1),
        entry(1, 1.0, audio_seconds=0),
        entry(1, 1.0, backbone=["a"]),
        entry(1, 1.0, task=None),
        entry(BIG, 1.0),
        {"extra_info": 1, "stats": {"median": 1}},
        {"extra_info": {}, "stats": {}},
    ],
)
def test_a_benchmark_of_anything_else_is_named(tmp_path: Path, planted: dict[str, Any]) -> None:
    measured(tmp_path, "x.json", "2026", planted)
    with pytest.raises(UserError, match=r"x\.json is not what `tox -e perf` writes"):
        benchmarks.read(tmp_path)


def test_strange_records_are_named_in_codes_and_no_page_is_written_but_by_a_run(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    store(tmp_path / "results", make_record())
    place = tmp_path / "results" / "ravdess"
    (place / "a__b__c.json").write_text(json.dumps(changed("backbone", to="foo:bar")))
    (place / os.fsdecode(b"a__b__\xff\x1b[31m.json")).write_text("{")
    os.mkfifo(place / "a__b__d.json")
    for command in (("leaderboard",), ("leaderboard", "--check"), ("report",)):
        done = voxgrid(*command)
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert done.stderr.count("cannot be read") == 3
        assert r"a__b__\udcff\x1b[31m.json" in done.stderr
        assert not (tmp_path / "leaderboard.md").exists()
        assert not (tmp_path / "results" / "site").exists()
    # a run is over before it could refuse, and its page says what is wrong
    Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md").write()
    assert "3 records cannot be read" in (tmp_path / "leaderboard.md").read_text()
