"""Published systems: what was published, what the same recipe gives here, and what differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bench.records.schema import PublishedSystem, Record
from bench.report.figures import curves
from bench.report.markdown import escape, opening
from bench.report.page import Block, Bullets, Heading, Image, Table, Text
from bench.report.select import by_protocol, finished, is_control, leaks
from bench.report.tables.ranking import largest_share
from bench.report.tables.training import epochs, parts
from bench.report.values import DASH, percent, plural, scored

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


def systems(found: Sequence[Record], level: int) -> Iterator[Block]:
    """A table for every preset that records are of: the published row, and what came of it here.

    Records without a preset are not looked at.
    """
    own = _by_preset(found)
    if own:
        yield Text(ABOUT)
    for name, records in own.items():
        system = _system(records)
        rows = [_published(system), *_measured(system, records)]
        if all(_marks(system, record) for record in records):
            rows.append(_not_run(name, system))
        yield Heading(level, name)
        yield Text(f"{opening(system.summary)}. Head: {records[0].head}, on the last layer.")
        yield Table(_COLUMNS, rows)
        notes = [f"not documented: {escape(sentence)}" for sentence in system.undocumented]
        notes += [f"differs: {escape(sentence)}" for sentence in system.differs]
        about_clips = {(record.task, note) for record in records for note in record.notes}
        notes += [f"{task}: {escape(note)}." for task, note in sorted(about_clips)]
        if notes:
            yield Bullets(notes)
        yield from map(Image, curves.wanted(records))


def on_generated_clips(found: Sequence[Record], level: int) -> Iterator[Block]:
    """The rows of presets on sample tasks, without the published figures, which do not compare.

    Records without a preset are not looked at.
    """
    for name, own in _by_preset(found).items():
        yield Heading(level, name)
        yield Table(_COLUMNS, _measured(_system(own), own))


def _by_preset(found: Sequence[Record]) -> dict[str, list[Record]]:
    own: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        if record.preset is not None:
            own[record.preset].append(record)
    return dict(sorted(own.items()))


def _system(own: Sequence[Record]) -> PublishedSystem:
    """What the latest record says of the system."""
    system = max(own, key=lambda record: record.provenance.utc).published
    assert system is not None
    return system


def _published(system: PublishedSystem) -> list[str]:
    figures = system.figures
    remarks = [f"{name} {figures[name]} %" for name in ("precision", "recall") if name in figures]
    shown = {
        "row": "published",
        "task": system.task,
        "backbone": system.backbone,
        "macro-F1 %>": figures.get("macro_f1", DASH),
        "accuracy %>": figures.get("accuracy", DASH),
    }
    return _row(shown, [*remarks, f"measured on {system.measured_on}"])


def _not_run(name: str, system: PublishedSystem) -> list[str]:
    shown = {
        "task": system.task,
        "protocol": ", ".join(system.protocols),
        "backbone": system.backbone,
        "pooling": ", ".join(system.poolings),
    }
    return _row(shown, [f"not run: `voxgrid run --preset {name}` runs it"])


def _row(shown: Mapping[str, str], remarks: Sequence[str]) -> list[str]:
    """One row of `_COLUMNS`, of something here unless it says otherwise."""
    values = {"row": "here", "remarks": "; ".join(remarks) or DASH, **shown}
    return [values.get(column, DASH) for column in _COLUMNS]


def _measured(system: PublishedSystem, own: Sequence[Record]) -> list[list[str]]:
    """Rows of what ran, then one for each reason why something did not."""
    done = sorted(finished(own), key=lambda record: _order(system, record))
    gone: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in own:
        if record.status != "ok":
            reason = record.reason or "no reason given"
            marks = "; ".join(_marks(system, record))
            key = (record.task, record.backbone, marks, record.status, reason)
            gone[key].append(record)
    return [_finished(system, record) for record in done] + [
        _unfinished(system, records, reason) for (*_, reason), records in sorted(gone.items())
    ]


def _order(system: PublishedSystem, record: Record) -> tuple[object, ...]:
    """The published task and backbone first, and protocols in the order of the system."""
    known = system.protocols
    place = known.index(record.protocol) if record.protocol in known else len(known)
    fair = (record.folding.leaks, record.protocol)
    swapped = (record.task != system.task, record.backbone != system.backbone)
    return *swapped, is_control(record), place, record.task, record.backbone, fair, record.pooling


def _finished(system: PublishedSystem, record: Record) -> list[str]:
    remarks = _marks(system, record)
    if record.training is not None and (part := parts(record)):
        remarks.append(f"trained: {part}")
    if best := epochs(record):
        remarks.append(f"epochs at best: {best}")
    shown = {
        "task": record.task,
        "protocol": _protocol([record]),
        "backbone": record.backbone,
        "pooling": record.pooling,
        "macro-F1 %>": scored(record, "macro_f1"),
        "accuracy %>": scored(record, "accuracy"),
        "largest class %>": percent(largest_share(record)),
        "clips tested>": str(sum(map(sum, record.scored.confusion))),
    }
    return _row(shown, [*remarks, *_notes(record)])


def _unfinished(system: PublishedSystem, records: Sequence[Record], reason: str) -> list[str]:
    first = records[0]
    shown = {
        "task": first.task,
        "protocol": ", ".join(map(_protocol, by_protocol(records).values())),
        "backbone": first.backbone,
        "pooling": ", ".join(sorted({r.pooling for r in records})),
    }
    return _row(shown, [*_marks(system, first), f"{first.status}: {reason}"])


def _marks(system: PublishedSystem, record: Record) -> list[str]:
    """What sets a row apart from the published system."""
    marks = []
    if record.backbone != system.backbone:
        marks.append("swapped in: not the published backbone")
    if record.pooling not in system.poolings:
        marks.append("another pooling: not the published one")
    if record.task != system.task:
        marks.append("another task: not what was published on")
    if is_control(record):
        marks.append("random weights")
    return marks


def _notes(record: Record) -> list[str]:
    counts = Counter(note for fold in record.folds for note in fold.notes)
    return [
        note if len(record.folds) == 1 else f"{note} ({plural(count, 'fold')})"
        for note, count in counts.items()
    ]


def _protocol(own: Sequence[Record]) -> str:
    return f"{own[0].protocol} (leaks)" if leaks(own) else own[0].protocol
