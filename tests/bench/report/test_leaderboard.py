"""leaderboard.md says what the records say, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.records.schema import ExcludedRecord, Record
from bench.report.leaderboard import Leaderboard
from bench.report.page import figures
from bench.report.tables.ranking import TOP
from tests.bench.records.make_benchmarks import entry, measured
from tests.bench.records.make_records import (
    make_record,
    make_repeated,
    make_trained,
    right_of_ten,
    unfinished,
)
from tests.bench.records.make_records import store as with_predictions
from tests.bench.report.pages import render, rows, section, store


def test_rows_are_ranked_by_macro_f1_and_equal_ones_by_name(results: Path) -> None:
    store(
        results,
        make_record("wav2vec2", confusion=right_of_ten(5, 5)),
        make_record("xlsr", confusion=right_of_ten(9, 9)),
        make_record("logmel", confusion=right_of_ten(5, 5)),
    )
    found = rows(section(render(results), "speaker-6fold"))
    assert [(row[0], row[1], row[4]) for row in found] == [
        ("1", "xlsr", "90.0"),
        ("2", "logmel", "50.0"),
        ("3", "wav2vec2", "50.0"),
    ]


def test_a_row_shows_layers_over_folds_cost_and_failed_trials(results: Path) -> None:
    store(results, make_record(picked=(4, 5, 7), failed_trials=2))
    (row,) = rows(section(render(results), "speaker-6fold"))
    assert row[5:] == ["5 (4–7) of 0–12", "6.0", "6 trials failed"]


@pytest.mark.parametrize(
    ("picked", "shown"),
    [
        (("weighted",) * 3, "weighted of 0–12"),
        (("weighted", 3, "weighted"), "weighted in 2 of 3 folds, else 3 of 0–12"),
        (("weighted", 2, 3, 5), "weighted in 1 of 4 folds, else 3 (2–5) of 0–12"),
    ],
)
def test_folds_that_learnt_a_weighted_sum_of_layers_are_counted_apart(
    results: Path, picked: tuple[int | str, ...], shown: str
) -> None:
    store(results, make_record(picked=picked))
    assert rows(section(render(results), "speaker-6fold"))[0][5] == shown


def test_trials_that_failed_are_remarked_and_those_stopped_early_are_not(results: Path) -> None:
    record = make_record(picked=(1, 1))
    counts = [
        {"complete": 8, "pruned": 2, "failed": 0},
        {"complete": 8, "pruned": 1, "failed": 1},
    ]
    folds = [
        fold.model_dump() | {"trials": own} for fold, own in zip(record.folds, counts, strict=True)
    ]
    store(results, Record.model_validate(record.model_dump() | {"folds": folds}))
    found = rows(section(render(results), "speaker-6fold"))
    assert found[0][-1] == "1 trial failed"


def test_a_row_shows_mean_and_range_over_its_seeds(results: Path) -> None:
    record = make_record(confusion=right_of_ten(9, 9))
    seeds = [{"accuracy": one, "macro_f1": one - 0.01} for one in (0.9, 0.875, 0.925)]
    store(results, Record.model_validate(record.model_dump() | {"seeds": seeds}))
    found = rows(section(render(results), "speaker-6fold"))
    assert (found[0][4], found[0][-1]) == ("90.0", "3 seeds: 86.5–91.5")


def test_the_same_records_give_the_same_bytes_whatever_the_order_of_writing(tmp_path: Path) -> None:
    found = [make_record("xlsr"), make_record("logmel"), unfinished("no weights", backbone="b")]
    store(tmp_path / "a" / "results", *found)
    store(tmp_path / "b" / "results", *reversed(found))
    assert render(tmp_path / "a" / "results") == render(tmp_path / "b" / "results")


def test_sample_rows_stand_in_a_marked_section_at_the_end_and_never_among_real_rows(
    results: Path,
) -> None:
    sample = {"task": "sample-emotion", "protocol": "speaker-3fold"}
    store(
        results,
        make_record("xlsr"),
        make_record("tiny", weights="random-init", **sample),
        unfinished("sample reason", backbone="other", **sample),
    )
    real, marked, rest = render(results).partition("# Leaderboard: sample tasks")
    assert marked
    assert "tiny" not in real
    assert "sample reason" not in real
    assert "xlsr" not in rest
    assert "say nothing" in rest
    assert "tiny" in section(rest, "speaker-3fold")


def test_each_sample_task_has_its_own_part_below_the_warning(results: Path) -> None:
    store(
        results,
        make_record("xlsr", task="youtube", protocol="channel-5fold"),
        make_record("spoken", task="sample-emotion", protocol="speaker-3fold"),
        make_record("mixed", task="sample-topic", protocol="channel-5fold"),
    )
    real, _, rest = render(results).partition("# Leaderboard: sample tasks")
    assert not re.search("spoken|mixed|sample-", real)
    assert rest.index("say nothing") < rest.index("## sample-emotion")
    assert [row[1] for row in rows(section(rest, "sample-emotion"))] == ["spoken"]
    assert [row[1] for row in rows(section(rest, "sample-topic"))] == ["mixed"]


def test_sample_records_alone_do_not_pass_for_a_result(results: Path) -> None:
    store(results, make_record("tiny", task="sample-emotion", protocol="speaker-3fold"))
    real, _, rest = render(results).partition("# Leaderboard: sample tasks")
    assert "Nothing has been run on a real task yet" in real
    assert "tiny" in rest


def test_controls_are_marked_and_stand_beside_the_best_rows(results: Path) -> None:
    store(
        results,
        make_record("xlsr", confusion=right_of_ten(6, 6)),
        make_record(
            "xlsr", confusion=right_of_ten(8, 8), weights="random-init", control="random-init"
        ),
    )
    text = render(results)
    shown = [(row[0], row[4], row[-1]) for row in rows(section(text, "speaker-6fold"))]
    assert shown == [("–", "80.0", "random weights"), ("1", "60.0", "–")]
    best = rows(section(text, "Best per backbone"))
    assert [(row[0], row[3], row[-1]) for row in best] == [("xlsr", "60.0", "–")]


def test_random_weights_on_a_real_task_count_as_a_control_even_unmarked(results: Path) -> None:
    store(results, make_record("xlsr", weights="random-init"))
    text = render(results)
    assert rows(section(text, "speaker-6fold"))[0][-1] == "random weights"
    assert "Best per backbone" not in text


def test_the_row_that_stands_for_a_backbone_is_chosen_by_validation_beside_what_is_higher(
    results: Path,
) -> None:
    store(
        results,
        make_record(head="lucky", confusion=right_of_ten(9, 9), validation=0.4),
        make_record(head="sound", confusion=right_of_ten(7, 7), validation=0.8),
    )
    found = rows(section(render(results), "Best per backbone"))
    assert [(row[2], row[3], row[-1]) for row in found] == [("sound", "70.0", "mean, lucky: 90.0")]


def test_the_leak_is_sized_where_both_protocols_ran(results: Path) -> None:
    store(
        results,
        make_record(confusion=right_of_ten(6, 6)),
        make_record(confusion=right_of_ten(8, 8), protocol="random-80-20"),
        make_record("only-random", protocol="random-80-20"),
    )
    text = render(results)
    found = section(text, "The size of the leak")
    # one split has its own luck, so that its rows are no table
    assert rows(found) == []
    moved = "`random-80-20` reads +20.0 points in the median (from +20.0 to +20.0)."
    assert f"Over the 1 row run under both, {moved}" in found
    assert "(leaks speakers; for comparison with published numbers only)" in text


def test_repeated_splits_show_the_mean_over_them_and_its_deviation(results: Path) -> None:
    store(
        results,
        make_record(confusion=right_of_ten(6, 6)),
        make_record(confusion=right_of_ten(9, 9), protocol="random-80-20"),
        make_repeated(right_of_ten(6, 6), right_of_ten(8, 8), right_of_ten(10, 10)),
        make_repeated(right_of_ten(5, 5), right_of_ten(5, 5), backbone="steady"),
    )
    text = render(results)
    board = section(text, "random-10x80-20")
    assert [row[4] for row in rows(board)] == ["80.0 ± 20.0", "50.0 ± 0.0"]
    about = "Scores of these rows are means over the folds; **±** is their standard deviation"
    assert about in board
    assert text.count("means over the folds") == 1
    assert "±" not in section(text, "speaker-6fold") + section(text, "random-80-20")
    leak = section(text, "The size of the leak")
    (ten,) = rows(leak)
    assert "| macro-F1 % speaker-6fold | macro-F1 % random-10x80-20 |" in leak
    # neither row has predictions, which the interval of the difference comes from
    assert ten[3:] == ["60.0", "80.0 ± 20.0", "–"]
    assert "`random-80-20` reads +30.0 points" in leak
    assert "`random-10x80-20` reads +20.0 points" in leak
    assert text.count("__confusion.png") == 1


def test_rows_of_repeated_splits_stand_where_the_leak_is_sized_and_nowhere_else(
    results: Path,
) -> None:
    spread = (right_of_ten(6, 6), right_of_ten(8, 8), right_of_ten(10, 10))
    store(
        results,
        make_record(confusion=right_of_ten(6, 6)),
        make_record(confusion=right_of_ten(6, 6), pooling="max", head="lda"),
        make_repeated(*spread),
        make_repeated(*spread, pooling="max", head="lda"),
        make_repeated(*spread, protocol="random-10x50-50"),
    )
    text = render(results)
    assert "### random-10x" not in text
    leak = section(text, "The size of the leak")
    assert leak.count("what random-10x80-20 does".capitalize()) == 1
    assert leak.count("means over the folds") == 2
    # one table for each protocol, of the rows that it has
    assert leak.count("| difference, points |") == 2
    assert (leak.count("| mean | mlp | 60.0 |"), leak.count("| max | lda | 60.0 |")) == (2, 1)
    assert text.count("80.0 ± 20.0") == 3


YOUTUBE = {"task": "youtube"}


@pytest.mark.parametrize(
    ("task", "grouped", "random", "group"),
    [
        ("ravdess", "speaker-6fold", "random-80-20", "speakers"),
        ("youtube", "channel-5fold", "random-75-25", "channels"),
        ("sample-emotion", "speaker-3fold", "random-80-20", "speakers"),
        ("sample-topic", "channel-5fold", "random-75-25", "channels"),
        ("of-another-package", "channel-5fold", "random-75-25", "herds"),
    ],
)
def test_what_leaks_is_named_by_what_the_task_is_grouped_by(
    results: Path, task: str, grouped: str, random: str, group: str
) -> None:
    found = [
        make_record(task=task, protocol=protocol, group=group.removesuffix("s"))
        for protocol in (grouped, random)
    ]
    store(results, *found)
    text = render(results)
    assert f"{random} (leaks {group}; for comparison with published numbers only)" in text
    others = {"speakers", "channels"} - {group}
    board = section(text, task)
    assert not any(f"leaks {other}" in board for other in others)
    if not found[0].sample:
        assert f"with {group} kept apart and with {group} on both sides" in board


def test_a_task_with_three_protocols_reads_from_unseen_channels_to_what_was_published(
    results: Path,
) -> None:
    note = "balanced-109 draws 436 of 1900 clips, 109 of each class"
    store(
        results,
        make_record(protocol="channel-5fold", confusion=right_of_ten(5, 5, 5, 5), **YOUTUBE),
        make_record(protocol="random-75-25", confusion=right_of_ten(7, 7, 7, 7), **YOUTUBE),
        make_record(
            protocol="balanced-109", confusion=right_of_ten(9, 9, 9, 9), notes=[note], **YOUTUBE
        ),
    )
    text = render(results)
    board = section(text, "youtube")
    headings = [line for line in board.splitlines() if line.startswith("### ")]
    leaks = "(leaks channels; for comparison with published numbers only)"
    assert headings == [
        "### channel-5fold",
        f"### random-75-25 {leaks}",
        f"### balanced-109 {leaks}",
        "### Best per backbone, channel-5fold",
        "### The size of the leak",
    ]
    assert f"**Note:** {note}." in section(board, "balanced-109")
    assert note not in section(board, "random-75-25")
    # balanced-109 trains on fewer clips, which is another difference than the leak
    found = section(board, "The size of the leak")
    assert "Over the 1 row run under both, `random-75-25` reads +20.0 points" in found
    assert "balanced-109" not in found


def test_no_leak_is_sized_by_a_protocol_that_draws_some_of_the_clips(results: Path) -> None:
    store(
        results,
        make_record(protocol="channel-5fold", **YOUTUBE),
        make_record(protocol="balanced-109", **YOUTUBE),
    )
    assert "The size of the leak" not in render(results)


def test_every_table_of_scores_says_what_always_answering_the_largest_class_gives(
    results: Path,
) -> None:
    found = {"confusion": [[15, 0], [5, 10]]}
    grouped, random = {"protocol": "channel-5fold"}, {"protocol": "random-75-25"}
    store(
        results,
        make_record(**found, **YOUTUBE, **grouped),
        make_record(**found, **YOUTUBE, **random),
        make_trained(**found, **YOUTUBE, **grouped),
        make_record(**found, **YOUTUBE, **grouped, preset="s2t-mlp-youtube"),
        make_record(**found, task="sample-topic", **grouped),
    )
    text = render(results)
    board = section(text, "youtube")
    parts = [
        section(board, "channel-5fold"),
        section(board, "random-75-25"),
        section(text, "Leaderboard: trained epoch by epoch"),
        section(text, "sample-topic"),
    ]
    assert all(part.count("largest class gives macro-F1") == 1 for part in parts)
    published = section(section(text, "Leaderboard: published systems"), "s2t-mlp-youtube")
    assert "| largest class % |" in published
    assert rows(published)[0][6] == "50.0"


def test_no_leak_is_claimed_without_both_protocols(results: Path) -> None:
    store(results, make_record(protocol="random-80-20"))
    text = render(results)
    assert "The size of the leak" not in text
    assert "Best per backbone" not in text  # a leaking split chooses nothing


def test_the_majority_line_is_computed_from_the_tested_clips(results: Path) -> None:
    store(results, make_record(confusion=[[30, 0], [5, 5]]))
    # always answering class 0 of 30 + 10 clips: F1 of it 2·0.75/1.75, of the other 0
    assert "macro-F1 42.9 %, accuracy 75.0 % and UAR 50.0 % (40 clips tested)" in (render(results))


def test_rows_tested_on_different_clips_are_called_out(results: Path) -> None:
    store(results, make_record("a"), make_record("b", confusion=[[30, 0], [5, 5]]))
    assert "tested on different clips and are not comparable" in render(results)


def test_unequal_machines_and_commits_are_called_out(results: Path) -> None:
    one = make_record("a")
    other = make_record("b", hardware="Other CPU, 64 cores")
    changed = other.provenance.model_copy(update={"git_sha": "b" * 40 + "-dirty"})
    store(results, one, other.model_copy(update={"provenance": changed}))
    text = render(results)
    assert "differ in hardware, voxgrid commit" in text
    assert [row[6] for row in rows(section(text, "speaker-6fold"))] == ["6.0 B", "6.0 A"]
    costs = section(text, "What each backbone costs")
    assert "On A: Other CPU, 64 cores, B: Test CPU, 2 cores (float32, 2 threads)." in costs
    assert [row[:2] for row in rows(costs)] == [["A", "b"], ["B", "a"]]


def test_benchmarks_stand_beside_the_speed_of_the_machine_and_task_they_are_of(
    results: Path,
) -> None:
    store(results, make_record("xlsr"), make_record("wav2vec2"))
    measured(results, "0001.json", "2026", entry(1, 6.0), entry(4, 5.0))
    measured(results, "0002.json", "2027", entry(1, 1.0, hardware="Other CPU"))
    measured(results, "0003.json", "2027", entry(1, 1.0, task="youtube"))
    costs = rows(section(render(results), "What each backbone costs"))
    assert [(row[1], *row[5:]) for row in costs] == [
        ("wav2vec2", "10.0", "–", "1000"),
        ("xlsr", "10.0", "12.0 (4)", "1000"),
    ]


def test_memory_tells_what_was_held_before_the_first_clip_where_it_is_known(results: Path) -> None:
    known = make_record("a", memory={"peak_rss_mb": 900.0, "loaded_rss_mb": 700.4})
    store(results, known, make_record("a", "before"), make_record("b"))
    costs = rows(section(render(results), "What each backbone costs"))
    assert [(row[1], row[-1]) for row in costs] == [("a", "900 (700)"), ("b", "1000")]


def test_what_a_backbone_does_otherwise_than_published_is_said_with_its_cost(results: Path) -> None:
    store(results, make_record("w", differs="runs on half of the <clip>"), make_record("x"))
    costs = section(render(results), "What each backbone costs")
    assert "w runs on half of the &lt;clip>." in costs


def test_alike_records_are_not_called_different(results: Path) -> None:
    store(results, make_record("a"), make_record("b"))
    text = render(results)
    assert "Not all rows" not in text
    assert "Before you rely on a row" not in text


def test_left_out_clips_are_counted_once_however_many_records_name_them(results: Path) -> None:
    gone = [ExcludedRecord(clip=f"clip{i}", reason="no sound in it") for i in range(5)]
    store(results, make_record("a", excluded=gone), make_record("b", excluded=gone))
    found = section(render(results), "Left out clips")
    assert "5 clips left out" in found
    assert "- ravdess, 5: no sound in it (`clip0`, `clip1`, `clip2`, …)" in found


def test_long_tables_show_their_top_and_the_best_of_each_backbone(results: Path) -> None:
    found = [make_record(head=f"head{i:02}", confusion=right_of_ten(9, 9)) for i in range(21)]
    weak = [make_record("weak", head=head, confusion=right_of_ten(*own)) for head, own in _WEAK]
    control = make_record("weak", control="random-init", confusion=right_of_ten(3, 3))
    store(results, *found, *weak, control)
    text = section(render(results), "speaker-6fold")
    shown = [(row[0], row[1], row[3]) for row in rows(text)]
    assert [row[0] for row in shown] == [*map(str, range(1, TOP + 1)), "22", "–"]
    assert shown[-2:] == [("22", "weak", "better"), ("–", "weak", "mlp")]
    assert "of 24 rows; all of them are in `leaderboard.csv`" in text


_WEAK = (("better", (6, 6)), ("worse", (5, 5)))


def test_a_damaged_record_is_named_and_the_rest_stays(results: Path) -> None:
    store(results, make_record("xlsr"))
    (results / "ravdess" / "speaker-6fold" / "a__b__c.json").write_text('{"status": "ok"')
    text = render(results)
    assert "**Warning:** 1 record cannot be read" in text
    assert "`results/ravdess/speaker-6fold/a__b__c.json`" in text
    assert rows(section(text, "speaker-6fold"))[0][1] == "xlsr"


@pytest.mark.parametrize("exists", [True, False])
def test_no_results_say_how_to_get_some(results: Path, exists: bool) -> None:
    if exists:
        results.mkdir()
    text = render(results)
    assert "Nothing has been run on a real task yet" in text
    assert "`voxgrid run`" in text


def test_missing_figures_of_a_record_are_dashes_and_never_nan(results: Path) -> None:
    bare = {"throughput": None, "memory": None, "parameters": None, "layers": None, "folds": []}
    store(results, make_record("bare", **bare))
    text = render(results)
    assert "nan" not in text.lower()
    assert "None" not in text
    assert rows(section(text, "speaker-6fold"))[0][5:] == ["–", "–", "–"]


def test_a_protocol_that_leaks_no_group_is_fair_whatever_it_promises(results: Path) -> None:
    apart = make_record().folding.model_copy(update={"grouped": False, "summary": "a | b"})
    store(results, make_record(folding=apart.model_dump(), protocol="random-80-20"))
    text = render(results)
    assert "leaks" not in text
    assert "### Best per backbone, random-80-20" in text
    assert r"A \| b." in text


def test_writing_then_checking_agree_and_a_second_writing_touches_nothing(
    results: Path, tmp_path: Path
) -> None:
    page = tmp_path / "leaderboard.md"
    store(results, make_record("xlsr"))
    made = Leaderboard.of(results, page)
    assert "does not exist" in (made.difference() or "")
    made.write()
    assert Leaderboard.of(results, page).difference() is None
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    Leaderboard.of(results, page).write()
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_a_difference_is_shown_line_by_line_and_a_figure_by_its_name(
    results: Path, tmp_path: Path
) -> None:
    page = tmp_path / "leaderboard.md"
    store(results, make_record("xlsr", confusion=right_of_ten(6, 6)))
    Leaderboard.of(results, page).write()
    store(results, make_record("xlsr", confusion=right_of_ten(7, 7)))
    made = Leaderboard.of(results, page)
    difference = made.difference() or ""
    assert re.search(r"^-\| 1 \| xlsr .* 60\.0 ", difference, re.M)
    assert re.search(r"^\+\| 1 \| xlsr .* 70\.0 ", difference, re.M)
    for path, text in made.texts().items():
        path.write_text(text)
    assert "speaker-6fold__confusion.png" in (made.difference() or "")


def test_every_linked_file_exists_wherever_the_page_lies(results: Path, tmp_path: Path) -> None:
    store(
        results,
        make_record(),
        make_record(protocol="random-80-20"),
        make_record(protocol="channel-5fold"),
        make_trained(protocol="random-80-20"),
        make_trained(preset="xlsr-finetune-ravdess"),
    )
    page = tmp_path / "docs" / "leaderboard.md"
    made = Leaderboard.of(results, page)
    made.write()
    found = [
        path.parent / link
        for path in made.pages
        for link in re.findall(
            r'(?:\]\(| src="| srcset=")([^)#"]+)', path.read_text(encoding="utf-8")
        )
    ]
    drawn = [figure for blocks in made.pages.values() for figure in figures(blocks)]
    assert len(drawn) == 3
    # one more leads to the system
    assert len(found) == 2 * len(drawn) + len(made.pages)
    assert all(path.is_file() for path in found)


def test_figures_of_rows_stand_after_the_ranking_that_they_are_of(results: Path) -> None:
    for backbone, right in (("a", 9), ("b", 7)):
        for protocol in ("speaker-6fold", "random-80-20", "channel-5fold"):
            own = make_record(backbone, confusion=right_of_ten(right, right), protocol=protocol)
            with_predictions(results, own, groups=8)
        sample = make_record(backbone, task="sample-emotion", protocol="speaker-3fold")
        with_predictions(results, sample, groups=8)
    text = render(results)
    # channel-5fold is the first of them by name
    board = section(text, "channel-5fold")
    places = [board.index(f"channel-5fold__{kind}.png") for kind in ("intervals", "speed")]
    places.append(board.index("channel-5fold__confusion.png"))
    assert board.index("| rank |") < places[0] < places[1] < places[2]
    assert text.count("__intervals.png") == text.count("__speed.png") == 1
