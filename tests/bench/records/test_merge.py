"""Joined folders hold what the machines made together, and a conflict stops everything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.records import store as records
from bench.records.merge import merged
from bench.records.schema import Record
from bench.records.store import predictions_path, record_path
from tests.bench.records.make_records import make_record, right_of_ten, store, unfinished

HEADS = ("lda", "logistic_regression", "mlp")
RECORDS = {
    (head, status): make_record(head=head)
    if status == "ok"
    else unfinished(f"it {status}", status, head=head)
    for head in HEADS
    for status in ("ok", "failed", "skipped")
}


def put(folder: Path, record: Record) -> None:
    if record.status == "ok":
        store(folder, record)
    else:
        records.write(folder, record)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*__*__*"))
        if path.is_file()
    }


@given(
    dealt=st.lists(
        st.dictionaries(st.sampled_from(HEADS), st.sampled_from(["ok", "failed", "skipped"])),
        min_size=2,
        max_size=4,
    )
)
def test_results_are_taken_from_wherever_they_are(
    tmp_path_factory: pytest.TempPathFactory, dealt: list[dict[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("machines")
    whole, results = root / "whole", root / "results"
    whole.mkdir()
    for number, own in enumerate(dealt):
        for head, status in own.items():
            put(root / str(number), RECORDS[head, status])
    for head in HEADS:
        said = [own[head] for own in dealt if head in own]
        if said:  # a result, or else what was said first
            put(whole, RECORDS[head, "ok" if "ok" in said else said[0]])
    folders = [root / str(number) for number, own in enumerate(dealt) if own]
    if not folders:
        return
    found = merged(folders, results)
    found.carry_out()
    assert files(results) == files(whole)
    assert len(found.taken) + found.kept == sum(map(len, dealt))
    again = merged(folders, results)
    assert again.taken == ()


def machine(folder: Path, *own: Record) -> Path:
    for record in own:
        store(folder, record)
    return folder


def test_two_results_of_a_cell_are_refused_with_both_origins(tmp_path: Path) -> None:
    other = make_record(confusion=right_of_ten(9, 9))
    a = machine(tmp_path / "a", make_record())
    b = machine(tmp_path / "b", other, make_record(head="lda"))
    with pytest.raises(UserError, match="1 cells have different results") as caught:
        merged([a, b], tmp_path / "results")
    assert str(record_path(a, other.cell)) in str(caught.value)
    assert str(record_path(b, other.cell)) in str(caught.value)
    assert not (tmp_path / "results").exists()
    # what is there already is never replaced either
    with pytest.raises(UserError, match="different results"):
        merged([b], a)


def test_what_its_predictions_do_not_bear_out_is_not_taken(tmp_path: Path) -> None:
    a, record = tmp_path / "a", make_record()
    store(a, record)
    predictions_path(a, record.cell).write_bytes(b"torn")
    with pytest.raises(UserError, match="nothing was written"):
        merged([a], tmp_path / "results")


def test_a_file_that_should_be_a_record_is_named(tmp_path: Path) -> None:
    a, record = tmp_path / "a", make_record()
    store(a, record)
    record_path(a, record.cell).write_text("{")
    with pytest.raises(UserError, match=r"it is no JSON.*nothing was written"):
        merged([a], tmp_path / "results")


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["merge", *arguments])
    return done.exit_code, str(done.exception or "") + done.output


def test_the_command_joins_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    machine(Path("a"), make_record(), make_record(head="lda"))
    machine(Path("b"), make_record(head="lda"), make_record(backbone="wav2vec2"))
    code, said = call("a", "b")
    assert (code, said.strip()) == (
        0,
        "3 records taken, 1 there already or kept; wrote leaderboard.md",
    )
    assert "wav2vec2" in Path("leaderboard.md").read_text()
    shutil.rmtree("a")
    code, said = call("a")
    assert code == 1
    assert "there is no folder a to merge" in said
    Path("a").mkdir()
    assert "holds no records" in call("a")[1]
