"""The forest plot: which rows it shows, and where they stand on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import image
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Canvas

from bench.records.schema import Record
from bench.report.figures import canvases, forest, intervals, rows
from bench.report.figures.intervals import Intervals
from tests.bench.report.figures.make_rows import placed, row

INK = canvases.ink(False)


def of(*found: Record, tied: int = 1) -> Intervals:
    return intervals.wanted(found, placed(found, tied))["speaker-6fold"]


def drawn(figure: Intervals) -> Axes:
    axes = Canvas().subplots()
    forest.draw(axes, figure.rows, figure.backbones, figure.chance, INK)
    return axes


def test_rows_stand_best_first_with_their_intervals() -> None:
    axes = drawn(of(row(60, head="b"), row(90, head="a"), row(70, "logmel", weights="none")))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "xlsr, mean, a",
        "logmel, mean, mlp",
        "xlsr, mean, b",
    ]
    bottom, top = axes.get_ylim()
    assert top < 0 < 2 < bottom  # the first row is at the top
    spans, points = axes.lines[0:6:2], axes.lines[1:6:2]
    for place, score in enumerate((90, 70, 60)):
        assert list(spans[place].get_xdata()) == pytest.approx([score - 5, score + 5])
        assert list(spans[place].get_ydata()) == [place, place]
        assert list(points[place].get_xdata()) == pytest.approx([score])
        assert list(points[place].get_ydata()) == [place]


def test_backbones_differ_by_colour_and_by_shape_and_a_control_is_hollow_and_grey() -> None:
    control = row(55, control="random-init", weights="random-init")
    axes = drawn(of(row(90), row(70, "logmel", weights="none"), control))
    best, other, hollow = axes.lines[1:6:2]
    assert best.get_color() != other.get_color()
    assert best.get_marker() != other.get_marker() != "None"
    assert (best.get_markerfacecolor(), best.get_marker()) == (
        best.get_color(),
        hollow.get_marker(),
    )
    assert (hollow.get_color(), hollow.get_markerfacecolor()) == (INK.quiet, INK.paper)
    remarks = {text.xy[1]: text.get_text() for text in axes.texts}  # type: ignore[attr-defined]
    assert remarks == {1: "no weights", 2: "random weights"}


def test_no_two_of_many_backbones_have_the_same_sign() -> None:
    signs = rows.signs([f"backbone{i}" for i in range(70)])
    assert len({(sign.colour, sign.marker) for sign in signs.values()}) == 70
    assert len({sign.marker for sign in list(signs.values())[:8]}) == 8


def test_rows_of_the_first_rank_are_shaded_wherever_they_stand() -> None:
    figure = of(*(row(right, head=f"h{right}") for right in (90, 80, 70)), tied=2)
    first, between, last = figure.rows
    axes = drawn(replace(figure, rows=(first, replace(between, last=None), replace(last, last=2))))
    shaded = [round(patch.get_y() + 0.5) for patch in axes.patches if hasattr(patch, "get_y")]
    assert shaded == [0, 2]
    assert all(patch.get_facecolor() == to_rgba(INK.shade) for patch in axes.patches)
    assert "rank 1–2: cannot be told from the best" in axes.get_legend_handles_labels()[1]


def test_the_line_of_chance_is_what_the_largest_class_gives() -> None:
    axes = drawn(of(row(90), row(80, "b")))
    # half of the clips are of either class: F1 of one is 2/3, of the other 0
    assert list(axes.lines[-1].get_xdata()) == pytest.approx([100 / 3] * 2, abs=0.01)
    left, right = axes.get_xlim()
    assert left < 33 < 95 < right
    assert "always answering the largest class: 33.3" in axes.get_legend_handles_labels()[1]


def test_of_many_rows_the_best_and_the_best_of_each_backbone_and_its_best_control_stay() -> None:
    many = [row(90 - place, head=f"head{place:02}") for place in range(35)]
    weak = [row(51 + place, "weak", head=f"head{place}") for place in range(2)]
    controls = [
        row(right, name, head=f"c{right}", control="random-init")
        for name, right in (("xlsr", 45), ("xlsr", 20), ("weak", 10), ("absent", 89))
    ]
    figure = of(*many, *weak, *controls)
    assert len(figure.rows) == intervals.MOST
    assert "30 of 41 rows" in figure.title
    assert [(own.backbone, own.head) for own in figure.rows] == [
        *(("xlsr", f"head{place:02}") for place in range(27)),
        ("weak", "head1"),
        ("xlsr", "c45"),
        ("weak", "c10"),
    ]


def test_only_rows_of_the_first_protocol_that_keeps_groups_apart_are_drawn() -> None:
    found = [row(90), row(80, "b"), *(row(95, b, protocol="random-80-20") for b in ("a", "b"))]
    wanted = intervals.wanted(found, placed(found))
    assert {protocol: len(figure.rows) for protocol, figure in wanted.items()} == {
        "speaker-6fold": 2
    }
    assert "all 2 rows" in wanted["speaker-6fold"].title


def test_rows_tested_on_other_clips_than_most_are_left_out() -> None:
    other = row(99, "other")
    scores = other.scored.model_copy(update={"confusion": [[99, 1], [0, 50]]})
    figure = of(row(90), row(80, "b"), other.model_copy(update={"scores": scores}))
    assert [own.backbone for own in figure.rows] == ["xlsr", "b"]


def test_there_is_no_figure_of_one_row_of_controls_of_presets_or_of_generated_clips() -> None:
    for found in (
        [row(90)],
        [row(90, control="random-init"), row(80, "b", control="random-init")],
        [row(90), row(80, "b", preset="some")],
        [row(90, task="sample-x"), row(80, "b", task="sample-x")],
    ):
        assert not intervals.wanted(found, placed(found))
    assert not intervals.wanted([row(90), row(80, "b")], {})


def test_long_names_are_cut_where_they_tell_least() -> None:
    name = rows.name("hf:some-people/a-very-long-name-of-a-network-v2", "mean")
    assert name == "hf:some-…e-of-a-network-v2, mean"


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_is_an_image_and_the_same_bytes_each_time(dark: bool, tmp_path: Path) -> None:
    figure = of(row(90), row(80, "b"))
    content = figure.draw(dark)
    assert content == figure.draw(dark)
    assert figure.mark.encode() in content[:4096]
    (tmp_path / "figure.png").write_bytes(content)
    pixels = image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] < 900
    assert (pixels[0, 0, :3].sum() < 0.5) == dark


def test_the_mark_tells_all_that_is_drawn_and_no_digit_that_machines_differ_in() -> None:
    found = [row(90), row(80, "b")]
    figure, places = of(*found), placed(found)
    nudged = {
        cell: replace(place, macro_f1=replace(place.macro_f1, low=place.macro_f1.low + 1e-9))
        for cell, place in places.items()
    }
    assert intervals.wanted(found, nudged)["speaker-6fold"].mark == figure.mark
    changed = [
        replace(figure, title="other"),
        replace(figure, group="channel"),
        replace(figure, chance=0.4),
        replace(figure, backbones=("a", *figure.backbones)),
        replace(figure, rows=(replace(figure.rows[0], low=0.5), *figure.rows[1:])),
        replace(figure, rows=(replace(figure.rows[0], last=2), *figure.rows[1:])),
    ]
    assert len({figure.mark, *(other.mark for other in changed)}) == 7
