"""What is extracted: a clip as the scan found it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import paths
from bench.errors import VoxgridError
from bench.executors.base import OtherMachine


class ExtractionError(VoxgridError):
    """A backbone returned features that cannot be used, or a file changed under way."""


class OtherWeights(ExtractionError, OtherMachine):
    """The weights of this machine are others than those that the run was planned with."""


@dataclass(frozen=True)
class Source:
    """One clip to extract: its id, its file, the sha256 of its decoded samples, its length.

    Sent to another process or machine, its file is the one below the data or cache folder there.
    """

    id: str
    path: Path
    pcm_sha256: str
    seconds: float

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "path": paths.portable(self.path)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, path=paths.here(state["path"]))

    def check(self, pcm_sha256: str) -> None:
        """Compare with what was decoded now: features are stored under what the scan found.

        Raises:
            ExtractionError: the file holds other sound.
        """
        if pcm_sha256 != self.pcm_sha256:
            raise ExtractionError(
                f"clip '{self.id}' holds other sound than when it was scanned: {self.path} was "
                "changed meanwhile; run again"
            )
