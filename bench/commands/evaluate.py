"""`voxgrid evaluate`: what a winner scores on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.commands.options import as_own_data, with_own_data
from bench.commands.shell import interruptible, reporter

_MOST_LEFT_OUT = 5


@interruptible
@with_own_data
def evaluate(
    given: dict[str, Any],
    model: Annotated[Path, typer.Argument(help="The folder of a winner.")],
    data: Annotated[
        str, typer.Option("--data", help="A table or folder as of `voxgrid data`, or a task.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option("--map", help="A label of the data and the model's for it, as in happy=joy."),
    ] = None,
) -> None:
    """Score a winner on data it was not made of: another corpus, or new recordings.

    Labels of the data that are none of the model's are listed with their clips, which are not
    scored. Clips that the model was fitted on are not scored either.
    """
    from bench.commands.tables import say, show
    from bench.report.values import interval, percent, plural
    from bench.tasks import checks
    from bench.tasks.own.task import OwnTask
    from bench.terminal import Terminal
    from bench.winner import Model
    from bench.winner.evaluate import evaluate as evaluated
    from bench.winner.evaluate import mapping

    console, progress = Terminal(), reporter()
    loaded = Model.load(model)
    if Path(data).exists():
        task = OwnTask(*as_own_data(data, given)).labelled
    else:
        task = checks.resolve(data, allow_download=False)
    labels = mapping(pairs or (), task.labels, loaded.config.labels)
    with progress.phase(f"evaluate on {task.name} (clips)", len(task.clips)) as phase:
        found = evaluated(loaded, task, labels, phase.at)
    scores = found.scores
    macro_f1 = interval(found.interval) if found.interval else percent(scores.macro_f1)
    say(
        console,
        f"{task.name}, {plural(found.clips, 'clip')} of {plural(found.groups, 'group')}: macro-F1 "
        f"{macro_f1} %, accuracy {percent(scores.accuracy)} %, unweighted average recall "
        f"{percent(scores.uar)} %",
    )
    own = loaded.config.labels
    rows = [
        [label, percent(scores.per_class_f1.get(label)), *map(str, counts)]
        for label, counts in zip(own, scores.confusion, strict=True)
        if label not in found.absent
    ]
    show(console, "|".join(["true", "F1 %>", *(f"as {label}>" for label in own)]), rows)
    theirs = [f"{data} as {model}" for data, model in labels.items() if data != model]
    told = {
        "mapped": ", ".join(theirs),
        "not scored, for the model has no such label": ", ".join(
            f"{label} ({plural(count, 'clip')})" for label, count in found.unmapped.items()
        ),
        "no clip is labelled, and the model may say it": ", ".join(found.absent),
        "not scored, for the model was fitted on them": plural(found.fitted, "clip")
        if found.fitted
        else "",
    }
    for what, which in told.items():
        if which:
            say(console, f"{what}: {which}")
    for clip in found.left_out[:_MOST_LEFT_OUT]:
        say(console, f"left out: {clip.clip}: {clip.reason}")
    if (rest := len(found.left_out) - _MOST_LEFT_OUT) > 0:
        say(console, f"left out: {rest} more")
