"""Extract files one after another in a process of its own, and print its peak after each.

Arguments: cache folder, backbone, layers whose frames are kept (JSON), threads, after how many
calls of `on_progress` it kills itself (0 for never), files.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from backbones import WeightsUnavailable
from backbones.weights import resolve
from bench.audio.index import scan
from bench.clips import Clip
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.machine import peak_rss_mb
from bench.plugins import BACKBONES


def main(
    cache: Path, name: str, layers: list[int], threads: int, kill_after: int, paths: list[Path]
) -> None:
    info = BACKBONES.get(name).info
    try:
        weights = resolve(info, allow_download=False)
    except WeightsUnavailable:
        weights = resolve(info, control="random-init", allow_download=False)
    found = []
    for path in paths:
        (clip,) = scan([Clip(path.stem, path, "x", "y")], cache / "scan.sqlite3").usable
        source = Source(path.stem, path, clip.pcm_sha256, clip.seconds)
        settings = FeatureSettings(info, weights)
        job = Extraction(settings, (source,), cache, threads=threads, frames=tuple(layers))
        passed: list[float] = []

        def on_progress(seconds: float, passed: list[float] = passed) -> None:
            passed.append(seconds)
            if len(passed) == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)

        extract(job, on_progress)
        found.append([sum(passed), peak_rss_mb()])
    print(json.dumps(found))


if __name__ == "__main__":
    folder, backbone, kept, torch_threads, calls, *files = sys.argv[1:]
    main(
        Path(folder),
        backbone,
        json.loads(kept),
        int(torch_threads),
        int(calls),
        [Path(file) for file in files],
    )
