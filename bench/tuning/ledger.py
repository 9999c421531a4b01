"""Fits of inner folds and what they said, kept so that a kill costs the fits of one layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Base64Bytes, Field, TypeAdapter, ValidationError

from backbones import reading
from bench.features.key import digest
from bench.protocols.fold import Fold
from bench.records.store import write_atomically
from bench.tuning.fits.base import Draw, Fit, Indices, Request, Watch
from bench.tuning.search import TRIAL_ERRORS, Search, told

# Probabilities (clips, classes) as they are kept.
Said = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class InnerFit:
    """Clips to fit on, and by outer fold the clips that the fit is scored on for it."""

    train: Indices
    scored: dict[int, Indices] = field(default_factory=dict)


@dataclass(frozen=True)
class _Page:
    """What the fits of some draws said of the clips scored on.

    Attributes:
        failed: why a fit failed, None of one that did not; one per draw.
        said: float32 probabilities (fits that did not fail, clips, classes), as bytes.
        seconds: wall time of the fits.
    """

    failed: tuple[str | None, ...]
    said: Base64Bytes
    seconds: Annotated[float, Field(ge=0, le=1e9)]

    def by_draw(self, clips: int, classes: int) -> list[Said | str]:
        """By draw the probabilities (clips, classes), or why the fit failed."""
        said = iter(np.frombuffer(self.said, np.float32).reshape(-1, clips, classes))
        return [next(said) if reason is None else reason for reason in self.failed]


_PAGE = TypeAdapter(tuple[_Page])


def inner_fits(folds: Sequence[Fold]) -> list[InnerFit]:
    """The fits of all inner folds; those on the same clips are one."""
    found: dict[bytes, InnerFit] = {}
    for fold in folds:
        for scored in fold.inner:
            train = np.setdiff1d(fold.rest, scored)
            found.setdefault(train.tobytes(), InnerFit(train)).scored[fold.index] = scored
    return list(found.values())


class Ledger:
    """Says what draws said on inner folds; what is not known yet is fitted.

    Attributes:
        seconds: wall time of all fits, those of earlier runs included.
    """

    def __init__(self, fit: Fit, classes: int, search: Search, name: str) -> None:
        self.seconds = 0.0
        self._fit = fit
        self._classes = classes
        self._folder = search.folder / "inner"
        self._search = search
        self._name = name
        self._seed = search.seed_for("inner", "fit")

    def said(self, inner: InnerFit, draws: Sequence[Draw]) -> list[dict[int, Said] | str]:
        """By draw: probabilities of the clips scored on, by outer fold, or why the fit failed.

        Draws of one layer that are asked for together are kept together, and asking for them again
        costs no fit.

        Raises:
            BudgetSpent: the deadline passed; what was said is kept.
            StorageError: it cannot be kept.
        """
        clips = np.concatenate(list(inner.scored.values()))
        ends = np.cumsum([len(part) for part in inner.scored.values()])[:-1]
        found: list[dict[int, Said] | str] = []
        for _, group in groupby(draws, key=lambda draw: draw.layer):
            for said in self._page(inner, list(group), clips).by_draw(len(clips), self._classes):
                if isinstance(said, str):
                    found.append(said)
                else:
                    found.append(dict(zip(inner.scored, np.split(said, ends), strict=True)))
        return found

    def _page(self, inner: InnerFit, draws: list[Draw], clips: Indices) -> _Page:
        mark = digest(
            {
                "of": self._name,
                "fitted": inner.train.tolist(),
                "scored": clips.tolist(),
                "draws": list(map(asdict, draws)),
            }
        )
        file = self._folder / f"{mark[:32]}.json"
        page = _read(file, len(draws), len(clips), self._classes)
        if page is None:
            self._search.check_budget("some of the inner folds")
            page = self._fitted(draws, inner.train, clips)
            write_atomically(file, _PAGE.dump_json((page,)))
        self.seconds += page.seconds
        return page

    def _fitted(self, draws: Sequence[Draw], train: Indices, clips: Indices) -> _Page:
        """What each fit says; one failure ends no other."""
        began = time.perf_counter()
        requests = [Request(draw, train, self._seed, Watch(self._folder)) for draw in draws]
        failed: list[str | None] = []
        said: list[bytes] = []
        while len(failed) < len(requests):
            try:
                for fitted in self._fit.fit_many(requests[len(failed) :]):
                    try:
                        said.append(fitted.predict(clips).astype(np.float32).tobytes())
                        failed.append(None)
                    except TRIAL_ERRORS as error:
                        failed.append(told(error))
            except TRIAL_ERRORS as error:
                failed.append(told(error))
        return _Page(tuple(failed), b"".join(said), time.perf_counter() - began)


def _read(file: Path, draws: int, clips: int, classes: int) -> _Page | None:
    """A page, or None where there is none or it is damaged: its fits run again."""
    try:
        values = reading.parse_json(reading.read_bytes(file, reading.INNER))
        (page,) = _PAGE.validate_python(values)
        said = np.frombuffer(page.said, np.float32)
    except (OSError, ValueError, ValidationError):
        return None
    fitted = sum(reason is None for reason in page.failed)
    sound = len(page.failed) == draws and said.size == fitted * clips * classes
    return page if sound and ((said >= 0) & (said <= 1)).all() else None
