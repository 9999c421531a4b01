"""Windows reach a backbone as its contract says, each prepared by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backbones import Backbone, BackboneError, BackboneInfo, Frames, Weights
from bench.audio import window
from bench.errors import PluginCrashed
from bench.features.encode import Encoded, LoadedBackbone, Unusable, Window, encode
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError

RATE = 16_000
INFO = BackboneInfo(
    name="listens",
    summary="keeps what it is given",
    weights_id="someone/something",
    revision="main",
    licence="MIT",
    sample_rate=RATE,
    layers=1,
    width=1,
    frame_rate=float(RATE),
    max_seconds=1.0,
    attention_mask=True,
    normalised=True,
    parameters=1,
)


class Listens(Backbone):
    """One frame per sample, which is the sample."""

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.heard: list[torch.Tensor] = []

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        self.heard += [wave[:n].clone() for wave, n in zip(waves, lengths.tolist(), strict=True)]
        return Frames.same_lengths([waves[..., None]], lengths)


class ListensUnscaled(Listens):
    """Takes samples as they are."""

    info = replace(INFO, normalised=False)


def heard(cls: type[Listens], clip: np.ndarray) -> list[torch.Tensor]:
    """What a backbone is given of a clip that is cut into windows."""
    backbone = cls(Weights("random-init"))
    backbone.load()
    edges = window.windows(len(clip), RATE, backbone.info.max_seconds)
    pieces = [clip[start:stop] for start, stop in edges]
    encode(LoadedBackbone(backbone, "cpu", 8), [Window(piece, RATE) for piece in pieces])
    return backbone.heard


@pytest.fixture
def clip() -> np.ndarray:
    """Two windows of sound, the second ten times louder and off zero."""
    noise = np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32) * 0.05
    noise[RATE:] = 10 * noise[RATE:] + 0.1
    return noise


def test_each_window_of_a_long_clip_is_normalised_by_itself(clip: np.ndarray) -> None:
    windows = heard(Listens, clip)
    assert len(windows) == 2
    for found in windows:
        assert abs(float(found.mean())) < 1e-4
        assert float(found.var(unbiased=False)) == pytest.approx(1.0, abs=1e-3)


def test_sound_is_left_alone_where_nothing_else_is_expected(clip: np.ndarray) -> None:
    windows = heard(ListensUnscaled, clip)
    assert torch.equal(torch.cat(windows), torch.from_numpy(clip))


class Stumbles(ListensUnscaled):
    """Squares what it hears; raises for a whole batch that holds a clip without sound."""

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        if not bool(waves.any(dim=1).all()):
            raise BackboneError("nothing can be said of silence")
        return Frames.same_lengths([waves[..., None] ** 2], lengths)


def test_of_a_batch_only_the_clip_is_refused_that_is_to_blame() -> None:
    backbone = Stumbles(Weights("random-init"))
    backbone.load()
    sound = np.full(RATE // 10, 0.5, dtype=np.float32)
    huge, silent = sound.copy(), np.zeros_like(sound)
    huge[7] = 1e20
    windows = [Window(wave, RATE) for wave in (sound, huge, silent, sound)]
    made, _ = encode(LoadedBackbone(backbone, "cpu", 8), windows)
    assert made[1:3] == [
        Unusable(
            "backbone 'listens' makes features of it that cannot be used (NaN or infinite values "
            "in layer 0); its loudest sample is 1e+20, and full scale is 1"
        ),
        Unusable("nothing can be said of silence"),
    ]
    for one in (made[0], made[3]):
        assert isinstance(one, Encoded)
        assert float(one.statistics[0].mean[0]) == 0.25


def test_what_is_too_loud_to_be_normalised_does_not_become_silence() -> None:
    backbone = Listens(Weights("random-init"))
    backbone.load()
    huge = np.full(RATE // 10, 0.5, dtype=np.float32)
    huge[7] = 1e20
    (made,), _ = encode(LoadedBackbone(backbone, "cpu", 8), [Window(huge, RATE)])
    assert isinstance(made, Unusable)
    assert "loudest sample is 1e+20" in made.reason


class PutsTimeFirst(ListensUnscaled):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        return Frames.same_lengths([waves.T[..., None]], lengths)


def test_frames_with_time_first_are_refused_and_no_clip_is_blamed() -> None:
    backbone = PutsTimeFirst(Weights("random-init"))
    windows = [Window(np.ones(RATE // 10, dtype=np.float32), RATE)] * 3
    with pytest.raises(ExtractionError, match=r"\(1600, 3, 1\) instead of .* time comes before"):
        encode(LoadedBackbone(backbone, "cpu", 8), windows)


class KeepsRates(ListensUnscaled):
    """One frame per clip: its rate."""

    info = replace(INFO, normalised=False, own_rate=True)

    def encode_at(self, waves: torch.Tensor, lengths: torch.Tensor, rates: torch.Tensor) -> Frames:
        return Frames.same_lengths([rates[:, None, None].float()], torch.ones_like(lengths))


def test_a_backbone_that_keeps_rates_is_told_that_of_each_clip() -> None:
    backbone = KeepsRates(Weights("random-init"))
    rates = (8_000, 48_000, 16_000)
    windows = [Window(np.ones(rate // 10, dtype=np.float32), rate) for rate in rates]
    made, _ = encode(LoadedBackbone(backbone, "cpu", 8), windows)
    assert [one.statistics[0].mean[0] for one in made if isinstance(one, Encoded)] == [*rates]


def test_the_commit_of_weights_is_no_part_of_the_key() -> None:
    weights = Weights("pretrained", id=INFO.weights_id, sha="a" * 64, config_sha="b" * 64)
    known = replace(weights, commit="c" * 40)
    assert FeatureSettings(INFO, known).key == FeatureSettings(INFO, weights).key


class Trips(ListensUnscaled):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        raise IndexError("row 1 of 1")


def test_what_a_plugin_raises_names_the_clips_it_was_given() -> None:
    backbone = Trips(Weights("random-init"))
    backbone.load()
    sound = np.ones(RATE // 10, dtype=np.float32)
    windows = [Window(sound, RATE, clip=clip) for clip in ("a/1", "a/1", "b/2")]
    expected = "^encode, given 'a/1', 'b/2', raised IndexError: row 1 of 1"
    with pytest.raises(PluginCrashed, match=expected):
        encode(LoadedBackbone(backbone, "cpu", 8), windows)
