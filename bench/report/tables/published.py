"""Published systems: what was published, what the same recipe gives here, and what differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.records.schema import PublishedSystem, Record
from bench.report.figures import curves
from bench.report.markdown import code, escape, opening
from bench.report.page import Block, Bullets, Heading, Image, Link, Table, Text
from bench.report.select import finished, is_control
from bench.report.tables.ranking import largest_share
from bench.report.tables.training import epochs, parts
from bench.report.values import DASH, percent, plural, scored

TITLE = "Published systems"
_ROW = (
    "Each row is a published system and one untuned run of its recipe here, the nearest to how it "
    "was published of those that ran. Where the last column names another task, backbone, protocol "
    "or pooling, or random weights, the two figures measure different things and do not compare. "
    "Published figures were not measured here; the rest stands behind the names."
)
_OVERVIEW = ("system", "run here on", "published %", "here %", "clips tested>", "what differs")
_ABOUT = (
    "Systems others have published, run as they are: nothing is tuned, hence one fit per fold. "
    "They take no part in rankings. What was **published** is as reported by the authors and was "
    "not measured here. **Largest class**: accuracy of always answering it on the clips tested. "
    "*(leaks)*: clips of one speaker or channel are on both sides of the split."
)
_SCORES = ("macro-F1 %>", "accuracy %>", "largest class %>", "clips tested>")
_HERE = ("task", "protocol", "backbone", "pooling", *_SCORES, "remarks")
# Figures of a published system that rows have too, and those that they have not.
_COMPARED = {"macro_f1": "macro-F1", "accuracy": "accuracy"}
_TOLD = {"precision": "precision", "recall": "recall"}


def overview(found: Sequence[Record], details: str) -> list[Block]:
    """A row for each system with a result, and the names of those without.

    Args:
        found: records of real tasks; those without a preset are not looked at.
        details: the file of `systems`, as it is found from the page.
    """
    rows: list[list[str | Link]] = [
        [
            Link(name, details, name),
            f"{own[0].task}, {_protocol(own[0])}",
            ", ".join(_figures(system, _COMPARED)) or DASH,
            f"macro-F1 {scored(own[0], 'macro_f1')}, accuracy {scored(own[0], 'accuracy')}",
            _tested(own[0]),
            ", ".join(_marks(system, own[0])) or "only what its page lists",
        ]
        for name, system, own in _systems(found)
    ]
    said = [_ROW] if rows else []
    if missing := {r.preset for r in found if r.preset} - {r.preset for r in finished(found)}:
        said.append(
            f"Without a result so far: {', '.join(map(code, sorted(missing)))}; `voxgrid run "
            "--preset NAME` runs one, and why it was skipped or failed stands below."
        )
    blocks: list[Block] = [Text(" ".join(said))] if said else []
    return [*blocks, Table(_OVERVIEW, rows)] if rows else blocks


def systems(found: Sequence[Record], level: int) -> Iterator[Block]:
    """All rows of every system with a result, and what is known of how they came about."""
    yield Text(_ABOUT)
    for name, system, own in _systems(found):
        told = [*_figures(system, _COMPARED | _TOLD, " %"), f"measured on {system.measured_on}"]
        published = f"on {system.task} with {system.backbone}: {'; '.join(told)}"
        yield Heading(level, name)
        yield Text(f"{opening(system.summary)}. Head: {own[0].head}, on the last layer.")
        yield Text(f"**Published** {escape(published)}.")
        yield Table(_HERE, [_here(system, record) for record in own])
        notes = [f"not documented: {escape(sentence)}" for sentence in system.undocumented]
        notes += [f"differs: {escape(sentence)}" for sentence in system.differs]
        about_clips = {(record.task, note) for record in own for note in record.notes}
        notes += [f"{task}: {escape(note)}." for task, note in sorted(about_clips)]
        if notes:
            yield Bullets(notes)
        yield from map(Image, curves.wanted(own))


def on_generated_clips(found: Sequence[Record]) -> list[Block]:
    """The rows of presets on sample tasks, without the published figures, which do not compare."""
    rows = [[name, *_here(system, r)] for name, system, own in _systems(found) for r in own]
    return [Table(("system", *_HERE), rows)] if rows else []


def _systems(found: Iterable[Record]) -> Iterator[tuple[str, PublishedSystem, list[Record]]]:
    """Each as its latest finished record tells it, with these, the nearest to it first."""
    by_preset: dict[str, list[Record]] = defaultdict(list)
    for record in finished(found):
        if record.preset is not None:
            by_preset[record.preset].append(record)
    for name, own in sorted(by_preset.items()):
        system = max(own, key=lambda record: record.provenance.utc).published
        assert system is not None
        yield name, system, _nearest_first(system, own)


def _nearest_first(system: PublishedSystem, own: Sequence[Record]) -> list[Record]:
    """The published task and backbone first, and protocols in the order of the system."""
    known = system.protocols

    def order(record: Record) -> tuple[object, ...]:
        place = known.index(record.protocol) if record.protocol in known else len(known)
        fair = (record.folding.leaks, record.protocol)
        swapped = (record.task != system.task, record.backbone != system.backbone)
        pooled = (record.pooling not in system.poolings, record.pooling)
        return (*swapped, is_control(record), place, record.task, record.backbone, fair, *pooled)

    return sorted(own, key=order)


def _figures(system: PublishedSystem, named: Mapping[str, str], unit: str = "") -> list[str]:
    told = {str(key): figure for key, figure in system.figures.items()}
    return [f"{name} {told[key]}{unit}" for key, name in named.items() if key in told]


def _here(system: PublishedSystem, record: Record) -> list[str]:
    """Cells of `_HERE` of a finished record."""
    remarks = _marks(system, record)
    if record.training is not None and (part := parts(record)):
        remarks.append(f"trained: {part}")
    if best := epochs(record):
        remarks.append(f"epochs at best: {best}")
    counts = Counter(note for fold in record.folds for note in fold.notes)
    remarks += [f"{note} ({plural(count, 'fold')})" for note, count in counts.items()]
    row = [record.task, _protocol(record), record.backbone, record.pooling]
    row += [scored(record, "macro_f1"), scored(record, "accuracy")]
    return [*row, percent(largest_share(record)), _tested(record), "; ".join(remarks) or DASH]


def _marks(system: PublishedSystem, record: Record) -> list[str]:
    """What sets a row apart from the published system."""
    same_task = record.task == system.task  # of another, another protocol goes without saying
    marks = {
        "another task": not same_task,
        f"another backbone: {record.backbone}": record.backbone != system.backbone,
        "another pooling": record.pooling not in system.poolings,
        "another protocol": same_task and record.protocol not in system.protocols[:1],
        "random weights": is_control(record),
    }
    return [mark for mark, set_apart in marks.items() if set_apart]


def _protocol(record: Record) -> str:
    return f"{record.protocol} (leaks)" if record.folding.leaks else record.protocol


def _tested(record: Record) -> str:
    """How many clips."""
    return str(sum(map(sum, record.scored.confusion)))
