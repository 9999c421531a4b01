"""`voxgrid check`: what the conformance suites say of heads and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.commands import checking
from bench.commands.checking import Result, Subject

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
# checks of another suite than ours, which is one row where all is well
_FOREIGN = "scikit-learn's "


@dataclass(frozen=True)
class Examined:
    """A head or task, and one result for each check."""

    subject: Subject
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(result.problem is None for result in self.results)


def examine(subject: Subject) -> Examined:
    """Run the suite of a head or task."""
    return Examined(subject, tuple(checking.results(subject)))


def render(examined: Examined, console: Console) -> None:
    """Print the checks as a table, and below it what failed and what was skipped, and why."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{examined.subject.name}, a {examined.subject.kind}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("check", overflow="fold")
    table.add_column("outcome")
    ours = [r for r in examined.results if not r.name.startswith(_FOREIGN)]
    foreign = [r for r in examined.results if r.name.startswith(_FOREIGN)]
    for result in ours:
        outcome = _outcome(result)
        table.add_row(Text(_title(result)), Text(outcome, style=_STYLES[outcome]))
    if foreign:
        outcomes = [_outcome(result) for result in foreign]
        outcome = "failed" if "failed" in outcomes else "passed"
        count = f"{outcomes.count(outcome)} of {len(outcomes)} {outcome}"
        table.add_row(Text("scikit-learn's check_estimator"), Text(count, style=_STYLES[outcome]))
    console.print(table)
    for reason, titles in _skipped(examined).items():
        console.print(
            Text.assemble(("skipped ", "yellow"), f"{', '.join(titles)}: {reason}"), soft_wrap=True
        )
    for result in examined.results:
        if result.problem is not None:
            console.print(
                Text.assemble(("failed ", "bold red"), f"{_title(result)}: {result.problem}"),
                soft_wrap=True,
            )


def summary(examined: Sequence[Examined]) -> str:
    """How many were checked, and which failed."""
    failed = [each.subject.name for each in examined if not each.passed]
    kinds = [each.subject.kind for each in examined]
    counts = [
        f"{kinds.count(kind)} {kind}{'s' if kinds.count(kind) > 1 else ''}"
        for kind in dict.fromkeys(kinds)
    ]
    names = f" ({', '.join(failed)})" if failed else ""
    return f"{' and '.join(counts)} checked, {len(failed)} failed{names}"


def as_json(examined: Sequence[Examined]) -> dict[str, list[dict[str, Any]]]:
    """Everything found, by kind, as JSON can hold it."""
    found: dict[str, list[dict[str, Any]]] = {"heads": [], "tasks": []}
    for each in examined:
        found[f"{each.subject.kind}s"].append(
            {
                "name": each.subject.name,
                "passed": each.passed,
                "checks": [
                    {
                        "name": _title(result),
                        "outcome": _outcome(result),
                        "problem": result.problem,
                        "skipped": result.skipped,
                    }
                    for result in each.results
                ],
            }
        )
    return found


def _skipped(examined: Examined) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in examined.results:
        if result.skipped is not None:
            found.setdefault(result.skipped, []).append(_title(result))
    return found


def _outcome(result: Result) -> str:
    if result.problem is not None:
        return "failed"
    return "passed" if result.skipped is None else "skipped"


def _title(result: Result) -> str:
    return result.name.replace("check_", "").replace("_", " ")
