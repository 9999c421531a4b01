"""A graph that was written, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.audio.batch import Wave
from bench.errors import UserError
from bench.machine import usable_cores
from bench.winner.onnx.convert import INPUT, OUTPUT


class Runner:
    """A graph in a session of its own, which knows nothing but the file.

    Raises:
        UserError: onnxruntime cannot run it.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except (Fail, InvalidGraph, NotImplemented) as error:
            raise UserError(
                f"onnxruntime cannot run the graph ({' '.join(str(error).split())}): export a "
                "winner with another backbone or head"
            ) from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, wave: Wave) -> np.ndarray:
        """Float32 (samples,) → float32 (labels,)."""
        (said,) = self._session.run([OUTPUT], {INPUT: wave})
        return said

    @property
    def rate(self) -> int:
        """Samples per second of the wave."""
        return int(self.metadata["sample_rate"])

    @property
    def longest(self) -> int:
        """Samples of a wave at most."""
        return round(self.rate * float(self.metadata["max_seconds"]))
