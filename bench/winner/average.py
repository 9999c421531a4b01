"""An average of rows as a winner: members chosen on predictions of outer folds, each refitted."""

from __future__ import annotations

from collections import Counter

from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.progress import Reporter
from bench.records.schema import Record
from bench.report.beside import Beside
from bench.report.ensembles import Ensemble, greedy
from bench.report.stored import alike
from bench.winner.folder import Average, Contents, Member
from bench.winner.refit import about, refit


def members(beside: Beside, task: str, protocol: str) -> tuple[Ensemble, list[tuple[Record, int]]]:
    """The ensemble that was tested, and rows to average on all clips with how often each counts.

    An ensemble chooses its members for each outer fold on inner folds. For all clips the outer
    folds are the inner ones: members are chosen by the same rule on what rows said of test clips.

    Raises:
        UserError: there is no ensemble, or one row by itself is better than any average.
    """
    table = (task, protocol)
    tested = beside.ensembles.get(table)
    if not tested:
        raise UserError(
            f"{task}, {protocol} has no two rows that were searched on inner folds and whose "
            "predictions can be read: `voxgrid run` makes such rows"
        )
    found = (each.row for each in beside.calibrations.values())
    # controls and presets have none, and a fusion is a row like others
    rows = alike(
        row
        for row in found
        if (row.record.task, row.record.protocol) == table and row.inner is not None
    )
    chosen = greedy([row.tested.probabilities for row in rows], rows[0].tested.truth)
    counts = Counter(chosen)
    if len(counts) < 2:
        best = rows[chosen[0]].record
        raise UserError(
            f"no average of {task}, {protocol} is better than {best.backbone}/{best.pooling}/"
            f"{best.head} alone: train that one, without --average"
        )
    return tested[0], [(rows[place].record, count) for place, count in counts.most_common()]


def averaged(
    ensemble: Ensemble, chosen: list[tuple[Record, int]], spec: RunSpec, reporter: Reporter
) -> Contents:
    """Refit all members on all clips.

    Raises:
        UserError: a row cannot be made again here as it was made.
        VoxgridError: an extraction or a fit failed.
    """
    made = []
    for place, (record, _) in enumerate(chosen, start=1):
        reporter.say(f"train {record.cell} ({place} of {len(chosen)})")
        made.append(refit(record, spec, reporter))
    clips = {clip for each in made for clip in each.config.clips}
    config = Average(
        **about(chosen[0][0]),
        scores={"macro_f1": ensemble.macro_f1},
        clips=tuple(sorted(clips)),
        without_fold=None,
        members=tuple(Member(cell=str(record.cell), weight=count) for record, count in chosen),
    )
    return Contents(config, {}, tuple(made))
