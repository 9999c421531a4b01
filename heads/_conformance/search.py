"""The part of the conformance suite about what a head announces: its record and search space."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from heads._conformance.listing import imported_by
from heads._conformance.subject import CheckFailed, HeadSubject, require, require_plain
from heads.base import SET_BY_HARNESS, HeadContext

if TYPE_CHECKING:
    from optuna.trial import Trial

DRAWS = 10


def check_record_is_complete(subject: HeadSubject) -> None:
    """Every field of the metadata record has a sensible value."""
    info = subject.info
    require(
        re.fullmatch(r"[a-z0-9][a-z0-9._-]*", info.name),
        f"name {info.name!r} must be lower case and usable as a file name",
    )
    require(info.summary.strip(), "summary is empty; it is a line of `voxgrid list`")
    version = subject.cls.version
    require(version > 0, f"version is {version}, it must be positive")


def check_listing_is_light(subject: HeadSubject, patience: float = 60.0) -> None:
    """Importing the head's module imports no library that takes seconds; `patience` at most."""
    module = subject.cls.__module__
    heavy = imported_by(module, patience)
    require(not heavy, f"importing {module} imports {', '.join(heavy)}; import it inside methods")


def check_parameters_round_trip(subject: HeadSubject) -> None:
    """The constructor takes a seed and threads and stores what it is given; a clone is equal."""
    for given in ({"random_state": 3, "n_jobs": 1}, {"random_state": 4, "n_jobs": 2}):
        head = subject.cls(**given)
        held = head.get_params()
        for name, value in given.items():
            require(name in held, f"the constructor has no parameter {name}")
            require(held[name] == value, f"given {name}={value}, the head holds {held[name]!r}")
        copy = clone(head)
        require(copy.get_params() == held, "a clone has other parameters")


def check_suggestions_construct_the_head(subject: HeadSubject) -> None:
    """What `suggest` draws are constructor parameters, as plain as JSON; drawn again, the same."""
    from optuna.trial import FixedTrial

    known = set(inspect.signature(subject.cls).parameters) - SET_BY_HARNESS
    for context in contexts(subject):
        for trial in drawn_trials(DRAWS):
            params = subject.cls.suggest(trial, context)
            unknown = sorted(set(params) - known)
            require(
                not unknown,
                f"suggest returns {', '.join(unknown)}, which the constructor does not take "
                "(or which the harness sets)",
            )
            require_plain(params, "suggest")
            held = subject.create(**params).get_params()
            changed = sorted(name for name in params if held[name] != params[name])
            require(not changed, f"the constructor changes {', '.join(changed)}")
            replayed: Any = FixedTrial(trial.params)
            again = subject.cls.suggest(replayed, context)
            require(
                again == params,
                f"the same trial gives {again} when it is replayed, and gave {params}",
            )


def check_build_gives_what_it_is_told(subject: HeadSubject) -> None:
    """`build` makes what the constructor makes of the drawn parameters, the pooling and a seed."""
    for trial in drawn_trials(DRAWS):
        params = subject.cls.suggest(trial, subject.context)
        head = subject.cls.build(params, pooling="max", random_state=5, n_jobs=1)
        require(type(head) is subject.cls, f"build makes a {type(head).__name__}")
        held = head.get_params()
        # heads on vectors are given pooled clips
        own = {"pooling": "max"} if "pooling" in held else {}
        wanted = subject.create(random_state=5, **params, **own).get_params()
        other = [name for name in wanted if held.get(name) != wanted[name]]
        require(not other, f"build gives other values than it is told for {', '.join(other)}")


def check_first_trial_lies_in_the_space(subject: HeadSubject) -> None:
    """What `first` proposes are values that `suggest` can draw."""
    from optuna.trial import create_trial

    for context in contexts(subject):
        first = subject.cls.first(context)
        (trial,) = drawn_trials(1, first)
        with warnings.catch_warnings():
            # optuna's, of values out of range, which are found below
            warnings.simplefilter("ignore")
            subject.cls.suggest(trial, context)
        unknown = sorted(set(first) - set(trial.distributions))
        require(not unknown, f"first proposes {', '.join(unknown)}, which suggest does not draw")
        for name, value in first.items():
            distribution = trial.distributions[name]
            try:
                create_trial(value=0.0, params={name: value}, distributions={name: distribution})
            except ValueError as error:
                raise CheckFailed(
                    f"first proposes {name}={value!r}, outside {distribution}"
                ) from error


def check_its_grid_lies_in_the_space(subject: HeadSubject) -> None:
    """Every setting of `grid` and `variants` is drawn by `suggest` from its own values, once."""
    from optuna.trial import FixedTrial, create_trial

    (once,) = drawn_trials(1)
    params = subject.cls.suggest(once, subject.context)
    grid = list(subject.cls.grid() or ())
    require(
        len(subject.cls.variants({})) == len(subject.cls.variants(params)),
        "variants of no parameters are not as many as those of a setting",
    )
    # values of a trial may have other names than the parameters they become
    if params == once.params:
        grid += (each for each in subject.cls.variants(params) if each not in grid)
    for setting in grid:
        trial: Any = FixedTrial(setting)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as above
            try:
                drawn = subject.cls.suggest(trial, subject.context)
                create_trial(value=0.0, params=trial.params, distributions=trial.distributions)
            except ValueError as error:
                raise CheckFailed(
                    f"its grid or variants hold {setting}, outside its space: {error}"
                ) from error
        require(
            drawn == setting,
            f"its grid or variants hold {setting}, of which suggest makes {drawn}",
        )
        require(grid.count(setting) == 1, f"its grid or variants hold {setting} twice")


def check_suggestions_can_be_fitted(subject: HeadSubject) -> None:
    """The corners of the search space and draws from inside give probabilities."""
    (probe,) = drawn_trials(1)
    subject.cls.suggest(probe, subject.context)
    space = probe.distributions
    corners = [{name: _end(space[name], last) for name in space} for last in (False, True)]
    for fixed in (*corners, {}):
        (trial,) = drawn_trials(1, fixed)
        params = subject.cls.suggest(trial, subject.context)
        head = subject.create(**params).fit(subject.clips, subject.labels)
        probabilities = head.predict_proba(subject.unseen[0])
        require(np.isfinite(probabilities).all(), f"{params} gives numbers that are not finite")


def contexts(subject: HeadSubject) -> list[HeadContext]:
    """Small and large training data; for heads that train a backbone few and many blocks too."""
    small = subject.context
    large = replace(small, clips=5000, features=2048, classes=50)
    if subject.reads != "backbone":
        return [small, large]
    return [
        replace(context, blocks=blocks, cut=cut, accelerator=accelerator)
        for context, blocks, cut in ((small, 1, 1), (small, 2, 1), (large, 24, 3), (large, 24, 24))
        for accelerator in (False, True)
    ]


def drawn_trials(count: int, fixed: dict[str, Any] | None = None) -> Iterator[Trial]:
    """Trials of a study that draws at random; `fixed` values come first where they are asked for"""
    import optuna

    with _quiet():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(count):
            if fixed:
                study.enqueue_trial(fixed)
            yield study.ask()


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _end(distribution: Any, last: bool) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.high if last else distribution.low
    return distribution.choices[-1 if last else 0]


SEARCH_CHECKS: tuple[Callable[[HeadSubject], None], ...] = (
    check_record_is_complete,
    check_listing_is_light,
    check_parameters_round_trip,
    check_suggestions_construct_the_head,
    check_build_gives_what_it_is_told,
    check_first_trial_lies_in_the_space,
    check_its_grid_lies_in_the_space,
    check_suggestions_can_be_fitted,
)
