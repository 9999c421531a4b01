"""A winner on other data: labels are mapped and never dropped in silence, and nothing is scored
that it was fitted on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.config.own import OwnData
from bench.errors import UserError
from bench.records import store as records
from bench.tasks.own.task import OwnTask
from bench.winner import Model
from bench.winner.evaluate import evaluate, mapping
from tests.bench.tasks.own.make_own import Clips, joined, make_clips, write_csv
from tests.conftest import Voxgrid

HEADER = ("file", "label", "speaker")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


@pytest.fixture
def model(voxgrid: Voxgrid, clips: Clips, tmp_path: Path, session_cache: Path,
          monkeypatch: pytest.MonkeyPatch) -> Model:  # fmt: skip
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))
    write_csv(tmp_path / "own.csv", HEADER, clips)
    run = ("--backbone=logmel", "--head=lda", "--pooling=mean_std")
    for command in (("run", "own.csv", *run), ("train", "own", "--out=model")):
        done = voxgrid(*command)
        assert done.returncode == 0, done.stderr
    return Model.load(tmp_path / "model")


@pytest.fixture
def others(clips: Clips, tmp_path: Path) -> Clips:
    """The same sounds, a little louder, of ten speakers, in another corpus's words."""
    words = {"01": "one", "high": "high", "low": "deep"}
    made: Clips = []
    (tmp_path / "other").mkdir()
    for number, (path, label, _) in enumerate(clips):
        wave, rate = soundfile.read(path)
        target = tmp_path / "other" / path.name
        soundfile.write(target, 1.5 * wave, rate)
        made.append((target, words[label], f"s{number % 10}"))
    return made


def _told(text: str) -> str:
    return " ".join(text.split())


def test_another_corpus_is_scored_with_an_interval_and_what_does_not_map_is_listed(
    voxgrid: Voxgrid, model: Model, others: Clips, tmp_path: Path
) -> None:
    write_csv(tmp_path / "other.csv", HEADER, others)
    asked = ("evaluate", "model", "--data=other.csv")
    done = voxgrid(*asked, "--map=deep=low", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    told = _told(done.stdout)
    assert "other, 24 clips of 9 groups: macro-F1" in told
    assert re.search(r"macro-F1 \d+\.\d \(\d+\.\d–\d+\.\d\) %", told)
    assert "mapped: deep as low" in told
    assert "not scored, for the model has no such label: one (12 clips)" in told
    assert "no clip is labelled, and the model may say it: 01" in told
    every = evaluate(
        model,
        OwnTask("other", OwnData(path=tmp_path / "other.csv")).labelled,
        {"one": "01", "high": "high", "deep": "low"},
    )
    said = model.predict([path for path, _, _ in others])["label"].tolist()
    right = {"one": "01", "high": "high", "deep": "low"}
    own = [right[label] == own for (_, label, _), own in zip(others, said, strict=True)]
    assert every.scores.accuracy == pytest.approx(sum(own) / len(own))
    assert every.clips == 36
    assert not every.unmapped
    assert not every.absent


def test_clips_that_it_was_fitted_on_are_not_scored(
    voxgrid: Voxgrid, model: Model, clips: Clips, others: Clips, tmp_path: Path
) -> None:
    write_csv(tmp_path / "both.csv", HEADER, [*clips[:5], *others])
    maps = ("--map=deep=low", "--map=one=01")
    done = voxgrid("evaluate", "model", "--data=both.csv", *maps, COLUMNS="200")
    assert "36 clips of 10 groups" in _told(done.stdout)
    assert "not scored, for the model was fitted on them: 5 clips" in _told(done.stdout)
    done = voxgrid("evaluate", "model", "--data=own.csv")
    assert done.returncode == 2
    assert "no clip of own is left to score: of 36" in done.stderr
    assert "36 it was fitted on" in done.stderr


def test_data_need_no_folds_and_no_speakers_and_may_be_sections(
    voxgrid: Voxgrid, model: Model, others: Clips, tmp_path: Path
) -> None:
    rows = [
        (path, label, start, end)
        for (path, start, end), (_, label, _) in zip(
            joined(tmp_path / "long", others), others, strict=True
        )
    ]
    write_csv(tmp_path / "few.csv", ("file", "label", "start", "end"), rows[:4])
    maps = ("--map=one=01", "--map=deep=low")[:1]
    done = voxgrid("evaluate", "model", "--data=few.csv", *maps, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert re.search(r"few, \d clips of 1 group: macro-F1 \d+\.\d %", _told(done.stdout))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ((), r"no label of the data \(one, deep\) is one of the model's \(01, low\)"),
        (("one",), "--map 'one' is no pair: write LABEL_OF_DATA=LABEL_OF_MODEL"),
        (("on=01",), "--map 'on=01': the data have no 'on'; did you mean 'one'"),
        (("one=lw",), "--map 'one=lw': the model has no 'lw'; did you mean 'low'"),
    ],
)
def test_a_map_that_maps_nothing_is_refused(pairs: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        mapping(pairs, ("one", "deep"), ("01", "low"))


def test_labels_of_one_name_need_no_map_and_several_may_be_one() -> None:
    found = mapping(
        ("bliss=happy", "glee=happy"), ("bliss", "glee", "sad", "odd"), ("happy", "sad")
    )
    assert found == {"sad": "sad", "bliss": "happy", "glee": "happy"}


def test_winners_of_several_tasks_are_tested_on_each(
    voxgrid: Voxgrid, model: Model, others: Clips, clips: Clips, tmp_path: Path
) -> None:
    few = [own for own in others if own[1] != "one"]
    write_csv(tmp_path / "other.csv", HEADER, few)
    run = ("--backbone=logmel", "--head=lda", "--pooling=mean_std")
    assert voxgrid("run", "other.csv", *run).returncode == 0
    refused = voxgrid("cross", "own", "other", "--out=crossed")
    assert refused.returncode == 2
    assert "these tasks share 1 labels, and two are the least" in refused.stderr
    refused = voxgrid("cross", "own", "other", "--out=crossed", "--map=deeep=low")
    assert refused.returncode == 2
    assert "no task has a label 'deeep'" in refused.stderr
    done = voxgrid("cross", "own", "other", "--out=crossed", "--map=deep=low", COLUMNS="120")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "crossed" / "cross.csv").set_index(["trained_on", "tested_on"])
    # of clips that are 01, which one of them does not know, none is scored
    assert found["clips"].to_dict() == {
        ("own", "own"): 24,
        ("own", "other"): 24,
        ("other", "own"): 24,
        ("other", "other"): 24,
    }
    assert found.index.size == 4
    (record,) = [r for r in records.read_all(tmp_path / "results") if r.task == "own"]
    within = found.loc[("own", "own"), "macro_f1"]
    confusion = np.array(record.scored.confusion)[1:]
    right = np.diag(confusion[:, 1:])
    # what was called 01 counts as another, so that it is wrong and of no class
    f1 = 2 * right / (confusion.sum(axis=1) + confusion[:, 1:].sum(axis=0))
    assert within == pytest.approx(f1.mean(), abs=1e-6)
    other = OwnTask("other", OwnData(path=tmp_path / "other.csv")).labelled
    alone = evaluate(model, other, {"high": "high", "deep": "low"})
    assert found.loc[("own", "other"), "accuracy"] == pytest.approx(alone.scores.accuracy)
    for name in ("cross.png", "cross-dark.png"):
        assert (tmp_path / "crossed" / name).read_bytes().startswith(b"\x89PNG")
    again = voxgrid("cross", "own", "other", "--out=crossed", "--map=deep=low")
    assert again.returncode == 2
    assert "is there: replace it with --replace" in again.stderr
