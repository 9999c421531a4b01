"""The training of one network: goes on after a kill, or with a smaller batch when memory ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from heads import _lightning
from heads._batches import PlainBatches, derived
from heads._checkpoints import NAME, AtomicFile, digest, read
from heads._compute import autocast, choose_precision, halving, own_generators, seed_everything
from heads._network import Inputs, Network, build
from heads._settings import Job, Labelled
from heads.sequences import Epoch, Training

# Clips that the fixed standardisations are computed on, at most.
_CALIBRATION_CLIPS = 256


@dataclass(frozen=True)
class Trained:
    """What a fit gave.

    Attributes:
        network: with the weights that are kept, on the CPU, in evaluation mode.
        curve: every epoch.
        best: index of the epoch whose weights they are.
        precision: what was computed in, `32-true` or `bf16-mixed`.
        batch_size: what fitted into memory.
    """

    network: Network
    curve: list[Epoch]
    best: int
    precision: str
    batch_size: int


def train(job: Job, training: Training) -> Trained:
    """Fit a network.

    Args:
        job: what to train, and how.
        training: how it is watched, saved and resumed.

    Raises:
        ValueError: a setting means nothing.
        FitDiverged: the loss became NaN or infinite.
        OutOfMemory: a batch of one clip does not fit.
    """
    job.settings.check()
    device = torch.device(training.device)
    precision = choose_precision(job.settings.precision, device)
    name = digest(_identity(job, precision))
    told = 0

    def publish(epoch: Epoch) -> None:
        nonlocal told
        # a second attempt with a smaller batch may train epochs again
        if epoch.index >= told:
            told = epoch.index + 1
            if training.on_epoch is not None:
                training.on_epoch(epoch)

    def attempt(batch_size: int) -> Trained:
        return _attempt(job, training, device, precision, name, batch_size, publish)

    with own_generators(device):
        return halving(job.settings.batch_size, attempt, training.notes, job.head, "training")


def _attempt(
    job: Job,
    training: Training,
    device: torch.device,
    precision: str,
    name: str,
    batch_size: int,
    publish: Callable[[Epoch], None],
) -> Trained:
    checkpoint = training.folder / NAME if training.folder is not None else None
    state, unusable = read(checkpoint, name) if checkpoint is not None else (None, None)
    if unusable is not None:
        note = f"training started anew: the checkpoint {unusable}"
        if note not in training.notes:
            training.notes.append(note)
    if state is not None:
        batch_size = min(batch_size, state["batch_size"])
    network = _build(job, device, precision, batch_size)
    fit = _lightning.Fit(network, job, batch_size, name, training.folder, publish)
    fit.notes = training.notes
    if state is not None:
        training.notes += [note for note in state["notes"] if note not in training.notes]
        fit.best = state["best"]
        fit.curve = [Epoch(**epoch) for epoch in state["curve"]]
        for epoch in fit.curve:
            publish(epoch)
    if not job.finished(fit.curve):
        _lightning.run(fit, device, precision, checkpoint if state is not None else None)
    elif checkpoint is not None:
        weights = AtomicFile().load_checkpoint(checkpoint)["state_dict"]
        fit.load_state_dict(weights, strict=False)
    if fit.best is not None:
        fit.load_state_dict(fit.best, strict=False)
    return Trained(network.cpu().eval(), fit.curve, job.best(fit.curve), precision, batch_size)


def _build(job: Job, device: torch.device, precision: str, batch_size: int) -> Network:
    seed = derived(job.settings.seed, "weights")
    # the adapters of LoRA are drawn here
    seed_everything(seed)
    tail = job.tail()
    clips = job.train.clips
    if len(clips) > _CALIBRATION_CLIPS:
        rng = np.random.default_rng(derived(job.settings.seed, "calibration"))
        clips = clips.take(np.sort(rng.permutation(len(clips))[:_CALIBRATION_CLIPS]))

    def batches() -> Iterator[Inputs]:
        for batch in PlainBatches(clips, batch_size):
            yield batch.inputs.to(device), batch.lengths.to(device)

    with autocast(device, precision):
        return build(
            tail.to(device) if tail is not None else None,
            job.architecture,
            job.classes,
            batches,
            seed,
        )


def _identity(job: Job, precision: str) -> dict[str, Any]:
    def sizes(labelled: Labelled | None) -> list[Any] | None:
        if labelled is None:
            return None
        clips = labelled.clips
        content = np.asarray(clips.lengths, np.int64).tobytes() + labelled.codes.tobytes()
        return [len(clips), clips.layers, clips.width, hashlib.sha256(content).hexdigest()]

    return {
        **job.configuration,
        "settings": replace(job.settings, precision=precision),
        "architecture": job.architecture,
        "classes": job.classes,
        "train": sizes(job.train),
        "validation": sizes(job.validation),
    }
