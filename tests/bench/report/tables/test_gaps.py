"""What was skipped or failed: a row for each backbone and status, and how to get weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.schema import Record
from tests.bench.records.make_records import make_record, unfinished
from tests.bench.report.pages import main_page, rows, section, store

_GONE = "{name}: weights of some/{name} unavailable; get them with: {command}"
_HUB = "hf download some/{name} --revision {commit} --local-dir $VOXGRID_WEIGHTS/{name}"


def gone(name: str, *, commit: str = "c0ffee", utc: str = "2026", **changes: str) -> Record:
    """Skipped for want of weights."""
    command = _HUB.format(name=name, commit=commit)
    record = unfinished(_GONE.format(name=name, command=command), backbone=name, **changes)
    provenance = record.provenance.model_copy(update={"utc": utc})
    return record.model_copy(update={"provenance": provenance})


def gaps(results: Path) -> str:
    return section(main_page(results), "Skipped and failed")


def test_cells_of_one_backbone_and_status_are_one_row_with_their_number(results: Path) -> None:
    store(
        results,
        make_record("xlsr"),
        *(unfinished("no sound", backbone="wav2vec2", head=head) for head in "abc"),
        unfinished("no sound", backbone="wav2vec2", task="youtube"),
        unfinished("no sound", backbone="wav2vec2", control="random-init"),
        unfinished("ValueError: x|y\n<b>bold</b>", status="failed", backbone="egemaps"),
    )
    assert gaps(results).splitlines()[3:] == [
        r"| egemaps | failed | ravdess | 1 | ValueError: x\|y &lt;b>bold&lt;/b> |",
        "| wav2vec2 | skipped | ravdess, youtube | 4 | no sound |",
        "| wav2vec2 | skipped, random-init | ravdess | 1 | no sound |",
        "",
    ]


@pytest.mark.parametrize(
    ("reasons", "shown"),
    [
        (["use mean", "use mean"], "use mean"),
        (["a max b", "a sum b", "a mean b"], "a max, mean, sum b"),
        (["a max b", "a sum c"], "a max b; a sum c"),
        (["a b c", "a b"], "a b; a b c"),
        (
            ["a", "b c", "d e f", "g h i j", "k l m n o"],
            "a; b c; d e f; and 2 more, in the records",
        ),
    ],
)
def test_reasons_that_differ_in_one_word_are_one(
    results: Path, reasons: list[str], shown: str
) -> None:
    found = [unfinished(one, head=f"head{place}") for place, one in enumerate(reasons)]
    store(results, *found)
    assert rows(gaps(results))[0][-1] == shown


def test_one_command_below_the_table_gets_the_weights_of_all_backbones(results: Path) -> None:
    store(
        results,
        gone("b"),
        gone("a", commit="old", utc="2025"),
        gone("a", commit="new", utc="2026", head="lda", preset="some"),
        gone("a", commit="older", utc="2024", head="other"),
    )
    text = gaps(results)
    assert [row[-1] for row in rows(text)] == [
        "a: weights of some/a unavailable",
        "b: weights of some/b unavailable",
    ]
    both = [_HUB.format(name="a", commit="new"), _HUB.format(name="b", commit="c0ffee")]
    assert f"\n\nThis gets all missing weights: `{' && '.join(both)}`\n" in text


def test_where_one_backbone_lacks_weights_its_reason_says_how_to_get_them(results: Path) -> None:
    store(results, gone("a"), unfinished("ValueError: b", status="failed", backbone="b"))
    text = gaps(results)
    assert rows(text)[0][-1].endswith(f"; get them with: {_HUB.format(name='a', commit='c0ffee')}")
    assert "all missing weights" not in text


@pytest.mark.parametrize("more", ["; rm x", " && rm x", " $(rm x)", " `rm x`", " > x", "\nrm x"])
def test_what_could_be_more_than_a_download_is_no_part_of_the_command(
    results: Path, more: str
) -> None:
    odd = unfinished(_GONE.format(name="odd", command=f"hf download odd{more}"), backbone="odd")
    store(results, gone("a"), gone("b"), odd)
    text = gaps(results)
    command = text[text.index("all missing weights") :]
    assert "rm x" not in command
    assert "odd" not in command
    assert "get them with: hf download odd" in rows(text)[-1][-1]
