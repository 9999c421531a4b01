"""The conformance suite every backbone has to pass, shipped for plugins from elsewhere too.

Run it from a shell with `voxgrid check NAME`, or in a plugin's own tests::

    from backbones.checks import parametrize_with_checks

    @parametrize_with_checks([MyBackbone])
    def test_my_backbone(backbone, check):
        check(backbone)

Each check takes a `BackboneSubject`, returns what it measured and the limit, raises `CheckFailed`
with what to do about it, or `NotApplicable` where the backbone has nothing to look at.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backbones import weights
from backbones._conformance import (
    batching,
    golden,
    model,
    pickles,
    precision,
    record,
    sounds,
    state,
    training,
)
from backbones._conformance.golden import check_golden_vectors_are_met, write_golden
from backbones._conformance.outcome import CheckFailed, Measured, NotApplicable
from backbones._conformance.subject import SECONDS, BackboneSubject, Check
from backbones.base import Backbone, BackboneError, Weights, WeightsUnavailable
from backbones.extras import missing_extra

__all__ = [
    "CHECKS",
    "BackboneSubject",
    "CheckFailed",
    "CheckResult",
    "Examination",
    "Measured",
    "NotApplicable",
    "check_backbone",
    "check_golden_vectors_are_met",
    "examine",
    "parametrize_with_checks",
    "run_check",
    "write_golden",
]

Outcome = Literal["passed", "failed", "skipped"]

# In the order they are written in, since one may leave nothing for the next to look at. Training is
# the last: a tail that is no copy leaves the backbone in another state.
_MODULES = (record, model, batching, sounds, state, precision, pickles, golden, training)
CHECKS: tuple[Check, ...] = tuple(
    value
    for module in _MODULES
    for name, value in vars(module).items()
    if name.startswith("check_")
)


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Where it failed there is a problem and a remedy, where it does not apply the reason is in
    `skipped`. `measured` and `limit` are empty where nothing was measured.
    """

    name: str
    problem: str | None = None
    measured: str = ""
    limit: str = ""
    remedy: str = ""
    skipped: str | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the check found nothing, be it that there was nothing to look at."""
        return self.problem is None

    @property
    def outcome(self) -> Outcome:
        """`passed`, `failed` or `skipped`."""
        if self.problem is not None:
            return "failed"
        return "passed" if self.skipped is None else "skipped"


@dataclass(frozen=True)
class Examination:
    """A backbone and what the suite says of it.

    Attributes:
        subject: what was checked; None where it was not.
        results: one for each check.
        skipped: why it was not checked, or None.
        problem: what is wrong with its weights, so that it could not be checked; None otherwise.
    """

    subject: BackboneSubject | None
    results: tuple[CheckResult, ...] = ()
    skipped: str | None = None
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed, and its weights could be used."""
        return self.problem is None and all(result.passed for result in self.results)


def run_check(check: Check, subject: BackboneSubject) -> CheckResult:
    """Run one check; what a plugin raises meanwhile counts as a failure."""
    started = time.perf_counter()
    found: dict[str, str]
    try:
        found = check(subject)._asdict()
    except NotApplicable as reason:
        found = {"skipped": str(reason)}
    except CheckFailed as failure:
        found = vars(failure)
    except KeyboardInterrupt:
        raise  # a person's
    # a plugin may raise anything, even exit, and the other checks have to go on
    except BaseException as error:  # noqa: BLE001
        found = {
            "problem": "the backbone raises an error",
            "measured": _raised(error) + _place(error, subject.cls.__module__),
            "limit": "no error",
            "remedy": "see where it comes from with parametrize_with_checks of backbones.checks",
        }
    return CheckResult(check.__name__, **found, seconds=time.perf_counter() - started)


def _raised(error: BaseException) -> str:
    """Type and words of an error on one line; the error's own `__str__` may raise as well."""
    told = traceback.format_exception_only(error)[-1]
    return " ".join(told.removeprefix(f"{type(error).__module__}.").split())


def _place(error: BaseException, module: str) -> str:
    """Where in a plugin's module an error came from, as ` (FILE, line N)`: its innermost line."""
    lines = [
        f" ({frame.f_code.co_filename}, line {number})"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == module
    ]
    return lines[-1] if lines else ""


def check_backbone(
    backbone: type[Backbone],
    weights: Weights | None = None,
    seconds: Sequence[float] = SECONDS,
) -> Iterator[CheckResult]:
    """Run every check on a backbone's class, yielding each outcome as it is known.

    Args:
        weights: None takes a small random-init network (`none` for hand-made features).
        seconds: lengths of the synthetic clips, at least two different ones.
    """
    subject = BackboneSubject(backbone, weights, seconds)
    for check in CHECKS:
        yield run_check(check, subject)


def examine(
    backbone: type[Backbone],
    *,
    pretrained: bool = False,
    control: Literal["random-init"] | None = None,
) -> Examination:
    """Run every check on a backbone's class, or say why that cannot be done here.

    Args:
        pretrained: with its real weights, not a small random network.
        control: `random-init` takes random weights at the published size.
    """
    missing = missing_extra(backbone.info)
    if missing:
        return Examination(None, skipped=missing)
    found = None
    if pretrained or control:
        try:
            found = weights.resolve(backbone.info, control=control, allow_download=False)
        except WeightsUnavailable as error:
            return Examination(None, skipped=str(error))
        except BackboneError as error:  # weights that are there and of no use
            return Examination(None, problem=str(error))
    subject = BackboneSubject(backbone, found)
    return Examination(subject, tuple(run_check(check, subject) for check in CHECKS))


def parametrize_with_checks(
    backbones: Sequence[type[Backbone]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Pytest decorator: one test per backbone and check, with arguments `backbone` and `check`.

    A check that does not apply to a backbone skips its test with the reason.
    """
    import pytest

    cases = [
        pytest.param(subject, check, id=f"{subject.info.name}-{check.__name__}")
        for subject in map(BackboneSubject, backbones)
        for check in CHECKS
    ]
    return pytest.mark.parametrize(("backbone", "check"), cases)
