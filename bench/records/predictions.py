"""Stored predictions, read back as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from backbones import reading
from bench.footers import rows_of
from bench.records.schema import Record, predicted_by
from bench.records.store import inner_path, predictions_path

# Rows of predictions at once: some bytes in the file may stand for a long text in each.
_ROWS = 512
# Characters of the name of a clip or group that are shown.
_LONGEST_NAME = 200

Codes = NDArray[np.int64]
_Read = TypeVar("_Read")


class Unsound(ValueError):
    """Predictions are missing, cannot be read, or are not those of their record; says which."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a row said of each clip, as positions.

    Attributes:
        truth: classes among the record's labels (clips,).
        said: the same as predicted, one array per seed of the refit.
        groups: of each clip the position of its group among the names (clips,).
        group_names: sorted; of a long one its beginning.
        folds: outer fold (clips,).
        clips: a number for each clip (clips,); equal ones are one clip.
    """

    truth: Codes
    said: tuple[Codes, ...]
    groups: Codes
    group_names: tuple[str, ...]
    folds: Codes
    clips: Codes


def tested(results: Path, record: Record) -> Predictions:
    """What a finished record predicted for its test clips.

    Raises:
        Unsound: it is not there, cannot be read or is of other clips.
    """
    clips = sum(map(sum, record.scored.confusion))
    seeds = [predicted_by(seed) for seed in range(max(1, len(record.seeds)))]
    return _read(predictions_path(results, record.cell), record, seeds, (clips, clips))


@dataclass(frozen=True, eq=False)
class Told:
    """How sure a row was of each clip.

    Attributes:
        clips: names (clips,).
        probabilities: of each class (clips, classes).
    """

    clips: tuple[str, ...]
    probabilities: NDArray[np.float64]


def told(results: Path, record: Record) -> Told:
    """What the first refit said of each test clip, in the order of `tested`.

    Raises:
        Unsound: as `tested`.
    """
    clips = sum(map(sum, record.scored.confusion))
    path = predictions_path(results, record.cell)
    return _opened(path, (clips, clips), lambda file: _told(file, record.labels))


def inner_told(results: Path, record: Record) -> Told:
    """What the chosen settings said of each clip of inner folds, in the order of `inner`.

    Raises:
        Unsound: as `tested`.
    """
    rows = (1, record.clips * len(record.folds))
    path = inner_path(results, record.cell)
    return _opened(path, rows, lambda file: _told(file, record.labels))


def inner(results: Path, record: Record) -> Predictions:
    """What the chosen settings of a finished record said of the clips of inner folds.

    Raises:
        Unsound: as `tested`.
    """
    # a clip is in one inner fold of an outer fold at most
    most = record.clips * len(record.folds)
    return _read(inner_path(results, record.cell), record, ["predicted"], (1, most))


def _read(path: Path, record: Record, said: Sequence[str], rows: tuple[int, int]) -> Predictions:
    return _opened(path, rows, lambda file: _columns(file, said, record.labels))


def _opened(path: Path, rows: tuple[int, int], read: Callable[[BinaryIO], _Read]) -> _Read:
    import pyarrow as pa  # heavy, and workers need none of it

    try:
        with reading.opened(path, reading.PREDICTIONS) as file:
            if not max(1, rows[0]) <= rows_of(file, reading.PREDICTIONS) <= rows[1]:
                raise Unsound(f"its predictions {path} do not give its scores")
            return read(file)
    except FileNotFoundError as error:
        raise Unsound(f"its predictions {path} are not there") from error
    except Unsound:
        raise
    except (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException) as error:
        why = type(error).__name__
        raise Unsound(f"its predictions {path} cannot be read ({why})") from error


def _columns(file: BinaryIO, said: Sequence[str], labels: Sequence[str]) -> Predictions:
    import pyarrow as pa
    from pyarrow import compute, parquet

    # texts stay numbers: written out, some kilobytes may be gigabytes
    classes = ["label", *said]
    names = [*classes, "group", "clip"]
    stored = parquet.ParquetFile(file, page_checksum_verification=True, read_dictionary=names)
    known, groups, clips, found = pa.array(labels), dict[str, int](), dict[str, int](), []
    for batch in stored.iter_batches(_ROWS, columns=[*names, "fold"]):
        columns = [batch.column(name) for name in names]
        if not all(map(_holds_texts, columns)):
            raise ValueError("it holds no labels")
        *of_classes, of_groups, of_clips = columns
        places = [compute.index_in(column.dictionary, value_set=known) for column in of_classes]
        if any(each.null_count for each in (*places, *columns)):
            raise ValueError("it holds other labels")
        values = [p.to_numpy()[c.indices] for p, c in zip(places, of_classes, strict=True)]
        values += [_numbered(of_groups, groups), _numbered(of_clips, clips)]
        values.append(_numbers(batch.column("fold")))
        found.append(values)
    truth, *predicted, group, clip, fold = np.concatenate(found, axis=1).astype(np.int64)
    # by name, so that rows of one table number them alike
    ordered = tuple(sorted(groups))
    place = {name: number for number, name in enumerate(ordered)}
    group = np.array([place[name] for name in groups], dtype=np.int64)[group]
    shown = tuple(name[:_LONGEST_NAME] for name in ordered)
    return Predictions(truth, tuple(predicted), group, shown, fold, clip)


def _holds_texts(column: Any) -> bool:
    """Whether it is of texts, each of which is there once."""
    import pyarrow as pa

    if not isinstance(column, pa.DictionaryArray):
        return False
    kind = column.dictionary.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numbered(column: Any, known: dict[str, int]) -> Codes:
    """A number for each text, those of earlier columns included."""
    own = [known.setdefault(name, len(known)) for name in column.dictionary.to_pylist()]
    return np.array(own, dtype=np.int64)[column.indices]


def _told(file: BinaryIO, labels: Sequence[str]) -> Told:
    from pyarrow import parquet

    columns = [f"p_{label}" for label in labels]
    stored = parquet.ParquetFile(file, page_checksum_verification=True, read_dictionary=["clip"])
    names: list[str] = []
    parts = []
    for batch in stored.iter_batches(_ROWS, columns=["clip", *columns]):
        clips = batch.column("clip")
        if not _holds_texts(clips) or clips.null_count:
            raise ValueError("it holds no names of clips")
        known = [name[:_LONGEST_NAME] for name in clips.dictionary.to_pylist()]
        names += [known[place] for place in clips.indices.to_pylist()]
        parts.append(np.column_stack([batch.column(name).to_numpy() for name in columns]))
    probabilities = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(probabilities).all():
        raise ValueError("it holds no probabilities")
    return Told(tuple(names), probabilities)


def _numbers(column: Any) -> Codes:
    import pyarrow as pa

    if column.type != pa.int64() or column.null_count:
        raise ValueError("it holds no folds")
    return column.to_numpy()  # type: ignore[no-any-return]
