"""One uninterrupted stretch of training on lightning, from the start or from a checkpoint."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from heads._batches import Batch, PlainBatches, TrainingBatches, derived
from heads._checkpoints import NAME, STATE, AtomicFile
from heads._compute import seed_everything
from heads._network import Network
from heads._settings import Job
from heads.base import FitDiverged
from heads.sequences import Epoch

_MOST_GRADIENT = 1.0
State = dict[str, Tensor]


class Fit(pl.LightningModule):
    """The training of one network.

    Args:
        network: in training mode.
        job: what is trained, and how.
        batch_size: clips in memory at once, which may be fewer than the job asked for.
        digest: of the job, for its checkpoints.
        folder: where these go; None for no checkpoints.
        publish: called after each epoch, once its checkpoint is written.

    Attributes:
        curve: epochs trained so far, those of an interrupted fit included.
        best: trained weights of the best epoch so far, on the CPU; None where the last are kept.
        notes: what a reader of the result should know, kept in checkpoints.
    """

    codes: Tensor

    def __init__(
        self,
        network: Network,
        job: Job,
        batch_size: int,
        digest: str,
        folder: Path | None,
        publish: Callable[[Epoch], None],
    ) -> None:
        super().__init__()
        self.network = network
        self.job = job
        self.batch_size = batch_size
        self.group = job.settings.batch_size * job.settings.accumulate
        self.digest = digest
        self.folder = folder
        self.publish = publish
        self.curve: list[Epoch] = []
        self.best: State | None = None
        self.notes: list[str] = []
        self.on_sigterm: Any = signal.SIG_DFL
        # what is frozen is not in the checkpoint
        self.strict_loading = False
        self.register_buffer("codes", torch.from_numpy(job.train.codes), persistent=False)

    @property
    def accumulate(self) -> int:
        """Batches per optimiser step."""
        return -(-self.group // self.batch_size)

    def train_dataloader(self) -> TrainingBatches:
        """Batches of the epoch that comes next."""
        return TrainingBatches(
            self.job.train.clips,
            self.batch_size,
            self.group,
            self.job.settings.seed,
            lambda: len(self.curve),
        )

    def val_dataloader(self) -> PlainBatches | list[Any]:
        """Batches of the validation clips."""
        if self.job.validation is None:
            return []
        return PlainBatches(self.job.validation.clips, self.batch_size)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, and step sizes that rise over the warm-up and then fall to zero."""
        settings = self.job.settings
        tail, new = _split(self.network)
        optimiser = torch.optim.AdamW(
            [
                *_decayed(tail, settings.tail_learning_rate, settings.weight_decay),
                *_decayed(new, settings.learning_rate, settings.weight_decay),
            ],
            fused=True,
        )
        steps = settings.epochs * -(-len(self.job.train.clips) // self.group)
        rising = settings.warmup * steps

        def share(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            return max(0.0, (steps - step) / max(1.0, steps - rising))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Make the epoch's random numbers depend on nothing but the seed and its index."""
        seed_everything(derived(self.job.settings.seed, "epoch", len(self.curve)))
        self.began = time.perf_counter()
        self.total = 0.0
        self.logits: list[Tensor] = []
        self.positions: list[Tensor] = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The batch's share of its optimiser step's mean cross-entropy."""
        logits = self.network(batch.inputs, batch.lengths)
        loss = functional.cross_entropy(logits, self.codes[batch.positions], reduction="sum")
        value = loss.item()
        if not math.isfinite(value):
            raise FitDiverged(self._divergence(value))
        self.total += value
        # lightning divides by the number of batches per step, which may differ in size
        return loss * (self.accumulate / batch.group)

    def _divergence(self, value: float) -> str:
        settings = self.job.settings
        rates = f"learning_rate ({settings.learning_rate:g})"
        if self.network.tail is not None:
            rates = f"backbone_learning_rate ({settings.tail_learning_rate:g}) and {rates}"
        return (
            f"{self.job.head}: the training loss became {value} in epoch {len(self.curve) + 1} of "
            f"{settings.last}; lower {rates}, and check that the frames are finite numbers"
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm of all gradients; lightning's own way refuses fused optimisers."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trained, _MOST_GRADIENT)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Keep the logits for the end of the epoch."""
        self.logits.append(self.network(batch.inputs, batch.lengths).float().cpu())
        self.positions.append(batch.positions.cpu())

    def on_train_epoch_end(self) -> None:
        """Score, write the checkpoint, and tell whoever watches."""
        epoch = Epoch(
            index=len(self.curve),
            train_loss=self.total / len(self.job.train.clips),
            **self._scores(),
            seconds=time.perf_counter() - self.began,
        )
        self.curve.append(epoch)
        if self.job.keeps_best and self.job.best(self.curve) == epoch.index:
            self.best = {name: value.cpu().clone() for name, value in self.trained().items()}
        if self.folder is not None:
            self.trainer.save_checkpoint(self.folder / NAME)
        if self.job.finished(self.curve):
            self.trainer.should_stop = True
        self.publish(epoch)

    def _scores(self) -> dict[str, Any]:
        if self.job.validation is None:
            return {}
        logits = torch.cat(self.logits)
        codes = self.job.validation.codes[torch.cat(self.positions).numpy()]
        predicted = logits.argmax(dim=1).numpy()
        known = codes < self.job.classes
        scores: dict[str, Any] = {
            "validation_accuracy": float(np.mean(predicted == codes)),
            "validation_macro_f1": float(
                f1_score(
                    codes,
                    predicted,
                    labels=np.arange(max(self.job.classes, codes.max() + 1)),
                    average="macro",
                    zero_division=0,
                )
            ),
        }
        if known.any():
            loss = functional.cross_entropy(logits[known], torch.from_numpy(codes[known]))
            scores["validation_loss"] = loss.item()
            if not np.isfinite(scores["validation_loss"]):
                raise FitDiverged(
                    f"{self.job.head}: the validation loss became {loss.item()} after epoch "
                    f"{len(self.curve) + 1}; lower the learning rates"
                )
        return scores

    def trained(self) -> State:
        """What training changes: trainable parameters, and running statistics where there are."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        return {
            name: value.detach() for name, value in self.state_dict().items() if name not in frozen
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen, add what a resumed fit must know."""
        checkpoint["state_dict"] = self.trained()
        checkpoint[STATE] = {
            "digest": self.digest,
            "batch_size": self.batch_size,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best": self.best,
            "notes": self.notes,
        }

    def on_train_start(self) -> None:
        """Let SIGTERM end the process at once, as before: lightning would finish the epoch."""
        # None is a handler that was not set from Python, which cannot be put back
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self.on_sigterm is not None:
            signal.signal(signal.SIGTERM, self.on_sigterm)


def run(fit: Fit, device: torch.device, precision: str, checkpoint: Path | None) -> None:
    """Train until the job is finished.

    Args:
        fit: to train, in place.
        device: where.
        precision: a lightning precision.
        checkpoint: to go on from, or None.

    Raises:
        FitDiverged: the loss became NaN or infinite.
        Exception: whatever `fit.publish` raises.
    """
    fit.on_sigterm = signal.getsignal(signal.SIGTERM)
    on_sigint = signal.getsignal(signal.SIGINT)
    with _quiet():
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision=cast("Any", precision),
            max_epochs=fit.job.settings.last,
            accumulate_grad_batches=fit.accumulate,
            # named, so that nothing is concluded from a cluster's environment variables
            plugins=[AtomicFile(), LightningEnvironment()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,
            use_distributed_sampler=False,
            default_root_dir=fit.folder,
        )
        try:
            trainer.fit(fit, ckpt_path=checkpoint)
        except SystemExit as error:
            # lightning turns Ctrl-C into an exit and goes on ignoring it
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            signal.signal(signal.SIGINT, on_sigint)
            raise KeyboardInterrupt from None
        finally:
            # lightning's objects refer to each other, so that Python frees them at some later time
            fit.zero_grad(set_to_none=True)
            for optimiser in trainer.optimizers:
                optimiser.state.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    # where its twin pytorch_lightning was imported too, both speak through the twin's loggers
    packages = ("lightning.", "lightning_fabric.", "pytorch_lightning.")
    names = [name for name in logging.root.manager.loggerDict if name.startswith(packages)]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _split(network: Network) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trained parameters that came with the backbone, and new ones."""
    tail: list[nn.Parameter] = []
    new: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            pretrained = name.startswith("tail.") and ".lora_" not in name
            (tail if pretrained else new).append(parameter)
    return tail, new


def _decayed(
    parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    groups = [
        ([p for p in parameters if p.ndim >= 2], weight_decay),
        ([p for p in parameters if p.ndim < 2], 0.0),
    ]
    return [
        {"params": some, "lr": learning_rate, "weight_decay": decay}
        for some, decay in groups
        if some
    ]
