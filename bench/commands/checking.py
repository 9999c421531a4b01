"""`voxgrid check NAME`: which conformance suite a name asks for, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from backbones import registry as backbone_registry
from bench import tasks
from bench.errors import UserError, nearest
from heads import registry as head_registry

Kind = Literal["backbone", "head", "task"]


class Result(Protocol):
    """Outcome of one check, of whichever suite."""

    @property
    def name(self) -> str:
        """Name of the check."""
        ...

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence; None where nothing was found."""
        ...

    @property
    def skipped(self) -> str | None:
        """Why the check was not done; None where it was."""
        ...

    @property
    def passed(self) -> bool:
        """Whether the check found nothing, be it that there was nothing to look at."""
        ...


@dataclass(frozen=True)
class Subject:
    """Something that can be checked."""

    kind: Kind
    name: str


def subjects(name: str) -> tuple[Subject, ...]:
    """What there is of a name: as a rule one backbone, head or task.

    Args:
        name: of a backbone (or its address, such as `hf:...`), head or task.

    Raises:
        UserError: nothing has this name (the message offers the nearest), or what has is broken.
        BackboneError: there is nothing usable at an address.
    """
    if ":" in name:
        backbone_registry.get(name)
        return (Subject("backbone", name),)
    found = tuple(Subject(kind, name) for kind, known in names().items() if name in known)
    if found:
        return found
    for kind, failures in broken().items():
        if name in failures:
            raise UserError(f"{kind} '{name}' was left out: {failures[name]}")
    known = [other for others in names().values() for other in others]
    raise UserError(f"no backbone, head or task is called '{name}': {nearest(name, known)}")


def names() -> dict[Kind, list[str]]:
    """Everything that can be checked, by kind."""
    return {
        "backbone": list(backbone_registry.infos()),
        "head": [info.name for info in head_registry.infos()],
        "task": tasks.names(),
    }


def broken() -> dict[Kind, dict[str, str]]:
    """Why a plugin was left out, by kind and by the name of its entry point or its file."""
    return {
        "backbone": dict(backbone_registry.broken()),
        "head": dict(head_registry.broken()),
        "task": dict(tasks.broken()),
    }


def split(asked: Sequence[str]) -> tuple[list[str], list[Subject]]:
    """Names of backbones, which have a suite with options of its own, and what else was named.

    Raises:
        UserError, BackboneError: as `subjects`.
    """
    found = [subject for name in asked for subject in subjects(name)]
    backbones = [subject.name for subject in found if subject.kind == "backbone"]
    return backbones, [subject for subject in found if subject.kind != "backbone"]


def results(subject: Subject) -> Iterator[Result]:
    """Run the suite of a subject, yielding each outcome as it is known; backbones in small."""
    if subject.kind == "backbone":
        from backbones.checks import check_backbone

        yield from check_backbone(subject.name)
    elif subject.kind == "head":
        from heads.checks import check_head

        yield from check_head(subject.name)
    else:
        from bench.tasks.checks import check_task

        yield from check_task(subject.name)
