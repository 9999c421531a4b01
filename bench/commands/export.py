"""`voxgrid export`: a winner as an ONNX graph, or for transformers; both run without voxgrid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shell import echo, interruptible, reporter


@interruptible
def export(
    model: Annotated[Path, typer.Argument(help="The folder of a winner.")],
    onnx: Annotated[
        Path | None, typer.Option("--onnx", help="Write one ONNX graph, to this file.")
    ] = None,
    transformers: Annotated[
        Path | None,
        typer.Option("--transformers", help="Write what transformers.pipeline loads, a folder."),
    ] = None,
    parity: Annotated[
        list[str] | None,
        typer.Option(help="Clips to compare with, a file or folder; by default generated sounds."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is there.")] = False,
) -> None:
    """Write a winner as one ONNX graph, or as a folder for transformers.

    Either takes a wave and gives the probability of every label. What it says is compared with
    what the winner says; where they differ nothing is written.
    """
    from bench.commands.predict import files_of
    from bench.errors import UserError
    from bench.winner import Model

    if (onnx is None) == (transformers is None):
        raise UserError(
            "name one thing to write: --onnx FILE for a graph, or --transformers FOLDER for what "
            "transformers.pipeline loads"
        )
    loaded = Model.load(model)
    files = [*dict.fromkeys(path for each in parity or () for path in files_of(each))]
    what = "a folder" if onnx is None else "a graph"
    reporter().say(f"export {model}: {what} is made, then compared")
    if onnx is not None:
        from bench.winner import onnx as graphs

        done = graphs.export(loaded, onnx, files, replace=replace)
    else:
        assert transformers is not None
        from bench.winner import folder, pipeline

        done = pipeline.export(
            loaded, transformers, files, card=folder.read_card(model), replace=replace
        )
    same = done.parity
    compared = "clips" if files else "generated sounds"
    echo(
        f"wrote {onnx or transformers} ({done.size / 1e6:.1f} MB); it takes a mono wave of "
        f"{done.rate} samples per second, at most {done.longest:g} s of it: voxgrid cuts a longer "
        f"one into windows, {what.replace('a ', 'the ')} does not\n"
        f"parity: probabilities of {len(same.seconds)} {compared} of {min(same.seconds):.1f} to "
        f"{max(same.seconds):.1f} s differ by {same.difference:.1e} at most"
        + (f"; {same.too_long} longer ones were left out" if same.too_long else "")
        + (f"; {same.unusable} cannot be used" if same.unusable else "")
    )
