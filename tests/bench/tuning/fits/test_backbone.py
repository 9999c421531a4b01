"""Heads of other packages run through the cells: bench knows the contract, not their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from backbones.weights import resolve
from bench.config.grid import Cell
from bench.executors.base import Worker
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.planning import pairs
from bench.plugins import BACKBONES, HEADS
from bench.protocols.fold import Fold
from bench.tuning.cell import CellJob, CellOutcome
from bench.tuning.fits.backbone import BackboneFits
from bench.tuning.storage import JournalStudies
from tests.heads.elsewhere import Elsewhere
from tests.heads.silent import Silent

LAYERS = (0, 1, 2)


@pytest.fixture
def installed() -> Iterator[None]:
    """The modules of the heads, entered as their package would."""
    modules = sorted({Elsewhere.__module__, Silent.__module__})
    with HEADS.including(*(EntryPoint(module, module, HEADS.group) for module in modules)):
        yield


@pytest.fixture(scope="module")
def job(sample_sources: tuple[Source, ...], tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    info = BACKBONES.get("wav2vec2").info
    settings = FeatureSettings(info, resolve(info, sample=True))
    root = tmp_path_factory.mktemp("features")
    made = Extraction(settings, sample_sources, root, batch=4, frames=LAYERS)
    extract(made, lambda seconds: None)
    return made


def _tuned(job: Extraction, head: str, folder: Path) -> CellOutcome:
    clips = np.arange(len(job.sources))
    fold = Fold(0, clips[::2], clips[1::4], clips[3::4], ("a",))
    return CellJob(
        cell=Cell("sample-emotion", "a-protocol", "wav2vec2", "mean", head),
        name="cell",
        fits=BackboneFits(job, crop_seconds=2.0, cached=True, augment=False),
        classes=tuple(int(clip) // 2 % 2 for clip in clips),
        n_classes=2,
        folds=(fold,),
        trials=2,
        seed=0,
        studies=JournalStudies(folder),
    )(Worker(lambda event: None, threads=1))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("head", [Elsewhere, Silent], ids=lambda head: head.info.name)
def test_a_head_that_trains_the_backbone_in_words_of_its_own_is_tuned_and_tested(
    head: type[Elsewhere], job: Extraction, tmp_path: Path
) -> None:
    (fold,) = _tuned(job, head.info.name, tmp_path).folds
    assert fold.states == {"complete": 2, "pruned": 0, "failed": 0}
    assert set(fold.best_params) == {"layer", "depth", "sharpness"}
    assert np.isfinite(fold.tested.probabilities).all()
    assert (fold.validated.best_epoch, fold.validated.precision) == (None, "float32")
    assert not fold.validated.live  # what was read lay in the store, said beforehand or not


@pytest.mark.usefixtures("installed")
def test_a_head_reads_a_backbone_only_where_nothing_cheaper_does() -> None:
    assert pairs.reads("mean", "mlp") == "vectors"
    assert pairs.reads("attention", "mlp") == "frames"
    assert pairs.reads("mean", "fine_tune") == pairs.reads("attention", "fine_tune") == "backbone"
    assert pairs.reads("mean", "elsewhere") == "vectors"
    assert pairs.reads("attention", "elsewhere") == "backbone"
