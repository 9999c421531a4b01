"""`voxgrid dashboard` shows the studies that there are, and writes nothing but its page."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.planning.make import STUDIES
from tests.bench.tuning.make_studies import CELL, everything, searched
from tests.conftest import Voxgrid, heed_ctrl_c

RESULTS = "results"


@pytest.fixture
def shown(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a dashboard on a study and a damaged journal, and its process."""
    searched(tmp_path / RESULTS)
    (tmp_path / RESULTS / STUDIES / "torn.journal").write_text("Dear diary\n")
    command = [sys.executable, "-m", "bench.cli", "dashboard", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            said = rf"studies of {RESULTS} \(1\): (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)\n"
            found = re.fullmatch(said, line)
            assert found is not None, line
            yield found[1], process
        finally:
            process.kill()


def get(address: str) -> Any:
    answer = httpx.get(address, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_studies_of_the_results_are_shown_until_ctrl_c(
    shown: tuple[str, subprocess.Popen], tmp_path: Path
) -> None:
    address, process = shown
    before = everything(tmp_path / RESULTS)
    # a browser opens connections that it says nothing on
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):
        (study,) = get(f"{address}/api/studies")["study_summaries"]
        assert (study["study_name"], study["directions"]) == (f"{CELL}/fold-0", ["maximize"])
        trials = get(f"{address}/api/studies/{study['study_id']}")["trials"]
        assert [trial["state"] for trial in trials] == ["Complete"] * 3
        assert all(len(trial["intermediate_values"]) == 6 for trial in trials)
        page = httpx.get(f"{address}/dashboard", trust_env=False)
        assert "<html" in page.text
        # what is done on the page stays there
        gone = httpx.request(
            "DELETE",
            f"{address}/api/studies/{study['study_id']}",
            content=json.dumps({}),
            headers={"Content-Type": "application/json"},
            trust_env=False,
        )
        assert gone.status_code == 204
        assert get(f"{address}/api/studies")["study_summaries"] == []
    assert everything(tmp_path / RESULTS) == before
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    torn = Path(RESULTS) / STUDIES / "torn.journal"
    assert err == f"left out: {torn} is damaged, or of another version\n"


def test_a_port_in_use_is_named(voxgrid: Voxgrid, tmp_path: Path) -> None:
    searched(tmp_path / RESULTS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = voxgrid("dashboard", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} of 127.0.0.1 cannot be used (Address already in use)" in done.stderr
    assert "--port" in done.stderr


def test_without_the_extra_the_error_says_what_to_install(
    voxgrid: Voxgrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    done = voxgrid("dashboard")
    assert done.returncode == 2
    assert done.stderr == (
        "voxgrid: optuna-dashboard is not installed, since it is optional; get it with: "
        "pip install 'voxgrid[dashboard]'\n"
    )


def test_without_results_the_error_names_the_folder(voxgrid: Voxgrid, tmp_path: Path) -> None:
    done = voxgrid("dashboard", "--results", "typo")
    assert done.returncode == 2
    assert "there is no results folder typo; name it with --results" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_without_studies_the_error_says_how_there_come_to_be_some(
    damaged: bool, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    (tmp_path / RESULTS / STUDIES).mkdir(parents=True)
    if damaged:
        (tmp_path / RESULTS / STUDIES / "torn.journal").write_text("Dear diary\n")
    done = voxgrid("dashboard")
    assert done.returncode == 2
    assert done.stderr.count("left out: ") == damaged
    assert "results has no studies to show: run trainings (`voxgrid run --head fine_tune`)" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr
