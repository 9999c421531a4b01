"""Hours of sound in the memory of minutes; takes as long as that, so only with VOXGRID_LONG=1.

`VOXGRID_LONG=1 pytest tests/perf/test_memory.py -s` prints the figures.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from bench import machine as measure
from tests.bench.features.make_long_clips import extract_in_child, generated

HOURS = 3
MOST_SECONDS = 3 * 3600


@pytest.mark.skipif(os.environ.get("VOXGRID_LONG") != "1", reason="VOXGRID_LONG is not 1")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak of a process")
def test_three_hours_take_the_memory_of_three_minutes(tmp_path: Path) -> None:
    peaks = []
    for minutes in (3, 60 * HOURS):
        file = generated(tmp_path / f"{minutes}.flac", minutes)
        began = time.perf_counter()
        done = extract_in_child(
            tmp_path / f"cache{minutes}",
            "quartznet",
            [file],
            threads=measure.usable_cores(),
            # as in the processes that extract, see bench/executors.py
            environment={"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"},
            timeout=MOST_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        # the last line: libraries print as well
        ((seconds, peak),) = json.loads(done.stdout.splitlines()[-1])
        assert seconds == pytest.approx(60 * minutes)
        peaks.append(peak)
        wall = time.perf_counter() - began
        print(f"{minutes} min: peak {peak:.0f} MiB, {wall:.0f} s wall, imports included")
    assert peaks[1] < 1.1 * peaks[0]
