"""Poolings and layers as torch modules: the numbers, the gradients, and padding never read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads._conformance.in_memory import MemorySequences, backbone
from heads._training.batches import groups, plain_batches, training_batches
from heads._training.network import LayerMix, Network, Standardise, build
from heads._training.pooling import PoolingModule, make_pooling
from heads._training.settings import Architecture
from heads.sequences import FIXED, LEARNT, POOLINGS
from tests.heads.marked import marked

every_pooling = pytest.mark.parametrize("name", POOLINGS)

NUMPY = {
    "mean": lambda x: x.mean(axis=0),
    "sum": lambda x: x.sum(axis=0),
    "max": lambda x: x.max(axis=0),
    "mean_std": lambda x: np.concatenate([x.mean(axis=0), x.std(axis=0)]),
    "mean_max": lambda x: np.concatenate([x.mean(axis=0), x.max(axis=0)]),
}


def trained_pooling(name: str, width: int) -> PoolingModule:
    """A pooling whose scores are no longer all equal."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pooling = make_pooling(name, width, 8)
        if name in LEARNT:
            torch.nn.init.normal_(pooling.score)
    return pooling


def padded(clips: list[np.ndarray], padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = [len(clip) for clip in clips]
    frames = torch.full((len(clips), max(lengths), clips[0].shape[1]), padding)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)] = torch.from_numpy(clip)
    return frames, torch.tensor(lengths)


@settings(max_examples=40)
@given(
    name=st.sampled_from(list(FIXED)),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    offset=st.floats(-100, 100),
    scale=st.floats(0.01, 10),
    seed=st.integers(0, 2**16),
)
def test_statistics_are_those_of_numpy(name, lengths, offset, scale, seed):
    rng = np.random.default_rng(seed)
    clips = [(offset + scale * rng.standard_normal((n, 5))).astype(np.float32) for n in lengths]
    pooled = make_pooling(name, 5, 8)(*padded(clips)).numpy()
    expected = np.stack([NUMPY[name](clip.astype(np.float64)) for clip in clips])
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=2e-4)


@every_pooling
def test_padding_is_never_read(name):
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((n, 6)).astype(np.float32) for n in (3, 9, 1, 9)]
    pooling = trained_pooling(name, 6)
    together = pooling(*padded(clips, padding=float("nan")))
    assert torch.isfinite(together).all()
    assert together.shape == (4, pooling.features)
    alone = torch.cat([pooling(*padded([clip])) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@every_pooling
def test_gradients_are_finite_for_constant_frames_and_single_frames(name):
    frames = torch.ones(3, 7, 4, requires_grad=True)
    pooling = trained_pooling(name, 4)
    pooling(frames, torch.tensor([7, 1, 3])).square().sum().backward()
    assert torch.isfinite(frames.grad).all()
    assert (frames.grad[1, 1:] == 0).all()
    for parameter in pooling.parameters():
        assert torch.isfinite(parameter.grad).all()


@every_pooling
def test_gradients_are_those_of_finite_differences(name):
    rng = np.random.default_rng(3)
    frames, lengths = padded([rng.standard_normal((n, 3)) for n in (4, 2)])
    pooling = trained_pooling(name, 3)
    frames.requires_grad_()
    towards = torch.from_numpy(rng.standard_normal((2, pooling.features)).astype(np.float32))
    (pooling(frames, lengths) * towards).sum().backward()
    with torch.no_grad():
        for clip, frame, feature in [(0, 1, 2), (1, 0, 0), (0, 3, 1)]:
            sides = []
            for step in (5e-3, -5e-3):
                moved = frames.detach().clone()
                moved[clip, frame, feature] += step
                sides.append((pooling(moved, lengths) * towards).sum())
            slope = (sides[0] - sides[1]) / 1e-2
            assert frames.grad[clip, frame, feature] == pytest.approx(slope.item(), abs=5e-3)


def test_attention_starts_as_the_plain_statistics():
    frames, lengths = padded([np.random.rand(n, 6).astype(np.float32) for n in (5, 8)])
    for learnt, plain in (("attention", "mean"), ("attentive_stats", "mean_std")):
        start = make_pooling(learnt, 6, 8)(frames, lengths)
        torch.testing.assert_close(start, make_pooling(plain, 6, 8)(frames, lengths))


def test_pooling_keeps_float32_under_bfloat16():
    frames, lengths = padded([np.random.rand(n, 6).astype(np.float32) for n in (5, 80)])
    for name in POOLINGS:
        pooling = make_pooling(name, 6, 8)
        with torch.autocast("cpu", torch.bfloat16):
            half = pooling(frames, lengths)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, pooling(frames, lengths))


def test_constant_features_are_divided_by_one():
    standardise = Standardise(torch.tensor([2.0, 1e4]), torch.tensor([0.0, 1e-4]))
    assert standardise(torch.tensor([5.0, 1e4 + 2])).tolist() == [3.0, 2.0]


def test_layer_mix_starts_equal_and_sums_standardised_layers():
    mix = LayerMix(4)
    assert mix.weights().tolist() == [0.25] * 4
    layers = torch.randn(2, 4, 5, 3)
    standardise = Standardise(torch.randn(4, 1, 3), torch.rand(4, 1, 3) + 0.5)
    torch.testing.assert_close(mix(layers, standardise), standardise(layers).mean(dim=1))
    with torch.no_grad():
        mix.logits.copy_(torch.tensor([9.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(mix(layers, standardise), standardise(layers)[:, 0])


def built(pooling: str = "mean", layers: int = 1, tail=None, mix: bool = True) -> Network:
    X, _ = marked(30, layers=layers)
    X.clips = [5.0 + 3.0 * clip for clip in X.clips]
    with torch.random.fork_rng():
        return build(
            tail,
            Architecture(pooling, 8, 0, 0.0, mix),
            3,
            lambda: ((b.inputs, b.lengths) for b in plain_batches(X, 7)),
            seed=0,
        )


def test_frames_and_vectors_are_standardised_with_the_training_clips():
    X, _ = marked(30)
    clips = [5.0 + 3.0 * clip[0] for clip in X.clips]
    network = built()
    frames = np.concatenate([network.head["frames"](torch.from_numpy(c)[None])[0] for c in clips])
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-4)
    with torch.no_grad():
        vectors = network.vectors(*MemorySequences([c[None] for c in clips]).batch(np.arange(30)))
        vectors = network.head["vectors"](vectors).numpy()
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(vectors.std(axis=0), 1, atol=1e-4)


def test_a_sum_keeps_the_duration_of_the_clip():
    network = built("sum")
    once = torch.full((1, 1, 10, 16), 5.0)
    short = network.vectors(once, torch.tensor([10]))
    long = network.vectors(once.repeat(1, 1, 3, 1), torch.tensor([30]))
    torch.testing.assert_close(long, 3 * short)


@pytest.mark.parametrize("mix", [False, True])
def test_the_tail_gives_its_last_layer_or_a_mix_of_all(mix):
    network = built(tail=backbone(3), mix=mix)
    assert ("mix" in network.head) == mix
    layers, _ = network.layers(torch.randn(2, 1, 5, 16), torch.tensor([5, 4]))
    assert layers.shape == (2, 3 if mix else 1, 5, 16)


def test_standardisations_are_no_part_of_a_checkpoint():
    assert {name.split(".")[1] for name in built(layers=3).state_dict()} == {"classifier", "mix"}


@settings(max_examples=50)
@given(clips=st.integers(1, 200), size=st.integers(1, 40), seed=st.integers(0, 1000))
def test_every_clip_is_in_one_group_and_only_the_last_is_smaller(clips, size, seed):
    lengths = np.random.default_rng(0).integers(1, 50, clips)
    made = groups(lengths, size, seed)
    assert sorted(np.concatenate(made)) == list(range(clips))
    assert all(len(group) == size for group in made[:-1])
    assert len(made[-1]) == (clips % size or size)


def test_groups_hold_similar_lengths_in_an_order_that_changes_with_the_seed():
    lengths = np.random.default_rng(0).integers(20, 400, 960)
    made = groups(lengths, 32, 0)
    spread = np.mean([lengths[group].max() - lengths[group].min() for group in made])
    assert spread < 0.3 * (lengths.max() - lengths.min())
    assert [g.tolist() for g in made] == [g.tolist() for g in groups(lengths, 32, 0)]
    assert [g.tolist() for g in made] != [g.tolist() for g in groups(lengths, 32, 1)]


@pytest.mark.parametrize(("size", "group"), [(8, 8), (3, 12), (5, 12), (1, 4), (64, 64)])
def test_training_batches_make_up_their_steps_and_share_no_augmentation_seed(size, group):
    X, _ = marked(50)
    made = [batch for epoch in (0, 1) for batch in training_batches(X, size, group, 0, epoch)]
    seeds = [augment for _, augment in X.batches]
    assert None not in seeds
    assert len(set(seeds)) == len(made)
    assert sum(len(batch.lengths) / batch.group for batch in made) == 2 * -(-50 // group)


def test_plain_batches_go_through_every_clip_without_augmentation():
    X, _ = marked(50)
    made = list(plain_batches(X, 8))
    assert len(made) == 7
    assert sorted(torch.cat([batch.positions for batch in made]).tolist()) == list(range(50))
    assert {augment for _, augment in X.batches} == {None}
