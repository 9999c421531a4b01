"""Published systems: what was published, what the same recipe gives here, and what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from bench import tasks
from bench.config.presets import PRESETS, Preset
from bench.records.schema import Record
from bench.report.figures import curves
from bench.report.markdown import DASH, escape, percent, plural, table
from bench.report.ranking import (
    finished,
    is_control,
    largest_share,
    leaks,
    protocol_order,
    scores,
)
from bench.report.tables.training import epochs, parts

TITLE = "Published systems"
ABOUT = (
    "Systems others have published, run as they are: nothing is tuned, hence one fit per fold. "
    "They take no part in the rankings above. Rows marked **published** are as reported by the "
    "authors and were not measured here. **Largest class**: accuracy of always answering it on the "
    "clips tested. *(leaks)*: clips of one speaker or channel are on both sides of the split."
)
_COLUMNS = (
    "row",
    "task",
    "protocol",
    "backbone",
    "pooling",
    "macro-F1 %>",
    "accuracy %>",
    "largest class %>",
    "clips tested>",
    "remarks",
)


def systems(found: Sequence[Record], mark: str, image: Callable[[curves.Curves], str]) -> str:
    """A table for every preset: the published row, and what ran here or why nothing did.

    Args:
        found: real records; those without a preset are not looked at.
        mark: of the headings, such as `###`.
        image: a figure → its Markdown.
    """
    own = _by_preset(found)
    parts = [part for preset in PRESETS.values() for part in _system(preset, own, mark, image)]
    for name in sorted(own.keys() - PRESETS.keys()):
        parts += [
            f"{mark} {name}",
            "voxgrid no longer knows this preset; its records are still there.",
            table(_COLUMNS, _measured(None, own[name])),
            *map(image, curves.wanted(own[name])),
        ]
    return "\n\n".join([ABOUT, *parts])


def on_generated_clips(found: Sequence[Record], mark: str) -> str:
    """The rows of presets on sample tasks, without the published figures, which do not compare.

    Args:
        found: records of sample tasks that have a preset.
        mark: of the headings, such as `####`.
    """
    return "\n\n".join(
        f"{mark} {name}\n\n{table(_COLUMNS, _measured(PRESETS.get(name), own))}"
        for name, own in sorted(_by_preset(found).items())
    )


def _by_preset(found: Sequence[Record]) -> dict[str, list[Record]]:
    own: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        if record.preset is not None:
            own[record.preset].append(record)
    return own


def _system(
    preset: Preset,
    records: dict[str, list[Record]],
    mark: str,
    image: Callable[[curves.Curves], str],
) -> Iterator[str]:
    own = records.get(preset.name, [])
    rows = [_published(preset), *_measured(preset, own)]
    if not any(_is_faithful(preset, record) for record in own):
        rows.append(_not_run(preset))
    yield f"{mark} {preset.name}"
    yield f"{preset.summary}. Head: {preset.head}, on the last layer."
    yield table(_COLUMNS, rows)
    notes = [f"- not documented: {escape(sentence)}" for sentence in preset.undocumented]
    notes += [f"- differs: {escape(sentence)}" for sentence in preset.differs]
    notes += _about_clips(own)
    if notes:
        yield "\n".join(notes)
    yield from map(image, curves.wanted(own))


def _about_clips(own: Sequence[Record]) -> list[str]:
    """What a reader should know of the clips, each sentence once for a task."""
    found = {(record.task, note) for record in own for note in record.notes}
    return [f"- {task}: {escape(note)}." for task, note in sorted(found)]


def _is_faithful(preset: Preset, record: Record) -> bool:
    return (record.task, record.backbone) == (preset.task, preset.backbone) and not is_control(
        record
    )


def _published(preset: Preset) -> list[str]:
    own = preset.published
    remarks = [
        f"{name} {value.percent} %"
        for name, value in (("precision", own.precision), ("recall", own.recall))
        if value is not None
    ]
    return [
        "published",
        preset.task,
        DASH,
        preset.backbone,
        DASH,
        own.macro_f1.percent if own.macro_f1 else DASH,
        own.accuracy.percent if own.accuracy else DASH,
        DASH,
        DASH,
        "; ".join([*remarks, f"measured on {own.measured_on}"]),
    ]


def _not_run(preset: Preset) -> list[str]:
    how = f"`voxgrid run --preset {preset.name}` runs it"
    if tasks.find(preset.task).download is None:
        how = f"`voxgrid fetch {preset.task}` gets the clips, {how}"
    return [
        "here",
        preset.task,
        ", ".join(map(_protocol, preset.protocols)),
        preset.backbone,
        ", ".join(preset.poolings),
        DASH,
        DASH,
        DASH,
        DASH,
        f"not run: {how}",
    ]


def _measured(preset: Preset | None, own: Sequence[Record]) -> list[list[str]]:
    """Rows of what ran, then one for each reason why something did not."""
    done = sorted(finished(own), key=lambda record: _order(preset, record))
    gone: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in own:
        if record.status != "ok":
            reason = record.reason or "no reason given"
            key = (record.task, record.backbone, record.control or "", record.status, reason)
            gone[key].append(record)
    return [_finished(preset, record) for record in done] + [
        _unfinished(preset, records) for _, records in sorted(gone.items())
    ]


def _order(preset: Preset | None, record: Record) -> tuple[object, ...]:
    """The published task and backbone first, and protocols in the order of the preset."""
    known = list(preset.protocols) if preset else []
    place = known.index(record.protocol) if record.protocol in known else len(known)
    own = preset is not None and record.task == preset.task
    same = preset is not None and record.backbone == preset.backbone
    names = (record.task, record.backbone, *protocol_order(record.protocol))
    return not own, not same, is_control(record), place, *names, record.pooling


def _finished(preset: Preset | None, record: Record) -> list[str]:
    own = scores(record)
    remarks = _marks(preset, record)
    if record.training is not None:
        remarks.append(f"trained: {parts(record)}")
    if best := epochs(record):
        remarks.append(f"epochs at best: {best}")
    return [
        "here",
        record.task,
        _protocol(record.protocol),
        record.backbone,
        record.pooling,
        percent(own.macro_f1),
        percent(own.accuracy),
        percent(largest_share(record)),
        str(sum(map(sum, own.confusion))),
        "; ".join([*remarks, *_notes(record)]) or DASH,
    ]


def _unfinished(preset: Preset | None, records: Sequence[Record]) -> list[str]:
    first = records[0]
    protocols = sorted({r.protocol for r in records}, key=protocol_order)
    reason = f"{first.status}: {first.reason or 'no reason given'}"
    return [
        "here",
        first.task,
        ", ".join(map(_protocol, protocols)),
        first.backbone,
        ", ".join(sorted({r.pooling for r in records})),
        DASH,
        DASH,
        DASH,
        DASH,
        "; ".join([*_marks(preset, first), reason]),
    ]


def _marks(preset: Preset | None, record: Record) -> list[str]:
    """What sets a row apart from the published system."""
    marks = []
    if preset is not None and record.backbone != preset.backbone:
        marks.append("swapped in: not the published backbone")
    if preset is not None and record.task != preset.task:
        marks.append("another task: not what was published on")
    if is_control(record):
        marks.append("random weights")
    return marks


def _notes(record: Record) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for fold in record.folds:
        for note in fold.notes:
            counts[note] += 1
    return [
        note if len(record.folds) == 1 else f"{note} ({plural(count, 'fold')})"
        for note, count in counts.items()
    ]


def _protocol(name: str) -> str:
    return f"{name} (leaks)" if leaks(name) else name
