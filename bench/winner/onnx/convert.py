"""A winner → an ONNX graph, by `torch.onnx`."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

from backbones import BackboneInfo
from backbones.base import first_line
from bench.errors import UserError
from bench.plugins import BACKBONES
from bench.winner.folder import Config
from bench.winner.predictors import VectorPredictor
from heads.base import HeadError

if TYPE_CHECKING:
    from bench.winner.onnx.graph import Graph

INPUT, OUTPUT = "wave", "probabilities"
_MODULES = ("onnx", "onnxscript", "onnxruntime")
# One file of protobuf holds less than 2 GiB; the nodes of a graph need some of it.
_LARGEST = 2**31 - 2**25


def require_installed() -> None:
    """Raise a `UserError` where what exports or runs a graph is not installed."""
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"a graph takes {', '.join(missing)}, which is not installed since it is optional; get "
            "it with: pip install 'voxgrid[onnx]'"
        )


def limits(config: Config) -> tuple[int, float]:
    """Samples per second of the one wave that all backbones take, and how many seconds at most.

    Raises:
        UserError: there is no such rate.
    """
    infos = [BACKBONES.get(encoder.backbone).info for encoder in config.encoders]
    for info in infos:
        if info.own_rate:
            raise UserError(
                f"{info.name} takes each clip at the rate of its file, and a graph takes one rate: "
                "export a winner with another backbone"
            )
    rates = {info.sample_rate for info in infos}
    if len(rates) > 1:
        named = ", ".join(f"{info.name} {info.sample_rate}" for info in infos)
        raise UserError(
            f"a graph takes one wave, and these backbones take other rates ({named}): export a "
            "winner whose backbones have one rate"
        )
    return rates.pop(), min(info.max_seconds for info in infos)


def converted(model: VectorPredictor) -> Any:
    """The `torch.onnx.ONNXProgram` of a winner: `wave` (samples,) → `probabilities` (labels,).

    Raises:
        UserError: a part of it cannot be put into a graph; names the part and the reason.
        BackboneError: weights are not here, or cannot be used.
    """
    import torch

    rate, seconds = limits(model.config)
    samples = torch.export.Dim("samples", min=2, max=round(rate * seconds))
    wave = torch.linspace(-0.5, 0.5, rate)
    graph = _graph(model)
    names = " + ".join(encoder.backbone for encoder in model.config.encoders)
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                graph,
                (wave,),
                dynamo=True,
                dynamic_shapes=({0: samples},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f"{names} cannot be put into a graph: torch.onnx says '{_first_cause(error)}'; export "
            "a winner with another backbone"
        ) from error
    size = sum(each.const_value.nbytes for each in program.model.graph.initializers.values())
    if size > _LARGEST:
        raise UserError(
            f"{names} takes {size / 2**30:.1f} GiB, and one ONNX file holds less than 2: export a "
            "winner with a smaller backbone"
        )
    program.model.metadata_props.update(metadata(model.config, rate, seconds))
    return program


def metadata(config: Config, rate: int, seconds: float) -> dict[str, str]:
    """What a graph says of itself; lists are JSON."""
    return {
        "labels": json.dumps(config.labels, ensure_ascii=False),
        "sample_rate": str(rate),
        "max_seconds": f"{seconds:g}",
        "backbone": config.backbone,
        "layers": json.dumps([[part.backbone, part.layer, part.pooling] for part in config.parts]),
        "head": config.head,
        "temperature": repr(config.temperature),
        "task": config.task,
        "licences": json.dumps({own.backbone: own.licence for own in config.encoders}),
        "weights_sha256": json.dumps({own.backbone: own.weights_sha256 for own in config.encoders}),
        "fingerprint": config.fingerprint,
        "voxgrid": config.voxgrid,
    }


def _graph(model: VectorPredictor) -> Graph:
    from bench.winner.onnx.graph import Ending, Graph, Vector

    config = model.config
    place = {encoder.backbone: number for number, encoder in enumerate(config.encoders)}
    scaler, head = model.head[0], model.head[-1]
    try:
        scores = head.exported()
    except HeadError as error:
        raise UserError(str(error)) from error
    loaded = [model.backbone(encoder) for encoder in config.encoders]
    infos: Sequence[BackboneInfo] = [backbone.info for backbone in loaded]
    return Graph(
        [backbone.exported() for backbone in loaded],
        [info.normalised for info in infos],
        [Vector(place[part.backbone], part.layer, part.pooling) for part in config.parts],
        Ending(
            scaler.mean_,
            scaler.scale_,
            scores,
            head.classes_.tolist(),
            len(config.labels),
            config.temperature,
        ),
    ).eval()


def _first_cause(error: BaseException) -> str:
    """What went wrong at the bottom, on a line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    assert isinstance(error, Exception)
    return f"{type(error).__name__}: {first_line(error)}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself, about which a user can do nothing.

    It logs, it warns, and what it could not follow it prints to standard error.
    """
    logs = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
