"""The leaderboard's section on heads that were trained epoch by epoch."""

from __future__ import annotations

from pathlib import Path

from tests.bench.records.make_records import make_record, make_trained, right_of_ten
from tests.bench.report.pages import render, rows, section, store


def test_heads_trained_epoch_by_epoch_say_what_was_trained_how_long_and_on_what(
    results: Path,
) -> None:
    augmentation = {"noise_db": 20.0, "masks": 2}
    store(
        results,
        make_record("logmel"),
        make_trained(
            best=(1, 2, 3),
            trained=("LoRA of rank 8 on all blocks", "the last 2 blocks"),
            training={"augmentation": augmentation, "frozen_part": "live"},
            confusion=right_of_ten(9, 9),
        ),
        make_trained(backbone="wav2vec2", head="mlp", trained=("pooling and classifier",)),
        make_trained(backbone="xlsr", control="random-init", weights="random-init"),
    )
    text = section(render(results), "Leaderboard: trained epoch by epoch")
    own = section(text, "speaker-6fold")
    assert [(row[0], *row[3:6]) for row in rows(own)] == [
        ("xlsr", "90.0", "LoRA of rank 8 on all blocks (2), the last 2 blocks (1)", "3 (2–4)"),
        ("wav2vec2", "60.0", "pooling and classifier", "2.5 (2–3)"),
        ("xlsr, random weights", "60.0", "all but the feature encoder", "2.5 (2–3)"),
    ]
    assert rows(own)[0][6:] == [
        "bfloat16",
        "live",
        "yes: noise_db 20.0, masks 2",
        "30 s",
        "cuda",
        "40 s",
    ]
    assert "- trained on: Test CPU, 2 cores" in own


def test_a_head_that_says_nothing_of_what_it_trains_has_a_dash(results: Path) -> None:
    store(results, make_trained(trained=(None,)))
    text = section(render(results), "Leaderboard: trained epoch by epoch")
    assert rows(section(text, "speaker-6fold"))[0][4] == "–"


def test_notes_of_folds_are_listed_once_with_the_folds_they_are_of(results: Path) -> None:
    halved = "batch halved to 4: out of memory"
    store(results, make_trained(best=(1, 1, 1), notes=[[halved], [], [halved, "resumed"]]))
    text = section(render(results), "Leaderboard: trained epoch by epoch")
    assert f"- xlsr, mean, fine_tune, folds 1, 3: {halved}" in text
    assert "- xlsr, mean, fine_tune, fold 3: resumed" in text


def test_curves_of_cells_that_trained_their_backbone_are_shown_under_their_protocol(
    results: Path,
) -> None:
    store(results, make_trained(), make_trained(protocol="random-80-20"))
    text = section(render(results), "Leaderboard: trained epoch by epoch")
    for protocol in ("speaker-6fold", "random-80-20"):
        link = f'src="figures/ravdess__{protocol}__xlsr__mean__fine_tune__curves.png"'
        assert link in section(text, protocol)
        assert text.count(link) == 1


def test_without_trained_heads_no_section_speaks_of_training(results: Path) -> None:
    store(results, make_record("xlsr"))
    assert "Leaderboard: trained epoch by epoch" not in render(results)
