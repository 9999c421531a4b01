"""The digest of everything that decides a cell's scores: where it matches, a record is final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.features.key import digest
from bench.planning.plan import FoldedTask
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.base import Draw
from heads import Reads

# Raise it when the way cells are tuned or tested changes their scores.
TUNING_VERSION = 1


def fingerprint(
    cell: Cell,
    folded: FoldedTask,
    spec: RunSpec,
    *,
    feature_key: str,
    reads: Reads,
    head_version: int,
    layers: tuple[int, ...],
    recipe: Draw | None,
    inner: Mapping[str, Any] | None = None,
) -> str:
    """Digest of everything but the number of trials that decides a cell's scores.

    It holds values and no names of modules, so that no change of the code's layout changes it.

    Of the arguments, `layers` are those to choose from, for heads that do not read vectors, and
    `recipe` is what runs instead of drawn trials. `inner` is what a search
    on inner folds depends on, where there is one.
    """
    split = folded.splits[cell.protocol]
    decides: dict[str, Any] = {
        "features": feature_key,
        "clips": [clip.pcm_sha256 for clip in folded.clips],
        "labels": [clip.clip.label for clip in folded.clips],
        "classes": list(folded.task.labels),
        "folds": [
            [part.tolist() for part in (fold.train, fold.validation, fold.test)]
            for fold in split.folds
        ],
        "pooling": cell.pooling,
        "head": cell.head,
        "head_version": head_version,
        "seed": spec.seed,
        "cell": str(cell),
        "tuning": TUNING_VERSION,
    }
    if reads != "vectors":
        decides["layers"] = list(layers)
        decides["crop_seconds"] = spec.fine_tune.crop_seconds
    if reads == "backbone":
        decides["augmentation"] = Augmentation().settings() if spec.fine_tune.augment else None
        decides["cache"] = spec.fine_tune.cache
        decides["accelerator"] = spec.accelerator
    if recipe is not None:
        decides["recipe"] = {"layer": recipe.layer, "params": recipe.params}
    if inner is not None:
        decides["inner"] = dict(inner)
        decides["inner_folds"] = [[part.tolist() for part in fold.inner] for fold in split.folds]
    return digest(decides)
