"""Fits of inner folds and what they said, kept so that a kill costs the fits of one layer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from backbones import reading
from bench.features.key import digest
from bench.protocols.fold import Fold
from bench.records.store import write_atomically
from bench.tuning.fits.base import Classes, Draw, Fit, Indices, Probabilities, Request, Watch
from bench.tuning.search import TRIAL_ERRORS, Search, told


@dataclass(frozen=True, eq=False)
class InnerFit:
    """Clips to fit on, and by outer fold the clips that the fit is scored on for it."""

    train: Indices
    scored: dict[int, Indices] = field(default_factory=dict)


@dataclass(frozen=True)
class _Page:
    """What the fits of some draws said: classes of the clips scored on, or why a fit failed."""

    said: tuple[list[int] | str, ...]
    seconds: Annotated[float, Field(ge=0, le=1e9)]


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

    def said(self, inner: InnerFit, draws: Sequence[Draw]) -> list[dict[int, Classes] | str]:
        """By draw: the class of each clip scored on, by outer fold, or why the fit failed.

        Raises:
            BudgetSpent: the deadline passed; what was said is kept.
            StorageError: it cannot be kept.
        """
        clips = np.concatenate(list(inner.scored.values()))
        ends = np.cumsum([len(part) for part in inner.scored.values()])[:-1]
        found: list[dict[int, Classes] | str] = []
        for _, group in groupby(draws, key=lambda draw: draw.layer):
            for said in self._page(inner, list(group), clips):
                if isinstance(said, str):
                    found.append(said)
                else:
                    parts = np.split(np.array(said, dtype=np.int64), ends)
                    found.append(dict(zip(inner.scored, parts, strict=True)))
        return found

    def probabilities(self, draw: Draw, train: Indices, clips: Indices) -> Probabilities:
        """What one draw says of some clips, (clips, classes), fitted on others.

        Raises:
            ValueError, FitDiverged, OutOfMemory: as `Fit.fit`.
        """
        began = time.perf_counter()
        (fitted,) = self._fit.fit_many([self._request(draw, train)])
        found = fitted.predict(clips)
        self.seconds += time.perf_counter() - began
        return found

    def _page(
        self, inner: InnerFit, draws: list[Draw], clips: Indices
    ) -> Sequence[list[int] | str]:
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
            began = time.perf_counter()
            requests = [self._request(draw, inner.train) for draw in draws]
            said = tuple(self._fitted(requests, clips))
            page = _Page(said, time.perf_counter() - began)
            write_atomically(file, json.dumps([asdict(page)]).encode())
        self.seconds += page.seconds
        return page.said

    def _request(self, draw: Draw, train: Indices) -> Request:
        return Request(draw, train, self._seed, Watch(self._folder))

    def _fitted(self, requests: Sequence[Request], clips: Indices) -> Iterator[list[int] | str]:
        """What each fit says; one failure ends no other."""
        done = 0
        while done < len(requests):
            try:
                for fitted in self._fit.fit_many(requests[done:]):
                    done += 1
                    try:
                        said: list[int] | str = fitted.predict(clips).argmax(axis=1).tolist()
                    except TRIAL_ERRORS as error:
                        said = told(error)
                    yield said
            except TRIAL_ERRORS as error:
                done += 1
                yield told(error)


def _read(file: Path, draws: int, clips: int, classes: int) -> _Page | None:
    """A page, or None where there is none or it is damaged: its fits run again."""
    try:
        values = reading.parse_json(reading.read_bytes(file, reading.INNER))
        (page,) = _PAGE.validate_python(values)
    except (OSError, ValueError, ValidationError):
        return None
    sound = len(page.said) == draws and all(
        isinstance(said, str) or (len(said) == clips and set(said) <= set(range(classes)))
        for said in page.said
    )
    return page if sound else None
