"""Real records for the tests of reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.records import store as records
from bench.records.schema import Record
from bench.scoring import mean_scores, score

HARDWARE = "Test CPU, 2 cores"
SYSTEM = {
    "summary": "some vectors → some head",
    "task": "ravdess",
    "backbone": "wav2vec2",
    "protocols": ["random-80-20", "speaker-6fold"],
    "poolings": ["mean"],
    "measured_on": "a random split",
    "figures": {"accuracy": "48"},
    "undocumented": ["Which layer: the last one here."],
    "differs": ["Test clips choose nothing here."],
}


def right_of_ten(*right: int) -> list[list[int]]:
    """A confusion of ten clips per class, so many of each right, the rest taken for the next."""
    confusion = np.zeros((len(right), len(right)), dtype=int)
    for label, count in enumerate(right):
        confusion[label, label] = count
        confusion[label, (label + 1) % len(right)] += 10 - count
    return confusion.tolist()


def make_record(
    backbone: str = "xlsr",
    head: str = "mlp",
    confusion: Sequence[Sequence[int]] | None = None,
    picked: Sequence[int] = (3, 5),
    validation: float = 0.5,
    failed_trials: int = 0,
    hardware: str = HARDWARE,
    weights: str = "pretrained",
    **changes: Any,
) -> Record:
    """A record of status ok unless `changes` says otherwise; scores come from the confusion."""
    counts = np.array(confusion if confusion is not None else right_of_ten(6, 6))
    labels = [f"class{i}" for i in range(len(counts))]
    rows, columns = np.indices(counts.shape)
    truth, predicted = (np.repeat(i.ravel(), counts.ravel()) for i in (rows, columns))
    task, protocol = changes.get("task", "ravdess"), changes.get("protocol", "speaker-6fold")
    leaks = protocol.startswith(("random", "balanced"))
    record = {
        "status": "ok",
        "task": task,
        "sample": task.startswith("sample-"),
        "group": "channel" if task in ("youtube", "sample-topic") else "speaker",
        "protocol": protocol,
        "folding": {
            "summary": f"what {protocol} does",
            "grouped": not leaks,
            "leaks": leaks,
            "subset": protocol.startswith("balanced"),
            "repeats": protocol.startswith("random-10x"),
        },
        "published": SYSTEM if changes.get("preset") else None,
        "backbone": backbone,
        "pooling": "mean",
        "head": head,
        "seed": 0,
        "trials": 10,
        "labels": labels,
        "clips": int(counts.sum()),
        "weights": {"id": "some/weights", "sha": "0" * 64, "kind": weights},
        "parameters": 94_400_000,
        "layers": 13,
        "scores": score(truth, predicted, labels),
        "folds": [
            {
                "test_groups": [str(fold)],
                "clips": {"train": 10, "validation": 5, "test": 5},
                "best_params": {"layer": layer},
                "layer": layer,
                "val_accuracy": validation,
                "val_macro_f1": validation,
                "test_accuracy": 0.5,
                "test_macro_f1": 0.5,
                "trials": {"complete": 10 - failed_trials, "pruned": 0, "failed": failed_trials},
            }
            for fold, layer in enumerate(picked)
        ],
        "throughput": {
            "backbone_rtfx": 12.34,
            "end_to_end_rtfx": 10.0,
            "audio_seconds": 100.0,
            "batch": 8,
            "dtype": "float32",
            "threads": 2,
            "hardware": hardware,
            "predict_clips_per_s": 1000.0,
            "tuning_hardware": hardware,
            "tuning_threads": 1,
            "tuning_seconds": 40.0,
        },
        "memory": {"peak_rss_mb": 1000.0},
        "provenance": {
            "git_sha": "a" * 40,
            "packages": {"python": "3.12.1", "torch": "2.9.0"},
            "utc": "2026-01-02T03:04:05Z",
            "cache_hit": True,
            "feature_key": "k",
            "fingerprint": "f",
        },
    }
    return Record.model_validate(record | changes)


def make_repeated(*confusions: Sequence[Sequence[int]], **changes: Any) -> Record:
    """A record of as many splits of the same clips, with the confusion of each."""
    each = [make_record(confusion=confusion).scored for confusion in confusions]
    known = {"protocol": "random-10x80-20", "picked": [3] * len(each)}
    record = make_record(**{**known, "scores": mean_scores(each), **changes})
    folds = [
        fold.model_copy(update={"test_accuracy": scores.accuracy, "test_macro_f1": scores.macro_f1})
        for fold, scores in zip(record.folds, each, strict=True)
    ]
    return record.model_copy(update={"folds": folds})


def predictions(
    labels: Sequence[str], *confusions: Sequence[Sequence[int]], groups: int = 2
) -> pd.DataFrame:
    """What gives so many confusions, one of each fold; clips are dealt to the groups."""
    frames = []
    for fold, confusion in enumerate(confusions):
        counts = np.array(confusion)
        truth, predicted = (
            np.array(labels)[np.repeat(i.ravel(), counts.ravel())] for i in np.indices(counts.shape)
        )
        clips = [f"clip{fold}-{number}" for number in range(len(truth))]
        columns = {"clip": clips, "label": truth, "predicted": predicted, "fold": fold}
        sure = {f"p_{label}": 0.9 * (predicted == label) for label in labels}
        frames.append(pd.DataFrame(columns | sure))
    table = pd.concat(frames, ignore_index=True)
    dealt = np.random.default_rng(0).permutation(len(table)) % groups
    return table.assign(group=[f"group{number}" for number in dealt])


def store(results: Path, record: Record, groups: int = 2) -> Path:
    """Write a record with predictions that give its scores, as a run does; return its path."""
    path = records.predictions_path(results, record.cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    predictions(record.labels, record.scored.confusion, groups=groups).to_parquet(path)
    return records.write(results, record)


def curve(*validation: float) -> list[dict[str, float]]:
    """Epochs by their validation accuracy; losses and macro-F1 follow from it."""
    return [
        {
            "train_loss": 2 * (1 - accuracy),
            "validation_loss": 2.1 * (1 - accuracy),
            "validation_accuracy": accuracy,
            "validation_macro_f1": 0.9 * accuracy,
        }
        for accuracy in validation
    ]


def make_trained(
    best: Sequence[int] = (1, 2),
    trained: Sequence[str | None] = ("all but the feature encoder",),
    notes: Sequence[Sequence[str]] = (),
    training: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A record whose head was trained epoch by epoch; folds differ in their best epoch.

    Args:
        best: best epoch of each fold, 0-based.
        trained: what of the network each fold trained, repeated as needed.
        notes: of each fold, none as needed.
        training: changes of the training record.
        changes: as for `make_record`.
    """
    record = make_record(**{"head": "fine_tune", "picked": [12] * len(best)} | changes)
    folds = [
        fold.model_dump()
        | {
            "best_epoch": epoch,
            "curve": curve(0.2, 0.4, 0.5, 0.45),
            "trained": trained[position % len(trained)],
            "notes": list(notes[position]) if position < len(notes) else [],
        }
        for position, (fold, epoch) in enumerate(zip(record.folds, best, strict=True))
    ]
    details = {
        "reads": "backbone",
        "device": "cuda",
        "precision": ["bfloat16"],
        "frozen_part": "cached",
        "crop_seconds": 30.0,
    }
    return Record.model_validate(
        record.model_dump() | {"folds": folds, "training": details | (training or {})}
    )


def unfinished(reason: str, status: str = "skipped", **changes: Any) -> Record:
    """A record without scores, with its reason."""
    empty = {"scores": None, "folds": [], "throughput": None, "memory": None, "parameters": None}
    return make_record(**empty, status=status, reason=reason, **changes)
