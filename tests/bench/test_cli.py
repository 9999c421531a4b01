"""The command itself: its version, what shells complete, and what `--debug` adds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from bench.config.presets import all_presets
from bench.plugins import BACKBONES, HEADS
from bench.tasks import TASKS
from tests.conftest import Voxgrid


def completed(voxgrid: Voxgrid, *words: str) -> set[str]:
    """What a shell is offered for the last of the words."""
    more = {"COMP_WORDS": " ".join(["voxgrid", *words]), "COMP_CWORD": str(len(words))}
    done = voxgrid(_VOXGRID_COMPLETE="complete_bash", **more)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_version_is_that_of_the_distribution(voxgrid: Voxgrid) -> None:
    done = voxgrid("--version")
    assert (done.returncode, done.stdout) == (0, f"voxgrid {version('voxgrid')}\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("run", "--backbone", "log"), {"logmel"}),
        (("plan", "--head", "m"), {"mlp"}),
        (("run", "--pooling", "mean_"), {"mean_std", "mean_max"}),
        (("run", "--fine-tune-pooling", "att"), {"attention", "attentive_stats"}),
        (("run", "--protocol", "speaker-6"), {"speaker-6fold"}),
        (("run", "--dtype", "b"), {"bfloat16"}),
        (("run", "--control", "r"), {"random-init"}),
        (("list", "he"), {"heads"}),
        (("run", "--preset", "w2v2-gb"), {"w2v2-gb-ravdess"}),
        (("check", "logm"), {"logmel"}),
    ],
)
def test_shells_complete_names(words: tuple[str, ...], offered: set[str], voxgrid: Voxgrid) -> None:
    assert completed(voxgrid, *words) == offered


def test_shells_are_offered_all_there_is(voxgrid: Voxgrid) -> None:
    assert completed(voxgrid, "run", "--preset", "") == set(all_presets())
    everything = {*TASKS.names(), *BACKBONES.names(), *HEADS.names()}
    assert completed(voxgrid, "check", "") == everything


def test_completion_imports_no_torch(environment: dict[str, str]) -> None:
    code = """
import sys
sys.argv = ["voxgrid"]
from bench import cli
try:
    cli.main()
finally:
    print("torch" in sys.modules, "transformers" in sys.modules)
"""
    more = {"COMP_WORDS": "voxgrid run --head ml", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | more | {"_VOXGRID_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.split() == ["mlp", "False", "False"]


@pytest.mark.parametrize("debug", ["-v", "--debug"])
def test_debug_shows_the_whole_of_an_error_and_what_was_done_before(
    debug: str, voxgrid: Voxgrid
) -> None:
    asked = ("plan", "--task=sample-emotion", "--backbone=whisper-base", "--dtype=bfloat16")
    told, plain = voxgrid(debug, *asked), voxgrid(*asked)
    assert (told.returncode, plain.returncode) == (2, 2)
    assert len(plain.stderr.splitlines()) == 1
    assert told.stderr.endswith(plain.stderr)
    assert "Traceback (most recent call last):" in told.stderr
    assert '"dtype":"bfloat16"' in told.stderr
    assert "sample-emotion: 120 clips, first " in told.stderr


def test_debug_shows_the_cause_of_a_refusal_too(voxgrid: Voxgrid) -> None:
    asked = ("plan", "--frames-gb", "-1")
    assert "ValidationError" in voxgrid("--debug", *asked).stderr
    assert "ValidationError" in voxgrid(*asked, "--debug").stderr
    assert "ValidationError" not in voxgrid(*asked).stderr
