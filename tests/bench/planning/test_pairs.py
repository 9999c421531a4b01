"""Which combinations can run, and which layers' frames are kept for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones import Weights
from bench.features.frames import frames_bytes
from bench.features.pooling import POOLINGS
from bench.planning import frames, pairs
from bench.plugins import BACKBONES, HEADS


@given(
    name=st.sampled_from([n for n in BACKBONES.names() if BACKBONES.get(n).info.trainable]),
    seconds=st.floats(1.0, 1e6),
    gigabytes=st.floats(0.01, 100.0) | st.just(1e308),
)
def test_kept_layers_are_spread_evenly_and_fit_the_disk(
    name: str, seconds: float, gigabytes: float
) -> None:
    info = BACKBONES.get(name).info
    kept = frames.kept(info, Weights("pretrained"), seconds, gigabytes)
    assert list(kept) == sorted(set(kept))
    assert set(kept) <= set(range(info.layers))
    assert frames_bytes(info, seconds, 1) * len(kept) <= gigabytes * 1e9 * 1.001
    steps = set(np.diff(kept))
    assert not steps or max(steps) - min(steps) <= 1
    if frames_bytes(info, seconds, info.layers) <= gigabytes * 1e9:
        assert kept == tuple(range(info.layers))


@pytest.mark.parametrize("pooling", list(POOLINGS))
@pytest.mark.parametrize("head", HEADS.names())
@pytest.mark.parametrize("backbone", BACKBONES.names())
def test_a_pair_either_has_a_head_class_or_a_reason(backbone: str, pooling: str, head: str) -> None:
    info = BACKBONES.get(backbone).info
    reason = pairs.skip((info,), info.name, pooling, head)
    if reason is None:
        kind = pairs.reads(pooling, head)
        assert HEADS.reading(head, kind).reads == kind
        assert kind != "backbone" or info.trainable
    else:
        assert head in reason or (info.per_clip and pooling in reason)
        assert ": use " in reason
