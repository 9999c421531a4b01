"""Published systems: a row each on the leaderboard, all of them on a page of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.records.schema import Record
from bench.report.leaderboard import Leaderboard
from tests.bench.records.make_records import (
    SYSTEM,
    make_record,
    make_trained,
    right_of_ten,
    unfinished,
)
from tests.bench.report.pages import main_page, render, rows, section, store

NAME = "w2v2-gb-ravdess"
OF_PRESET = {"preset": NAME, "head": "gradient_boosting", "trials": 1}


def system(results: Path, name: str = NAME) -> str:
    return section(section(render(results), "Leaderboard: published systems"), name)


def overview(results: Path) -> list[list[str]]:
    """Rows on the leaderboard itself."""
    return rows(section(main_page(results), "Published systems"))


def preset_record(**changes: object) -> Record:
    return make_record(**{"backbone": "wav2vec2"} | OF_PRESET | changes)


def test_a_system_stands_there_as_its_record_tells_it_whatever_today_s_code_knows(
    results: Path,
) -> None:
    store(results, make_record("xlsr"), preset_record(preset="of-another-version"))
    own = system(results, "of-another-version")
    assert "some vectors → some head. Head: gradient_boosting, on the last layer." in own
    published = "**Published** on ravdess with wav2vec2: accuracy 48 %; measured on a random split."
    assert published in own
    assert "- not documented: Which layer: the last one here." in own
    assert "- differs: Test clips choose nothing here." in own


def test_of_two_tellings_of_a_system_the_latest_counts(results: Path) -> None:
    older = preset_record()
    told = preset_record(protocol="random-80-20", published=SYSTEM | {"summary": "told better"})
    late = told.provenance.model_copy(update={"utc": "2026-02-01T00:00:00Z"})
    store(results, told.model_copy(update={"provenance": late}), older)
    assert "told better. Head" in system(results)


def test_published_figures_keep_their_digits(results: Path) -> None:
    figures = {"macro_f1": "55.95", "accuracy": "above 70", "precision": "above 7", "recall": "60"}
    store(results, preset_record(published=SYSTEM | {"figures": figures}))
    assert overview(results)[0][2] == "macro-F1 55.95, accuracy above 70"
    told = "macro-F1 55.95 %; accuracy above 70 %; precision above 7 %; recall 60 %; measured on"
    assert f"with wav2vec2: {told}" in system(results)


def test_a_row_says_what_ran_how_it_scored_and_on_how_many_clips(results: Path) -> None:
    store(
        results,
        preset_record(confusion=right_of_ten(7, 7)),
        preset_record(confusion=right_of_ten(9, 9), protocol="random-80-20"),
    )
    row = ["wav2vec2", "mean"]
    assert rows(system(results)) == [
        ["ravdess", "random-80-20 (leaks)", *row, "90.0", "90.0", "50.0", "20", "–"],
        ["ravdess", "speaker-6fold", *row, "70.0", "70.0", "50.0", "20", "another protocol"],
    ]


def test_swapped_backbones_other_tasks_and_random_weights_are_marked_and_come_after(
    results: Path,
) -> None:
    split = {"protocol": "random-80-20"}
    store(
        results,
        preset_record(backbone="logmel", **split),
        preset_record(task="youtube", protocol="channel-5fold"),
        preset_record(pooling="another", **split),
        preset_record(**split),
        preset_record(),
        preset_record(control="random-init", weights="random-init", **split),
    )
    assert [(row[2], row[-1]) for row in rows(system(results))] == [
        ("wav2vec2", "–"),
        ("wav2vec2", "another pooling"),
        ("wav2vec2", "another protocol"),
        ("wav2vec2", "random weights"),
        ("logmel", "another backbone: logmel"),
        ("wav2vec2", "another task"),
    ]


def test_on_their_own_task_systems_stand_with_what_is_known_of_the_clips(
    results: Path,
) -> None:
    notes = ["of each video the first 60 s, or all of a shorter one"]
    told = SYSTEM | {
        "task": "youtube",
        "backbone": "quartznet",
        "protocols": ["random-75-25", "channel-5fold"],
    }
    preset = {"preset": "quartznet-mlp-youtube", "published": told}
    own = {**preset, "task": "youtube", "notes": notes}
    store(
        results,
        make_record("quartznet", protocol="channel-5fold", **own),
        make_record("quartznet", protocol="random-75-25", confusion=[[9, 1], [5, 25]], **own),
    )
    text = system(results, "quartznet-mlp-youtube")
    assert [[*row[1:4], *row[6:]] for row in rows(text)] == [
        ["random-75-25 (leaks)", "quartznet", "mean", "75.0", "40", "–"],
        ["channel-5fold", "quartznet", "mean", "50.0", "20", "another protocol"],
    ]
    assert text.count(f"- youtube: {notes[0]}.") == 1


def test_the_leaderboard_has_one_row_of_each_system_the_nearest_that_ran(results: Path) -> None:
    split = {"protocol": "random-80-20", "confusion": right_of_ten(9, 9)}
    swapped = preset_record(backbone="logmel", **split)
    store(results, swapped, preset_record(task="youtube", protocol="channel-5fold"))
    link = f"[{NAME}](results/published.md#{NAME})"
    row = [link, "ravdess, random-80-20 (leaks)", "accuracy 48", "macro-F1 90.0, accuracy 90.0"]
    assert overview(results) == [[*row, "20", "another backbone: logmel"]]
    store(results, preset_record())
    assert [row[1:2] + row[3:] for row in overview(results)] == [
        ["ravdess, speaker-6fold", "macro-F1 60.0, accuracy 60.0", "20", "another protocol"]
    ]
    store(results, preset_record(**split))
    assert overview(results) == [[*row, "20", "only what its page lists"]]
    assert "do not compare" in section(main_page(results), "Published systems")


@pytest.mark.parametrize("control", [None, "random-init"])
def test_random_weights_are_no_repetition(results: Path, control: str | None) -> None:
    store(results, preset_record(protocol="random-80-20", weights="random-init", control=control))
    assert overview(results)[0][-1] == "random weights"


def test_a_link_leads_to_the_heading_of_its_system_wherever_the_page_lies(
    results: Path, tmp_path: Path
) -> None:
    store(results, preset_record(preset="A.b_c-1"))
    made = Leaderboard.of(results, tmp_path / "docs" / "page.md")
    text = made.texts()[made.path]
    # what GitHub calls the place of the heading `A.b_c-1`
    assert "[A.b_c-1](../results/published.md#ab_c-1)" in text
    assert "## A.b_c-1\n" in made.texts()[results / "published.md"]


def test_systems_without_a_result_are_named_in_one_sentence_with_how_to_run_them(
    results: Path,
) -> None:
    gone = [unfinished("no weights", preset=name, head="mlp") for name in ("one", "another")]
    store(results, *gone, preset_record())
    text = main_page(results)
    own = section(text, "Published systems")
    assert "Without a result so far: `another`, `one`; `voxgrid run --preset NAME` runs" in own
    assert len(rows(own)) == 1
    assert "## one" not in render(results)
    assert rows(section(text, "Skipped and failed")) == [
        ["xlsr", "skipped", "ravdess", "2", "no weights"]
    ]


def test_systems_without_any_result_have_no_page(results: Path) -> None:
    store(results, make_record(), unfinished("no weights", preset=NAME))
    assert "Without a result so far" in section(main_page(results), "Published systems")
    assert "# Leaderboard: published systems" not in render(results)
    assert "published.md" not in render(results)


def test_trained_systems_say_what_was_trained_for_how_long_and_show_their_curves(
    results: Path, tmp_path: Path
) -> None:
    told = SYSTEM | {"backbone": "xlsr"}
    own = {"preset": "xlsr-finetune-ravdess", "trials": 1, "published": told}
    store(results, make_trained(best=(0, 1), notes=[["batch halved to 1"]], **own))
    text = system(results, "xlsr-finetune-ravdess")
    assert rows(text)[0][-1] == (
        "another protocol; "
        "trained: all but the feature encoder; epochs at best: 1.5 (1–2); "
        "batch halved to 1 (1 fold)"
    )
    assert '__curves.png">' in text
    page = tmp_path / "leaderboard.md"
    made = Leaderboard.of(results, page)
    made.write()
    name = "ravdess__speaker-6fold__xlsr-finetune-ravdess__xlsr__mean__fine_tune__curves"
    figures = {path.name for path in (results / "figures").iterdir()}
    assert figures == {f"{name}.png", f"{name}-dark.png"}
    assert made.difference() is None


def test_a_system_that_beats_everything_changes_nothing_on_the_leaderboard(
    results: Path, tmp_path: Path
) -> None:
    tuned = [
        make_record("xlsr"),
        make_record("xlsr", protocol="random-80-20"),
        make_record("logmel", control="random-init", weights="random-init"),
        unfinished("no weights", backbone="speech2text"),
    ]
    store(results, *tuned)
    store(
        tmp_path / "more" / "results",
        *tuned,
        preset_record(confusion=right_of_ten(10, 10), validation=0.99),
        preset_record(confusion=right_of_ten(10, 10), protocol="random-80-20"),
        make_trained(preset="xlsr-finetune-ravdess"),
        unfinished("other reason", backbone="quartznet", **OF_PRESET),
    )
    more = main_page(tmp_path / "more" / "results")
    ours = section(more, "Published systems")
    assert "other reason" in section(more, "Skipped and failed")
    assert [row[4] for row in rows(ours)] == ["20", "20"]
    without = more.replace(f"## Published systems\n{ours}", "")
    assert re.sub(".*other reason.*\n", "", without) == main_page(results)


def test_systems_alone_are_a_result_and_are_not_ranked(results: Path) -> None:
    store(results, preset_record())
    text = render(results)
    assert "Nothing has been run on a real task yet" not in text
    assert "## ravdess" not in text
    assert rows(system(results))[0][2] == "wav2vec2"


def test_without_a_preset_that_ran_there_is_no_section(results: Path) -> None:
    store(results, make_record("xlsr"))
    assert "ublished systems" not in render(results)


def test_systems_on_generated_clips_stand_apart_without_published_figures(results: Path) -> None:
    store(
        results,
        make_record("xlsr"),
        preset_record(task="sample-emotion", protocol="speaker-3fold", weights="random-init"),
    )
    real, _, sample = render(results).partition("# Leaderboard: sample tasks")
    assert "sample-emotion" not in real
    own = section(sample, "Published systems")
    assert [row[:4] for row in rows(own)] == [[NAME, "sample-emotion", "speaker-3fold", "wav2vec2"]]
    assert "48" not in own
