"""The key of a feature set: everything that changes its numbers, as canonical JSON, and its digest.

It follows from settings alone; nothing on the disk is looked at. Names of files and of tasks are no
part of it: inside a set a clip is keyed by the sha256 of its decoded samples. The versions in it:

- `bench.audio.versions.DECODE_VERSION` and `WINDOW_VERSION`: see there.
- `STATISTICS_VERSION`: below.
- `BackboneInfo.version`: raised by a plugin's author when its numbers change.
"""

from __future__ import annotations

import hashlib
import json
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backbones import BackboneInfo, Weights, names
from bench.audio.decode import SOXR_QUALITY
from bench.audio.versions import DECODE_VERSION, WINDOW_VERSION

# Raise it whenever the same frames would give other statistics, or a window's be merged in another
# way: every feature set, the frames beside it and so every record depend on it.
STATISTICS_VERSION = 1


@dataclass(frozen=True)
class FeatureSettings:
    """A backbone as it runs: all that decides the numbers of a feature set, but the clips.

    Small and picklable. Where the weights lie is the affair of whoever loads them.

    Attributes:
        weights: resolved; their path is dropped.
        dtype: what the encoder computes in.
        device: torch device; the key knows its kind alone.
        torch: version that draws random weights, by default the one installed; None where none
            are drawn.
    """

    info: BackboneInfo
    weights: Weights
    dtype: str = "float32"
    device: str = "cpu"
    torch: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", replace(self.weights, path=None))
        if self.torch is None and self.weights.kind == "random-init":
            object.__setattr__(self, "torch", torch_version())

    def values(self) -> dict[str, Any]:
        """What the key is the digest of: plain JSON values."""
        info, weights = self.info, self.weights
        drawn = {"size": weights.size, "seed": weights.seed, "torch": self.torch}
        values = {
            "backbone": names.cache_name(info.name),
            "backbone_version": info.version,
            "weights_sha": weights.sha,
            "weights_kind": weights.kind,
            # the same seed draws other numbers in another torch
            "random_init": drawn if weights.kind == "random-init" else None,
            "audio": {
                "version": DECODE_VERSION,
                "mono": "mean",
                "resampler": "soxr",
                "quality": SOXR_QUALITY,
                "rate": info.resampled_to or "own",
            },
            "normalised": info.normalised,
            "window": {
                "policy": "equal",
                "version": WINDOW_VERSION,
                "max_seconds": info.max_seconds,
            },
            "dtype": self.dtype,
            "statistics": STATISTICS_VERSION,
        }
        if weights.config_sha is not None:
            values["config_sha"] = weights.config_sha
        kind = self.device.partition(":")[0]
        if kind != "cpu":
            values["device"] = kind  # other devices round differently
        return values

    @property
    def key(self) -> str:
        """Digest of `values`."""
        return digest(self.values())

    def folder(self, root: Path) -> Path:
        """Where the feature set lies below the feature cache; the key decides, the name is read."""
        return root / names.cache_name(self.info.name) / self.key[:FOLDER_DIGITS]


# How much of the key names a folder.
FOLDER_DIGITS = 20
# Its file in there that says what the key is the digest of.
SETTINGS = "settings.json"


@cache
def torch_version() -> str:
    """`torch.__version__`, without the seconds that importing torch takes."""
    torch = find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    return str(runpy.run_path(str(Path(torch.origin).with_name("version.py")))["__version__"])


def canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: equal content gives equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
