"""A winner on other data than it was made of: labels mapped, scored, with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import paths
from bench.audio.index import ScannedClip, scan
from bench.clips import Exclusion, Task, shortened
from bench.errors import UserError, nearest
from bench.report.placing import MACRO_F1
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled
from bench.scoring import Scores, score
from bench.tasks.own.task import UNKNOWN
from bench.winner.model import Model, parts

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluated:
    """What a winner scores on clips of a task.

    Attributes:
        scores: over the winner's labels; macro-F1 and UAR are means over those that clips have.
        interval: of macro-F1, by groups; None where these are fewer than eight or unknown.
        clips, groups: that were scored.
        unmapped: clips of each label of the data that is none of the winner's.
        absent: labels of the winner that no clip has; it may answer with them all the same.
        fitted: clips that the winner was fitted on, which are not scored.
        left_out: clips that cannot be used.
    """

    scores: Scores
    interval: Interval | None
    clips: int
    groups: int
    unmapped: Mapping[str, int]
    absent: tuple[str, ...]
    fitted: int
    left_out: tuple[Exclusion, ...]


def mapping(pairs: Sequence[str], data: Sequence[str], model: Sequence[str]) -> dict[str, str]:
    """The winner's label for each label of the data that has one.

    Args:
        pairs: `theirs=ours` each; labels of one name are each other's without.
        data, model: labels of the data and of the winner.

    Raises:
        UserError: a pair is none, names a label that is not there, or nothing maps.
    """
    found = {label: label for label in data if label in model}
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not equals:
            raise UserError(f"--map '{pair}' is no pair: write LABEL_OF_DATA=LABEL_OF_MODEL")
        if theirs not in data:
            raise UserError(f"--map '{pair}': the data have no '{theirs}'; {nearest(theirs, data)}")
        if ours not in model:
            raise UserError(f"--map '{pair}': the model has no '{ours}'; {nearest(ours, model)}")
        found[theirs] = ours
    if not found:
        raise UserError(
            f"no label of the data ({shortened(list(data), 9)}) is one of the model's "
            f"({shortened(list(model), 9)}): name those that are with --map DATA=MODEL"
        )
    return found


def evaluate(
    model: Model,
    task: Task,
    labels: Mapping[str, str],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluated:
    """Score a winner on the clips of a task, all but those that it was fitted on.

    Args:
        labels: the winner's label for each of the task's, see `mapping`.
        on_progress: called with (clips done, clips in all).

    Raises:
        UserError: no clip is left to score.
        BackboneError: weights are not here, or cannot be used.
        StorageError: the cache cannot be written.
    """
    mapped = [clip for clip in task.clips if clip.label in labels]
    unmapped = Counter(clip.label for clip in task.clips if clip.label not in labels)
    found = scan(mapped, paths.cache_dir() / "audio.sqlite3", on_progress)
    fresh = [clip for clip in found.usable if clip.pcm_sha256 not in model.trained]
    said, unusable = answers(model, fresh, on_progress)
    clips = [clip for clip in fresh if clip.pcm_sha256 in said]
    left_out = (*task.excluded, *found.excluded, *unusable)
    fitted = len(found.usable) - len(fresh)
    if not clips:
        fit = f", {fitted} it was fitted on" if fitted else ""
        raise UserError(
            f"no clip of {task.name} is left to score: of {len(task.clips)}, "
            f"{sum(unmapped.values())} have labels that are none of the model's{fit}, "
            f"{len(left_out)} cannot be used"
        )
    own = model.config.labels
    truth = np.array([own.index(labels[clip.clip.label]) for clip in clips], dtype=np.int64)
    predicted = np.array([said[clip.pcm_sha256] for clip in clips], dtype=np.int64)
    groups = [clip.clip.group for clip in clips]
    return Evaluated(
        score(truth, predicted, own),
        interval(truth, predicted, groups, len(own)),
        len(clips),
        len(set(groups)),
        dict(unmapped),
        tuple(label for n, label in enumerate(own) if n not in truth),
        fitted,
        left_out,
    )


def answers(
    model: Model,
    clips: Sequence[ScannedClip],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, int], list[Exclusion]]:
    """The likeliest class by the sha256 of samples, and clips of which the winner can say none."""
    said: dict[str, int] = {}
    unusable = []
    done = 0
    for part in parts(list(clips)):
        own = [clip for clip in part if clip is not None]
        for sha, each in model.predictor.said(own).items():
            if isinstance(each, str):
                unusable += [Exclusion(c.clip.id, each) for c in own if c.pcm_sha256 == sha]
            else:
                said[sha] = int(each.argmax())
        done += len(own)
        on_progress(done, len(clips))
    return said, unusable


def interval(
    truth: Codes, predicted: Codes, groups: Sequence[str], classes: int
) -> Interval | None:
    """The interval of macro-F1, groups resampled; None where they are too few or unknown."""
    names, codes = np.unique(list(groups), return_inverse=True)
    if len(names) < FEWEST_GROUPS or UNKNOWN in names:
        return None
    counts = Counts.of(truth, [predicted], codes.astype(np.int64), (len(names), classes))
    return Resampled.of([counts]).interval({0: 1}, MACRO_F1)
