"""Half-precision frames that come window by window, on their way into one safetensors file."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A safetensors file begins with the length of its header, which the data follows.
HEADER_LENGTH = 8
_ALIGNMENT = 8
_BYTES = 2


class Spool:
    """Windows of one clip at one layer, waiting in a file without a name until all have come.

    How many frames there are and what they are scaled by is known only then, and stands at the
    beginning of the final file.

    Args:
        folder: where the file is to lie; created.

    Attributes:
        frames: how many have come.
        exponent: the clip's numbers are the stored ones × 2^exponent: the largest of its windows.
    """

    def __init__(self, folder: Path) -> None:
        self.frames = 0
        self.exponent = 0
        self._width = 0
        self._windows: list[tuple[int, int]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 `close` closes it

    def add(self, values: NDArray[np.float16], exponent: int) -> None:
        """Append a window, `values` (frames, width) × 2^`exponent`.

        Raises:
            OSError: it cannot be written.
        """
        self.exponent = max(self.exponent, exponent) if self._windows else exponent
        self.frames += len(values)
        self._width = values.shape[1]
        self._windows.append((len(values), exponent))
        self._file.write(np.ascontiguousarray(values, dtype="<f2").data)

    def write(self, path: Path, tensor: str, metadata: Mapping[str, str]) -> None:
        """Write all windows as the one tensor of a safetensors file, brought to one exponent.

        Raises:
            OSError: the file cannot be written.
        """
        size = self.frames * self._width * _BYTES
        described = {"dtype": "F16", "shape": [self.frames, self._width], "data_offsets": [0, size]}
        entries = {"__metadata__": dict(metadata), tensor: described}
        header = json.dumps(entries, separators=(",", ":")).encode()
        header += b" " * (-len(header) % _ALIGNMENT)
        self._file.seek(0)
        with path.open("wb") as target:
            target.write(struct.pack("<Q", len(header)) + header)
            for frames, exponent in self._windows:
                window = self._file.read(frames * self._width * _BYTES)
                if exponent != self.exponent:
                    values = np.frombuffer(window, dtype="<f2")
                    window = np.ldexp(values, exponent - self.exponent).astype("<f2").tobytes()
                target.write(window)

    def close(self) -> None:
        """Let go of the waiting frames."""
        with suppress(OSError):  # on a full disk, of what was still to be written
            self._file.close()
