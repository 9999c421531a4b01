"""The training of one network: goes on after a kill, or with a smaller batch when memory ends.

A loop of our own, and no framework's: what is particular here (seeds and a checkpoint per epoch,
steps that stay the same when batches are halved, no word and no handler of signals beside the
caller's) would have to be wrested from one that takes longer to import than a small fit lasts.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from heads._training.batches import derived, plain_batches, training_batches
from heads._training.checkpoints import NAME, damage, digest, read, write
from heads._training.compute import (
    autocast,
    choose_precision,
    halving,
    own_generators,
    seed_everything,
)
from heads._training.network import Inputs, Network, build
from heads._training.settings import Job, Labelled
from heads.base import FitDiverged
from heads.sequences import Epoch, Training

# Clips that the fixed standardisations are computed on, at most.
_CALIBRATION_CLIPS = 256
_MOST_GRADIENT = 1.0
# What AdamW keeps of a parameter.
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
State = dict[str, Tensor]


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
        Exception: whatever `training.on_epoch` raises.
    """
    device = torch.device(training.device)
    precision = choose_precision(job.settings.precision, device)
    told = 0

    def publish(epoch: Epoch) -> None:
        nonlocal told
        # a second attempt with a smaller batch may train epochs again
        if epoch.index >= told:
            told = epoch.index + 1
            if training.on_epoch is not None:
                training.on_epoch(epoch)

    def attempt(batch_size: int) -> Trained:
        return _attempt(job, training, device, precision, batch_size, publish)

    with own_generators(device):
        return halving(job.settings.batch_size, attempt, training.notes, job.head, "training")


def _attempt(
    job: Job,
    training: Training,
    device: torch.device,
    precision: str,
    batch_size: int,
    publish: Callable[[Epoch], None],
) -> Trained:
    name = digest(_identity(job, precision))
    checkpoint = training.folder / NAME if training.folder is not None else None
    state, unusable = read(checkpoint, name) if checkpoint is not None else (None, None)

    if state is not None:
        batch_size = min(batch_size, state["batch_size"])

    def begun() -> _Fit:
        network = _build(job, device, precision, batch_size)
        return _Fit(network, job, device, precision, batch_size)

    fit = begun()
    if state is not None:
        try:
            notes = fit.restore(state)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            fit, unusable = begun(), damage(error)
        else:
            training.notes += [note for note in notes if note not in training.notes]
    if unusable is not None:
        note = f"training started anew: the checkpoint {unusable}"
        if note not in training.notes:
            training.notes.append(note)
    for epoch in fit.curve:
        publish(epoch)
    while not job.finished(fit.curve):
        epoch = fit.epoch()
        if checkpoint is not None:
            write(checkpoint, {"digest": name, "notes": training.notes, **fit.state()})
        publish(epoch)
    if fit.best is not None:
        fit.network.load_state_dict(fit.best, strict=False)
    network = fit.network.cpu().eval()
    return Trained(network, fit.curve, job.best(fit.curve), precision, batch_size)


class _Fit:
    """A network in training.

    Args:
        network: on the device.
        job: what is trained, and how.
        device: where.
        precision: what to compute in.
        batch_size: clips in memory at once, which may be fewer than the job asked for.

    Attributes:
        curve: epochs trained so far, those of an interrupted fit included.
        best: trained weights of the best epoch so far, on the CPU; None where the last are kept.
    """

    def __init__(
        self, network: Network, job: Job, device: torch.device, precision: str, batch_size: int
    ) -> None:
        self.network = network
        self.curve: list[Epoch] = []
        self.best: State | None = None
        self._job = job
        self._device = device
        self._precision = precision
        self._batch_size = batch_size
        self._group = job.settings.batch_size * job.settings.accumulate
        self._steps = -(-len(job.train.clips) // self._group)
        self._codes = torch.from_numpy(job.train.codes).to(device)
        groups = _parameter_groups(network, job)
        self._rates = [group["lr"] for group in groups]
        self._optimiser = torch.optim.AdamW(groups, fused=True)

    def state(self) -> dict[str, Any]:
        """All that a fit goes on from; what is frozen is left out."""
        return {
            "batch_size": self._batch_size,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best": self.best,
            "trained": self._trained(),
            "moments": {
                f"{index} {name}": value
                for index, moments in self._optimiser.state_dict()["state"].items()
                for name, value in moments.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> list[str]:
        """Go on from the state of an interrupted fit; gives its notes.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: it is the state of no such fit, and
                this one is of no use any more.
        """
        self.curve = [Epoch(**epoch) for epoch in state["curve"]]
        self.best = state["best"]
        for index, epoch in enumerate(self.curve):
            scores = [score for score in vars(epoch).values() if score is not None]
            if epoch.index != index or not math.isfinite(math.fsum(scores)):
                raise ValueError("its epochs are no epochs")
        shapes = _shapes(self._trained())
        if any(_shapes(held) != shapes for held in (state["trained"], self.best) if held):
            raise ValueError("its tensors are another network's")
        self.network.load_state_dict(state["trained"], strict=False)
        moments: dict[int, State] = defaultdict(dict)
        for key, value in state["moments"].items():
            index, name = key.split()
            moments[int(index)][name] = value
        # groups and rates are the settings', which the digest is of
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})
        for parameter, held in self._optimiser.state.items():
            if _shapes(held) != {
                name: () if name == "step" else parameter.shape for name in _MOMENTS
            }:
                raise ValueError("its moments are another network's")
        return [str(note) for note in state["notes"]]

    def epoch(self) -> Epoch:
        """Train one more epoch and score it.

        Raises:
            FitDiverged: a loss is not finite.
        """
        # an epoch's random numbers depend on nothing but the seed and its index
        seed_everything(derived(self._job.settings.seed, "epoch", len(self.curve)))
        began = time.perf_counter()
        train_loss = self._train()
        scores = self._scores()
        epoch = Epoch(len(self.curve), train_loss, time.perf_counter() - began, **scores)
        self.curve.append(epoch)
        if self._job.keeps_best and self._job.best(self.curve) == epoch.index:
            self.best = {name: value.cpu().clone() for name, value in self._trained().items()}
        return epoch

    def _train(self) -> float:
        """Go through the training clips; gives their mean cross-entropy."""
        settings, number = self._job.settings, len(self.curve)
        batches = training_batches(
            self._job.train.clips, self._batch_size, self._group, settings.seed, number
        )
        self.network.train()
        total, step, gathered = 0.0, number * self._steps, 0
        for batch in batches:
            with autocast(self._device, self._precision):
                logits = self.network(batch.inputs.to(self._device), batch.lengths.to(self._device))
                codes = self._codes[batch.positions.to(self._device)]
                loss = functional.cross_entropy(logits, codes, reduction="sum")
            value = loss.item()
            if not math.isfinite(value):
                raise FitDiverged(self._divergence(value))
            total += value
            (loss * (1 / batch.group)).backward()
            gathered += len(batch.positions)
            if gathered == batch.group:
                self._step(step)
                step, gathered = step + 1, 0
        return total / len(self._job.train.clips)

    def _step(self, step: int) -> None:
        trained = [p for p in self.network.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trained, _MOST_GRADIENT)
        share = self._job.settings.rate(step, self._job.settings.epochs * self._steps)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._optimiser.step()
        self._optimiser.zero_grad()

    def _divergence(self, value: float) -> str:
        settings = self._job.settings
        rates = f"learning_rate ({settings.learning_rate:g})"
        if self.network.tail is not None:
            rates = f"backbone_learning_rate ({settings.tail_learning_rate:g}) and {rates}"
        return (
            f"{self._job.head}: the training loss became {value} in epoch {len(self.curve) + 1} of "
            f"{settings.last}; lower {rates}, and check that the frames are finite numbers"
        )

    @torch.no_grad()
    def _scores(self) -> dict[str, float]:
        """Of the validation clips, where there are any, by the names of `Epoch`."""
        if self._job.validation is None:
            return {}
        self.network.eval()
        logits, positions = [], []
        for batch in plain_batches(self._job.validation.clips, self._batch_size):
            with autocast(self._device, self._precision):
                found = self.network(batch.inputs.to(self._device), batch.lengths.to(self._device))
            logits.append(found.float().cpu())
            positions.append(batch.positions)
        codes = self._job.validation.codes[torch.cat(positions).numpy()]
        together = torch.cat(logits)
        predicted = together.argmax(dim=1).numpy()
        known = codes < self._job.classes
        occurring = np.unique(codes)
        f1 = f1_score(codes, predicted, labels=occurring, average="macro", zero_division=0)
        scores = {
            "validation_accuracy": float(np.mean(predicted == codes)),
            "validation_macro_f1": float(f1),
        }
        if known.any():
            loss = functional.cross_entropy(together[known], torch.from_numpy(codes[known])).item()
            if not math.isfinite(loss):
                raise FitDiverged(
                    f"{self._job.head}: the validation loss became {loss} after epoch "
                    f"{len(self.curve) + 1}; lower the learning rates"
                )
            scores["validation_loss"] = loss
        return scores

    def _trained(self) -> State:
        """What training changes: trainable parameters, and running statistics where there are."""
        frozen = {name for name, p in self.network.named_parameters() if not p.requires_grad}
        held = self.network.state_dict()
        return {name: value.detach() for name, value in held.items() if name not in frozen}


def _shapes(held: State) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in held.items()}


def _parameter_groups(network: Network, job: Job) -> list[dict[str, Any]]:
    """What AdamW trains: pretrained parameters and new ones, of each matrices and the rest."""
    rates = {True: job.settings.tail_learning_rate, False: job.settings.learning_rate}
    made: dict[tuple[bool, bool], list[nn.Parameter]] = {
        (pretrained, matrix): [] for pretrained in (True, False) for matrix in (True, False)
    }
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            pretrained = name.startswith("tail.") and ".lora_" not in name
            made[pretrained, parameter.ndim >= 2].append(parameter)
    return [
        {
            "params": parameters,
            "lr": rates[pretrained],
            "weight_decay": job.settings.weight_decay if matrix else 0.0,
        }
        for (pretrained, matrix), parameters in made.items()
        if parameters
    ]


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
        for batch in plain_batches(clips, batch_size):
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
