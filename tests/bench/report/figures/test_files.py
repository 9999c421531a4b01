"""Figures: which are drawn, when they are drawn again, and that they are images."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import image

from bench.report.figures import confusion
from bench.report.figures import files as figures
from tests.bench.records.make_records import make_record, make_trained, right_of_ten, unfinished


def test_the_best_row_is_drawn_for_a_grouped_and_for_a_leaking_protocol() -> None:
    found = [
        make_record("good", confusion=right_of_ten(9, 9)),
        make_record("bad", confusion=right_of_ten(6, 6)),
        make_record("other", confusion=right_of_ten(7, 7), protocol="random-80-20"),
    ]
    wanted = confusion.wanted(found)
    assert [figure.name for figure in wanted] == [
        "ravdess__speaker-6fold__confusion",
        "ravdess__random-80-20__confusion",
    ]
    assert "good" in wanted[0].title
    assert wanted[0].confusion == ((9, 1), (1, 9))


def test_controls_samples_presets_and_cells_without_scores_have_no_confusion_drawn() -> None:
    found = [
        make_record("control", control="random-init", weights="random-init"),
        make_record("sample", task="sample-emotion", protocol="speaker-3fold"),
        unfinished("no weights"),
        make_record("published", preset="w2v2-gb-ravdess"),
    ]
    assert figures.wanted(found) == []


@pytest.mark.parametrize("classes", [2, 8])
def test_a_figure_is_a_small_png_and_the_same_bytes_each_time(classes: int, tmp_path: Path) -> None:
    figure = confusion.wanted([make_record(confusion=right_of_ten(*[7] * classes))])[0]
    content = figure.draw()
    assert content == figure.draw()
    assert len(content) < 80_000
    (tmp_path / "figure.png").write_bytes(content)
    height, width, _ = image.imread(tmp_path / "figure.png").shape
    assert 250 < height <= width < 1000


def test_a_class_without_test_clips_is_drawn_without_dividing_by_zero() -> None:
    figure = confusion.wanted([make_record()])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = replace(figure, confusion=((4, 1), (0, 0))).draw()
    assert drawn.startswith(b"\x89PNG")


def test_a_figure_is_outdated_once_its_records_change_and_current_after_writing(
    tmp_path: Path,
) -> None:
    old = figures.wanted([make_record(confusion=right_of_ten(6, 6))])
    new = figures.wanted([make_record(confusion=right_of_ten(7, 7))])
    path = figures.path(tmp_path, new[0])
    assert figures.outdated(tmp_path, new) == [path]
    figures.write(tmp_path, old)
    assert figures.outdated(tmp_path, old) == []
    assert figures.outdated(tmp_path, new) == [path]
    figures.write(tmp_path, new)
    assert figures.outdated(tmp_path, new) == []


def test_figures_of_records_that_are_gone_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    before = [make_record(), make_record(protocol="random-80-20"), make_trained()]
    figures.write(tmp_path, figures.wanted(before))
    assert len(list((tmp_path / "figures").iterdir())) == 3
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    figures.write(tmp_path, figures.wanted([make_record()]))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "mine.png",
        "ravdess__speaker-6fold__confusion.png",
    ]


def test_the_mark_of_a_confusion_matrix_is_the_one_that_committed_files_carry() -> None:
    figure = confusion.Confusion("any", "a: b", ("x", "y"), ((1, 2), (3, 4)))
    drawn = json.dumps([1, "a: b", ["x", "y"], [[1, 2], [3, 4]]])
    assert figure.mark == hashlib.sha256(drawn.encode()).hexdigest()


def test_each_kind_of_figure_has_names_of_its_own() -> None:
    found = figures.wanted([make_trained(), make_trained(preset="xlsr-finetune-ravdess")])
    names = [figure.name for figure in found]
    assert len(set(names)) == len(names) == 3
