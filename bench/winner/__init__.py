"""The winner: a row refitted on all clips, as a folder that predicts."""

from bench.winner.model import Model

__all__ = ["Model"]
