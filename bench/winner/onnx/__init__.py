"""A winner as one ONNX graph, from a wave to probabilities, compared with the winner itself."""

from bench.winner.onnx.write import Exported, export

__all__ = ["Exported", "export"]
