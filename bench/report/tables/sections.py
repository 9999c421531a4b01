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
    tuned = [record for record in found if not is_control(record)]
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
