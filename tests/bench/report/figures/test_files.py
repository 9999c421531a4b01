"""Figures on disk: when they are drawn again, and which are removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.schema import Record
from bench.report.figures import confusion, curves, files, intervals, speed
from bench.report.page import Figure
from tests.bench.records.make_records import make_record, make_trained, right_of_ten
from tests.bench.report.figures.make_rows import placed, row


def wanted(*found: Record) -> list[Figure]:
    return [*confusion.wanted(found, {}).values(), *curves.wanted(found)]


def test_a_figure_is_outdated_once_its_records_change_and_current_after_writing(
    tmp_path: Path,
) -> None:
    old = wanted(make_record(confusion=right_of_ten(6, 6)))
    new = wanted(make_record(confusion=right_of_ten(7, 7)))
    both = [files.path(tmp_path, new[0], dark) for dark in (False, True)]
    assert files.outdated(tmp_path, new) == both
    files.write(tmp_path, old)
    assert files.outdated(tmp_path, old) == []
    assert files.outdated(tmp_path, new) == both
    files.write(tmp_path, new)
    assert files.outdated(tmp_path, new) == []


@pytest.mark.parametrize("dark", [False, True])
def test_of_a_light_and_a_dark_file_the_one_that_is_missing_is_drawn_and_no_other(
    dark: bool, tmp_path: Path
) -> None:
    own = wanted(make_record())
    files.write(tmp_path, own)
    gone, kept = (files.path(tmp_path, own[0], way) for way in (dark, not dark))
    content, written = gone.read_bytes(), kept.stat().st_mtime_ns
    assert content != kept.read_bytes()
    gone.unlink()
    assert files.outdated(tmp_path, own) == [gone]
    files.write(tmp_path, own)
    assert gone.read_bytes() == content
    assert kept.stat().st_mtime_ns == written


def test_figures_of_records_that_are_gone_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    rows = [row(90), row(80, "b", 20.0)]
    files.write(
        tmp_path,
        [
            *wanted(make_record(), make_trained()),
            *wanted(make_record(task="youtube")),
            *intervals.wanted(rows, placed(rows)).values(),
            *speed.wanted(rows, placed(rows)).values(),
        ],
    )
    assert len(list((tmp_path / "figures").iterdir())) == 2 * 5
    for mine in ("mine.png", "mine-dark.png", "a__b__own-dark.png"):
        (tmp_path / "figures" / mine).write_bytes(b"")
    files.write(tmp_path, wanted(make_record()))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "a__b__own-dark.png",
        "mine-dark.png",
        "mine.png",
        "ravdess__speaker-6fold__confusion-dark.png",
        "ravdess__speaker-6fold__confusion.png",
    ]


def test_each_kind_of_figure_has_names_of_its_own() -> None:
    found = wanted(make_trained(), make_trained(preset="xlsr-finetune-ravdess"))
    names = [figure.name for figure in found]
    assert len(set(names)) == len(names) == 3
