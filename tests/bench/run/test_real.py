"""Real clips and real weights, where `VOXGRID_DATA` and `VOXGRID_WEIGHTS` name them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from backbones import Weights
from backbones import weights as backbone_weights
from backbones.extras import missing_extra
from bench import tasks
from bench.audio import decode
from bench.audio.index import scan
from bench.clips import Clip, Task
from bench.config.grid import Cell
from bench.features import statistics
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.features.store import FeatureSet
from bench.plugins import BACKBONES
from bench.protocols.table import make_folds
from bench.records import store as records
from bench.scoring import score
from bench.tuning.fits.base import Labels
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.inner import tune_inner
from bench.tuning.search import Search
from tests.conftest import Voxgrid

pytestmark = pytest.mark.real

CLIPS = Path(os.environ.get("VOXGRID_DATA", "")) / "ravdess"
needs_clips = pytest.mark.skipif(
    not (os.environ.get("VOXGRID_DATA") and CLIPS.is_dir()), reason="VOXGRID_DATA has no ravdess"
)
# one actor of each published fold
ACTORS = ("01", "04", "08", "03", "02", "06")
NAMES = ("quartznet", "whisper-base", "wav2vec2", "xlsr", "speech2text", "logmel", "egemaps")


def _weights(name: str) -> Weights:
    """Real weights where they are, else the published architecture's small random network."""
    info = BACKBONES.get(name).info
    state, _ = backbone_weights.availability(info)
    if state == "missing":
        return backbone_weights.resolve(info, sample=True)
    return backbone_weights.resolve(info, allow_download=False)


def _sources(clips: tuple[Clip, ...], folder: Path) -> tuple[Source, ...]:
    found = scan(clips, folder / "scan.sqlite3").usable
    return tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)


def _extracted(name: str, sources: tuple[Source, ...], root: Path, batch: int) -> FeatureSet:
    settings = FeatureSettings(BACKBONES.get(name).info, _weights(name))
    job = Extraction(settings, sources, root, batch=batch, threads=2)
    extract(job, lambda seconds: None)
    return job.features()


@needs_clips
@pytest.mark.parametrize("name", NAMES)
def test_a_real_clip_has_the_same_vectors_alone_and_in_a_padded_batch(
    name: str, tmp_path: Path
) -> None:
    if missing_extra(BACKBONES.get(name).info):
        pytest.skip("its extra is not installed")
    clips = tasks.resolve("ravdess").clips[5:1440:180]
    sources = _sources(clips, tmp_path)
    alone = _extracted(name, sources, tmp_path / "alone", batch=1)
    padded = _extracted(name, sources, tmp_path / "padded", batch=len(sources))
    order = [source.pcm_sha256 for source in sources]
    for layer in range(alone.layers):
        for pooling in ("mean", "max", "mean_std"):
            a = alone.view(order).vectors(layer, pooling).astype(np.float64)
            b = padded.view(order).vectors(layer, pooling).astype(np.float64)
            cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            assert cosine.min() >= 0.999, (layer, pooling)


@needs_clips
def test_statistics_of_a_stored_clip_are_those_of_its_own_frames(tmp_path: Path) -> None:
    import torch

    clips = tasks.resolve("ravdess").clips[:3]
    sources = _sources(clips, tmp_path)
    features = _extracted("logmel", sources, tmp_path / "features", batch=3)
    backbone = BACKBONES.create("logmel", Weights("none"))
    backbone.load()
    for source in sources:
        wave = torch.from_numpy(decode.load(source.path).samples)[None]
        frames = backbone.encode(wave, torch.tensor([wave.shape[1]]))
        direct = statistics.of_row(frames, 0)
        stored = features.view([source.pcm_sha256])
        np.testing.assert_allclose(stored.vectors(0, "mean")[0], direct[0].mean, atol=1e-4)
        np.testing.assert_allclose(stored.vectors(0, "max")[0], direct[0].max, atol=1e-4)


@needs_clips
def test_the_grid_runs_on_real_clips_with_the_real_weights_that_are_here(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    """Six actors, one per published fold, one clip of each emotion."""
    for actor in ACTORS:
        target = tmp_path / "data" / "ravdess" / f"Actor_{actor}"
        target.mkdir(parents=True)
        for clip in sorted((CLIPS / f"Actor_{actor}").iterdir()):
            _, _, _, intensity, statement, repetition, _ = clip.stem.split("-")
            if intensity == statement == repetition == "01":
                (target / clip.name).symlink_to(clip)
    done = voxgrid(
        "run", "--task", "ravdess", "--pooling", "mean", "--head", "logistic_regression",
        "--protocol", "speaker-6fold", "--trials", "2",
        VOXGRID_DATA=str(tmp_path / "data"),
        VOXGRID_WEIGHTS=os.environ.get("VOXGRID_WEIGHTS", ""),
        VOXGRID_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = {r.backbone: r for r in records.read_all(tmp_path / "results")}
    for name in BACKBONES.names():
        info = BACKBONES.get(name).info
        state, _ = backbone_weights.availability(info)
        unavailable = state == "missing" or missing_extra(info)
        assert stored[name].status == ("skipped" if unavailable else "ok")
        if not unavailable and info.needs_weights:
            assert stored[name].weights.kind == "pretrained"
            assert stored[name].weights.sha
    assert stored["logmel"].throughput is not None
    assert len(stored["logmel"].folds) == 6


@needs_clips
def test_shuffled_labels_score_at_chance_on_unseen_actors(tmp_path: Path) -> None:
    task: Task = tasks.resolve("ravdess")
    once = tuple(clip for clip in task.clips if clip.id.split("-")[5] == "01")
    scanned = scan(once, tmp_path / "scan.sqlite3").usable
    sources = _sources(once, tmp_path)
    view = _extracted("logmel", sources, tmp_path, batch=8).view([s.pcm_sha256 for s in scanned])
    split = make_folds(
        "speaker-6fold", [s.clip for s in scanned], [s.pcm_sha256 for s in scanned], task.labels
    )
    index = {label: i for i, label in enumerate(task.labels)}
    truth = np.array([index[s.clip.label] for s in scanned])
    classes = np.random.default_rng(0).permutation(truth)
    cell = Cell("ravdess", "speaker-6fold", "logmel", "mean_std", "logistic_regression")
    search = Search(trials=3, seed_for=partial(cell.seed, 0), folder=tmp_path / "folds")
    labels = Labels(classes, 8)
    fit = VectorFit(view, labels, cell.pooling, cell.head, threads=2)
    predicted = np.full(len(scanned), -1)
    tried = tune_inner(fit, labels, split.folds, split.folds, search)
    for fold, outcome in zip(split.folds, tried, strict=True):
        predicted[fold.test] = outcome.tested.probabilities.argmax(axis=1)
    assert 0.10 < score(classes, predicted, task.labels).accuracy < 0.16
