"""Parts of a plan, made by hand: one hour of 100 clips, and what one backbone does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backbones import BackboneInfo, Weights
from bench.audio.index import ScannedClip
from bench.clips import Clip, Exclusion, Task
from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.planning.plan import FoldedTask, Ready, ReadyBackbone
from bench.protocols.fold import Fold, Split
from bench.tuning.cell import CellJob
from bench.tuning.fits.vectors import VectorFits
from bench.tuning.storage import JournalStudies
from heads import Reads

INFO = BackboneInfo(
    name="xlsr",
    summary="",
    weights_id="some/weights",
    revision="0",
    licence="MIT",
    sample_rate=16000,
    layers=25,
    width=1024,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=True,
    parameters=300_000_000,
)
PRETRAINED = Weights("pretrained", id="some/weights", sha="0" * 64)
FOLDS = tuple(
    Fold(i, np.arange(60), np.arange(60, 80), np.arange(80, 100), ("g",)) for i in range(6)
)


def make_folded(folder: Path, folds: tuple[Fold, ...] = FOLDS) -> FoldedTask:
    """100 clips of 36 seconds, of class a and b in turn."""
    clips = tuple(
        ScannedClip(
            Clip(f"c{i}", folder / f"{i}.wav", "ab"[i % 2], "g"), "f", f"p{i}", 36.0, 1, 16000
        )
        for i in range(100)
    )
    task = Task("ravdess", ("a", "b"), tuple(c.clip for c in clips), ("speaker-6fold",))
    splits = {"speaker-6fold": Split("speaker-6fold", True, folds, (), ())}
    return FoldedTask(task, clips, (Exclusion("bad", "no sound"),), splits, {})


def make_backbone(folded: FoldedTask, folder: Path) -> ReadyBackbone:
    """A backbone that all clips have yet to pass."""
    sources = tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in folded.clips)
    extraction = Extraction(FeatureSettings(INFO, PRETRAINED), sources, folder / "features")
    return ReadyBackbone(INFO, extraction, pending_seconds=3600.0)


def make_ready(
    number: int = 0,
    reads: Reads = "vectors",
    *,
    head: str = "mlp",
    pooling: str | None = None,
    folds: tuple[Fold, ...] = FOLDS,
) -> Ready:
    """A cell with ten trials per fold."""
    job = CellJob(
        cell=Cell("ravdess", "speaker-6fold", "xlsr", pooling or f"p{number}", head),
        name="a-cell",
        fits=VectorFits(Path("features"), FeatureSettings(INFO, PRETRAINED), ()),
        classes=(0,) * 100,
        n_classes=2,
        folds=folds,
        trials=10,
        seed=0,
        studies=JournalStudies(Path("studies")),
    )
    return Ready(job, reads, "f" * 64)
