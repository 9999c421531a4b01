"""Sections of long files are clips, however their times are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.clips import Section
from bench.config.own import OwnData
from bench.errors import UserError
from bench.records import store as records
from bench.tasks.own.task import OwnTask
from tests.bench.tasks.own.make_own import Clips, as_csv, joined, make_clips, write_csv
from tests.conftest import Voxgrid

Sections = list[tuple[Path, float, float]]
RUN = ("--backbone=logmel", "--pooling=mean_std", "--head=lda", "--name=mine")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


def as_table(folder: Path, clips: Clips, found: Sections) -> Path:
    rows = [
        (path, label, speaker, start, end)
        for (path, start, end), (_, label, speaker) in zip(found, clips, strict=True)
    ]
    return write_csv(folder / "own.csv", ("file", "label", "speaker", "start", "end"), rows)


def as_clock(folder: Path, clips: Clips, found: Sections) -> Path:
    rows = [
        (path, label, speaker, f"0:00:{start:06.3f}", f"0:00:{end:06.3f}")
        for (path, start, end), (_, label, speaker) in zip(found, clips, strict=True)
    ]
    return write_csv(folder / "own.csv", ("file", "label", "speaker", "onset", "offset_time"), rows)


def as_manifest(folder: Path, clips: Clips, found: Sections) -> Path:
    """As NeMo writes it: an offset and a duration."""
    lines = [
        json.dumps({"audio_filepath": str(path), "label": label, "speaker": speaker,
                    "offset": start, "duration": end - start})
        for (path, start, end), (_, label, speaker) in zip(found, clips, strict=True)
    ]  # fmt: skip
    (folder / "own.jsonl").write_text("\n".join(lines))
    return folder / "own.jsonl"


def as_kaldi(folder: Path, clips: Clips, found: Sections) -> Path:
    here = folder / "kaldi"
    here.mkdir()
    names = [path.stem for path, _, _ in clips]
    tables = {
        "wav.scp": {path.stem: str(path) for path, _, _ in found},
        "segments": {
            name: f"{path.stem} {start} {end}"
            for name, (path, start, end) in zip(names, found, strict=True)
        },
        "utt2label": dict(zip(names, (label for _, label, _ in clips), strict=True)),
        "utt2spk": dict(zip(names, (speaker for _, _, speaker in clips), strict=True)),
    }
    for name, values in tables.items():
        (here / name).write_text("".join(f"{key} {own}\n" for key, own in values.items()))
    return here


@pytest.mark.parametrize("layout", [as_table, as_clock, as_manifest, as_kaldi])
def test_sections_score_as_files_of_the_same_sound(
    layout: Callable[[Path, Clips, Sections], Path], voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    (whole,) = as_csv(tmp_path, clips)
    path = layout(tmp_path, clips, joined(tmp_path / "long", clips))
    for own, results in ((whole, "files"), (path, "sections")):
        done = voxgrid("run", str(own), *RUN, f"--results={tmp_path / results}")
        assert done.returncode == 0, done.stderr
    (files,), (sections,) = (records.read_all(tmp_path / name) for name in ("files", "sections"))
    assert not sections.excluded
    assert sections.clips == len(clips)
    assert sections.scored == files.scored


def test_sections_are_named_by_their_times_and_written_as_they_are_read(
    voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    path = as_table(tmp_path, clips, joined(tmp_path / "long", clips))
    task = OwnTask("mine", OwnData(path=path)).task
    assert task.clips[1].id == "anna_0.500-1.000"
    assert task.clips[1].section == Section(tmp_path / "long" / "anna.wav", 0.5, 1.0)
    said = voxgrid("data", str(path), f"--write={tmp_path / 'written.csv'}").stdout
    assert "section from columns 'start' and 'end'" in said
    again = OwnTask("mine", OwnData(path=tmp_path / "written.csv")).task
    assert [clip.section for clip in again.clips] == [clip.section for clip in task.clips]


def test_a_duration_alone_is_that_of_the_file(clips: Clips, tmp_path: Path) -> None:
    rows = [(*row, 0.5) for row in clips]
    own = write_csv(tmp_path / "own.csv", ("file", "label", "speaker", "duration"), rows)
    assert {clip.section for clip in OwnTask("mine", OwnData(path=own)).task.clips} == {None}


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("soon", "1", "line 2: start 'soon' is no number of seconds"),
        ("1", "0.5", "line 2: the section ends at 0.5 s, and begins at 1 s"),
        ("-2", "1", "line 2: start '-2' is no time in a file"),
        ("0", "inf", "line 2: end 'inf' is no time in a file"),
        ("0", "1:xx", "line 2: end '1:xx' is no number of seconds"),
    ],
)
def test_times_that_are_none_are_refused(
    start: str, end: str, said: str, clips: Clips, tmp_path: Path
) -> None:
    rows = [(path, label, speaker, start, end) for path, label, speaker in clips]
    own = write_csv(tmp_path / "own.csv", ("file", "label", "speaker", "start", "end"), rows)
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        _ = OwnTask("mine", OwnData(path=own)).task


def test_sections_beyond_their_file_are_left_out_and_said(
    voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    found = joined(tmp_path / "long", clips)
    found[0] = (found[0][0], 90.0, 91.0)
    said = voxgrid("data", str(as_table(tmp_path, clips, found))).stdout
    assert "35 clips can be used" in said
    assert "left out: anna_90.000-91.000: begins at 90 s, and anna.wav lasts 4.500 s" in said
