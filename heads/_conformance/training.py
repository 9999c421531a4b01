"""The part of the conformance suite about heads that read frames or train a backbone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heads._conformance.search import DRAWS, contexts, drawn_trials
from heads._conformance.subject import CheckFailed, HeadSubject, require
from heads.sequences import STEM, Epoch, Training


class _Interrupted(Exception):
    """Raised out of a training on purpose."""


def check_training_reports_every_epoch(subject: HeadSubject) -> None:
    """`on_epoch` hears of epochs 0, 1, … once each, with scores of the validation clips."""
    heard: list[Epoch] = []
    training = Training(validation=subject.unseen, on_epoch=heard.append)
    _fit(subject, subject.clips, training)
    indices = [epoch.index for epoch in heard]
    require(indices, "on_epoch was never called")
    require(indices == list(range(len(indices))), f"on_epoch heard of epochs {indices}")
    for epoch in heard:
        scores = (epoch.validation_loss, epoch.validation_accuracy, epoch.validation_macro_f1)
        require(None not in scores, f"epoch {epoch.index} was not scored on the validation clips")


def check_a_fitted_head_tells_of_its_training(subject: HeadSubject) -> None:
    """`curve_` holds every epoch, `best_epoch_` one of them or None, `precision_` a word."""
    head = _fit(subject, subject.clips, Training(validation=subject.unseen))
    curve = list(getattr(head, "curve_", ()))
    require(curve, "after a fit curve_ holds no epoch")
    indices = [epoch.index for epoch in curve]
    require(indices == list(range(len(curve))), f"curve_ holds epochs {indices}")
    best = getattr(head, "best_epoch_", -1)
    require(best is None or best in indices, f"best_epoch_ is {best} of {len(curve)} epochs")
    precision = getattr(head, "precision_", None)
    require(isinstance(precision, str), f"precision_ is {precision!r}, not a word")


def check_interrupted_training_goes_on(subject: HeadSubject) -> None:
    """After an interruption the same folder saves epochs, and the outcome is the same."""

    def interrupt(epoch: Epoch) -> None:
        if epoch.index == 1:
            raise _Interrupted

    whole = subject.clips
    expected = _fit(subject, whole, Training()).predict_proba(subject.unseen[0])
    resumed = subject.clips
    with tempfile.TemporaryDirectory() as folder:
        # not there yet, as where the harness names it
        own = Path(folder) / "fit"
        training = Training(folder=own, on_epoch=interrupt)
        try:
            _fit(subject, subject.clips, training)
        except _Interrupted:
            pass
        else:
            raise CheckFailed("what on_epoch raised in the second epoch did not end the fit")
        head = _fit(subject, resumed, Training(folder=own))
    difference = np.abs(head.predict_proba(subject.unseen[0]) - expected).max()
    require(difference <= 1e-6, f"an interrupted training ends elsewhere, by {difference:.2g}")
    batches = [subject.asked_for_augmentation(clips) for clips in (resumed, whole)]
    require(
        batches[0] < batches[1],
        f"after an interruption in epoch 1, {batches[0]} training batches were drawn, and "
        f"{batches[1]} without one: nothing was resumed from `training.folder`",
    )


def check_predictions_are_not_augmented(subject: HeadSubject) -> None:
    """Only training batches are asked for with a seed of augmentation."""
    clips, _ = subject.unseen
    before = subject.asked_for_augmentation(clips)
    subject.fitted.predict_proba(clips)
    asked = subject.asked_for_augmentation(clips) - before
    require(asked == 0, f"predict_proba drew {asked} augmented batches; leave out `augment`")


def check_the_layer_read_is_told(subject: HeadSubject) -> None:
    """`reads_from` lies between the stem and the cut, and is what the training then reads."""
    for context in contexts(subject):
        cut = context.cut or 0
        for trial in drawn_trials(DRAWS):
            head = subject.create(**subject.cls.suggest(trial, context))
            start = head.reads_from(cut)
            require(
                start is None or STEM <= start <= cut,
                f"reads_from({cut}) is {start} for {trial.params}, not in [{STEM}, {cut}] or None",
            )
    clips = subject.clips
    told = subject.create().fit(clips, subject.labels).reads_from(clips.blocks)
    read = {STEM if asked is None else clips.blocks - asked for asked in clips.asked}
    require(
        told is None or read == {told},
        f"reads_from({clips.blocks}) is {told}, and the fit read layers {sorted(read)}",
    )


def _fit(subject: HeadSubject, clips: Any, training: Training) -> Any:
    fit: Callable[..., Any] = subject.create().fit
    return fit(clips, subject.labels, training=training)


TRAINING_CHECKS: tuple[Callable[[HeadSubject], None], ...] = (
    check_training_reports_every_epoch,
    check_a_fitted_head_tells_of_its_training,
    check_interrupted_training_goes_on,
    check_predictions_are_not_augmented,
)

BACKBONE_CHECKS: tuple[Callable[[HeadSubject], None], ...] = (check_the_layer_read_is_told,)
