"""A winner as a folder of transformers, which `transformers.pipeline` loads without voxgrid."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.audio.batch import Wave
from bench.errors import UserError
from bench.files import storing
from bench.plugins import BACKBONES
from bench.winner.card import for_transformers
from bench.winner.folder import CARD
from bench.winner.model import Model
from bench.winner.parity import LIMIT, Exported, compare, generate
from bench.winner.predictors import VectorPredictor
from heads.base import HeadError

if TYPE_CHECKING:
    from backbones._hf.classifier import Ending

_FILES = frozenset({CARD, "config.json", "model.safetensors", "preprocessor_config.json"})
_ADVICE = "name another folder with --transformers"
# Of the logit of a label that no clip had; zero after the softmax.
_NEVER = -1e4


class Pipeline:
    """`transformers.pipeline` of a folder, which knows nothing but its files.

    Args:
        folder: that holds them.
        labels: in the order of what it gives.
        seconds: that a wave has at most.
    """

    def __init__(self, folder: Path, labels: Sequence[str], seconds: float) -> None:
        import transformers

        from backbones._hf.checkpoint import silent

        with silent():
            run: Any = transformers.pipeline(
                "audio-classification", model=str(folder), device="cpu"
            )
        self._run, self._labels = run, labels
        self.rate = int(run.feature_extractor.sampling_rate)
        self.longest = round(self.rate * seconds)

    def __call__(self, wave: Wave) -> NDArray[np.float64]:
        """Float32 (samples,) → probabilities (labels,)."""
        said = self._run({"raw": wave, "sampling_rate": self.rate}, top_k=len(self._labels))
        scores = {each["label"]: each["score"] for each in said}
        return np.array([scores[label] for label in self._labels])


def export(
    model: Model, path: Path, files: Sequence[str | Path], *, card: str, replace: bool
) -> Exported:
    """Write a winner as a folder of transformers, or nothing where it says something else.

    Args:
        model: the winner.
        path: the folder to write.
        files: clips that both are asked for; where there are none, generated sounds.
        card: the text of the winner's card.
        replace: whether a folder that such an export has written may go.

    Raises:
        UserError: no class of transformers computes what the winner does, or it differs.
        BackboneError: weights are not here, or cannot be used.
        StorageError: it cannot be written.
    """
    path = path.absolute()
    refuse_to_replace(path, replace=replace)
    predictor = _expressible(model)
    ending, info = _ending(predictor), BACKBONES.get(predictor.config.backbone).info
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with storing(path, _ADVICE):
        try:
            _save(predictor, ending, for_transformers(card, info), partial)
            written = Pipeline(partial, model.config.labels, info.max_seconds)
            with tempfile.TemporaryDirectory() as folder:
                sounds = files or generate(Path(folder), written.rate, written.longest)
                parity = compare(model, written, sounds)
            # a NaN is refused too
            if not parity.difference < LIMIT:
                raise UserError(
                    f"the folder differs from the winner by {parity.difference:.1e} in a "
                    f"probability of {len(parity.seconds)} clips, and {LIMIT:.0e} is too much: "
                    "nothing was written; write a graph with --onnx, or export another winner"
                )
            if path.is_dir():
                shutil.rmtree(path)
            size = sum((partial / name).stat().st_size for name in _FILES)
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Exported(size, written.rate, info.max_seconds, parity)


def refuse_to_replace(path: Path, *, replace: bool) -> None:
    """Raise a `UserError` where something is at the path; only such a folder may be replaced."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file: {_ADVICE}")
    found = {each.name for each in path.iterdir()}
    if found and found != _FILES:
        raise UserError(f"{path} is there and holds other files than an export: {_ADVICE}")
    if found and not replace:
        raise UserError(f"{path} is there: replace it with --replace, or {_ADVICE}")


def _expressible(model: Model) -> VectorPredictor:
    """What a winner predicts with, if a class of transformers might do the same.

    Raises:
        UserError: none does; says why.
    """
    from backbones._hf.classifier import refusal

    predictor = model.predictor
    if not isinstance(predictor, VectorPredictor):
        raise _refused("this winner", "it is an average, or was trained on frames")
    config = predictor.config
    if len(config.parts) > 1:
        raise _refused(config.backbone, "it joins vectors, and a class of transformers has one")
    (part,), (encoder,) = config.parts, config.encoders
    why = refusal(BACKBONES.get(encoder.backbone))
    if why is not None:
        raise _refused(encoder.backbone, why)
    if part.pooling != "mean":
        raise _refused(f"pooling '{part.pooling}'", "classes of transformers take the mean")
    if encoder.dtype != "float32":
        raise _refused(encoder.backbone, f"it ran in {encoder.dtype}, and the rest in float32")
    return predictor


def _refused(what: str, why: str) -> UserError:
    return UserError(
        f"{what} cannot be put into a folder of transformers: {why}; write a graph with --onnx, or "
        "export a winner of one encoder of waveforms, pooling 'mean' and a linear head"
    )


def _ending(predictor: VectorPredictor) -> Ending:
    """The standardisation, head and temperature of a winner.

    Raises:
        UserError: its head is not linear.
    """
    from backbones._hf.classifier import Ending
    from heads._exported import Linear

    config = predictor.config
    scaler, head = predictor.head[0], predictor.head[-1]
    try:
        scores = head.exported()
    except HeadError:
        scores = None
    if not isinstance(scores, Linear):
        raise _refused(f"head '{config.head}'", "classes of transformers have a linear one")
    weight = np.zeros((len(config.labels), config.features))
    bias = np.full(len(config.labels), _NEVER)
    weight[head.classes_] = scores.weight.numpy().T / config.temperature
    bias[head.classes_] = scores.bias.numpy() / config.temperature
    return Ending(scaler.mean_, scaler.scale_, weight, bias, config.labels)


def _save(predictor: VectorPredictor, ending: Ending, card: str, folder: Path) -> None:
    from backbones._hf.checkpoint import silent
    from backbones._hf.classifier import classifier
    from backbones._hf.waveform import Waveform

    (encoder,), (part,) = predictor.config.encoders, predictor.config.parts
    backbone = predictor.backbone(encoder)
    assert isinstance(backbone, Waveform)
    network, extractor = classifier(backbone, part.layer, ending)
    folder.mkdir(parents=True)
    with silent():
        # one file, however large
        network.save_pretrained(folder, max_shard_size="1TB")
        extractor.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")
