"""Write a winner's graph, if it says what the winner says."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.errors import UserError
from bench.files import replacing, storing
from bench.winner.model import Model
from bench.winner.onnx.convert import converted, limits, require_installed
from bench.winner.onnx.runner import Runner
from bench.winner.parity import LIMIT, Exported, compare, generate
from bench.winner.predictors import VectorPredictor


def refuse_to_replace(path: Path, *, replace: bool) -> None:
    """Raise a `UserError` where something is at the path that is not to be replaced."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file with --onnx")
    if path.exists() and not replace:
        raise UserError(f"{path} is there: replace it with --replace, or name another file")


def export(model: Model, path: Path, files: Sequence[str | Path], *, replace: bool) -> Exported:
    """Write the graph of a winner, or nothing where it says something else than the winner.

    Args:
        model: the winner.
        path: the file to write.
        files: clips that both are asked for; where there are none, generated sounds.
        replace: whether a file that is there may go.

    Raises:
        UserError: the graph cannot be made, differs, or what it takes is not installed.
        BackboneError: weights are not here, or cannot be used.
        StorageError: it cannot be written.
    """
    require_installed()
    refuse_to_replace(path, replace=replace)
    if not isinstance(model.predictor, VectorPredictor):
        raise UserError(
            "a graph is made of a head on vectors, and this winner is an average or was trained on "
            "frames: export a winner of another row"
        )
    rate, longest = limits(model.predictor.config)
    program = converted(model.predictor)
    with storing(path, "name another file with --onnx"), replacing(path) as partial:
        program.save(partial, external_data=False)
        graph = Runner(partial)
        with tempfile.TemporaryDirectory() as folder:
            parity = compare(
                model, graph, files or generate(Path(folder), graph.rate, graph.longest)
            )
        # a NaN is refused too
        if not parity.difference < LIMIT:
            raise UserError(
                f"the graph differs from the winner by {parity.difference:.1e} in a probability of "
                f"{len(parity.seconds)} clips, and {LIMIT:.0e} is too much: nothing was written; "
                "export a winner with another backbone or head"
            )
        size = partial.stat().st_size
    return Exported(size, rate, longest, parity)
