"""What a check may say: what it measured, that it failed, or that it does not apply."""

from __future__ import annotations

from typing import NamedTuple
from unittest import SkipTest


class Measured(NamedTuple):
    """What a check that passed has measured, and the limit it kept."""

    measured: str
    limit: str


class CheckFailed(AssertionError):
    """A backbone breaks its contract: what is wrong and where, and what to do about it."""

    def __init__(self, problem: str, *, measured: object, limit: object, remedy: str) -> None:
        super().__init__(f"{problem} (measured {measured}, limit {limit}): {remedy}")
        self.problem = problem
        self.measured = str(measured)
        self.limit = str(limit)
        self.remedy = remedy


class NotApplicable(SkipTest):
    """The check has nothing to look at in this backbone; pytest counts its test as skipped."""


def require(holds: bool, problem: str, *, measured: object, limit: object, remedy: str) -> Measured:
    """Fail a check unless something holds. Not an `assert`, which `python -O` would leave out."""
    if not holds:
        raise CheckFailed(problem, measured=measured, limit=limit, remedy=remedy)
    return Measured(str(measured), str(limit))


def require_equal(measured: object, wanted: object, problem: str, remedy: str) -> Measured:
    """Fail a check unless what was measured is what is wanted."""
    return require(measured == wanted, problem, measured=measured, limit=wanted, remedy=remedy)
