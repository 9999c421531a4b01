"""`voxgrid check`: what the conformance suites say of backbones, heads and tasks."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands.options import as_own_data, with_own_data
from bench.commands.shell import completion, echo, interruptible
from bench.errors import UserError, nearest
from bench.plugins import BACKBONES, HEADS, PluginWarning, Registry
from bench.tasks import TASKS
from bench.tasks.own.task import declare

if TYPE_CHECKING:
    from backbones.checks import CheckResult as Measured
    from bench.terminal import Terminal
    from heads.checks import CheckResult

    Result = Measured | CheckResult

Kind = Literal["backbone", "head", "task"]

REGISTRIES: dict[Kind, Registry[Any]] = {"backbone": BACKBONES, "head": HEADS, "task": TASKS}

_STYLES = {"passed": "green", "failed": "bold red"}
# checks of another suite than ours, which is one row where all is well
_FOREIGN = "scikit-learn's "


@dataclass(frozen=True)
class Checkable:
    """Something that can be checked."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class Examined:
    """A subject and what its suite says of it."""

    subject: Checkable
    results: tuple[Result, ...]  # one for each check
    about: str  # what it is, or with which weights it was checked
    # of a backbone: kind, whether its size is the published one, and sha256
    weights: dict[str, Any] | None = None
    skipped: str | None = None  # why it was not checked
    problem: str | None = None  # why it could not be checked

    @property
    def passed(self) -> bool:
        """Whether no check failed, and weights that were asked for could be used."""
        return self.problem is None and all(result.passed for result in self.results)


@interruptible
@with_own_data
def check(
    given: dict[str, Any],
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backbones, heads, tasks, or paths of your own data; default: all backbones.",
            metavar="[NAME]...",
            autocompletion=completion(
                lambda: (name for registry in REGISTRIES.values() for name in registry.names())
            ),
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="With real weights, not a small random network.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(help="'random-init': with random weights at the published size."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
    write_golden: Annotated[
        Path | None,
        typer.Option(
            help="Where nothing else failed, write what the weights give into this folder. "
            "It belongs next to the plugin's file, under the name 'golden'."
        ),
    ] = None,
) -> None:
    """Check that backbones (or heads, or tasks) keep the contract: padding, lengths and more."""
    from bench.terminal import Terminal

    broken = broken_plugins()
    wanted = [subject for name in asked or () for subject in subjects(name, given)]
    if not asked:
        wanted = [Checkable("backbone", name) for name in BACKBONES.names()]
    problems = [
        f"backbone plugin '{name}' left out: {reason}"
        for kind, name, reason in broken
        if kind == "backbone" and not asked
    ]
    if pretrained and control:
        raise UserError("--pretrained and --control ask for different weights: leave out one")
    if control not in (None, "random-init"):
        raise UserError(f"--control knows only 'random-init', not '{control}'")
    if pretrained or control or write_golden is not None:
        for other in wanted:
            if other.kind != "backbone":
                raise UserError(f"{other.name} is a {other.kind}: leave out the options of weights")
    console = Terminal()
    random: Literal["random-init"] | None = "random-init" if control else None
    found = []
    for subject in wanted:
        examined = examine(subject, pretrained=pretrained, control=random, golden=write_golden)
        if asked and examined.skipped:
            raise UserError(f"{subject.name} cannot be checked: {examined.skipped}")
        found.append(examined)
        if not as_json:
            render(examined, console)
    if as_json:
        echo(json.dumps(listing(found, problems), indent=1))
    echo("\n".join([summary(found), *problems]), err=as_json)
    if problems or not all(examined.passed for examined in found):
        raise typer.Exit(1)


def broken_plugins() -> list[tuple[Kind, str, str]]:
    """Kind, name and reason of every plugin that was left out; warns of none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        return [
            (kind, name, reason)
            for kind, registry in REGISTRIES.items()
            for name, reason in registry.broken().items()
        ]


def subjects(name: str, given: dict[str, Any]) -> tuple[Checkable, ...]:
    """What there is of a name (or an address, such as `hf:...`): as a rule one subject.

    A path is a task of one's own data, read as options say.

    Raises:
        UserError: nothing has this name (the message offers the nearest), or what has is broken.
        BackboneError: there is nothing usable at an address.
    """
    if ":" in name:
        BACKBONES.get(name)
        return (Checkable("backbone", name),)
    found = [kind for kind, registry in REGISTRIES.items() if name in registry.names()]
    if found:
        return tuple(Checkable(kind, name) for kind in found)
    if Path(name).exists():
        task, own = as_own_data(name, given)
        declare({task: own})
        return (Checkable("task", task),)
    for registry in REGISTRIES.values():
        if name in registry.broken():
            registry.get(name)  # which says why it cannot be had
    known = [other for registry in REGISTRIES.values() for other in registry.names()]
    raise UserError(f"no backbone, head or task is called '{name}': {nearest(name, known)}")


def examine(
    subject: Checkable,
    *,
    pretrained: bool = False,
    control: Literal["random-init"] | None = None,
    golden: Path | None = None,
) -> Examined:
    """Run the suite of a subject; the options are those of the command.

    Raises:
        BackboneError: golden vectors are asked for, and the weights are random.
    """
    if subject.kind == "head":
        from heads.checks import check_head

        classes = [cls for _, cls in sorted(HEADS.get(subject.name).items(), reverse=True)]
        return Examined(subject, tuple(chain(*map(check_head, classes))), "a head")  # vectors first
    if subject.kind == "task":
        from bench.tasks.checks import check_task

        return Examined(subject, tuple(check_task(TASKS.get(subject.name))), "a task")
    from backbones import checks

    found = checks.examine(BACKBONES.get(subject.name), pretrained=pretrained, control=control)
    if found.subject is None:
        return Examined(subject, (), "a backbone", None, found.skipped, found.problem)
    results = found.results
    name = checks.check_golden_vectors_are_met.__name__
    if golden and all(result.passed for result in results if result.name != name):
        checks.write_golden(found.subject, golden)
        again = checks.run_check(checks.check_golden_vectors_are_met, found.subject)
        results = tuple(again if result.name == name else result for result in results)
    used = found.subject.weights
    about = {
        "none": "no weights",
        "pretrained": f"weights {(used.sha or '')[:12]}",
        "random-init": "random weights at the published size"
        if used.size == "full"
        else "a small random network (real weights: --pretrained)",
    }[used.kind]
    weights = {"kind": used.kind, "full_size": found.subject.full_size, "sha256": used.sha}
    return Examined(subject, results, about, weights)


def render(examined: Examined, console: Terminal) -> None:
    """Print the checks as a table, and below it what was skipped, and what to do about failures."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def say(word: str, style: str, text: str) -> None:
        console.print(Text.assemble((word, style), text), soft_wrap=True)

    name = examined.subject.name
    if examined.problem is not None:
        return say(f"{name} failed ", "bold red", examined.problem)
    if examined.skipped is not None:
        return say(name, "bold", f" not checked: {examined.skipped}")
    table = Table(
        title=Text(f"{name}, {examined.about}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    measured = examined.subject.kind == "backbone"
    table.add_column("check", no_wrap=measured, overflow="fold")
    table.add_column("outcome")
    if measured:
        table.add_column("measured; limit", overflow="fold")
    skipped: dict[str, list[str]] = {}
    foreign = []
    for result in examined.results:
        outcome = _outcome(result)
        if result.skipped is not None:
            skipped.setdefault(result.skipped, []).append(_title(result))
        if result.name.startswith(_FOREIGN):
            foreign.append(outcome)
        elif outcome != "skipped":
            cells = [Text(_title(result)), Text(outcome, style=_STYLES[outcome])]
            found = asdict(result)
            if measured:
                cells.append(Text(f"{found['measured']}; {found['limit']}"))
            table.add_row(*cells)
    if foreign:
        outcome = "failed" if "failed" in foreign else "passed"
        count = f"{foreign.count(outcome)} of {len(foreign)} {outcome}"
        table.add_row(Text("scikit-learn's check_estimator"), Text(count, style=_STYLES[outcome]))
    console.print(table)
    for reason, titles in skipped.items():
        say("skipped ", "yellow", f"{', '.join(titles)}: {reason}")
    for result in examined.results:
        if result.problem is not None:
            found = asdict(result)
            advice = (
                f"; measured {found['measured']}, limit {found['limit']}\n  → {found['remedy']}"
                if measured
                else ""
            )
            say("failed ", "bold red", f"{_title(result)}: {result.problem}{advice}")
    return None


def summary(found: Sequence[Examined]) -> str:
    """How many of each kind were checked, which were skipped and which failed."""
    asked = Counter(each.subject.kind for each in found)
    checked = Counter(each.subject.kind for each in found if not (each.skipped or each.problem))
    counts = [f"{checked[kind]} of {number} {kind}s" for kind, number in asked.items()]
    parts = [f"{' and '.join(counts) or 'nothing'} checked"]
    skipped = [examined.subject.name for examined in found if examined.skipped]
    failed = [examined.subject.name for examined in found if not examined.passed]
    if skipped:
        parts.append(f"{len(skipped)} skipped ({', '.join(skipped)})")
    parts.append(f"{len(failed)} failed" + (f" ({', '.join(failed)})" if failed else ""))
    return ", ".join(parts)


def listing(found: Sequence[Examined], left_out: Sequence[str]) -> dict[str, Any]:
    """Everything found, by kind, as JSON can hold it."""
    by_kind: dict[str, list[dict[str, Any]]] = {f"{kind}s": [] for kind in REGISTRIES}
    for examined in found:
        by_kind[f"{examined.subject.kind}s"].append(
            {
                "name": examined.subject.name,
                "skipped": examined.skipped,
                "problem": examined.problem,
                "passed": examined.passed,
                "weights": examined.weights,
                "checks": [
                    {"outcome": _outcome(result), **asdict(result), "name": _title(result)}
                    for result in examined.results
                ],
            }
        )
    passed = not left_out and all(examined.passed for examined in found)
    return {"passed": passed, "left_out": list(left_out), **by_kind}


def _outcome(result: Result) -> str:
    if result.problem is not None:
        return "failed"
    return "passed" if result.skipped is None else "skipped"


def _title(result: Result) -> str:
    """The name of a check as words."""
    return result.name.replace("check_", "").replace("_", " ")
