"""A winner as one ONNX graph, from a wave to probabilities, compared with the winner itself."""

from bench.winner.onnx.write import export

__all__ = ["export"]
