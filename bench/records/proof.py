"""Whether stored predictions give the scores of their record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from backbones import reading
from bench.footers import rows_of
from bench.records.schema import Record, predicted_by
from bench.records.store import inner_path, predictions_path
from bench.scoring import macro_f1, mean_scores, over_seeds, score

# Rows of predictions at once: some bytes in the file may stand for a long text in each.
_ROWS = 64

_Codes = NDArray[np.int64]


def flaw(results: Path, record: Record) -> str | None:
    """What is wrong with the predictions of a finished record; None where they give its scores."""
    found = _flaw(predictions_path(results, record.cell), record, _gives)
    if found is None and any(fold.tried is not None for fold in record.folds):
        found = _flaw(inner_path(results, record.cell), record, _inner_gives)
    return found


def _flaw(path: Path, record: Record, gives: Callable[[BinaryIO, Record], bool]) -> str | None:
    import pyarrow as pa  # heavy, and workers need none of it

    try:
        with reading.opened(path, reading.PREDICTIONS) as file:
            sound = gives(file, record)
    except FileNotFoundError:
        return f"its predictions {path} are not there"
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException) as error:
        return f"its predictions {path} cannot be read ({type(error).__name__})"
    return None if sound else f"its predictions {path} do not give its scores"


def _gives(file: BinaryIO, record: Record) -> bool:
    """Whether predictions of test clips give the scores of a record."""
    clips, repeats = sum(map(sum, record.scored.confusion)), record.folding.repeats
    seeds = [predicted_by(seed) for seed in range(max(1, len(record.seeds)))]
    if rows_of(file, reading.PREDICTIONS) != clips or not clips:
        return False
    truth, *columns = _columns(file, ["label", *seeds], record.labels, folds=repeats)
    predicted = columns[: len(seeds)]
    parts = _parts(columns[-1], record) if repeats else [np.ones(clips, dtype=bool)]
    if not parts:
        return False
    each = [
        mean_scores([score(truth[own], said[own], record.labels) for own in parts])
        for said in predicted
    ]
    told = [(seed.accuracy, seed.macro_f1) for seed in record.seeds]
    found = [(scores.accuracy, scores.macro_f1) for scores in each]
    sound = over_seeds(each).close_to(record.scored)
    sound = sound and (not told or np.allclose(found, told, atol=1e-9))
    if repeats:
        own = [(fold.test_accuracy, fold.test_macro_f1) for fold in record.folds]
        sound = sound and np.allclose(_by_part(truth, predicted[0], parts), own, atol=1e-9)
    return sound


def _inner_gives(file: BinaryIO, record: Record) -> bool:
    """Whether predictions of inner folds give the validation scores of a record's folds."""
    # a clip is in one inner fold of an outer fold at most
    if not 0 < rows_of(file, reading.PREDICTIONS) <= record.clips * len(record.folds):
        return False
    truth, predicted, fold_of = _columns(file, ["label", "predicted"], record.labels, folds=True)
    found = _by_part(truth, predicted, _parts(fold_of, record))
    told = [(fold.val_accuracy, fold.val_macro_f1) for fold in record.folds]
    return len(found) == len(told) and np.allclose(found, told, atol=1e-9)


def _by_part(
    truth: _Codes, predicted: _Codes, parts: Sequence[NDArray[np.bool_]]
) -> list[tuple[float, float]]:
    """Accuracy and macro-F1 of each part."""
    return [
        (float(np.mean(truth[own] == predicted[own])), macro_f1(truth[own], predicted[own]))
        for own in parts
    ]


def _parts(fold_of: _Codes, record: Record) -> list[NDArray[np.bool_]]:
    """Which rows are of each fold; empty where there are rows of another, or none of one."""
    if set(fold_of.tolist()) != set(range(len(record.folds))):
        return []
    return [fold_of == number for number in range(len(record.folds))]


def _columns(
    file: BinaryIO, names: Sequence[str], labels: Sequence[str], *, folds: bool
) -> list[_Codes]:
    """Columns of labels as positions, (rows,) each, and last that of folds if it is wanted."""
    import pyarrow as pa
    from pyarrow import compute, parquet

    # labels stay numbers: written out, some kilobytes may be gigabytes
    stored = parquet.ParquetFile(file, page_checksum_verification=True, read_dictionary=list(names))
    known, found = pa.array(labels), []
    for batch in stored.iter_batches(_ROWS, columns=[*names, "fold"] if folds else list(names)):
        columns = [batch.column(name) for name in names]
        if not all(isinstance(column, pa.DictionaryArray) for column in columns):
            raise ValueError("it holds no labels")
        places = [compute.index_in(column.dictionary, value_set=known) for column in columns]
        if any(each.null_count for each in (*places, *columns)):
            raise ValueError("it holds other labels")
        values = [p.to_numpy()[c.indices] for p, c in zip(places, columns, strict=True)]
        if folds:
            values.append(_numbers(batch.column("fold")))
        found.append(values)
    return list(np.concatenate(found, axis=1).astype(np.int64))


def _numbers(column: Any) -> _Codes:
    import pyarrow as pa

    if column.type != pa.int64() or column.null_count:
        raise ValueError("it holds no folds")
    return column.to_numpy()  # type: ignore[no-any-return]
