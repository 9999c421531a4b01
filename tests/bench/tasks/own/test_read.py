"""Odd tables and folders: each reads right, or says in a sentence what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.clips import Task
from bench.config.own import OwnData, pattern
from bench.errors import UserError
from bench.tasks.own import groups
from bench.tasks.own.read import read
from bench.tasks.own.task import OwnTask
from tests.bench.tasks.own.make_own import Clips, make_clips, write_csv

HEADER = ("file", "label", "speaker")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


def _rows(clips: Clips) -> list[list[str]]:
    return [[str(path), label, speaker] for path, label, speaker in clips]


def _task(path: Path, **more: object) -> Task:
    return OwnTask("mine", OwnData.model_validate({"path": path, **more})).task


def _same(task: Task, clips: Clips) -> None:
    told = {(clip.path.name, clip.label, clip.group) for clip in task.clips}
    assert told == {(path.name, label, speaker) for path, label, speaker in clips}
    assert not task.excluded


@pytest.mark.parametrize(
    ("encoding", "delimiter", "lineterminator"),
    [
        ("utf-8", ",", "\n"),
        ("utf-8-sig", ",", "\r\n"),
        ("utf-16", ";", "\r\n"),
        ("utf-8", "\t", "\n"),
        ("utf-8", "|", "\n"),
    ],
)
def test_marks_line_ends_and_separators_of_spreadsheets_are_read(
    encoding: str, delimiter: str, lineterminator: str, clips: Clips, tmp_path: Path
) -> None:
    kind = {"encoding": encoding, "delimiter": delimiter, "lineterminator": lineterminator}
    _same(_task(write_csv(tmp_path / "own.csv", HEADER, _rows(clips), **kind)), clips)


def test_paths_may_be_relative_or_have_the_separators_of_windows(
    clips: Clips, tmp_path: Path
) -> None:
    (tmp_path / "sound").symlink_to(clips[0][0].parent)
    rows = [[f"sound/{Path(path).name}", *more] for path, *more in _rows(clips)]
    _same(_task(write_csv(tmp_path / "own.csv", HEADER, rows)), clips)
    windows = [[path.replace("/", "\\"), *more] for path, *more in rows]
    _same(_task(write_csv(tmp_path / "windows.csv", HEADER, windows)), clips)


def test_values_in_quotes_keep_commas_and_lines(clips: Clips, tmp_path: Path) -> None:
    rows = [[path, f"{label}, or\nso", speaker] for path, label, speaker in _rows(clips)]
    task = _task(write_csv(tmp_path / "own.csv", HEADER, rows))
    assert task.labels == ("01, or\nso", "high, or\nso", "low, or\nso")


def test_labels_are_text_whatever_they_look_like(clips: Clips, tmp_path: Path) -> None:
    assert _task(write_csv(tmp_path / "own.csv", HEADER, _rows(clips))).labels[0] == "01"
    frame = pd.DataFrame(_rows(clips), columns=list(HEADER))
    frame["label"] = pd.Series([1, 2, None] * (len(frame) // 3))
    frame.to_parquet(tmp_path / "own.parquet")
    task = _task(tmp_path / "own.parquet")
    assert task.labels == ("1", "2")
    assert {each.reason for each in task.excluded} == {"no label"}


@pytest.mark.parametrize("names", [("Path", "Emotion", "Speaker_ID"), ("wav", "emo", "spk")])
def test_columns_are_known_by_their_usual_names(
    names: tuple[str, ...], clips: Clips, tmp_path: Path
) -> None:
    _same(_task(write_csv(tmp_path / "own.csv", names, _rows(clips))), clips)


def test_columns_are_named_where_they_are_not_known(clips: Clips, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv", ("a", "b", "c"), _rows(clips))
    _same(_task(path, file_column="a", label_column="b", group_column="c"), clips)
    with pytest.raises(UserError, match=r"no column of .* is known to be the file; it has a, b, c"):
        _task(path)
    with pytest.raises(UserError, match="has no column 'x'"):
        _task(path, file_column="x")
    two = write_csv(tmp_path / "two.csv", ("file", "class", "speaker", "emotion"), [
        [*row, "other"] for row in _rows(clips)
    ])  # fmt: skip
    assert (
        "column 'emotion' could be the label too; 'class' is read" in read(OwnData(path=two)).notes
    )


def test_what_is_missing_empty_or_twice_is_left_out_and_said(clips: Clips, tmp_path: Path) -> None:
    rows = _rows(clips)
    rows[0][0] = str(tmp_path / "gone.wav")
    rows[1][1] = " "
    rows.append(rows[2])
    task = _task(write_csv(tmp_path / "own.csv", HEADER, rows))
    assert len(task.clips) == len(clips) - 2
    assert {each.clip.partition(":")[0] for each in task.excluded} == {"line 2", "line 3"}
    assert {each.reason.partition(" /")[0] for each in task.excluded} == {
        "there is no file",
        "no label",
    }
    assert "1 rows name a file that another row names too, with one label" in task.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.append([rows[0][0], "other", "x"]), "is '01' in line 2 and 'other'"),
        (lambda rows: rows[0].__setitem__(1, "HIGH"), "labels 'HIGH' and 'high' differ in nothing"),
        (lambda rows: rows[0].__setitem__(1, "hi gh "), None),
        (lambda rows: rows[0].__setitem__(1, "ｈigh"), "differ in nothing but spaces, case or"),
        (lambda rows: rows[0].__setitem__(2, "Anna"), "speakers 'Anna' and 'anna' differ"),
        (lambda rows: rows[0].__setitem__(2, ""), "line 2: no speaker, as in 1 rows"),
        (lambda rows: [row.__setitem__(2, "") for row in rows], "does not say who speaks"),
        (lambda rows: rows[0].append("more"), "line 2 has 4 values, and the first line names 3"),
        (lambda rows: [r.__setitem__(0, "gone.wav") for r in rows], "none of 36 rows can be used"),
        (lambda rows: rows.clear(), "has a line of names and no row"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    change: object, said: str | None, clips: Clips, tmp_path: Path
) -> None:
    rows = _rows(clips)
    change(rows)  # type: ignore[operator]
    path = write_csv(tmp_path / "own.csv", HEADER, rows)
    if said is None:  # a class of one clip, which is another matter
        said = "class 'hi gh' has 1 clips, and 6 are the least"
    with pytest.raises(UserError, match=said):
        _task(path)


def test_a_class_of_one_speaker_is_refused_or_left_out(clips: Clips, tmp_path: Path) -> None:
    rows = [row for row in _rows(clips) if row[1] != "01" or row[2] == "anna"]
    rows += [[str(Path(row[0])), *row[1:]] for row in rows[:0]]
    path = write_csv(tmp_path / "own.csv", HEADER, rows)
    with pytest.raises(UserError, match="class '01' has 3 clips, and 6 are the least"):
        _task(path)
    task = _task(path, drop_small=True)
    assert task.labels == ("high", "low")
    assert len(task.excluded) == 3
    every = [[row[0], row[1], "anna" if row[1] == "01" else row[2]] for row in _rows(clips)]
    path = write_csv(tmp_path / "one.csv", HEADER, every)
    with pytest.raises(UserError, match="class '01' has clips of anna alone, and 3 speakers are"):
        _task(path)
    assert _task(path, groups=False).protocols == ("random-kfold",)


def test_another_encoding_is_named_with_its_line(clips: Clips, tmp_path: Path) -> None:
    rows = [[path, f"{label}é", speaker] for path, label, speaker in _rows(clips)]
    path = write_csv(tmp_path / "own.csv", HEADER, rows, encoding="latin-1")
    with pytest.raises(UserError, match="line 2 is not in UTF-8; save it as UTF-8"):
        _task(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("own.csv", "", "is empty"),
        ("own.csv", 'file,label\n"a,b', "unexpected end of data"),
        ("own.csv", "file,file,label\na,b,c\n", "two columns 'file'"),
        ("own.jsonl", '{"file": "a"\n', "line 1: "),
        ("own.jsonl", "[1, 2]\n", "row 1 is no object"),
        ("own.json", '{"file": "a", "label": "b", "offset": "x"}\n', "start 'x' is no number"),
        ("own.parquet", "PAR1 and no more", "is no table in parquet"),
        ("own.txt", "a b\n", "is no table that is known by its ending"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    name: str, content: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        _task(tmp_path / name)


def test_folders_that_say_nothing_are_refused(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is nothing at"):
        _task(tmp_path / "gone")
    with pytest.raises(UserError, match=r"neither a table .* but 0 audio files"):
        _task(tmp_path)
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, HEADER, _rows(clips))
    with pytest.raises(UserError, match=r"several tables \(a.csv, b.csv\): name one of them"):
        _task(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"wav.scp": "a sox a.wav -t wav - |\n", "utt2label": "a x\n"},
            "is a command, and commands",
        ),
        ({"wav.scp": "a a.wav\n"}, "no labels: add a file utt2label"),
        (
            {"wav.scp": "a a.wav\n", "segments": "x b 0 1\n", "utt2label": "x y\n"},
            "segments, line 1: wav.scp has no 'b'",
        ),
        (
            {"wav.scp": "a a.wav\n", "segments": "x a 0\n", "utt2label": "x y\n"},
            "segments, line 1 is no recording, start and end",
        ),
        ({"wav.scp": "a a.wav\na b.wav\n", "utt2label": "a x\n"}, "'a' is there twice"),
        ({"wav.scp": "a\n", "utt2label": "a x\n"}, "line 1 is one word"),
    ],
)
def test_what_a_kaldi_directory_may_not_hold(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        _task(tmp_path)


def test_a_guess_of_speakers_is_shown_and_never_taken(clips: Clips, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "own.csv", HEADER[:2], [row[:2] for row in _rows(clips)])
    (first, *_) = groups.guesses(read(OwnData(path=path)))
    assert (first.pattern, first.speakers) == ("{speaker}_*", ("anna", "ben", "cem", "dora"))
    with pytest.raises(UserError, match=r"4 speakers from the name up to '_'\? \(anna, ben, cem"):
        _task(path)
    _same(_task(path, speaker="{speaker}_*"), clips)
    _same(_task(path, speaker="re:/(?P<speaker>[a-z]+)_"), clips)
    with pytest.raises(UserError, match="finds no speaker in"):
        _task(path, speaker="{speaker}-*")


@pytest.mark.parametrize(
    ("text", "said"),
    [("*", "has no {speaker}"), ("re:(", "no regular expression"), ("re:.*", "names no speaker")],
)
def test_a_pattern_without_a_speaker_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pattern(text)


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    rows = []
    for speaker in ("a", "b", "c"):
        for path, label, _ in make_clips(tmp_path / speaker, takes=1):
            rows.append([str(path.relative_to(tmp_path)), label, speaker])
    task = _task(write_csv(tmp_path / "own.csv", HEADER, rows))
    assert "a__anna_01_0" in {clip.id for clip in task.clips}
    assert len({clip.id for clip in task.clips}) == len(rows)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8))
def test_what_a_spreadsheet_writes_is_read_back(
    rows: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_csv(tmp_path_factory.mktemp("csv") / "own.csv", HEADER, rows)
    found = read(OwnData(path=path))
    assert [row.label for row in found.rows] == [label.strip() for _, label, _ in rows]
    assert [row.group or "" for row in found.rows] == [own.strip() for _, _, own in rows]
    jsonl = path.with_suffix(".jsonl")
    jsonl.write_text("\n".join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in rows))
    again = read(OwnData(path=jsonl))
    assert [row.label for row in again.rows] == [row.label for row in found.rows]


def test_many_rows_are_read_in_bounded_time(clips: Clips, tmp_path: Path) -> None:
    """300,000 rows, most of whose files are missing, are one pass."""
    rows = [[f"gone/{number}.wav", "high", "anna"] for number in range(300_000)]
    task = _task(write_csv(tmp_path / "own.csv", HEADER, [*_rows(clips), *rows]))
    assert len(task.clips) == len(clips)
    assert len(task.excluded) == 300_000
