"""The part of the conformance suite about fitting and predicting, whatever a head is fitted on."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from heads._conformance.search import drawn_trials
from heads._conformance.subject import (
    CLASSES,
    FEATURES,
    CheckFailed,
    HeadSubject,
    require,
    require_plain,
)
from heads.base import SET_BY_HARNESS, HeadError
from heads.sequences import TrainedHead, Training

# How far a clip's probabilities may be off, where other clips in the batch change the arithmetic
# (sums in another order, bfloat16).
BATCH_TOLERANCE = 0.02
# Separation of classes that a head cannot be sure of.
DOUBTFUL = 0.1
# What a second way to the same model may change; that fits repeat to the bit has its own check.
SAME = 1e-6
# Of the unseen clips of classes that lie far apart.
LEARNT_SHARE = 0.8
# Share of clips of which a head fitted among many says the same as alone.
ALIKE = 0.95

# What a head may raise by mistake where it should refuse with a sentence.
MISTAKES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
    HeadError,
)


def check_fit_is_repeatable(subject: HeadSubject) -> None:
    """The same seed gives the same numbers, to the bit."""
    again = subject.create().fit(subject.clips, subject.labels).predict_proba(subject.unseen[0])
    difference = np.abs(again - subject.probabilities).max()
    require(
        difference == 0,
        f"two fits with random_state=0 differ by {difference:.2g}; draw every random number from "
        "`self.seed()`",
    )


def check_probabilities_are_distributions(subject: HeadSubject) -> None:
    """One float64 row per clip, every number in [0, 1], every row summing to 1."""
    found = subject.probabilities
    expected = (len(subject.unseen[1]), len(CLASSES))
    require(found.shape == expected, f"probabilities have shape {found.shape}, not {expected}")
    require(found.dtype == np.float64, f"probabilities are {found.dtype}, not float64")
    require(
        ((found >= 0) & (found <= 1)).all(),
        f"probabilities lie in [{found.min():.3g}, {found.max():.3g}], not in [0, 1]",
    )
    off = np.abs(found.sum(axis=1) - 1).max()
    require(off <= 1e-9, f"a row is off 1 by {off:.2g}; see `heads.base.as_probabilities`")


def check_classes_are_sorted(subject: HeadSubject) -> None:
    """`classes_` are the labels of the training clips in order, whichever comes first."""
    classes = subject.fitted.classes_.tolist()
    require(classes == sorted(CLASSES), f"classes_ is {classes}, not {sorted(CLASSES)}")
    kept = np.flatnonzero(subject.labels != CLASSES[1])
    head = subject.create().fit(subject.take(subject.clips, kept), subject.labels[kept])
    classes = head.classes_.tolist()
    require(
        classes == [CLASSES[0], CLASSES[2]],
        f"classes_ is {classes} after training without a clip of '{CLASSES[1]}'",
    )


def check_labels_may_be_words_or_numbers(subject: HeadSubject) -> None:
    """Labels of another type that sort alike give the same model."""
    head = subject.create().fit(subject.clips, subject.codes * 10 + 5)
    require(
        sorted(head.classes_.tolist()) == [5, 15, 25],
        f"classes_ is {head.classes_.tolist()} for labels 5, 15 and 25",
    )
    difference = np.abs(head.predict_proba(subject.unseen[0]) - subject.probabilities).max()
    require(difference <= SAME, f"labels as numbers change probabilities by {difference:.2g}")


def check_separable_clips_are_learnt(subject: HeadSubject) -> None:
    """Classes that lie far apart are told apart, on clips that were not trained on."""
    clips, labels = subject.unseen
    share = float((subject.fitted.predict(clips) == labels).mean())
    require(
        share >= LEARNT_SHARE,
        f"{share:.0%} of unseen clips of three classes far apart are right, {LEARNT_SHARE:.0%} "
        "wanted; are the columns of predict_proba in the order of classes_?",
    )


def check_one_clip_is_predicted_as_in_a_batch(subject: HeadSubject) -> None:
    """The other clips, and the padding that they cause, do not change a clip's probabilities."""
    # certainty would hide a difference, so these lie between the classes
    doubtful = partial(subject.make, subject.codes[:12], seed=3, separation=DOUBTFUL)
    together = subject.fitted.predict_proba(doubtful())
    for clip in range(len(together)):
        alone = subject.fitted.predict_proba(subject.take(doubtful(), np.array([clip])))
        difference = float(np.abs(alone[0] - together[clip]).max())
        require(
            difference <= BATCH_TOLERANCE,
            f"a clip's probabilities differ by {difference:.2g} between alone and in a batch, at "
            f"most {BATCH_TOLERANCE} wanted",
        )


def check_missing_numbers_are_refused(subject: HeadSubject) -> None:
    """NaN and infinity end a fit or prediction with a sentence; they are never filled in."""
    for bad in (np.nan, np.inf):
        clips = subject.make(subject.codes, bad=bad)
        _refused(partial(subject.create().fit, clips, subject.labels), f"fitting {bad}")
        _refused(partial(subject.fitted.predict_proba, clips), f"predicting {bad}")


def check_other_widths_are_refused(subject: HeadSubject) -> None:
    """Clips of another width than those trained on are refused with a sentence."""
    other = subject.make(subject.codes, features=FEATURES // 2)
    _refused(lambda: subject.fitted.predict_proba(other), f"predicting {FEATURES // 2} features")


def check_a_single_class_is_refused(subject: HeadSubject) -> None:
    """Nothing to tell apart is an error, not a model."""
    labels = np.full(len(subject.labels), CLASSES[0])
    _refused(lambda: subject.create().fit(subject.clips, labels), "fitting a single class")


def check_a_constant_feature_is_survived(subject: HeadSubject) -> None:
    """A feature that is the same in every clip (0 after standardising) does no harm."""
    clips = _with_constant_feature(subject, subject.clips)
    head = subject.create().fit(clips, subject.labels)
    found = head.predict_proba(_with_constant_feature(subject, subject.unseen[0]))
    require(np.isfinite(found).all(), "probabilities are not finite with a constant feature")


def check_an_unfitted_head_says_so(subject: HeadSubject) -> None:
    """Predicting before `fit` raises scikit-learn's NotFittedError."""
    try:
        subject.create().predict_proba(subject.unseen[0])
    except NotFittedError:
        return
    except MISTAKES as error:
        raise CheckFailed(
            f"predicting before fit raised {type(error).__name__} ({error}), not NotFittedError; "
            "begin with `check_is_fitted(self)`"
        ) from error
    raise CheckFailed("an unfitted head predicts")


def check_global_state_is_left_alone(subject: HeadSubject) -> None:
    """Neither random generators that others use nor the number of threads change."""
    import torch

    clips = subject.clips
    generators = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    threads = torch.get_num_threads()
    try:
        # states that no head happens to leave behind
        random.seed(20_240_229)
        np.random.seed(20_240_229)
        torch.manual_seed(20_240_229)
        before = _global_state()
        subject.create().fit(clips, subject.labels).predict_proba(subject.unseen[0])
        after = _global_state()
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.random.set_rng_state(generators[2])
        torch.set_num_threads(threads)
    changed = [name for name in before if before[name] != after[name]]
    require(not changed, f"fitting or predicting changed {', '.join(changed)}")


def check_a_pickled_head_predicts_the_same(subject: HeadSubject) -> None:
    """A fitted head survives the way to another process."""
    try:
        copy = pickle.loads(pickle.dumps(subject.fitted))
    except (pickle.PicklingError, *MISTAKES) as error:
        raise CheckFailed(f"a fitted head cannot be pickled: {error}") from error
    require(
        np.array_equal(copy.predict_proba(subject.unseen[0]), subject.probabilities),
        "a pickled head predicts other probabilities",
    )


def check_a_restored_head_predicts_the_same(subject: HeadSubject) -> None:
    """Where a head says what it predicts with, one made of that predicts the same to the bit."""
    try:
        state = subject.fitted.state()
    except HeadError:
        return  # no winner is made of it
    laid_out = [name for name, own in state.items() if not own.flags.c_contiguous]
    require(not laid_out, f"`state` gives {', '.join(laid_out)} in another order than C's")
    made = subject.create(random_state=1)
    made.classes_ = subject.fitted.classes_
    made.n_features_in_ = subject.fitted.n_features_in_
    made.restore({name: own.copy() for name, own in state.items()})
    require(
        np.array_equal(made.predict_proba(subject.unseen[0]), subject.probabilities),
        "a head restored from `state` predicts other probabilities",
    )


def check_refitting_forgets_the_first_fit(subject: HeadSubject) -> None:
    """A second `fit` on the same object gives what a fresh head gives."""
    other = subject.make(subject.codes[::-1].copy(), seed=2)
    head = subject.create().fit(other, subject.labels)
    again = head.fit(subject.clips, subject.labels).predict_proba(subject.unseen[0])
    difference = np.abs(again - subject.probabilities).max()
    require(difference <= SAME, f"a second fit gives other probabilities, by {difference:.2g}")


def check_a_refit_is_built_from_what_the_fit_says(subject: HeadSubject) -> None:
    """`refit_params` gives what `build` takes for a fit without validation clips."""
    fitted, best_epoch = subject.fitted, None
    if subject.reads != "vectors":
        fit: Callable[..., TrainedHead] = subject.create().fit
        training = Training(validation=subject.unseen)
        fitted = fit(subject.clips, subject.labels, training=training)
        best_epoch = fitted.best_epoch_
    held = fitted.get_params(deep=False)
    own = {name: value for name, value in held.items() if name not in SET_BY_HARNESS}
    params = subject.cls.refit_params(own, best_epoch)
    wrong = sorted(set(params) & SET_BY_HARNESS | set(params) - set(held))
    require(
        not wrong,
        f"refit_params returns {', '.join(wrong)}, which the harness sets or the constructor does "
        "not take",
    )
    require_plain(params, "refit_params")
    head = subject.cls.build(params, pooling="mean", random_state=0, n_jobs=1)
    found = head.fit(subject.clips, subject.labels).predict_proba(subject.unseen[0])
    require(np.isfinite(found).all(), f"{params} gives numbers that are not finite")


def check_many_fits_are_those_of_one_by_one(subject: HeadSubject) -> None:
    """`fit_many` gives a head for each setting, in order, that predicts what `fit` predicts."""
    if subject.reads != "vectors":
        return
    drawn = [subject.cls.suggest(trial, subject.context) for trial in drawn_trials(3)]
    many = [each for params in drawn for each in subject.cls.variants(params)]
    many += subject.cls.grid() or ()
    more: dict[str, Any] = {"pooling": "mean", "random_state": 0, "n_jobs": 1}
    found = list(subject.cls.fit_many(subject.clips, subject.labels, many, **more))
    require(len(found) == len(many), f"fit_many gives {len(found)} heads for {len(many)} settings")
    for params, head in zip(many, found, strict=True):
        alone = subject.cls.build(params, **more).fit(subject.clips, subject.labels)
        require(head.get_params() == alone.get_params(), "fit_many gives heads in another order")
        same = np.mean(head.predict(subject.unseen[0]) == alone.predict(subject.unseen[0]))
        require(same >= ALIKE, f"fit_many with {params} predicts other classes than fit")


def check_input_is_left_alone(subject: HeadSubject) -> None:
    """Neither clips nor labels are written into."""
    clips, labels = subject.make(subject.codes), subject.labels.copy()
    before = _content(subject, clips)
    head = subject.create().fit(clips, labels)
    require(all(map(np.array_equal, before, _content(subject, clips))), "fit changed the clips")
    require((labels == subject.labels).all(), "fit changed the labels")
    head.predict_proba(clips)
    require(
        all(map(np.array_equal, before, _content(subject, clips))),
        "predict_proba changed the clips",
    )


def _refused(action: Callable[[], object], what: str) -> None:
    try:
        action()
    except (ValueError, HeadError):
        return
    except MISTAKES as error:
        raise CheckFailed(
            f"{what} raised {type(error).__name__} ({error}), not a ValueError that says why"
        ) from error
    raise CheckFailed(f"{what} was accepted; it has to raise a ValueError that says why")


def _global_state() -> dict[str, object]:
    import torch

    kind, keys, position, *rest = np.random.get_state()
    return {
        "Python's random state": random.getstate(),
        "numpy's random state": (kind, np.asarray(keys).tobytes(), position, *rest),
        "torch's random state": torch.random.get_rng_state().numpy().tobytes(),
        "the number of torch's threads": torch.get_num_threads(),
    }


def _with_constant_feature(subject: HeadSubject, clips: Any) -> Any:
    changed = [array.copy() for array in _content(subject, clips)]
    for array in changed:
        array[..., 0] = 0.0
    return changed[0] if subject.reads == "vectors" else subject.sequences(changed)


def _content(subject: HeadSubject, clips: Any) -> list[np.ndarray]:
    """Copies of everything a head could write into."""
    if subject.reads == "vectors":
        return [clips.copy()]
    sequences = clips if subject.reads == "frames" else clips.stem
    return [clip.copy() for clip in sequences.clips]


FITTING_CHECKS: tuple[Callable[[HeadSubject], None], ...] = (
    check_probabilities_are_distributions,
    check_classes_are_sorted,
    check_labels_may_be_words_or_numbers,
    check_separable_clips_are_learnt,
    check_fit_is_repeatable,
    check_refitting_forgets_the_first_fit,
    check_one_clip_is_predicted_as_in_a_batch,
    check_missing_numbers_are_refused,
    check_other_widths_are_refused,
    check_a_single_class_is_refused,
    check_a_constant_feature_is_survived,
    check_an_unfitted_head_says_so,
    check_a_pickled_head_predicts_the_same,
    check_a_restored_head_predicts_the_same,
    check_a_refit_is_built_from_what_the_fit_says,
    check_many_fits_are_those_of_one_by_one,
    check_input_is_left_alone,
    check_global_state_is_left_alone,
)
