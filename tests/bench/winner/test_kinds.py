"""Winners of other kinds: heads on frames, backbones that were trained, and averages of rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.errors import UserError
from bench.records import store as records
from bench.report.calibration import with_temperature
from bench.winner import Model
from tests.backbones._hf import make_hf
from tests.bench.tasks.own.make_own import LABELS, RATE, Clips, make_clips, write_csv
from tests.conftest import Voxgrid

HEADER = ("file", "label", "speaker")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound", takes=2)


@pytest.fixture
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))


def _done(voxgrid: Voxgrid, *arguments: str) -> str:
    done = voxgrid(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("backbone", "pooling", "head"),
    [
        ("logmel", "attention", "mlp"),
        ("hf:tiny", "mean", "fine_tune"),
        ("hf:tiny", "attention", "mlp"),
    ],
)
def test_a_trained_row_predicts_as_the_benchmark_did_and_goes_on_all_clips(
    backbone: str, pooling: str, head: str, voxgrid: Voxgrid, cache: None, clips: Clips,
    tmp_path: Path,
) -> None:  # fmt: skip
    if backbone != "logmel":
        make_hf.save("wav2vec2-group", tmp_path / "tiny")
        backbone = f"hf:{tmp_path / 'tiny'}"
    write_csv(tmp_path / "own.csv", HEADER, clips)
    row = (f"--backbone={backbone}", f"--pooling={pooling}", f"--head={head}", "--trials=1")
    _done(voxgrid, "run", "own.csv", *row)
    (record,) = records.read_all(tmp_path / "results")
    assert record.training is not None
    (path,) = (tmp_path / "results").rglob("*.parquet")
    stored = pd.read_parquet(path)
    stored = stored[stored["fold"] == 1]
    files = {path.stem: path for path, _, _ in clips}
    _done(voxgrid, "train", "own", "--out=model", "--without-fold=1")
    said = Model.load(tmp_path / "model").predict([files[clip] for clip in stored["clip"]])
    columns = [f"p_{label}" for label in LABELS]
    np.testing.assert_allclose(said[columns], stored[columns], atol=1e-5)
    assert not said["in_training"].any()
    shown = _done(voxgrid, "train", "own", "--out=model", "--replace")
    assert f"fitted on {len(clips)} clips" in shown
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "head.safetensors"
    ]  # fmt: skip
    model = Model.load(tmp_path / "model")
    random = np.random.default_rng(0)
    for number in range(3):
        wave = 0.1 * random.standard_normal(RATE // 2 + 991 * number)
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE)
    new = [tmp_path / f"{number}.wav" for number in range(3)]
    together = model.predict(new)
    alone = pd.concat([model.predict([path]) for path in new], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)
    assert "temperature: none" in (tmp_path / "model" / "README.md").read_text()
    assert not list((tmp_path / "results" / ".studies").rglob("*.winner"))


@pytest.fixture
def averaged(voxgrid: Voxgrid, cache: None, clips: Clips, tmp_path: Path) -> Model:
    """Of rows on clips in loud noise, so that no row is right everywhere."""
    random = np.random.default_rng(4)
    table = []
    for path, label, speaker in clips:
        wave, rate = soundfile.read(path)
        loud = random.uniform(0.005, 0.05)
        target = tmp_path / "noisy" / path.name
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, loud * wave + 0.1 * random.standard_normal(len(wave)), rate)
        table.append((target, label, speaker))
    write_csv(tmp_path / "own.csv", HEADER, table)
    rows = ["--pooling=mean", "--pooling=max", "--head=lda", "--head=logistic_regression"]
    _done(voxgrid, "run", "own.csv", "--backbone=logmel", *rows)
    shown = _done(voxgrid, "train", "own", "--average", "--out=model")
    assert "an average of" in shown
    return Model.load(tmp_path / "model")


def test_an_average_is_of_its_members_each_with_its_temperature(
    averaged: Model, voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert len(values["members"]) > 1
    weights = [each["weight"] for each in values["members"]]
    files = [tmp_path / "noisy" / path.name for path, _, _ in clips[:7]]
    columns = [f"p_{label}" for label in LABELS]
    members = [Model.load(tmp_path / "model" / str(n + 1)) for n in range(len(weights))]
    own = [
        with_temperature(
            member.predict(files, temperature=False)[columns].to_numpy(), member.temperature or 1.0
        )
        for member in members
    ]
    np.testing.assert_allclose(
        averaged.predict(files)[columns], np.average(own, axis=0, weights=weights), rtol=1e-12
    )
    assert averaged.predict(files)["in_training"].all()
    card = (tmp_path / "model" / "README.md").read_text()
    for member in members:
        assert f"| logmel/{member.config.pooling}/{member.config.head} |" in card
    refused = voxgrid("export", "model", "--onnx=out.onnx")
    assert refused.returncode == 2
    assert "this winner is an average" in refused.stderr


def test_a_changed_byte_in_a_member_is_refused_with_its_name(
    averaged: Model, tmp_path: Path
) -> None:
    for path in sorted((tmp_path / "model").rglob("*")):
        if path.is_dir():
            continue
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(UserError, match=str(path)):
            Model.load(tmp_path / "model")
        path.write_bytes(content)
    # a member that is a winner by itself, and another one than it was
    (tmp_path / "model" / "1").rename(tmp_path / "first")
    (tmp_path / "model" / "2").rename(tmp_path / "model" / "1")
    (tmp_path / "first").rename(tmp_path / "model" / "2")
    with pytest.raises(UserError, match=r"config\.json is not as it was written"):
        Model.load(tmp_path / "model")


def test_one_row_is_no_average(voxgrid: Voxgrid, cache: None, clips: Clips, tmp_path: Path) -> None:
    write_csv(tmp_path / "own.csv", HEADER, clips)
    _done(voxgrid, "run", "own.csv", "--backbone=logmel", "--pooling=mean", "--head=lda")
    refused = voxgrid("train", "own", "--average", "--out=model")
    assert refused.returncode == 2
    assert "has no two rows that were searched on inner folds" in refused.stderr
    refused = voxgrid("train", "own", "--average", "--cell=logmel/mean/lda", "--out=model")
    assert refused.returncode == 2
    assert "leave all but one of them out" in refused.stderr
