"""`voxgrid dashboard`: Optuna's dashboard on the studies of a results folder."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.options import ConfigOption
from bench.commands.shell import echo

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

_HOST = "127.0.0.1"

_log = logging.getLogger(__name__)


def dashboard(
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes any that is free.")
    ] = 8080,
    config: ConfigOption = None,
) -> None:
    """Open optuna-dashboard on the studies of a results folder.

    Optuna has studies of trainings (`fine_tune`, poolings learnt with the head), of presets, and of
    runs with --inner one or --quick. Heads on vectors are searched on inner folds without it, as is
    the default: they have none. The page shows the trials there were when the command started, and
    what is changed on it is lost. Nothing is written to the results, a run may go on meanwhile.
    """
    from bench.config import spec
    from bench.errors import UserError
    from bench.planning.make import STUDIES
    from bench.tuning.gather import gathered

    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise UserError(
            "optuna-dashboard is not installed, since it is optional; get it with: "
            "pip install 'voxgrid[dashboard]'"
        ) from error
    folder = spec.load(config, {} if results is None else {"results": results}).results
    if not folder.is_dir():
        raise UserError(f"there is no results folder {folder}; name it with --results")
    storage, left_out = gathered(folder / STUDIES)
    for reason in left_out:
        echo(f"left out: {reason}", err=True)
    studies = len(storage.get_all_studies())
    if not studies:
        raise UserError(
            f"{folder} has no studies to show: run trainings (`voxgrid run --head fine_tune`), a "
            "preset, or heads on vectors with --inner one, or name another folder with --results"
        )
    try:
        server = _server(port, wsgi(storage))
    except OSError as error:
        raise UserError(
            f"port {port} of {_HOST} cannot be used ({error.strerror}): choose another with --port"
        ) from error
    with server, suppress(KeyboardInterrupt):
        address = f"http://{_HOST}:{server.server_port}"
        echo(f"studies of {folder} ({studies}): {address} (Ctrl-C stops it)")
        server.serve_forever()


def _server(port: int, page: Any) -> WSGIServer:
    """A server of this machine alone, with a thread for each request: browsers open idle ones."""
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            _log.debug("a request of the page broke off:", exc_info=True)

    class Request(WSGIRequestHandler):
        def log_message(self, *what: Any) -> None:
            _log.debug(*what)

    return make_server(_HOST, port, page, Server, Request)
