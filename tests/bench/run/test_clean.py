"""What `voxgrid clean` deletes, and above all what it keeps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.files import exclusive
from bench.planning.cells import STUDY_VERSION
from bench.planning.make import STUDIES
from bench.records import store as records
from bench.records.schema import TrainingRecord
from bench.run.clean import remove, unneeded
from tests.bench.records.make_records import make_record

FINGERPRINT = "0123456789abcdef" * 4
KEYS = {name: f"{index:x}" * 64 for index, name in enumerate(("kept", "trained", "old", "new"))}


def _study(results: Path, cell: str, fingerprint: str, version: int = STUDY_VERSION) -> Path:
    """A journal, its lock and a checkpoint beside it."""
    name = f"{cell}.{fingerprint[:16]}.{version}"
    folder = results / STUDIES / "ravdess" / "speaker-6fold"
    (folder / name / "fold-0").mkdir(parents=True)
    (folder / name / "fold-0" / "state.pt").write_bytes(b"x" * 1000)
    (folder / f"{name}.journal").write_bytes(b"y" * 500)
    (folder / f"{name}.journal.lock").write_bytes(b"")
    return folder / f"{name}.journal"


def _features(cache: Path, backbone: str, key: str) -> Path:
    """A shard, and frames beside it."""
    folder = cache / "features" / backbone / key[:20]
    (folder / "frames" / "0").mkdir(parents=True)
    for path in (folder / "a.safetensors", folder / "frames" / "0" / "a.safetensors"):
        save_file({"x": np.zeros(100)}, path)
    (folder / "settings.json").write_text("{}")
    return folder


def _record(results: Path, backbone: str, key: str | None, fingerprint: str, **changes) -> None:
    made = make_record(backbone)
    origin = {"feature_key": key, "fingerprint": fingerprint}
    provenance = made.provenance.model_copy(update=origin)
    records.write(results, made.model_copy(update={"provenance": provenance, **changes}))


TRAINED = TrainingRecord(
    reads="frames", device="cpu", precision=["32"], frozen_part="cached", crop_seconds=30.0
)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "results", tmp_path / "cache"


def test_a_finished_study_goes_and_an_unfinished_one_stays(places: tuple[Path, Path]) -> None:
    results, cache = places
    finished = _study(results, "xlsr__mean__mlp", FINGERPRINT)
    of_another_seed = _study(results, "xlsr__mean__mlp", "f" * 64)
    without_record = _study(results, "logmel__mean__mlp", FINGERPRINT)
    outdated = _study(results, "logmel__mean__mlp", FINGERPRINT, STUDY_VERSION - 1)
    _record(results, "xlsr", None, FINGERPRINT)
    found = unneeded([results], cache / "features")
    assert {one.kind for one in found} == {"studies"}
    assert {one.paths[1] for one in found} == {finished, outdated}
    assert all(one.size == 1500 for one in found)
    remove(found)
    left = set((results / STUDIES).rglob("*.journal"))
    assert left == {of_another_seed, without_record}
    assert len(list((results / STUDIES).rglob("state.pt"))) == 2
    remove(unneeded([results], cache / "features", unfinished=True))
    assert not list((results / STUDIES).rglob("*.journal*"))
    assert len(list(records.read_all(results))) == 1


def test_a_record_that_failed_needs_its_study(places: tuple[Path, Path]) -> None:
    results, cache = places
    _study(results, "xlsr__mean__mlp", FINGERPRINT)
    _record(results, "xlsr", None, FINGERPRINT, status="failed", reason="memory", scores=None)
    assert unneeded([results], cache / "features") == []


def test_a_study_that_goes_on_to_more_trials_than_its_record_stays(
    places: tuple[Path, Path],
) -> None:
    results, cache = places
    journal = _study(results, "xlsr__mean__mlp", FINGERPRINT)
    _record(results, "xlsr", None, FINGERPRINT)
    later = journal.stat().st_mtime + 60
    os.utime(journal, (later, later))
    assert unneeded([results], cache / "features") == []


def test_a_mistyped_results_folder_deletes_nothing(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, cache = places
    monkeypatch.setenv("VOXGRID_CACHE", str(cache))
    features = _features(cache, "xlsr", KEYS["old"])
    done = CliRunner().invoke(app, ["clean", "--results", str(results), "--yes"])
    assert isinstance(done.exception, UserError)
    assert features.is_dir()


def test_features_stay_where_a_record_names_them_and_frames_where_it_was_trained_on_them(
    places: tuple[Path, Path],
) -> None:
    results, cache = places
    folders = {name: _features(cache, "xlsr", key) for name, key in KEYS.items()}
    _record(results, "xlsr", KEYS["kept"], FINGERPRINT)
    _record(results, "xlsr", KEYS["trained"], FINGERPRINT, head="fine_tune", training=TRAINED)
    elsewhere = results.with_name("elsewhere")
    _record(elsewhere, "xlsr", KEYS["new"], FINGERPRINT)
    found = unneeded([results, elsewhere], cache / "features")
    assert {(one.kind, one.paths) for one in found} == {
        ("features", (folders["old"],)),
        ("frames", (folders["kept"] / "frames",)),
        ("frames", (folders["new"] / "frames",)),
    }
    remove(found)
    assert {path.name for path in (cache / "features" / "xlsr").iterdir()} == {
        KEYS[name][:20] for name in ("kept", "trained", "new")
    }
    assert (folders["kept"] / "a.safetensors").is_file()
    assert (folders["trained"] / "frames" / "0" / "a.safetensors").is_file()
    assert unneeded([results, elsewhere], cache / "features") == []


@pytest.mark.parametrize(
    ("cell", "cached"), [("xlsr__mean__mlp", "xlsr"), ("hf--a--b__mean__mlp", "hf")]
)
def test_what_an_unfinished_study_may_go_on_from_stays(
    cell: str, cached: str, places: tuple[Path, Path]
) -> None:
    results, cache = places
    _study(results, cell, FINGERPRINT)
    _features(cache, cached, KEYS["old"])
    other = _features(cache, "logmel", KEYS["old"])
    (found,) = unneeded([results], cache / "features")
    assert found.paths == (other,)
    kinds = [one.kind for one in unneeded([results], cache / "features", unfinished=True)]
    assert kinds == ["studies", "features", "features"]


def test_the_command_lists_and_deletes_only_when_told(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, cache = places
    monkeypatch.setenv("VOXGRID_CACHE", str(cache))
    downloads = [cache / "weights" / "x.nemo", cache / "data" / "ravdess" / "a.wav"]
    for path in downloads:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"kept")
    study = _study(results, "xlsr__mean__mlp", FINGERPRINT)
    _record(results, "xlsr", None, FINGERPRINT)
    features = _features(cache, "xlsr", KEYS["old"])
    (cache / "sections").mkdir()
    (cache / "sections" / "cut.wav").write_bytes(b"RIFF")
    command = ["clean", "--results", str(results)]
    for _ in range(2):
        listed = CliRunner().invoke(app, command)
        assert listed.exit_code == 0, listed.output
        assert "studies: 1 unneeded" in listed.output
        assert f"{features}: no record has their key" in listed.output
        assert "frames: none" in listed.output
        assert "nothing was deleted" in listed.output
    assert study.is_file()
    assert features.is_dir()
    assert "sections: 1 unneeded" in listed.output
    assert "deleted 3 items" in CliRunner().invoke(app, [*command, "--yes"]).output
    assert not study.exists()
    assert not features.exists()
    assert not (cache / "sections").exists()
    assert all(path.read_bytes() == b"kept" for path in downloads)
    assert "studies: none" in CliRunner().invoke(app, command).output


def test_nothing_is_deleted_while_a_run_holds_the_folder(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, cache = places
    monkeypatch.setenv("VOXGRID_CACHE", str(cache))
    features = _features(cache, "xlsr", KEYS["old"])
    with exclusive(results):
        done = CliRunner().invoke(app, ["clean", "--results", str(results), "--yes"])
    assert isinstance(done.exception, UserError)
    assert "another voxgrid run is writing" in str(done.exception)
    assert features.is_dir()
