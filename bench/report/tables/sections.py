"""Parts of the leaderboard beside the rankings: choice, leak, cost, provenance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.records.benchmarks import Benchmark
from bench.records.schema import Record, Throughput
from bench.report.beside import Beside
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Table, Text
from bench.report.select import chosen, finished, is_control, machines, ranked
from bench.report.tables.ranking import BEST, values
from bench.report.values import DASH, decimal, millions, plural, weights

_MOST_REASONS = 12


def best_per_backbone(found: Sequence[Record], beside: Beside) -> Table:
    """One row per backbone of one task and protocol, beside what stands higher on test.

    Validation scores of heads trained epoch by epoch are each the best of several epochs: such a
    row is chosen only where a backbone has no other.
    """
    tuned = [record for record in found if not is_control(record) and not record.fused]
    plain = {record.backbone for record in tuned if record.training is None}
    alike = [r for r in tuned if r.training is None or r.backbone not in plain]
    first: dict[str, Record] = {}
    for record in ranked(tuned):
        first.setdefault(record.backbone, record)
    rows = [
        [*values(record, BEST, beside), _higher(first[name], record, beside)]
        for name, record in chosen(alike).items()
    ]
    return Table((*BEST, "higher on test"), rows)


def _higher(first: Record, chosen: Record, beside: Beside) -> str:
    if first is chosen:
        return DASH
    return f"{first.pooling}, {first.head}: {beside.macro_f1(first)}"


def cost(found: Sequence[Record], benchmarks: Sequence[Benchmark]) -> list[Block]:
    """Speed and memory of each backbone on each machine.

    Args:
        found: finished records.
        benchmarks: encoder speeds of `tox -e perf`, of any machine.
    """
    letters = machines(found)
    real = {r.backbone for r in found if not is_control(r)}
    costs: dict[tuple[str, str, str], tuple[Record, Throughput]] = {}
    # what a fusion costs is the sum of its backbones
    own = [(r, r.throughput) for r in found if r.throughput and not r.fused]
    # the longest measurement stands for the backbone; its cells share one extraction
    for record, speed in sorted(own, key=_longest_first):
        # a control is the same network
        if not (is_control(record) and record.backbone in real):
            key = letters[speed.hardware], record.backbone, weights(record)
            costs.setdefault(key, (record, speed))
    if not costs:
        return []
    on = ", ".join(
        f"{escape(f'{letter}: {machine}' if len(letters) > 1 else machine)}"
        for machine, letter in letters.items()
    )
    alike = {(speed.dtype, speed.threads) for _, speed in costs.values()}
    made = "; ".join(f"{dtype}, {plural(threads, 'thread')}" for dtype, threads in sorted(alike))
    rows = [
        [letter, *_cost(record, speed, benchmarks)]
        for (letter, *_), (record, speed) in sorted(costs.items(), key=lambda each: each[0])
    ]
    differs = {r.backbone: r.differs for r in found if r.differs and not r.fused}
    said = [f"{escape(name)} {escape(what)}." for name, what in sorted(differs.items())]
    about = " ".join([f"On {on} ({escape(made)}). {_COST}", *said])
    return [Text(about), Table(("on", *_COSTS), rows)]


def _longest_first(measured: tuple[Record, Throughput]) -> tuple[object, ...]:
    """Of equally long ones, first what tells the memory before the first clip too."""
    record, speed = measured
    told = record.memory is not None and record.memory.loaded_rss_mb is not None
    return -speed.audio_seconds, not told, str(record.cell)


_COST = (
    "**RTFx** is seconds of audio per second of computing: of the encoder in the run; of the run "
    "with decoding and all else; and of the encoder alone on ready waves, at the fastest batch "
    "tried by `tox -e perf`. **Memory** is the most that the extracting process held, in brackets "
    "what it held before its first clip: libraries and weights. Of several measurements of a "
    "backbone on one machine the fastest stands for all its rows."
)
_COSTS = (
    "backbone",
    "weights",
    "params M>",
    "encoder RTFx (batch, at most)>",
    "end-to-end RTFx>",
    "encoder alone RTFx (batch)>",
    "memory MiB (before the first clip)>",
)


def _memory(record: Record) -> str:
    if record.memory is None:
        return DASH
    loaded = record.memory.loaded_rss_mb
    before = "" if loaded is None else f" ({loaded:.0f})"
    return f"{record.memory.peak_rss_mb:.0f}{before}"


def _cost(record: Record, speed: Throughput, benchmarks: Sequence[Benchmark]) -> list[str]:
    """Cells of `_COSTS`."""
    own = (record.task, record.backbone, record.weights.kind, speed.hardware)
    alone = DASH
    for b in benchmarks if record.weights.size == "full" else ():  # small models were not measured
        if (b.task, b.backbone, b.weights, b.hardware) == own:
            alone = f"{decimal(b.best_rtfx)} ({b.best_batch})"
    return [
        record.backbone,
        weights(record),
        millions(record.parameters),
        f"{decimal(speed.backbone_rtfx)} ({speed.batch})",
        decimal(speed.end_to_end_rtfx),
        alone,
        _memory(record),
    ]


def left_out(found: Sequence[Record]) -> list[Block]:
    """Clips that were not used, by reason."""
    clips: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in found:
        for excluded in record.excluded:
            clips[record.task, excluded.reason].add(excluded.clip)
    if not clips:
        return []
    total = len({(task, clip) for (task, _), names in clips.items() for clip in names})
    lines = []
    by_size = sorted(clips.items(), key=lambda item: (-len(item[1]), item[0]))
    for (task, reason), names in by_size[:_MOST_REASONS]:
        shown = ", ".join(map(code, sorted(names)[:3]))
        more = ", …" if len(names) > 3 else ""
        lines.append(f"{task}, {len(names)}: {escape(reason)} ({shown}{more})")
    if len(by_size) > _MOST_REASONS:
        lines.append(f"and {len(by_size) - _MOST_REASONS} more reasons, in the records")
    return [Text(f"{plural(total, 'clip')} left out:"), Bullets(lines)]


def measured_on(found: Sequence[Record]) -> list[Block]:
    """Machines, versions and settings behind the finished records, and where they differ."""
    done = finished(found)
    if not done:
        return []
    speeds = [r.throughput for r in done if r.throughput]
    packages: dict[str, set[str]] = defaultdict(set)
    for record in done:
        for name, version in record.provenance.packages.items():
            packages[name].add(version)
    days = sorted({r.provenance.utc[:10] for r in done})
    commits = sorted({_short(r.provenance.git_sha) for r in done})
    facts = {
        "hardware": sorted({name for s in speeds for name in (s.hardware, s.tuning_hardware)}),
        "dtype": sorted({s.dtype for s in speeds}),
        "seed": [str(n) for n in sorted({r.seed for r in done})],
        "voxgrid commit": commits,
    }
    versions = [f"{n} {' / '.join(sorted(packages[n]))}" for n in sorted(packages)]
    told = {name: f"{name}: {escape(', '.join(of) or DASH)}" for name, of in facts.items()}
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    lines = [
        f"days: {escape(when)}; {told['dtype']}; {told['seed']}",
        told["hardware"],
        told["voxgrid commit"],
        f"packages: {escape(', '.join(versions))}",
    ]
    if any(commit.endswith("-dirty") for commit in commits):
        lines.append("`-dirty`: Python files differed from the commit named")
    mixed = [name for name, values in facts.items() if len(values) > 1]
    if any(len(of) > 1 for of in packages.values()):
        mixed.append("package versions")
    if mixed:
        lines.append(f"**Not all rows were made alike:** they differ in {', '.join(mixed)}.")
    return [Bullets(lines)]


def _short(commit: str | None) -> str:
    """As much of a commit as tells it from others."""
    if commit is None:
        return "unknown"
    name, dash, dirty = commit.partition("-")
    return f"{name[:10]}{dash}{dirty}"
