"""Training curves: whose are drawn, and that each fold's epochs arrive in the drawing."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import image

from bench.report.figures import curves
from bench.report.figures.curves import FoldCurve
from tests.bench.records.make_records import make_record, make_trained, unfinished

SHARES = st.none() | st.floats(0, 1)


def test_every_real_cell_that_trained_its_backbone_is_drawn_and_nothing_else() -> None:
    found = [
        make_trained(backbone="wav2vec2", preset="w2v2-finetune-youtube"),
        make_trained(backbone="xlsr", protocol="random-80-20"),
        make_trained(control="random-init", weights="random-init"),
        make_trained(task="sample-emotion", protocol="speaker-3fold"),
        make_trained(head="mlp", pooling="attention"),
        make_record(head="fine_tune"),  # skipped its epochs: nothing to draw
        unfinished("no weights", head="fine_tune"),
    ]
    assert [figure.name for figure in curves.wanted(found)] == [
        "ravdess__random-80-20__xlsr__mean__fine_tune__curves",
        "ravdess__speaker-6fold__w2v2-finetune-youtube__wav2vec2__mean__fine_tune__curves",
    ]


def test_the_title_names_the_cell_its_preset_and_its_score() -> None:
    figure = curves.wanted([make_trained(preset="xlsr-finetune-ravdess")])[0]
    assert figure.title == (
        "ravdess, speaker-6fold: xlsr, mean, fine_tune, preset xlsr-finetune-ravdess: "
        "macro-F1 60.0 %"
    )


def test_each_fold_keeps_its_number_its_epochs_and_its_best_one() -> None:
    record = make_trained(best=(1, 2, 3))
    without = record.folds[1].model_copy(update={"curve": []})
    folds = [record.folds[0], without, record.folds[2]]
    figure = curves.wanted([record.model_copy(update={"folds": folds})])[0]
    assert [(fold.number, fold.best) for fold in figure.folds] == [(1, 1), (3, 3)]
    assert figure.folds[0].accuracy == (0.2, 0.4, 0.5, 0.45)
    assert figure.folds[0].macro_f1 == (0.18, 0.36, 0.45, 0.405)


@pytest.mark.parametrize("folds", [1, 6])
def test_curves_are_a_png_of_readable_width_and_the_same_bytes_each_time(
    folds: int, tmp_path: Path
) -> None:
    figure = curves.wanted([make_trained(best=[2] * folds)])[0]
    content = figure.draw()
    assert content == figure.draw()
    assert figure.mark.encode() in content
    assert len(content) < 150_000
    (tmp_path / "figure.png").write_bytes(content)
    height, width, _ = image.imread(tmp_path / "figure.png").shape
    assert (height, width) == (462, 1210)


def test_a_figure_with_another_epoch_or_another_best_epoch_has_another_mark() -> None:
    figure = curves.wanted([make_trained()])[0]
    first, *rest = figure.folds
    for changed in (replace(first, best=3), replace(first, accuracy=(*first.accuracy, 0.5))):
        assert replace(figure, folds=(changed, *rest)).mark != figure.mark


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=1, max_size=4),
    st.none() | st.integers(0, 5),
    st.integers(1, 12),
)
def test_missing_values_and_single_epochs_draw_without_a_warning(
    epochs: list[tuple[float | None, ...]], best: int | None, folds: int
) -> None:
    loss, accuracy, f1 = zip(*epochs, strict=True)
    drawn = tuple(FoldCurve(n, best, loss, loss, accuracy, f1) for n in range(folds))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert curves.Curves("name", "a: b", drawn).draw().startswith(b"\x89PNG")
