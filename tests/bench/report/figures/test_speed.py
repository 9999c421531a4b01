"""Scores over speeds: which rows are compared, and which are named."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Annotation

from bench.records.schema import Record
from bench.report.figures import canvases, labels, scatter, speed
from bench.report.figures.speed import Speed
from tests.bench.report.figures.make_rows import placed, row

INK = canvases.ink(False)


def of(*found: Record) -> Speed:
    return speed.wanted(found, placed(found))["speaker-6fold"]


FOUND = (
    row(90, "slow", 5.0),
    row(80, "slow", 5.0, head="weak"),
    row(85, "middle", 20.0),
    row(84, "beaten", 15.0),
    row(60, "quick", 300.0, weights="none"),
)


def drawn(figure: Speed) -> tuple[Canvas, list[Annotation]]:
    canvas = Canvas(figsize=(7.6, 5), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    scatter.draw(axes, figure.points, figure.front, figure.backbones, INK)
    canvas.draw_without_rendering()
    return canvas, scatter.label(axes, figure.points, figure.front, INK)


def test_a_point_stands_at_its_speed_and_score_on_its_interval() -> None:
    (axes,) = drawn(of(*FOUND))[0].axes
    assert axes.get_xscale() == "log"
    found = [
        (*line.get_xdata(), *line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 1
    ]
    assert found == [
        pytest.approx(each)
        for each in [(5.0, 90.0), (20.0, 85.0), (15.0, 84.0), (5.0, 80.0), (300.0, 60.0)]
    ]
    spans = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert list(spans[0].get_xdata()) == [5.0, 5.0]
    assert list(spans[0].get_ydata()) == pytest.approx([85, 95])
    # of equally fast rows the best is drawn where it is, and the other beside it
    best, other = axes.lines[1], axes.lines[7]
    at = [line.get_transform().transform(line.get_xydata())[0, 0] for line in (best, other)]
    assert at[0] == pytest.approx(axes.transData.transform((5.0, 90.0))[0])
    assert 2 < abs(at[1] - at[0]) < 10


def test_the_front_is_a_line_of_steps_through_rows_that_none_beats() -> None:
    figure = of(*FOUND)
    assert [p.row.backbone for p in figure.front] == ["quick", "middle", "slow"]
    canvas, notes = drawn(figure)
    (axes,) = canvas.axes
    step = axes.lines[-1]
    assert step.get_drawstyle() == "steps-pre"
    assert list(step.get_xdata())[1:4] == [5.0, 20.0, 300.0]
    assert list(step.get_ydata())[:4] == pytest.approx([90, 90, 85, 60])
    assert {note.get_text() for note in notes} == {
        "slow\nmean, mlp",
        "middle\nmean, mlp",
        "quick\nmean, mlp",
    }
    assert "quick (no weights)" in axes.get_legend_handles_labels()[1]


@pytest.mark.parametrize("apart", [1.05, 1.2, 2.0])
def test_labels_stay_within_the_axes_and_off_each_other_and_the_points(apart: float) -> None:
    names = ("whisper-base", "quartznet", "wav2vec2", "xlsr", "hf:some/very-long-name-of-it")
    found = [row(90 - 4 * i, name, 20.0 * apart**i) for i, name in enumerate(names)]
    canvas, notes = drawn(of(*found))
    (axes,) = canvas.axes
    taken = [labels.extent(note) for note in notes]
    assert len(taken) == len(names)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(taken, 2))
    for box, record in itertools.product(taken, found):
        assert record.throughput is not None
        point = (record.throughput.end_to_end_rtfx, 100 * record.scored.macro_f1)
        assert not box.contains(*axes.transData.transform(point))
    for box in taken:
        assert axes.bbox.contains(*box.min)
        assert axes.bbox.contains(*box.max)


def test_equal_rows_of_the_front_have_one_label() -> None:
    _, notes = drawn(of(row(90, head="a"), row(90, head="b"), row(60, "quick", 50.0)))
    assert [note.get_text() for note in notes].count("xlsr\nmean, a") == 1
    assert len(notes) == 2


def test_rows_of_one_machine_are_compared_and_the_title_names_it() -> None:
    elsewhere = row(95, "elsewhere", 900.0, hardware="Big GPU")
    figure = of(*FOUND, elsewhere)
    assert "the 5 of 6 rows encoded on Test CPU, 2 cores" in figure.title
    assert "elsewhere" not in {p.row.backbone for p in figure.points}
    assert "all 5 rows" in of(*FOUND).title


def test_controls_are_not_drawn() -> None:
    figure = of(*FOUND, row(99, "slow", 5.0, head="c", control="random-init"))
    assert {p.row.remark for p in figure.points} == {"", "no weights"}
    assert len(figure.points) == 5


def test_there_is_no_figure_of_one_backbone_of_very_many_or_of_generated_clips() -> None:
    for found in (
        [row(90, head="a"), row(80, head="b"), row(70, "other", hardware="Other")],
        [row(60, f"backbone{i}", 1.0 + i) for i in range(speed.MOST + 1)],
        [row(90, task="sample-x"), row(80, "b", task="sample-x")],
    ):
        assert not speed.wanted(found, placed(found))


@pytest.mark.parametrize("rtfx", [0.001, 11.0, 1e12])
def test_some_tick_is_always_named(rtfx: float) -> None:
    (axes,) = drawn(of(row(90, rtfx=rtfx), row(80, "b", rtfx)))[0].axes
    left, right = axes.get_xlim()
    assert any(left <= tick <= right for tick in axes.get_xticks())


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_is_an_image_and_the_same_bytes_each_time(dark: bool, tmp_path: Path) -> None:
    figure = of(*FOUND)
    content = figure.draw(dark)
    assert content == figure.draw(dark)
    assert figure.mark.encode() in content[:4096]
    (tmp_path / "figure.png").write_bytes(content)
    assert image.imread(tmp_path / "figure.png").shape[1] < 900


def test_the_mark_tells_all_that_is_drawn() -> None:
    figure = of(*FOUND)
    first, *others = figure.points
    changed = [
        replace(figure, title="other"),
        replace(figure, backbones=("a", *figure.backbones)),
        replace(figure, points=(replace(first, rtfx=6.0), *others)),
        replace(figure, points=(replace(first, row=replace(first.row, low=0.1)), *others)),
    ]
    assert len({figure.mark, *(other.mark for other in changed)}) == 5
