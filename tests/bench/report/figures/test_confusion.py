"""Confusion matrices: whose are drawn, and that they are images."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import image

from bench.records.schema import Record
from bench.report.figures import confusion
from bench.report.figures.confusion import Confusion
from tests.bench.records.make_records import make_record, right_of_ten, unfinished


def of(record: Record) -> Confusion:
    return confusion.wanted([record], {})[record.protocol]


def test_the_best_row_of_the_first_protocol_is_drawn_which_leaks_only_where_all_do() -> None:
    found = [
        make_record("good", confusion=right_of_ten(9, 9)),
        make_record("bad", confusion=right_of_ten(6, 6)),
        make_record("other", confusion=right_of_ten(7, 7), protocol="random-80-20"),
        make_record("drawn", confusion=right_of_ten(8, 8), protocol="balanced-109"),
    ]
    ((protocol, figure),) = confusion.wanted(found, {}).items()
    assert (protocol, figure.name) == ("speaker-6fold", "ravdess__speaker-6fold__confusion")
    assert "good" in figure.title
    assert figure.confusion == ((9, 1), (1, 9))
    ((protocol, figure),) = confusion.wanted(found[2:], {}).items()
    assert protocol == "random-80-20"
    assert "other" in figure.title


def test_the_row_to_take_first_is_drawn_where_there_is_one() -> None:
    best, first = make_record("best", confusion=[[9, 1], [1, 9]]), make_record("first")
    recommended = {("ravdess", "speaker-6fold"): first}
    (figure,) = confusion.wanted([best, first], recommended).values()
    assert "first" in figure.title


def test_controls_samples_presets_and_cells_without_scores_are_not_drawn() -> None:
    found = [
        make_record("control", control="random-init", weights="random-init"),
        make_record("sample", task="sample-emotion", protocol="speaker-3fold"),
        unfinished("no weights"),
        make_record("published", preset="w2v2-gb-ravdess"),
    ]
    assert confusion.wanted(found, {}) == {}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("classes", [2, 8])
def test_a_figure_is_a_small_png_and_the_same_bytes_each_time(
    classes: int, dark: bool, tmp_path: Path
) -> None:
    figure = of(make_record(confusion=right_of_ten(*[7] * classes)))
    content = figure.draw(dark)
    assert content == figure.draw(dark)
    assert len(content) < 80_000
    (tmp_path / "figure.png").write_bytes(content)
    pixels = image.imread(tmp_path / "figure.png")
    height, width, _ = pixels.shape
    assert 250 < height <= width < 1000
    paper = [13, 17, 23] if dark else [255, 255, 255]
    assert (255 * pixels[0, 0, :3]).round().tolist() == paper


def test_a_class_without_test_clips_is_drawn_without_dividing_by_zero() -> None:
    figure = of(make_record())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = replace(figure, confusion=((4, 1), (0, 0))).draw(dark=False)
    assert drawn.startswith(b"\x89PNG")


def test_the_mark_of_a_confusion_matrix_is_the_one_that_committed_files_carry() -> None:
    figure = confusion.Confusion("any", "a: b", ("x", "y"), ((1, 2), (3, 4)))
    drawn = json.dumps([2, "a: b", ["x", "y"], [[1, 2], [3, 4]]])
    assert figure.mark == hashlib.sha256(drawn.encode()).hexdigest()
