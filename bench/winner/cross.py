"""Train on each of several tasks, test on each: what a winner is worth on another corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import paths
from bench.audio.index import ScannedClip, scan
from bench.clips import shortened
from bench.config.own import OwnData
from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.progress import Reporter
from bench.records.schema import Record
from bench.report.statistics import Interval
from bench.report.stored import stored
from bench.scoring import Scores, score
from bench.tasks import checks
from bench.tasks.own.task import declare
from bench.winner.evaluate import answers, interval
from bench.winner.model import Model
from bench.winner.refit import refit

# What a winner says that is no label of all tasks.
_ANOTHER = "(another)"


@dataclass(frozen=True)
class Crossed:
    """One winner on the clips of one task; on its own task a cross-validation stands for it.

    Attributes:
        train, test: names of tasks.
        scores: over the labels that all tasks have.
        interval: of macro-F1, by the groups that were tested; None where they are too few.
        clips: that were scored.
        fitted: clips of the task that the winner was fitted on, which are not scored.
    """

    train: str
    test: str
    scores: Scores
    interval: Interval | None
    clips: int
    fitted: int = 0


def common(rows: Sequence[Record], names: Mapping[str, str]) -> tuple[str, ...]:
    """Labels that all tasks have, once they are renamed.

    Args:
        names: what labels are called, where that is something else.

    Raises:
        UserError: a label that is renamed is none of any task, or fewer than two are shared.
    """
    every = {label for row in rows for label in row.labels}
    for label in names:
        if label not in every:
            raise UserError(
                f"--map '{label}={names[label]}': no task has a label '{label}'; there are "
                f"{shortened(sorted(every), 20)}"
            )
    own = [{names.get(label, label) for label in row.labels} for row in rows]
    shared = tuple(sorted(set.intersection(*own)))
    if len(shared) < 2:
        raise UserError(
            f"these tasks share {len(shared)} labels, and two are the least: call those alike that "
            "are alike, as in --map happy=joy"
        )
    return shared


def cross(
    rows: Sequence[Record],
    names: Mapping[str, str],
    spec: RunSpec,
    reporter: Reporter,
) -> list[Crossed]:
    """Refit a row of each task on all its clips and test it on the other tasks.

    All scores are of the clips whose labels all tasks have; what a winner says besides is wrong.
    So the scores of a column are of the same clips.

    Args:
        rows: one of each task.
        names: what labels are called, where that is something else.
        spec: the run's settings, whose results hold the rows.

    Raises:
        UserError: a row cannot be made again as it was made, or too few labels are shared.
        VoxgridError: an extraction or a fit failed.
    """
    labels = common(rows, names)
    declare({row.task: OwnData.of(row.own) for row in rows if row.own})
    tested = {row.task: _clips(row, labels, names) for row in rows}
    found = []
    for row in rows:
        found.append(_within(row, labels, names, spec.results))
        reporter.say(f"train {row.cell}")
        model = Model.of(refit(row, spec, reporter))
        for other in rows:
            if other is row:
                continue
            clips = tested[other.task]
            with reporter.phase(f"{row.task} on {other.task} (clips)", len(clips)) as phase:
                said, _ = answers(model, clips, phase.at)
            fresh = [c for c in clips if c.pcm_sha256 in said and c.pcm_sha256 not in model.trained]
            if not fresh:
                raise UserError(f"no clip of {other.task} can be scored by a winner of {row.task}")
            own = [model.config.labels[said[clip.pcm_sha256]] for clip in fresh]
            found.append(
                _scored(
                    (row.task, other.task),
                    labels,
                    names,
                    [clip.clip.label for clip in fresh],
                    own,
                    [clip.clip.group for clip in fresh],
                    len(clips) - len(fresh),
                )
            )
    return found


def _clips(row: Record, labels: Sequence[str], names: Mapping[str, str]) -> list[ScannedClip]:
    """Usable clips of a task whose labels all tasks have."""
    task = checks.resolve(row.task, allow_download=False)
    kept = [clip for clip in task.clips if names.get(clip.label, clip.label) in labels]
    return list(scan(kept, paths.cache_dir() / "audio.sqlite3").usable)


def _within(row: Record, labels: Sequence[str], names: Mapping[str, str], results: Path) -> Crossed:
    """A row on its own task: what it said of clips that it was not fitted on."""
    read = stored(results, [row])
    if str(row.cell) not in read:
        raise UserError(f"the predictions of {row.cell} cannot be read: run it again")
    said = read[str(row.cell)].tested
    truth = [row.labels[code] for code in said.truth.tolist()]
    kept = [n for n, label in enumerate(truth) if names.get(label, label) in labels]
    predicted = said.predicted[0].tolist()
    return _scored(
        (row.task, row.task),
        labels,
        names,
        [truth[n] for n in kept],
        [row.labels[predicted[n]] for n in kept],
        [said.group_names[said.groups[n]] for n in kept],
        0,
    )


def _scored(
    tasks: tuple[str, str],
    labels: Sequence[str],
    names: Mapping[str, str],
    truth: Sequence[str],
    said: Sequence[str],
    groups: Sequence[str],
    fitted: int,
) -> Crossed:
    every = [*labels, _ANOTHER]

    def codes(own: Sequence[str]) -> np.ndarray:
        called = [names.get(label, label) for label in own]
        places = [every.index(label if label in labels else _ANOTHER) for label in called]
        return np.array(places, dtype=np.int64)

    right, predicted = codes(truth), codes(said)
    return Crossed(
        *tasks,
        score(right, predicted, every),
        interval(right, predicted, groups, len(every)),
        len(right),
        fitted,
    )
