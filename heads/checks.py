"""The conformance suite every head has to pass, shipped for plugins from elsewhere too.

Run it from a shell with `voxgrid check NAME`, or in a plugin's own tests::

    from heads.checks import parametrize_with_checks

    @parametrize_with_checks([MyHead])
    def test_my_head(head, check):
        check(head)

Each check takes a `HeadSubject` and raises `CheckFailed`, an AssertionError whose message is a
sentence. Heads also pass scikit-learn's own `check_estimator`; those that read frames or train a
backbone, which scikit-learn has no data for, what it says of parameters.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from heads._conformance.fitting import FITTING_CHECKS
from heads._conformance.search import SEARCH_CHECKS
from heads._conformance.subject import CheckFailed, HeadSubject, require
from heads._conformance.training import BACKBONE_CHECKS, TRAINING_CHECKS
from heads.base import Head

__all__ = [
    "HEAD_CHECKS",
    "CheckFailed",
    "CheckResult",
    "HeadSubject",
    "check_head",
    "checks_of",
    "parametrize_with_checks",
    "require",
    "results_of",
    "scikit_learn_results",
]

HeadCheck = Callable[[HeadSubject], None]

HEAD_CHECKS: tuple[HeadCheck, ...] = (
    *SEARCH_CHECKS,
    *FITTING_CHECKS,
    *TRAINING_CHECKS,
    *BACKBONE_CHECKS,
)

# scikit-learn's checks that fit nothing
PARAMETER_CHECKS = (
    "check_parameters_default_constructible",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
)


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes:
        name: of the check; for a head that can be fitted on more than vectors, and on what.
        problem: a sentence, or None where there is none.
        skipped: why the check was not done, or None.
    """

    name: str
    problem: str | None = None
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the check found nothing, be it that there was nothing to look at."""
        return self.problem is None


def check_head(head: type[Head]) -> Iterator[CheckResult]:
    """Run every check on a class, yielding each outcome as it is known.

    Yields:
        One result per check, then one per check of scikit-learn's.
    """
    subject = HeadSubject(head)
    yield from results_of(subject)
    yield from scikit_learn_results(subject)


def results_of(subject: HeadSubject) -> Iterator[CheckResult]:
    """Outcomes of our own checks; whatever else a head raises is a problem as well."""
    place = "" if subject.reads == "vectors" else f" ({subject.reads})"
    for check in checks_of(subject):
        yield _result(check.__name__ + place, partial(check, subject), subject.cls.__module__)


def _result(name: str, check: Callable[[], object], module: str) -> CheckResult:
    try:
        check()
    except CheckFailed as error:
        return CheckResult(name, str(error))
    except KeyboardInterrupt:
        raise  # a person's
    # a plugin may raise anything, even exit, and the other checks have to go on
    except BaseException as error:  # noqa: BLE001
        return CheckResult(name, _raised(error) + _place(error, module))
    return CheckResult(name)


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


def checks_of(subject: HeadSubject) -> tuple[HeadCheck, ...]:
    """The checks that apply: those of training only to heads on frames or a backbone."""
    checks = (*SEARCH_CHECKS, *FITTING_CHECKS)
    if subject.reads != "vectors":
        checks += TRAINING_CHECKS
    return checks + BACKBONE_CHECKS if subject.reads == "backbone" else checks


def scikit_learn_results(subject: HeadSubject) -> Iterator[CheckResult]:
    """Outcomes of scikit-learn's `check_estimator`, or of its checks of parameters alone.

    Checks that the class names in `expected_failed_checks` count as skipped, with its reason.
    """
    from sklearn.utils.estimator_checks import check_estimator

    if subject.reads != "vectors":
        yield from _parameter_results(subject)
        return
    with warnings.catch_warnings():
        # on tiny, unstandardised data iterations may run out, which is not what is looked at
        warnings.simplefilter("ignore")
        try:
            outcomes = check_estimator(
                subject.create(),
                expected_failed_checks=dict(subject.cls.expected_failed_checks),
                on_skip=None,
                on_fail=None,
            )
        # as above: the constructor may raise anything, and any check may be made to exit
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001
            yield CheckResult("scikit-learn's check_estimator", _raised(error))
            return
    for outcome in outcomes:
        name = f"scikit-learn's {outcome['check_name']}"
        if outcome["status"] == "failed":
            yield CheckResult(name, _raised(outcome["exception"]))
        elif outcome["status"] == "xfail":
            expected = outcome["expected_to_fail_reason"]
            yield CheckResult(name, skipped=f"expected to fail: {expected}")
        elif outcome["status"] == "skipped":
            yield CheckResult(name, skipped=" ".join(f"{outcome['exception']}".split()))
        elif outcome["expected_to_fail"]:
            yield CheckResult(name, "passes, so take it out of expected_failed_checks")
        else:
            yield CheckResult(name)


def _parameter_results(subject: HeadSubject) -> Iterator[CheckResult]:
    for check in PARAMETER_CHECKS:
        name = f"scikit-learn's {check} ({subject.reads})"
        expected = subject.cls.expected_failed_checks.get(check)
        if expected is not None:
            yield CheckResult(name, skipped=f"expected to fail: {expected}")
            continue
        yield _result(name, partial(_check_parameters, subject, check), subject.cls.__module__)


def _check_parameters(subject: HeadSubject, check: str) -> None:
    from sklearn.utils import estimator_checks

    getattr(estimator_checks, check)(subject.info.name, subject.create())


def parametrize_with_checks(
    heads: Sequence[type[Head]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Pytest decorator: one test per class and check, with arguments `head` and `check`.

    scikit-learn's own checks are not among them; it has a decorator of the same name.

    Args:
        heads: the classes.
    """
    import pytest

    subjects = [HeadSubject(head) for head in heads]
    cases = [
        pytest.param(subject, check, id=f"{subject!r}-{check.__name__}")
        for subject in subjects
        for check in checks_of(subject)
    ]
    return pytest.mark.parametrize(("head", "check"), cases)
