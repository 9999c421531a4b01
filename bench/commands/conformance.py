"""`voxgrid check`: what the conformance suite says of each backbone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backbones import registry
from backbones.checks import (
    CheckResult,
    Examination,
    check_golden_vectors_are_met,
    examine,
    run_check,
    write_golden,
)

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"passed": "green", "failed": "bold red"}


def registered() -> tuple[list[str], list[str]]:
    """Names of all registered backbones, and why others were left out of the registry."""
    with warnings.catch_warnings():
        # what was left out is said below, and said again where the registry was read before
        warnings.simplefilter("ignore", registry.PluginWarning)
        names = list(registry.infos())
    broken = registry.broken().items()
    return names, [f"backbone plugin '{name}' left out: {reason}" for name, reason in broken]


def examinations(
    names: Sequence[str],
    *,
    pretrained: bool,
    control: Literal["random-init"] | None = None,
) -> Iterator[Examination]:
    """Examine backbones one after the other; every name is known before the first is examined.

    Raises:
        UnknownBackbone: with the nearest known name.
    """
    for name in names:
        registry.get(name)
    for name in names:
        yield examine(name, pretrained=pretrained, control=control)


def with_golden(examination: Examination, folder: Path) -> Examination:
    """Write golden vectors where no other check failed.

    Args:
        examination: of the weights to write them for.
        folder: where to.

    Returns:
        The examination, in which the check of golden vectors is done again.

    Raises:
        BackboneError: the weights are random.
    """
    subject = examination.subject
    others = [r for r in examination.results if r.name != check_golden_vectors_are_met.__name__]
    if subject is None or not all(result.passed for result in others):
        return examination
    write_golden(subject, folder)
    again = run_check(check_golden_vectors_are_met, subject)
    results = [again if r.name == again.name else r for r in examination.results]
    return replace(examination, results=tuple(results))


def as_json(found: Sequence[Examination], left_out: Sequence[str]) -> dict[str, Any]:
    """Everything found, as JSON can hold it."""
    return {
        "passed": not left_out and all(examination.passed for examination in found),
        "left_out": list(left_out),
        "backbones": [_backbone(examination) for examination in found],
    }


def _backbone(examination: Examination) -> dict[str, Any]:
    subject = examination.subject
    return {
        "name": examination.name,
        "skipped": examination.skipped,
        "problem": examination.problem,
        "passed": examination.passed,
        "weights": None
        if subject is None
        else {
            "kind": subject.weights.kind,
            "full_size": subject.full_size,
            "sha256": subject.weights.sha,
        },
        "checks": [
            {"outcome": result.outcome, **asdict(result), "name": title(result)}
            for result in examination.results
        ],
    }


def render(examination: Examination, console: Console) -> None:
    """Print one backbone's checks as a table, and below it what to do about those that failed."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if examination.problem is not None:
        console.print(
            Text.assemble((f"{examination.name} failed ", "bold red"), examination.problem),
            soft_wrap=True,
        )
        return
    if examination.subject is None:
        console.print(
            Text.assemble((examination.name, "bold"), " not checked: ", examination.skipped or ""),
            soft_wrap=True,
        )
        return
    table = Table(
        title=f"{examination.name}, {_weights(examination)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("check", no_wrap=True, overflow="fold")
    table.add_column("outcome")
    table.add_column("measured; limit", overflow="fold")
    for result in examination.results:
        if result.outcome != "skipped":
            table.add_row(
                Text(title(result)),
                Text(result.outcome, style=_STYLES[result.outcome]),
                Text(f"{result.measured}; {result.limit}"),
            )
    console.print(table)
    for reason, names in _skipped(examination).items():
        console.print(
            Text.assemble(("skipped ", "yellow"), f"{', '.join(names)}: {reason}"), soft_wrap=True
        )
    for result in examination.results:
        if result.outcome == "failed":
            console.print(
                Text.assemble(
                    ("failed ", "bold red"),
                    f"{title(result)}: {result.problem}; measured {result.measured}, limit "
                    f"{result.limit}\n  → {result.remedy}",
                ),
                soft_wrap=True,
            )


def _skipped(examination: Examination) -> dict[str, list[str]]:
    """Checks that did not apply, by reason."""
    found: dict[str, list[str]] = {}
    for result in examination.results:
        if result.outcome == "skipped":
            found.setdefault(result.skipped or "", []).append(title(result))
    return found


def summary(found: Sequence[Examination], left_out: Sequence[str], asked: int) -> str:
    """How many backbones were checked, and that none is missing without a reason.

    Args:
        found: what was examined.
        left_out: plugins that could not be registered, with the reason.
        asked: number of backbones that were to be examined.

    Raises:
        RuntimeError: a backbone was neither checked nor skipped.
    """
    skipped = [e for e in found if e.subject is None and e.problem is None]
    unusable = [e for e in found if e.problem is not None]
    failed = [e.name for e in found if not e.passed]
    if len(found) != asked or any(e.skipped is None for e in skipped):
        raise RuntimeError(f"{asked} backbones to check, but {len(found)} were looked at")
    parts = [f"{len(found) - len(skipped) - len(unusable)} of {asked} backbones checked"]
    if skipped:
        parts.append(f"{len(skipped)} skipped ({', '.join(e.name for e in skipped)})")
    parts.append(f"{len(failed)} failed" + (f" ({', '.join(failed)})" if failed else ""))
    return ", ".join(parts) + "".join(f"\n{reason}" for reason in left_out)


def title(result: CheckResult) -> str:
    """The name of a check as words."""
    return result.name.removeprefix("check_").replace("_", " ")


def _weights(examination: Examination) -> str:
    assert examination.subject is not None
    weights = examination.subject.weights
    if weights.kind == "none":
        return "no weights"
    if weights.kind == "pretrained":
        return f"weights {(weights.sha or '')[:12]}"
    if weights.kind == "random-init" and weights.size == "full":
        return "random weights at the published size"
    return "a small random network (real weights: --pretrained)"
