"""Which layers settings are tried on, for each outer fold by what its inner folds say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.protocols.fold import Fold
from bench.tuning.fits.base import Draw, Labels, Layer
from bench.tuning.fits.fusion import FusionFit
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.ledger import Ledger
from bench.tuning.scored import Entry, fill, highest, rungs
from bench.tuning.search import Search

# Layers that are probed on more than the first inner folds, and those that settings are tried on.
LAYERS = (6, 3)

# By outer fold.
Choice = Mapping[int, Sequence[Layer]]


def candidates(
    fit: VectorFit, labels: Labels, folds: Sequence[Fold], search: Search
) -> tuple[Choice, float]:
    """The layers there are to choose from, and the seconds it took to find them.

    Of a fusion they are the joined layers that its backbones are best at by themselves.
    """
    every: Choice = {fold.index: fit.candidates() for fold in folds}
    if not isinstance(fit, FusionFit):
        return every, 0.0
    found: dict[str, Choice] = {}
    seconds = 0.0
    for backbone, (probe, count) in fit.probes().items():
        alone = {fold.index: probe.candidates() for fold in folds}
        counts = (max(count, LAYERS[0]), count)
        found[backbone], took = _probed(probe, alone, counts, labels, folds, search, backbone)
        seconds += took
    best = {
        fold.index: fit.joined({name: own[fold.index] for name, own in found.items()})
        for fold in folds
    }
    return best, seconds


def best_layers(
    fit: VectorFit, among: Choice, labels: Labels, folds: Sequence[Fold], search: Search
) -> tuple[Choice, float]:
    """The few of these layers that a linear probe finds best, and the seconds it took."""
    return _probed(fit.probe(), among, LAYERS, labels, folds, search)


def _probed(
    probe: VectorFit,
    among: Choice,
    counts: tuple[int, int],
    labels: Labels,
    folds: Sequence[Fold],
    search: Search,
    *of: str,
) -> tuple[Choice, float]:
    """The best layers, the best first; so many are left after the first inner folds, and at last.

    The probes of one search are told apart by what they are `of`.
    """
    if all(len(own) == 1 for own in among.values()):
        return among, 0.0
    ledger = Ledger(probe, labels.number, search, "-".join(["probe", *of]))
    left = {
        index: [Entry.of(Draw(layer, setting)) for layer in own for setting in probe.grid() or ()]
        for index, own in among.items()
    }
    for rung, count in zip(rungs(folds), counts, strict=False):
        fill(rung, left, ledger)
        left = {index: highest(tried, count, labels) for index, tried in left.items()}
    best = {
        index: [entry.draws[0].layer for entry in tried[: counts[-1]]]
        for index, tried in left.items()
    }
    return best, ledger.seconds
