"""`voxgrid export`: a winner as one ONNX graph, which runs without voxgrid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shell import echo, interruptible, reporter


@interruptible
def export(
    model: Annotated[Path, typer.Argument(help="The folder of a winner.")],
    onnx: Annotated[Path, typer.Option("--onnx", help="The file to write.")],
    parity: Annotated[
        list[str] | None,
        typer.Option(help="Clips to compare with, a file or folder; by default generated sounds."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the file that is there.")
    ] = False,
) -> None:
    """Write a winner as one ONNX graph: a wave in, the probability of every label out.

    What it says is compared with what the winner says; where they differ nothing is written.
    """
    from bench.commands.predict import files_of
    from bench.winner import Model
    from bench.winner.onnx import export as write

    loaded = Model.load(model)
    files = [*dict.fromkeys(path for each in parity or () for path in files_of(each))]
    reporter().say(f"export {model}: a graph is made, then compared")
    done = write(loaded, onnx, files, replace=replace)
    same = done.parity
    compared = "clips" if files else "generated sounds"
    echo(
        f"wrote {onnx} ({done.size / 1e6:.1f} MB); it takes a mono wave of {done.rate} samples per "
        f"second, at most {done.longest:g} s of it: voxgrid cuts a longer one into windows, the "
        "graph does not\n"
        f"parity: probabilities of {len(same.seconds)} {compared} of {min(same.seconds):.1f} to "
        f"{max(same.seconds):.1f} s differ by {same.difference:.1e} at most"
        + (f"; {same.too_long} longer ones were left out" if same.too_long else "")
        + (f"; {same.unusable} cannot be used" if same.unusable else "")
    )
