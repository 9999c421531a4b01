"""The key of a feature set: what it was, from settings alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backbones import Weights
from backbones.weights import availability, resolve
from bench.features.key import FeatureSettings, digest, torch_version
from bench.plugins import BACKBONES

RESULTS = Path(__file__).parents[3] / "results"
WEIGHTS = Path(os.environ.get("VOXGRID_WEIGHTS", "/nonexistent"))
# Computed before the key had a module of its own.
KEY = "7be801472124d41195befc4e33812350ea5ea901ca4865e2fa06785b3206504b"
KEY_ON_GPU = "684b566430f892ea546052cc021fdc864d30b9e98b4beca4c01a530cd442514a"
PRETRAINED = Weights("pretrained", sha="a", config_sha="b")


def _recorded() -> dict[tuple[str, str], tuple[str, dict]]:
    """Key and record by backbone and kind of weights, of all committed records that have one."""
    found: dict[tuple[str, str], tuple[str, dict]] = {}
    for path in sorted(RESULTS.rglob("*__*.json")):
        record = json.loads(path.read_text())
        key = record["provenance"]["feature_key"]
        if key is not None:
            name = (record["backbone"], record["weights"]["kind"])
            assert found.setdefault(name, (key, record))[0] == key, path
    return found


RECORDED = _recorded()


def test_fixed_settings_have_the_key_they_always_had() -> None:
    info = BACKBONES.get("whisper-base").info
    settings = FeatureSettings(info, PRETRAINED)
    assert settings.values() == {
        "backbone": "whisper-base",
        "backbone_version": 1,
        "weights_sha": "a",
        "weights_kind": "pretrained",
        "random_init": None,
        "audio": {
            "version": 1,
            "mono": "mean",
            "resampler": "soxr",
            "quality": "HQ",
            "rate": 16_000,
        },
        "normalised": False,
        "window": {"policy": "equal", "version": 1, "max_seconds": 30.0},
        "dtype": "float32",
        "statistics": 1,
        "config_sha": "b",
    }
    assert settings.key == KEY
    on_gpu = replace(settings, device="cuda:1", dtype="bfloat16")
    assert on_gpu.key == KEY_ON_GPU
    assert replace(on_gpu, device="cuda:0").key == on_gpu.key


@pytest.mark.parametrize("name", [n for n, k in RECORDED if k == "none"])
def test_hand_made_features_have_the_key_of_their_records(name: str) -> None:
    key, _ = RECORDED[name, "none"]
    assert FeatureSettings(BACKBONES.get(name).info, Weights("none")).key == key


@pytest.mark.parametrize("name", [n for n, k in RECORDED if k == "random-init"])
def test_random_weights_have_the_key_of_their_records(name: str) -> None:
    key, record = RECORDED[name, "random-init"]
    weights = Weights("random-init", size=record["weights"]["size"], seed=record["weights"]["seed"])
    drawn_by = record["provenance"]["packages"]["torch"]
    assert FeatureSettings(BACKBONES.get(name).info, weights, torch=drawn_by).key == key


def test_an_archive_has_the_key_of_its_records() -> None:
    key, record = RECORDED["quartznet", "pretrained"]
    weights = Weights("pretrained", sha=record["weights"]["sha"])
    assert FeatureSettings(BACKBONES.get("quartznet").info, weights).key == key


@pytest.mark.real
@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_real_weights_have_the_key_of_their_records(name: str) -> None:
    info = BACKBONES.get(name).info
    if availability(info)[0] != "found":
        pytest.skip(f"VOXGRID_WEIGHTS holds no {name}")
    key, _ = RECORDED[name, "pretrained"]
    assert FeatureSettings(info, resolve(info, allow_download=False)).key == key


def test_a_key_is_made_of_settings_without_disk_or_torch(tmp_path: Path) -> None:
    """In a process of its own, for what it imports."""
    code = """
import sys
from backbones import Weights
from bench.features.key import FeatureSettings
from bench.plugins import BACKBONES
weights = Weights("random-init", size="small")
print(FeatureSettings(BACKBONES.get("wav2vec2").info, weights).key, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    weights = Weights("random-init", size="small", path=tmp_path)
    key = FeatureSettings(BACKBONES.get("wav2vec2").info, weights).key
    assert done.stdout.split() == [key, "False"]


def test_the_version_of_torch_is_what_torch_says() -> None:
    import torch

    assert torch_version() == torch.__version__


def test_where_the_weights_lie_is_no_part_of_the_settings() -> None:
    info = BACKBONES.get("whisper-base").info
    here, there = (replace(PRETRAINED, path=Path(path)) for path in ("/here", "/there"))
    assert FeatureSettings(info, here) == FeatureSettings(info, there)
    assert FeatureSettings(info, here).weights.path is None


def test_the_digest_does_not_depend_on_the_order_of_settings() -> None:
    assert digest({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == digest(
        {"b": [2, {"d": 4, "c": 3}], "a": 1}
    )
