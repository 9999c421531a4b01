"""Figures on disk: when they are drawn again, and which are removed."""

from __future__ import annotations

from pathlib import Path

from bench.records.schema import Record
from bench.report.figures import confusion, curves, files
from bench.report.page import Figure
from tests.bench.records.make_records import make_record, make_trained, right_of_ten


def wanted(*found: Record) -> list[Figure]:
    return [*confusion.wanted(found).values(), *curves.wanted(found)]


def test_a_figure_is_outdated_once_its_records_change_and_current_after_writing(
    tmp_path: Path,
) -> None:
    old = wanted(make_record(confusion=right_of_ten(6, 6)))
    new = wanted(make_record(confusion=right_of_ten(7, 7)))
    path = files.path(tmp_path, new[0])
    assert files.outdated(tmp_path, new) == [path]
    files.write(tmp_path, old)
    assert files.outdated(tmp_path, old) == []
    assert files.outdated(tmp_path, new) == [path]
    files.write(tmp_path, new)
    assert files.outdated(tmp_path, new) == []


def test_figures_of_records_that_are_gone_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    files.write(
        tmp_path, wanted(make_record(), make_record(protocol="random-80-20"), make_trained())
    )
    assert len(list((tmp_path / "figures").iterdir())) == 3
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    files.write(tmp_path, wanted(make_record()))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "mine.png",
        "ravdess__speaker-6fold__confusion.png",
    ]


def test_each_kind_of_figure_has_names_of_its_own() -> None:
    found = wanted(make_trained(), make_trained(preset="xlsr-finetune-ravdess"))
    names = [figure.name for figure in found]
    assert len(set(names)) == len(names) == 3
