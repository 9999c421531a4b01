"""Backbones named by an address run like any other: files, cache, records, resuming."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backbones.weights import resolve
from bench.config.grid import Cell
from bench.features.key import FeatureSettings
from bench.plugins import BACKBONES
from bench.records import store as records
from tests.backbones._hf import make_hf
from tests.conftest import Voxgrid

ONE_CELL = ("--task", "sample-emotion", "--pooling", "mean", "--head", "logistic_regression")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hf.save("speech_to_text", tmp_path_factory.mktemp("hub") / "model")


def test_the_record_of_an_address_is_one_file_of_its_own() -> None:
    cell = Cell("t", "p", "hf:microsoft/wavlm-base", "mean", "mlp")
    assert cell.relative_path == Path("t/p/hf--microsoft--wavlm-base__mean__mlp")
    others = ("hf:microsoft/wavlm-large", "hf:microsoft/wavlm-base@v1", "hf:./wavlm-base")
    paths = {replace(cell, backbone=name).relative_path for name in others}
    assert len(paths | {cell.relative_path}) == 4
    assert {path.parent for path in paths} == {Path("t/p")}


def test_features_are_keyed_by_the_files_and_not_by_where_they_are(
    model: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(model, tmp_path / "elsewhere")

    def folder(where: Path) -> Path:
        info = BACKBONES.get(f"hf:{where}").info
        return FeatureSettings(info, resolve(info)).folder(tmp_path)

    assert folder(copied) == folder(model)
    assert str(copied) not in str(folder(copied).relative_to(tmp_path))
    settings = copied / "preprocessor_config.json"
    changed = settings.read_text().replace('"normalize_vars": true', '"normalize_vars": false')
    settings.write_text(changed)
    assert folder(copied) != folder(model)


def test_a_folder_runs_and_is_done_the_second_time(
    model: Path, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "my-model")
    run = ("run", *ONE_CELL, "--backbone", "hf:./my-model", "--trials", "1")
    first = voxgrid(*run, "--protocol", "speaker-3fold")
    assert first.returncode == 0, first.stderr
    assert "1 cells ran, 0 were done" in first.stderr + first.stdout
    (path,) = records.record_files(tmp_path / "results")
    assert path.name.startswith("hf--my-model~")
    record = records.read(path)
    assert record is not None
    assert record.backbone == "hf:./my-model"
    assert record.status == "ok"
    assert (record.weights.kind, record.weights.size) == ("random-init", "small")
    assert "| hf:./my-model |" in (tmp_path / "results/sample/leaderboard.md").read_text()
    second = voxgrid(*run, "--protocol", "speaker-3fold")
    assert "0 cells ran, 1 were done" in second.stderr + second.stdout


def test_an_address_that_leads_nowhere_is_one_sentence(voxgrid: Voxgrid) -> None:
    run = voxgrid("run", *ONE_CELL, "--backbone", "hf:someone/thing")
    assert run.returncode == 2
    (line,) = run.stderr.strip().splitlines()
    assert "VOXGRID_OFFLINE is set" in line
    assert line.endswith("hf download someone/thing")
