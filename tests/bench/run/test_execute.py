"""The whole command, as a user runs it, on the generated sample task."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.plugins import BACKBONES, HEADS
from bench.records import store as records
from bench.scoring import score
from tests.bench.tasks.ravdess.make_ravdess import ravdess_like, spoil, vary
from tests.conftest import Voxgrid, heed_ctrl_c, one_core

TASK = ("--task", "sample-emotion", "--protocol", "speaker-3fold")

# A plugin as somebody else would ship it: a module, and an entry point.
COUNTING_PLUGIN = """
import hashlib
import os

from backbones import Backbone, BackboneInfo, Frames

INFO = BackboneInfo(
    name="counting", summary="writes down each clip it sees", weights_id=None, revision=None,
    licence="MIT", sample_rate=16000, layers=2, width=4, frame_rate=100.0, max_seconds=30.0,
    attention_mask=True, normalised=False,
)


class Counting(Backbone):
    info = INFO

    def load(self, device="cpu", dtype="float32"):
        pass

    def encode(self, waves, lengths):
        import torch

        with open(os.environ["COUNT_FILE"], "a") as file:
            for wave, length in zip(waves, lengths):
                digest = hashlib.sha256(wave[:length].numpy().tobytes()).hexdigest()
                file.write(digest + "\\n")
        frames = lengths // 160
        hidden = torch.zeros(len(waves), int(frames.max()), 4)
        for row, wave in enumerate(waves):
            count = int(frames[row])
            pieces = wave[: count * 160].view(count, 160)
            told = [pieces.abs().mean(1), pieces.std(1), pieces.amax(1), pieces.amin(1)]
            hidden[row, :count] = torch.stack(told, dim=1)
        return Frames.same_lengths([hidden, hidden.log1p()], frames)
"""


@pytest.fixture
def counting_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    (tmp_path / "counting.py").write_text(COUNTING_PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    with BACKBONES.including(EntryPoint("counting", "counting", BACKBONES.group)):
        yield {"COUNT_FILE": str(tmp_path / "seen"), "VOXGRID_CACHE": str(tmp_path / "cache")}


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }


def test_each_clip_passes_once_for_the_whole_grid_and_a_rerun_changes_no_byte(
    voxgrid: Voxgrid, counting_plugin: dict[str, str], tmp_path: Path
) -> None:
    protocol = ("--protocol", "random-80-20")
    grid = [*TASK, *protocol, "--backbone", "counting", "--trials", "1"]
    heads = ("logistic_regression", "gradient_boosting", "mlp", "fine_tune")
    (tmp_path / "grid.toml").write_text(f"heads = {json.dumps(heads)}\n")
    poolings = ("mean", "mean_std", "attention")
    all_poolings = [f"--pooling={pooling}" for pooling in poolings]
    first = voxgrid("run", *grid, *all_poolings, **counting_plugin)
    assert first.returncode == 0, first.stderr
    seen = Counter((tmp_path / "seen").read_text().split())
    # 120 clips, and the noise of the untimed warm-up
    assert len(seen) == 121
    assert set(seen.values()) == {1}
    stored = list(records.read_all(tmp_path / "results"))
    ok = [record for record in stored if record.status == "ok"]
    # three heads on two poolings of statistics, and one of them on one that is learnt
    assert len(ok) == 2 * (3 * 2 + 1)
    # what does not fit together is a row with its reason
    reasons = {(r.head, r.reason) for r in stored if r.status == "skipped"}
    assert {head for head, _ in reasons} == {
        "fine_tune", "gradient_boosting", "logistic_regression",
    }  # fmt: skip
    assert any("has no part to train" in str(reason) for _, reason in reasons)
    assert any("use fine_tune or mlp" in str(reason) for _, reason in reasons)
    assert len(stored) == 2 * 3 * 4
    before = _digests(tmp_path / "results")

    again = voxgrid("run", *grid, *all_poolings, **counting_plugin)
    assert "14 were done" in again.stderr
    assert _digests(tmp_path / "results") == before

    # another head, pooling or trial later runs no backbone again, and the record says so
    one = (*TASK, *protocol, "--backbone=counting", "--trials=1", "--pooling=mean_max")
    more = voxgrid("run", *one, "--head=mlp", **counting_plugin)
    assert more.returncode == 0, more.stderr
    assert sum(Counter((tmp_path / "seen").read_text().split()).values()) == 121
    added = [r for r in records.read_all(tmp_path / "results") if r.pooling == "mean_max"]
    assert [r.provenance.cache_hit for r in added] == [True, True]
    assert {r.provenance.cache_hit for r in ok} == {False}


def test_what_is_named_and_fails_on_the_way_ends_with_1_and_debug_shows_where(
    voxgrid: Voxgrid, counting_plugin: dict[str, str], tmp_path: Path
) -> None:
    nowhere = counting_plugin | {"COUNT_FILE": str(tmp_path)}  # a folder: the plugin cannot open it
    cell = (*TASK, "--backbone=counting", "--pooling=mean", "--head=logistic_regression")
    for debug in ((), ("--debug",)):
        done = voxgrid(*debug, "run", *cell, **nowhere)
        assert done.returncode == 1
        assert "failed: encode, given 'noise', raised IsADirectoryError: [Errno 21]" in done.stderr
        assert ('counting.py", line 23, in encode' in done.stderr) == bool(debug)


def test_scores_can_be_recomputed_from_the_stored_predictions(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    poolings = [f"--pooling={name}" for name in ("mean", "max", "mean_std")]
    cells = (*TASK, "--backbone", "logmel", "--head", "logistic_regression", *poolings)
    done = voxgrid("run", *cells)
    assert done.returncode == 0, done.stderr
    for record in records.read_all(tmp_path / "results"):
        table = pd.read_parquet(records.predictions_path(tmp_path / "results", record.cell))
        assert table["clip"].is_unique
        assert len(table) == record.clips == 120
        index = {label: i for i, label in enumerate(record.labels)}
        again = score(
            table["label"].map(index).to_numpy(),
            table["predicted"].map(index).to_numpy(),
            record.labels,
        )
        assert again == record.scores
        probabilities = table[[f"p_{label}" for label in record.labels]].to_numpy()
        assert (probabilities.argmax(axis=1) == table["predicted"].map(index)).all()
        for fold, part in zip(record.folds, range(3), strict=True):
            assert set(table.loc[table["fold"] == part, "group"]) == set(fold.test_groups)


@pytest.mark.skipif(sys.platform != "linux", reason="binds a process to one core")
@pytest.mark.parametrize("inner", ["one", "folds"])
def test_a_killed_run_goes_on_where_it_was_and_ends_as_if_never_killed(
    inner: str, voxgrid: Voxgrid, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(f'inner = "{inner}"\n[sample]\ntrials = 4\n')
    cell = (*TASK, "--backbone", "logmel", "--pooling", "mean", "--head", "mlp", "--jobs", "1")
    whole = voxgrid("run", *cell, "--results", "whole")
    assert whole.returncode == 0, whole.stderr

    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "run", *cell, "--results", "killed"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        preexec_fn=one_core,
    )
    # in the second of three folds, or of the three fits of its inner folds
    several = 5 if inner == "one" else 2
    assert _wait_for_trials(tmp_path / "killed", several, process), "it ended too soon"
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # workers notice the end of their parent, and may finish a line before they end too
    assert not psutil.wait_procs(workers, timeout=20)[1], "a worker outlived its parent"
    for journal in (tmp_path / "killed" / ".studies").rglob("*.journal"):
        with journal.open("ab") as file:
            file.write(b'{"op_code": 4, "worker_id": "torn')  # a write cut short by the kill

    resumed = voxgrid("run", *cell, "--results", "killed")
    assert resumed.returncode == 0, resumed.stderr
    (expected,) = records.read_all(tmp_path / "whole")
    (found,) = records.read_all(tmp_path / "killed")
    assert found.scores == expected.scores
    assert found.folds == expected.folds
    assert {fold.trials.complete for fold in found.folds} == {4}
    # a run on the side leaves the leaderboard of the records in results/ alone
    assert (tmp_path / "killed" / "leaderboard.md").exists()
    assert not (tmp_path / "leaderboard.md").exists()


def _wait_for_trials(results: Path, trials: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait for so many finished trials or fits of inner folds; False where the run ended first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        text = "".join(p.read_text() for p in results.rglob("*.journal"))
        fits = len(list(results.rglob("inner/*.json")))
        if fits + text.count('"macro_f1"') >= trials:
            return True
        time.sleep(0.01)
    return False


def test_a_run_keeps_others_out_and_ctrl_c_says_how_to_go_on_and_leaves_no_worker(
    voxgrid: Voxgrid, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text("[sample]\ntrials = 50\n")
    cell = (*TASK, "--backbone", "logmel", "--head", "mlp", "--pooling", "mean")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "run", *cell],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert _wait_for_trials(tmp_path / "results", 1, process)  # type: ignore[arg-type]
        other = voxgrid("run", *cell)
    finally:
        os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert other.returncode == 2
    assert "another voxgrid run" in other.stderr
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        _wait_until_gone(process.pid)


def _wait_until_gone(group: int) -> None:
    for _ in range(200):
        os.killpg(group, 0)
        time.sleep(0.05)


def test_a_spent_budget_leaves_the_rest_for_the_next_run(voxgrid: Voxgrid, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("[sample]\ntrials = 4\n")
    cell = (*TASK, "--backbone", "logmel", "--head", "mlp", "--pooling", "mean")
    cut = voxgrid("run", *cell, "--budget", "0s")
    assert cut.returncode == 0, cut.stderr
    assert "1 left for the next run" in cut.stderr
    assert list(records.read_all(tmp_path / "results")) == []
    done = voxgrid("run", *cell)
    assert "1 cells ran" in done.stderr


def test_more_trials_continue_the_search_they_extend(voxgrid: Voxgrid, tmp_path: Path) -> None:
    cell = (*TASK, "--backbone", "logmel", "--head", "mlp", "--pooling", "mean")
    for trials in (2, 5):
        (tmp_path / "grid.toml").write_text(f"[sample]\ntrials = {trials}\n")
        done = voxgrid("run", *cell)
        assert done.returncode == 0, done.stderr
        (record,) = records.read_all(tmp_path / "results")
        assert record.trials == trials
        counts = [fold.trials for fold in record.folds]
        assert {each.complete + each.pruned for each in counts} == {trials}


def test_without_data_the_sample_tasks_run_and_say_so(voxgrid: Voxgrid, tmp_path: Path) -> None:
    done = voxgrid(
        "run", "--backbone", "logmel", "--head", "logistic_regression", "--pooling", "mean"
    )
    assert done.returncode == 0, done.stderr
    assert "zenodo.org" in done.stderr
    assert "voxgrid fetch youtube" in done.stderr
    assert done.stderr.count("says nothing about any backbone") == 2
    found = list(records.read_all(tmp_path / "results"))
    assert all(r.status == "ok" and r.sample for r in found)
    assert {(r.task, r.group, r.protocol, r.folding.leaks) for r in found} == {
        ("sample-emotion", "speaker", "speaker-3fold", False),
        ("sample-emotion", "speaker", "random-80-20", True),
        ("sample-topic", "channel", "channel-5fold", False),
        ("sample-topic", "channel", "random-75-25", True),
    }
    assert "[sample tasks, on generated clips]" in (tmp_path / "leaderboard.md").read_text()


def test_the_record_of_a_skip_says_how_to_get_the_weights(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    ravdess_like(data / "ravdess", session_cache)
    (tmp_path / "grid.toml").write_text("backbones = ['wav2vec2', 'logmel']\n")
    asked = ("--task", "ravdess", "--pooling", "mean", "--head", "logistic_regression")
    done = voxgrid("run", *asked, "--trials", "2", VOXGRID_DATA=str(data))
    assert done.returncode == 0, done.stderr
    by_backbone = {}
    for path in sorted((tmp_path / "results" / "ravdess" / "speaker-6fold").glob("*.json")):
        record = json.loads(path.read_text())
        by_backbone[record["backbone"]] = record
    assert by_backbone["logmel"]["status"] == "ok"
    assert by_backbone["wav2vec2"]["status"] == "skipped"
    assert "hf download facebook/wav2vec2-base" in by_backbone["wav2vec2"]["reason"]


def _line_of(source: str, words: str) -> int:
    return source[: source.index(words)].count("\n") + 1


@pytest.mark.parametrize("crash", ["raise Odd(1, 'of a kind')", "raise SystemExit('no GPU')"])
def test_what_a_backbone_raises_is_a_failed_row_with_its_file_and_line(
    crash: str, voxgrid: Voxgrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = COUNTING_PLUGIN.replace('name="counting"', 'name="crashing"').replace(
        "        frames = lengths // 160\n", f"        {crash}\n"
    )
    source += """

class Odd(Exception):
    def __init__(self, number, words):
        super().__init__(f"{number} {words}")
"""
    module = "odd_backbone" if "Odd" in crash else "leaving_backbone"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with BACKBONES.including(EntryPoint("crashing", module, BACKBONES.group)):
        done = voxgrid(
            "run", *TASK, "--backbone", "crashing", "--pooling", "mean",
            "--head", "logistic_regression", COUNT_FILE=str(tmp_path / "seen"),
        )  # fmt: skip
    assert done.returncode == 1
    told = "Odd: 1 of a kind" if "Odd" in crash else "SystemExit: no GPU"
    told += f" ({tmp_path / module}.py, line {_line_of(source, crash)})"
    assert f"failed: encode, given 'noise', raised {told}" in done.stderr
    reasons = {r.reason for r in records.read_all(tmp_path / "results")}
    assert reasons == {f"encode, given 'noise', raised {told}"}


HEAD_PLUGIN = """
from heads.mlp import MLPHead
from heads.base import HeadInfo

INFO = HeadInfo(name="crashing-head", summary="fails")


class Crashing(MLPHead):
    info = INFO

    def fit(self, X, y):
        raise {error}("too odd")
"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("KeyError", "KeyError: 'too odd'"),
        ("ValueError", "TuningError: all 1 settings of fold 0 failed: ValueError: too odd"),
    ],
)
def test_what_a_head_raises_is_a_failed_row_with_its_file_and_line(
    error: str, told: str, voxgrid: Voxgrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"crashing_{error.lower()}"
    (tmp_path / f"{name}.py").write_text(HEAD_PLUGIN.format(error=error))
    monkeypatch.syspath_prepend(tmp_path)
    with HEADS.including(EntryPoint("crashing-head", name, HEADS.group)):
        done = voxgrid(
            "run", *TASK, "--backbone", "logmel", "--pooling", "mean",
            "--head", "crashing-head", "--trials", "1",
        )  # fmt: skip
    assert done.returncode == 1
    told += f" ({tmp_path / name}.py, line 12)"
    assert {r.reason for r in records.read_all(tmp_path / "results")} == {told}


BAD = {
    "empty": "empty",
    "truncated": "truncated",
    "silent": "silent",
    "nan": "NaN",
    "short": "less than",
    "text": "audio",
}
UNUSUAL = ("8 kHz", "96 kHz", "stereo", "24 bit", "float", "MP3 named WAV")


def test_bad_clips_are_left_out_by_name_and_unusual_ones_are_used(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    clips = ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    spoilt = dict(zip(list(clips)[::31], BAD, strict=False))
    unusual = dict(zip(list(clips)[7::31], UNUSUAL, strict=False))
    for clip, how in spoilt.items():
        spoil(clips[clip], how)
    for clip, how in unusual.items():
        vary(clips[clip], how)
    wrong_name = tmp_path / "data" / "ravdess" / "Actor_01" / "my favourite.wav"
    wrong_name.write_bytes(clips[list(clips)[1]].read_bytes())
    done = voxgrid(
        "run", "--task", "ravdess", "--backbone", "logmel", "--pooling", "mean",
        "--head", "logistic_regression", "--trials", "2", VOXGRID_DATA=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(spoilt) == len(BAD)
    for record in records.read_all(tmp_path / "results"):
        reasons = {excluded.clip: excluded.reason for excluded in record.excluded}
        assert set(reasons) == {*spoilt, "Actor_01/my favourite.wav"}
        for clip, how in spoilt.items():
            assert BAD[how] in reasons[clip], (how, reasons[clip])
        assert record.clips == 192 - len(BAD)
        table = pd.read_parquet(records.predictions_path(tmp_path / "results", record.cell))
        if record.protocol == "speaker-6fold":
            assert set(unusual) <= set(table["clip"])


def test_a_class_with_too_few_clips_is_the_users_mistake_in_one_sentence(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    clips = ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    for clip, path in clips.items():
        if clip.split("-")[2] == "05" and int(clip[-2:]) > 4:
            path.unlink()
    done = voxgrid(
        "run", "--task", "ravdess", "--backbone", "logmel", "--trials", "1",
        VOXGRID_DATA=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "class 'angry' has 4 usable clips" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_protocol_that_does_not_fit_is_a_skipped_row_and_the_others_run(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    clips = ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    for clip, path in clips.items():
        if clip.split("-")[2] == "05" and int(clip[-2:]) > 6:
            path.unlink()
    done = voxgrid(
        "run", "--task", "ravdess", "--backbone", "logmel", "--pooling", "mean",
        "--head", "logistic_regression", "--trials", "1", VOXGRID_DATA=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {r.protocol: r for r in records.read_all(tmp_path / "results")}
    assert found["speaker-6fold"].status == "ok"
    assert found["random-80-20"].status == "skipped"
    assert "class 'angry' has 6 usable clips" in str(found["random-80-20"].reason)
    assert any("published clips are missing" in note for note in found["speaker-6fold"].notes)


def test_results_outlive_the_weights_they_were_made_with(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    """A row that was measured stays when its weights are gone the next time."""
    ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    cell = ("run", "--task", "ravdess", "--backbone", "speech2text", "--pooling", "mean")
    cell = (*cell, "--head", "logistic_regression", "--protocol", "random-80-20", "--trials", "1")
    _save_speech2text(tmp_path / "weights" / "speech2text")
    first = voxgrid(
        *cell,
        VOXGRID_DATA=str(tmp_path / "data"),
        VOXGRID_WEIGHTS=str(tmp_path / "weights"),
        VOXGRID_CACHE=str(tmp_path / "cache"),
    )
    assert first.returncode == 0, first.stderr
    before = _digests(tmp_path / "results")
    second = voxgrid(*cell, VOXGRID_DATA=str(tmp_path / "data"))
    assert second.returncode == 2
    assert "backbone 'speech2text' cannot run: weights of" in second.stderr
    assert _digests(tmp_path / "results") == before
    (record,) = records.read_all(tmp_path / "results")
    assert record.status == "ok"
    assert record.weights.kind == "pretrained"
    assert record.weights.sha


def _save_speech2text(folder: Path) -> None:
    """A small checkpoint, written by the library a user's download comes from."""
    from transformers import Speech2TextConfig, Speech2TextForConditionalGeneration

    config = Speech2TextConfig(
        vocab_size=10, d_model=32, encoder_layers=2, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, conv_channels=32,
    )  # fmt: skip
    Speech2TextForConditionalGeneration(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--backbone", "wav2vec"), "did you mean 'wav2vec2'"),
        (("run", "--head", "mpl"), "did you mean 'mlp'"),
        (("run", "--trials", "0"), "trials"),
        (("run", "--budget", "soon"), "no duration"),
        (("run", "--control", "random"), "random-init"),
        (("run", "--config", "nowhere.toml"), "check --config"),
        (("plan", "--protocol", "speaker"), "did you mean 'speaker-"),
        (("check", "logmell"), "did you mean 'logmel'"),
    ],
)
def test_the_users_mistakes_are_one_sentence_and_code_2(
    voxgrid: Voxgrid, arguments: tuple[str, ...], said: str
) -> None:
    done = voxgrid(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_one_sentence_and_keeps_what_is_finished(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    """No file may grow past 60 KiB: a shard of features does, a record does not."""
    from bench.tasks.sample.emotion import resolve

    resolve(None, tmp_path / "cache", False)
    cell = (*TASK, "--backbone=logmel", "--head=logistic_regression", "--pooling=mean_std")

    here = {"VOXGRID_CACHE": str(tmp_path / "cache")}
    resource = pytest.importorskip("resource", reason="Windows limits no file")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60 << 10, hard))
    try:
        full = voxgrid("run", *cell, **here)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.returncode == 1
    assert "free some space" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(tmp_path.rglob("*.partial"))
    reasons = {(r.status, r.reason) for r in records.read_all(tmp_path / "results")}
    assert len(reasons) == 1
    assert "failed" in str(reasons)
    again = voxgrid("run", *cell, **here)
    assert again.returncode == 0, again.stderr
    assert {r.status for r in records.read_all(tmp_path / "results")} == {"ok"}


def test_a_read_only_results_folder_is_said_before_any_work(tmp_path: Path) -> None:
    from bench.errors import UserError
    from bench.files import exclusive

    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        tmp_path.chmod(0o755)
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(UserError, match="choose another with --results"), exclusive(results):
            pass
    finally:
        os.seteuid(user)
