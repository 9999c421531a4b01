"""A page on this machine where a winner is tried: record or drop a file, see probabilities."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.winner.model import Model

if TYPE_CHECKING:
    import gradio

# The page never leaves this machine.
HOST = "127.0.0.1"


def require_installed() -> None:
    """Raise a `UserError` where what makes the page is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "the page takes gradio, which is not installed since it is optional; get it with: "
            "pip install 'voxgrid[demo]'"
        )


def say(model: Model, file: str | None) -> tuple[dict[str, float], str]:
    """Probabilities of each label, and a sentence where there is something to know.

    Args:
        file: what was recorded or dropped; None before that.
    """
    if file is None:
        return {}, ""
    (row,) = model.each([file])
    if row.probabilities is None:
        return {}, f"Nothing is said of this file: it {row.reason}."
    said = dict(zip(model.config.labels, row.probabilities, strict=True))
    return said, "The model was fitted on this very sound." if row.in_training else ""


def page(model: Model) -> gradio.Blocks:
    """The page, which asks nobody else for anything: fonts are the system's, and nothing is told.

    Raises:
        UserError: gradio is not installed.
    """
    require_installed()
    # read when gradio is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio as gr

    config = model.config
    with gr.Blocks(title=f"voxgrid: {config.task}", analytics_enabled=False) as made:
        gr.Markdown(
            f"# {config.task}\n\nWhich of {len(config.labels)} labels a recording is. The model "
            "answers with one of them whatever it hears."
        )
        sound = gr.Audio(sources=["upload", "microphone"], type="filepath", label="A recording")
        labels = gr.Label(label="Probabilities", num_top_classes=len(config.labels))
        note = gr.Markdown()
        sound.change(lambda file: say(model, file), sound, [labels, note], api_visibility="private")
    return made


def launch(model: Model, port: int | None) -> tuple[gradio.Blocks, str]:
    """Serve the page in the background, on this machine alone.

    Args:
        port: to listen on; None takes the first free one from 7860 on.

    Returns:
        The page, and its address.

    Raises:
        UserError: gradio is not installed, or the port is taken.
    """
    made = page(model)
    import gradio as gr

    options: dict[str, Any] = {
        "server_name": HOST,
        "server_port": port,
        "share": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "allowed_paths": [],
        "footer_links": [],
        "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    }
    try:
        _, address, _ = made.launch(**options)
    except OSError as error:
        raise UserError(
            f"port {port} cannot be listened on ({error}): name another --port"
        ) from error
    return made, address
