"""Nothing that was measured is replaced unasked, and what is damaged is not built on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from bench.errors import StorageError
from bench.records import store as records
from bench.records.schema import Record
from tests.conftest import Voxgrid

CELL = ("--task=sample-emotion", "--protocol=speaker-3fold", "--backbone=logmel", "--pooling=mean")
HEAD = "--head=mlp"
NAME = "sample-emotion / speaker-3fold / logmel / mean / mlp"
FILE = Path("sample-emotion", "speaker-3fold", "logmel__mean__mlp.json")


@pytest.fixture
def finished(voxgrid: Voxgrid, session_cache: Path, tmp_path: Path) -> Path:
    """A record of two trials with seed 0, run once for all tests, with its page."""
    kept = session_cache / "finished"
    if not kept.exists():
        done = voxgrid("run", *CELL, HEAD, "--trials=2")
        assert done.returncode == 0, done.stderr
        shutil.copytree(tmp_path, kept)
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / FILE


def contents(results: Path) -> dict[Path, bytes]:
    """Every file but the lock and what starts with a dot."""
    files = [path for path in results.rglob("*") if path.is_file()]
    return {p: p.read_bytes() for p in files if "/." not in p.as_posix()}


def read(path: Path) -> Record:
    found = records.read(path)
    assert isinstance(found, Record)
    return found


@pytest.mark.parametrize(
    ("asked", "differs"),
    [
        (("--trials=1", "--seed=1"), "seed 0 (wanted: 1), trials 2 (wanted: 1)"),
        (("--trials=2", "--seed=7"), "seed 0 (wanted: 7)"),
    ],
)
def test_a_result_is_replaced_only_when_asked_and_a_plan_says_so(
    voxgrid: Voxgrid, finished: Path, asked: tuple[str, ...], differs: str
) -> None:
    before = contents(finished.parents[2])
    reason = f"first {NAME}: its record has {differs}"
    planned = voxgrid("plan", *CELL, HEAD, *asked)
    assert planned.returncode == 0
    assert f"Would be replaced: 1 result, {reason}." in planned.stdout
    assert "Nothing to do." in planned.stdout
    refused = voxgrid("run", *CELL, HEAD, *asked)
    assert refused.returncode == 2
    assert f"results would be replaced (1), first of all {NAME}: its record has {differs}" in (
        refused.stderr
    )
    assert "--replace" in refused.stderr
    assert "--results" in refused.stderr
    assert contents(finished.parents[2]) == before
    assert f"To run, replaces 1 result, {reason}." in (
        voxgrid("plan", *CELL, HEAD, *asked, "--replace").stdout
    )
    assert contents(finished.parents[2]) == before
    done = voxgrid("run", *CELL, HEAD, *asked, "--replace")
    assert done.returncode == 0, done.stderr
    assert f"results made again (1), {reason}" in done.stderr
    assert f"seed {read(finished).seed}" == asked[1].lstrip("-").replace("=", " ")
    assert "1 were done" in voxgrid("run", *CELL, HEAD, *asked).stderr


def test_one_result_that_would_be_replaced_stops_the_run_before_the_others(
    voxgrid: Voxgrid, finished: Path
) -> None:
    refused = voxgrid("run", *CELL, "--head=lda", HEAD, "--trials=2", "--seed=1")
    assert refused.returncode == 2
    assert list(finished.parents[2].rglob("*.json")) == [finished]


@pytest.mark.parametrize(
    ("table", "changes", "differs"),
    [
        ("provenance", {"feature_key": "0"}, "features of another device, or another version of"),
        ("provenance", {}, "other clips, labels, folds or settings, or another version of"),
        ("weights", {"commit": "abc", "sha": "0" * 64}, "other clips, labels, folds or settings"),
        ("throughput", {"dtype": "bfloat16"}, "dtype bfloat16 (wanted: float32)"),
        ("weights", {"kind": "pretrained"}, "weights pretrained (wanted: none)"),
        ("", {"clips": 100}, "clips 100 (wanted: 120)"),
    ],
)
def test_what_a_record_tells_of_its_making_is_compared(
    voxgrid: Voxgrid, finished: Path, table: str, changes: dict[str, object], differs: str
) -> None:
    values = json.loads(finished.read_text())
    values["provenance"]["fingerprint"] = "0"
    (values[table] if table else values).update(changes)
    finished.write_text(json.dumps(values))
    planned = voxgrid("plan", *CELL, HEAD, "--trials=2")
    assert f"its record has {differs}" in planned.stdout


def test_fewer_trials_of_the_same_search_are_done_and_more_go_on(
    voxgrid: Voxgrid, finished: Path
) -> None:
    assert "1 were done" in voxgrid("run", *CELL, HEAD, "--trials=1").stderr
    assert read(finished).trials == 2
    done = voxgrid("run", *CELL, HEAD, "--trials=3")
    assert done.returncode == 0
    assert "its record has 2 trials per fold, and 3 are wanted" in done.stderr
    assert read(finished).trials == 3


def test_a_result_stays_until_the_one_that_replaces_it_is_finished(
    voxgrid: Voxgrid, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(finished.parents[2])
    cut = voxgrid("run", *CELL, HEAD, "--trials=2", "--seed=1", "--replace", "--budget=0s")
    assert "1 left for the next run" in cut.stderr
    assert contents(finished.parents[2]) == before

    def fail(*_: object) -> None:
        raise StorageError("no space")

    monkeypatch.setattr("bench.tuning.cell.tune_inner", fail)
    failed = voxgrid("run", *CELL, HEAD, "--trials=2", "--seed=1", "--replace")
    assert failed.returncode == 1
    assert "1 failed" in failed.stderr
    assert contents(finished.parents[2]) == before


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_failure_and_a_skip_may_be_replaced(
    voxgrid: Voxgrid, finished: Path, status: str
) -> None:
    empty = {"scores": None, "folds": [], "throughput": None, "memory": None}
    changed = json.loads(finished.read_text()) | empty | {"status": status, "reason": "none"}
    finished.write_text(json.dumps(changed))
    done = voxgrid("run", *CELL, HEAD, "--trials=2", "--seed=1")
    assert done.returncode == 0, done.stderr
    assert read(finished).status == "ok"


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("option", [(), ("--replace",)])
def test_a_record_of_a_newer_schema_is_refused(
    voxgrid: Voxgrid, finished: Path, command: str, option: tuple[str, ...]
) -> None:
    finished.write_text(json.dumps(json.loads(finished.read_text()) | {"schema_version": 3}))
    before = contents(finished.parents[2])
    # whichever cell is wanted: the page of this folder could not be written afterwards
    refused = voxgrid(command, *CELL, "--head=lda", *option)
    assert refused.returncode == 2
    file = Path("results") / FILE
    assert refused.stderr == (
        f"voxgrid: {file} is a record of schema 3, and this voxgrid knows 2; upgrade voxgrid or "
        "name another folder with --results\n"
    )
    assert contents(finished.parents[2]) == before


def test_a_record_that_cannot_be_read_is_named_and_run_again_when_asked(
    voxgrid: Voxgrid, finished: Path
) -> None:
    finished.write_text('{"status": "ok", "scores": {"accuracy": 0.9')
    before = contents(finished.parents[2])
    reason = f"its record {Path('results') / FILE} cannot be read (it is no JSON)"
    assert reason in voxgrid("plan", *CELL, HEAD, "--trials=2").stdout
    refused = voxgrid("run", *CELL, HEAD, "--trials=2")
    assert (refused.returncode, reason in refused.stderr) == (2, True)
    assert contents(finished.parents[2]) == before
    done = voxgrid("run", *CELL, HEAD, "--trials=2", "--replace")
    assert (done.returncode, reason in done.stderr) == (0, True)
    assert read(finished).status == "ok"


def test_damaged_predictions_are_named_and_their_cell_runs_again(
    voxgrid: Voxgrid, finished: Path
) -> None:
    whole = read(finished)
    table = finished.with_suffix(".parquet")
    before = table.read_bytes()
    table.write_bytes(b"garbage")
    reason = f"its predictions {Path('results') / FILE.with_suffix('.parquet')} cannot be read"
    assert reason in voxgrid("plan", *CELL, HEAD, "--trials=2").stdout
    assert voxgrid("leaderboard", "--check").returncode == 1
    done = voxgrid("run", *CELL, HEAD, "--trials=2")
    assert (done.returncode, reason in done.stderr) == (0, True)
    assert table.read_bytes() == before
    assert read(finished).scores == whole.scores
    assert voxgrid("leaderboard", "--check").returncode == 0


def test_a_bit_flipped_in_the_cache_changes_no_score(voxgrid: Voxgrid, tmp_path: Path) -> None:
    cache = {"VOXGRID_CACHE": str(tmp_path / "cache")}
    right = voxgrid("run", *CELL, HEAD, "--trials=1", "--results=right", **cache)
    assert right.returncode == 0, right.stderr
    shard = max((tmp_path / "cache" / "features").rglob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    means = load(bytes(content))["0.mean"]
    at = content.index(means.tobytes()) + 4 * int(np.argmax(np.abs(means) < 1)) + 3
    content[at] ^= 0x40  # the highest bit of an exponent: a number near 0 is near 1e38
    shard.write_bytes(content)
    again = voxgrid("run", *CELL, HEAD, "--trials=1", "--results=again", **cache)
    assert again.returncode == 0, again.stderr
    assert "extract logmel" in again.stderr
    assert read(tmp_path / "again" / FILE).scores == read(tmp_path / "right" / FILE).scores
