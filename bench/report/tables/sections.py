"""Parts of the leaderboard beside the rankings: choice, leak, cost, provenance."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from bench.records.benchmarks import Benchmark
from bench.records.schema import Record, Throughput
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Table, Text
from bench.report.select import by_protocol, chosen, finished, is_control, leaks, machines
from bench.report.tables.ranking import BEST, Beside, values
from bench.report.values import DASH, decimal, millions, percent, plural, points, scored, weights

_MOST_REASONS = 12


def best_per_backbone(found: Sequence[Record], beside: Beside) -> Table:
    """One row per backbone of one task and protocol, next to its random-weights control."""
    controls = chosen(r for r in found if is_control(r))
    best = chosen(r for r in found if not is_control(r))
    columns = [*BEST, *(["macro-F1 % with random weights>"] if controls else [])]
    rows = []
    for name, record in best.items():
        row = values(record, BEST, beside)
        if controls:
            row.append(percent(controls[name].scored.macro_f1) if name in controls else DASH)
        rows.append(row)
    return Table(columns, rows)


def leak(found: Sequence[Record]) -> list[Block]:
    """How much higher the same backbones read where groups are on both sides.

    Args:
        found: finished records of one task without controls.

    Returns:
        A table and its summary for each protocol that leaks: of each backbone the row that
        validates best where groups are kept apart. Empty where no two protocols ran that differ by
        their leak alone.
    """
    own = by_protocol(found)
    fair = next((name for name, of in own.items() if not leaks(of)), None)
    if fair is None:
        return []
    leaky = [name for name, of in own.items() if leaks(of) and not of[0].folding.subset]
    compared = {name: _compared(own[fair], own[name]) for name in leaky}
    return [block for blocks in compared.values() for block in blocks]


def _compared(fair: Sequence[Record], leaky: Sequence[Record]) -> list[Block]:
    """The same rows under two protocols; empty where they have none in common."""

    def row(record: Record) -> tuple[str, str, str]:
        return record.backbone, record.pooling, record.head

    high = {row(record): record for record in leaky}
    both = [record for record in fair if row(record) in high]
    if not both:
        return []
    rows = [
        [
            *row(low),
            scored(low, "macro_f1"),
            scored(high[row(low)], "macro_f1"),
            points(high[row(low)].scored.macro_f1 - low.scored.macro_f1),
        ]
        for low in chosen(both).values()
    ]
    moved = [high[row(low)].scored.macro_f1 - low.scored.macro_f1 for low in both]
    names = fair[0].protocol, leaky[0].protocol
    columns = ("backbone", "pooling", "head", *(f"macro-F1 % {name}>" for name in names))
    return [
        Table((*columns, "difference, points>"), rows),
        Text(
            f"Over the {plural(len(both), 'combination')} of backbone, pooling and head run under "
            f"both, `{names[1]}` reads {points(statistics.median(moved))} points in the median "
            f"(from {points(min(moved))} to {points(max(moved))})."
        ),
    ]


def cost(found: Sequence[Record], benchmarks: Sequence[Benchmark]) -> list[Block]:
    """Speed and memory of each backbone, one table per machine.

    Args:
        found: finished records.
        benchmarks: encoder speeds of `tox -e perf`, of any machine.
    """
    parts: list[Block] = []
    letters = machines(found)
    for machine, letter in letters.items():
        costs: dict[tuple[str, str], dict[str, str]] = {}
        own = [(r, r.throughput) for r in found if r.throughput]
        # the longest measurement stands for the backbone; its cells share one extraction
        for record, speed in sorted(own, key=lambda of: (-of[1].audio_seconds, str(of[0].cell))):
            if speed.hardware == machine:
                costs.setdefault(
                    (record.backbone, weights(record)), _cost(record, speed, benchmarks)
                )
        rows = [list(of.values()) for _, of in sorted(costs.items())]
        name = f"{letter}: {machine}" if len(letters) > 1 else machine
        parts += [Text(f"On {escape(name)}:"), Table(list(next(iter(costs.values()))), rows)]
    return parts


def _cost(
    record: Record, throughput: Throughput, benchmarks: Sequence[Benchmark]
) -> dict[str, str]:
    """Cells of a row by their columns."""
    own = (record.task, record.backbone, record.weights.kind, throughput.hardware)
    first, best = DASH, DASH
    for b in benchmarks if record.weights.size == "full" else ():  # small models were not measured
        if (b.task, b.backbone, b.weights, b.hardware) == own:
            first = decimal(b.batch1_rtfx)
            best = f"{decimal(b.best_rtfx)} ({b.best_batch})"
    return {
        "backbone": record.backbone,
        "weights": weights(record),
        "params M>": millions(record.parameters),
        "encoder RTFx>": decimal(throughput.backbone_rtfx),
        "end-to-end RTFx>": decimal(throughput.end_to_end_rtfx),
        "batch, at most>": str(throughput.batch),
        "threads>": str(throughput.threads),
        "dtype": throughput.dtype,
        "peak memory MiB>": f"{record.memory.peak_rss_mb:.0f}" if record.memory else DASH,
        "tox -e perf RTFx, batch 1>": first,
        "tox -e perf RTFx, best (batch)>": best,
    }


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
    facts = {
        "hardware": sorted({name for s in speeds for name in (s.hardware, s.tuning_hardware)}),
        "dtype": sorted({s.dtype for s in speeds}),
        "seed": [str(n) for n in sorted({r.seed for r in done})],
        "voxgrid commit": sorted({r.provenance.git_sha or "unknown" for r in done}),
        "days": [days[0]] if len(days) == 1 else [f"{days[0]} to {days[-1]}"],
        "packages": [f"{n} {' / '.join(sorted(packages[n]))}" for n in sorted(packages)],
    }
    lines = [f"{name}: {escape(', '.join(values) or DASH)}" for name, values in facts.items()]
    if any(sha.endswith("-dirty") for sha in facts["voxgrid commit"]):
        lines.append("`-dirty`: Python files differed from the commit named")
    mixed = [name for name in ("hardware", "dtype", "seed") if len(facts[name]) > 1]
    if len(facts["voxgrid commit"]) > 1:
        mixed.append("voxgrid commit")
    if any(len(versions) > 1 for versions in packages.values()):
        mixed.append("package versions")
    blocks: list[Block] = [Bullets(lines)]
    if mixed:
        differ = ", ".join(mixed)
        blocks.append(Text(f"**Not all rows were made alike:** they differ in {differ}."))
    return blocks
