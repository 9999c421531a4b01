"""Fine-tuning: the classifier and, if wanted, the upper part of the backbone, trained together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heads._training.head import NeuralHead
from heads._training.settings import Architecture, Settings
from heads.base import HeadContext, HeadInfo
from heads.sequences import STEM

if TYPE_CHECKING:
    import torch
    from optuna.trial import Trial

    from heads.sequences import Sequences, TrainableClips

INFO = HeadInfo(
    name="fine_tune",
    summary="classifier and upper backbone blocks trained together (AdamW, or LoRA)",
)

TRAINED = ("classifier", "blocks", "all", "lora")

# What a search space offers: name in the trial → `trained`, `blocks`, blocks needed.
_SCOPES: dict[str, tuple[str, int | None, int]] = {
    "classifier": ("classifier", 1, 0),
    "top-1": ("blocks", 1, 1),
    "top-2": ("blocks", 2, 2),
    "lora-2": ("lora", 2, 2),
    "top-4": ("blocks", 4, 4),
    "all": ("all", None, 1),
    "lora-all": ("lora", None, 1),
}
_CHEAP = ("classifier", "top-1", "top-2", "lora-2")


@dataclass(eq=False, repr=False)
class FineTuneHead(NeuralHead):
    """Tail of the backbone → pooling → standardise → dropout → Linear, trained with AdamW.

    Two step sizes, one for what is pretrained and one for what is new, rise together over the
    warm-up and then fall to zero on a line. With validation clips, training stops once their
    macro-F1 has not risen for `patience` epochs, and the best epoch's weights are kept. The
    feature encoder, the blocks below those trained and the backbone the clips came from are
    never changed.

    Args:
        pooling: one of `heads.sequences.POOLINGS`.
        trained: `classifier` (the backbone stays frozen), `blocks` (the last ones below the cut),
            `all` (everything but the feature encoder) or `lora` (low-rank adapters on the linear
            layers of those).
        blocks: how many, for `blocks` and `lora`; for the latter None stands for all.
        lora_rank: rank of the adapters; they are scaled by 2 and trained at `learning_rate`.
        mix: pool a sum of the trained blocks' outputs under learnt weights, instead of the last.
        hidden: width of a hidden tanh layer in the classifier; 0 for none.
        dropout: share of the last linear layer's input zeroed in training, in [0, 1).
        backbone_learning_rate: highest step size of pretrained weights.
        learning_rate: highest step size of everything new.
        weight_decay: AdamW's decoupled decay of matrices.
        warmup: share of all steps over which the step sizes rise, in [0, 1].
        epochs: passes over the training clips, at most; the schedule is laid out for as many.
        patience: epochs without a better validation macro-F1 before training stops.
        batch_size: clips in memory at once; halved, at the same clips per step, when memory ends.
        accumulate: batches per step.
        precision: `32-true`, `bf16-mixed`, or `auto` for the latter where the hardware has it.
        attention: width of the layer that scores frames, for the learnt poolings.
        refit_epochs: train exactly so many epochs of the schedule, without validation clips, as
            after tuning on them; None for the rule above.
        random_state: seed of the new weights, the order of clips, dropout and augmentation.
        n_jobs: threads for torch, given back after `fit`.

    References:
        Wang, Boumadane and Heba (2021), "A Fine-tuned Wav2vec 2.0/HuBERT Benchmark For Speech
        Emotion Recognition, Speaker Verification and Spoken Language Understanding",
        arXiv:2111.02735. Hu et al. (2021), "LoRA", arXiv:2106.09685. Yang et al. (2021),
        "SUPERB", arXiv:2105.01051 (the weighted sum of layers).
    """

    info = INFO
    reads = "backbone"

    pooling: str = "mean"
    trained: str = "blocks"
    blocks: int | None = 2
    lora_rank: int = 8
    mix: bool = False
    hidden: int = 0
    dropout: float = 0.1
    backbone_learning_rate: float = 3e-5
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    epochs: int = 15
    patience: int = 5
    batch_size: int = 16
    accumulate: int = 1
    precision: str = "auto"
    attention: int = 128
    refit_epochs: int | None = None
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw how much is trained, and how fast, how long and how strongly regularised.

        Every trial draws every parameter, used or not, and a low cut trains the fewer blocks that
        it has, so that the space is the same for all.

        Returns:
            Constructor parameters, without `pooling`, `refit_epochs` and those of the hardware.
        """
        affordable = tuple(_SCOPES) if context.accelerator else _CHEAP
        scopes = [scope for scope in affordable if _SCOPES[scope][2] <= context.blocks]
        trained, blocks, _ = _SCOPES[trial.suggest_categorical("scope", scopes)]
        if blocks is not None and context.cut is not None:
            blocks = min(blocks, context.cut)
        longest = 30 if context.accelerator else 15
        return {
            "trained": trained,
            "blocks": blocks,
            "lora_rank": trial.suggest_categorical("lora_rank", [4, 8, 16]),
            "mix": trial.suggest_categorical("mix", [False, True]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "backbone_learning_rate": trial.suggest_float(
                "backbone_learning_rate", 5e-6, 2e-4, log=True
            ),
            "learning_rate": trial.suggest_float("learning_rate", 2e-4, 5e-3, log=True),
            "warmup": trial.suggest_float("warmup", 0.0, 0.2),
            "epochs": trial.suggest_int("epochs", 4, longest),
        }

    @staticmethod
    def first(context: HeadContext) -> dict[str, Any]:
        """What the first trial draws: a training is too dear to begin anywhere at random."""
        wanted = "top-4" if context.accelerator else "top-1"
        return {
            "scope": wanted if _SCOPES[wanted][2] <= context.blocks else "classifier",
            "lora_rank": 8,
            "mix": False,
            "dropout": 0.1,
            "backbone_learning_rate": 1e-4,
            "learning_rate": 1e-3,
            "warmup": 0.1,
            "epochs": 10 if context.accelerator else 7,
        }

    def reads_from(self, cut: int) -> int:
        """Layer whose frames the first trained block reads; see `TrainedHead.reads_from`."""
        part = self._part(cut)
        return STEM if part is None else cut - part

    @classmethod
    def refit_params(cls, params: Mapping[str, Any], best_epoch: int | None) -> dict[str, Any]:
        """The same schedule, ended after the epoch that was best on the validation clips."""
        return dict(params) if best_epoch is None else {**params, "refit_epochs": best_epoch + 1}

    @classmethod
    def trains(cls, drawn: Mapping[str, Any], pooling: str, cut: int | None) -> str | None:
        """What of the network is trained, such as `LoRA of rank 8 on the last 2 blocks`."""
        own = cls().get_params() | dict(drawn)
        kind, blocks = own["trained"], own["blocks"]
        if "scope" in drawn:
            kind, blocks, _ = _SCOPES[drawn["scope"]]
        if blocks is not None and cut is not None:
            blocks = min(blocks, cut)  # there are no more below the cut
        which = {None: "all blocks", 1: "the last block"}.get(blocks, f"the last {blocks} blocks")
        return {
            "classifier": "the classifier alone",
            "blocks": which,
            "all": "all but the feature encoder",
            "lora": f"LoRA of rank {own['lora_rank']} on {which}",
        }[kind]

    def _part(self, cut: int) -> int | None:
        """How many blocks are trained, as `TrainableClips.inputs` takes it; 0 for none."""
        if self.trained not in TRAINED:
            raise ValueError(f"trained must be one of {', '.join(TRAINED)}; got '{self.trained}'")
        if self.trained == "classifier":
            return 0
        if self.trained == "all" or (self.trained == "lora" and self.blocks is None):
            return None
        if self.blocks is None or not 1 <= self.blocks <= cut:
            raise ValueError(
                f"blocks must lie between 1 and {cut}, the number of blocks below the "
                f"chosen layer; got {self.blocks}"
            )
        return self.blocks

    def _inputs(self, X: TrainableClips) -> Sequences:
        return X.inputs(self._part(X.blocks))

    def _tail(self, X: TrainableClips) -> Callable[[], torch.nn.Module | None]:
        part = self._part(X.blocks)

        def make() -> torch.nn.Module | None:
            if part == 0:
                return None
            tail = X.tail(part)
            if self.trained == "lora":
                from heads._training.lora import adapt

                return adapt(tail, self.lora_rank)
            return tail

        return make

    def _architecture(self) -> Architecture:
        return Architecture(self.pooling, self.attention, self.hidden, self.dropout, self.mix)

    def _settings(self) -> Settings:
        refit = self.refit_epochs
        return Settings(
            epochs=self.epochs,
            last=self.epochs if refit is None else refit,
            patience=self.patience if refit is None else None,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            learning_rate=self.learning_rate,
            tail_learning_rate=self.backbone_learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            precision=self.precision,
            seed=self.seed(),
        )
