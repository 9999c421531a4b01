"""Published systems have a section of their own and touch nothing else on the leaderboard."""

from __future__ import annotations

from pathlib import Path

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


def preset_record(**changes: object) -> Record:
    return make_record(**{"backbone": "wav2vec2"} | OF_PRESET | changes)


def test_a_system_stands_there_as_its_record_tells_it_whatever_today_s_code_knows(
    results: Path,
) -> None:
    store(results, make_record("xlsr"), preset_record(preset="of-another-version"))
    own = system(results, "of-another-version")
    assert "some vectors → some head. Head: gradient_boosting, on the last layer." in own
    first = rows(own)[0]
    assert [*first[:2], first[-1]] == ["published", "ravdess", "measured on a random split"]
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
    first = rows(system(results))[0]
    assert first[5:7] == ["55.95", "above 70"]
    assert first[-1] == "precision above 7 %; recall 60 %; measured on a random split"


def test_a_row_says_what_ran_how_it_scored_and_on_how_many_clips(results: Path) -> None:
    store(
        results,
        preset_record(confusion=right_of_ten(7, 7)),
        preset_record(confusion=right_of_ten(9, 9), protocol="random-80-20"),
    )
    head = ["here", "ravdess"]
    row = ["wav2vec2", "mean"]
    assert rows(system(results))[1:] == [
        [*head, "random-80-20 (leaks)", *row, "90.0", "90.0", "50.0", "20", "–"],
        [*head, "speaker-6fold", *row, "70.0", "70.0", "50.0", "20", "–"],
    ]


def test_swapped_backbones_other_tasks_and_random_weights_are_marked_and_come_after(
    results: Path,
) -> None:
    told = SYSTEM | {"task": "youtube", "backbone": "speech2text"}
    other = {"preset": "s2t-mlp-youtube", "published": told}
    store(
        results,
        preset_record(backbone="logmel"),
        preset_record(),
        preset_record(control="random-init", weights="random-init"),
        preset_record(backbone="speech2text", **other),
    )
    found = rows(system(results))[1:]
    assert [(row[3], row[-1]) for row in found] == [
        ("wav2vec2", "–"),
        ("wav2vec2", "random weights"),
        ("logmel", "swapped in: not the published backbone"),
    ]
    moved, missing = rows(system(results, "s2t-mlp-youtube"))[1:]
    assert moved[-1] == "another task: not what was published on"
    assert missing[1] == "youtube"
    assert missing[-1] == "not run: `voxgrid run --preset s2t-mlp-youtube` runs it"


def test_frames_merged_in_another_way_are_marked_and_leave_the_published_way_not_run(
    results: Path,
) -> None:
    store(results, preset_record(pooling="sum"))
    found = rows(system(results))[1:]
    assert [(row[4], row[-1].partition(":")[0]) for row in found] == [
        ("sum", "another pooling"),
        ("mean", "not run"),
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
    assert [[*row[1:4], *row[6:9]] for row in rows(text)] == [
        ["youtube", "–", "quartznet", "48", "–", "–"],
        ["youtube", "random-75-25 (leaks)", "quartznet", "85.0", "75.0", "40"],
        ["youtube", "channel-5fold", "quartznet", "60.0", "50.0", "20"],
    ]
    assert text.count(f"- youtube: {notes[0]}.") == 1


def test_a_swapped_backbone_alone_leaves_the_published_one_not_run(results: Path) -> None:
    store(results, preset_record(backbone="logmel"))
    assert rows(system(results))[-1][3] == "wav2vec2"
    assert rows(system(results))[-1][-1].startswith("not run: ")


def test_what_was_skipped_or_failed_is_one_row_per_reason_with_how_to_get_it(
    results: Path,
) -> None:
    missing = "weights unavailable; get them with: hf download a/b"
    told = SYSTEM | {"backbone": "xlsr", "poolings": ["mean", "max"]}
    own = {"preset": "xlsr-finetune-ravdess", "head": "fine_tune", "published": told}
    store(
        results,
        *(
            unfinished(missing, protocol=protocol, pooling=pooling, **own)
            for protocol in ("speaker-6fold", "random-80-20")
            for pooling in ("mean", "sum", "max")
        ),
    )
    found = rows(system(results, "xlsr-finetune-ravdess"))[1:]
    row = ["here", "ravdess", "speaker-6fold, random-80-20 (leaks)", "xlsr"]
    assert found == [
        [*row, "max, mean", *["–"] * 4, f"skipped: {missing}"],
        [
            *(*row, "sum", *["–"] * 4),
            f"another pooling: not the published one; skipped: {missing}",
        ],
    ]
    assert "Skipped and failed" not in render(results)


def test_trained_systems_say_what_was_trained_for_how_long_and_show_their_curves(
    results: Path, tmp_path: Path
) -> None:
    told = SYSTEM | {"backbone": "xlsr"}
    own = {"preset": "xlsr-finetune-ravdess", "trials": 1, "published": told}
    store(results, make_trained(best=(0, 1), notes=[["batch halved to 1"]], **own))
    text = system(results, "xlsr-finetune-ravdess")
    assert rows(text)[1][-1] == (
        "trained: all but the feature encoder; epochs at best: 1.5 (1–2); "
        "batch halved to 1 (1 fold)"
    )
    assert "__curves.png)" in text
    page = tmp_path / "leaderboard.md"
    made = Leaderboard.of(results, page)
    made.write()
    assert [path.name for path in (results / "figures").iterdir()] == [
        "ravdess__speaker-6fold__xlsr-finetune-ravdess__xlsr__mean__fine_tune__curves.png"
    ]
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
    assert main_page(results) == main_page(tmp_path / "more" / "results")


def test_systems_alone_are_a_result_and_are_not_ranked(results: Path) -> None:
    store(results, preset_record())
    text = render(results)
    assert "Nothing has been run on a real task yet" not in text
    assert "## ravdess" not in text
    assert rows(system(results))[1][3] == "wav2vec2"


def test_without_a_preset_that_ran_there_is_no_section(results: Path) -> None:
    store(results, make_record("xlsr"))
    assert "published systems" not in render(results)


def test_systems_on_generated_clips_stand_apart_without_published_figures(results: Path) -> None:
    store(
        results,
        make_record("xlsr"),
        preset_record(task="sample-emotion", protocol="speaker-3fold", weights="random-init"),
    )
    real, _, sample = render(results).partition("# Leaderboard: sample tasks")
    assert "sample-emotion" not in real
    found = rows(section(sample, NAME))
    assert [row[:4] for row in found] == [["here", "sample-emotion", "speaker-3fold", "wav2vec2"]]
    assert "48" not in section(sample, NAME)
