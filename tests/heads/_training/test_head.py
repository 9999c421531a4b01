"""What heads that train a network promise beside the conformance suite, which test_checks runs."""

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import optuna
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from bench.plugins import HEADS
from heads import HeadContext, HeadError, Training
from heads._conformance.in_memory import MemoryClips, MemorySequences, backbone
from heads.fine_tune import FineTuneHead
from heads.mlp import PooledMLPHead
from tests.heads.marked import marked

KINDS = [
    (name, reads)
    for name in HEADS.names()
    for reads in sorted(HEADS.get(name).keys() - {"vectors"})
]
SMALL = {
    ("mlp", "frames"): {"epochs": 6, "hidden": 16, "batch_size": 16, "learning_rate": 1e-2},
    ("fine_tune", "backbone"): {"epochs": 6, "blocks": 1, "backbone_learning_rate": 1e-3},
}
CONTEXT = HeadContext(clips=90, features=16, classes=3, blocks=2)

every_head = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind))


def small(kind: tuple[str, str], random_state: int = 0, **params):
    name, reads = kind
    return HEADS.reading(name, reads)(**SMALL[kind] | params, random_state=random_state)


def data(kind: tuple[str, str], clips: int = 90, **how):
    """Clips of what the head reads, and labels."""
    frames, labels = marked(clips, **how)
    return (MemoryClips(frames, backbone()) if kind[1] == "backbone" else frames), labels


@pytest.fixture(autouse=True, scope="module")
def _quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def test_every_kind_has_a_small_variant_here():
    assert set(SMALL) == set(KINDS)


@every_head
def test_learns_and_predicts_in_the_order_of_the_clips(kind):
    X, y = data(kind, 120)
    head = small(kind).fit(X.take(np.arange(90)), y[:90])
    unseen = X.take(np.arange(90, 120))
    assert head.score(unseen, y[90:]) >= 0.8
    probabilities = head.predict_proba(unseen)
    assert probabilities.shape == (30, 3)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    backwards = head.predict_proba(X.take(np.arange(119, 89, -1)))
    np.testing.assert_allclose(backwards[::-1], probabilities, atol=1e-6)


@every_head
def test_same_seed_same_numbers_another_seed_others(kind):
    X, y = data(kind)
    one, same, other = (
        small(kind, seed, pooling="attention").fit(X, y).predict_proba(X) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@every_head
def test_pickled_head_predicts_the_same(kind):
    X, y = data(kind)
    head = small(kind, pooling="attentive_stats").fit(X, y)
    copy = pickle.loads(pickle.dumps(head))
    np.testing.assert_array_equal(head.predict_proba(X), copy.predict_proba(X))
    assert copy.curve_ == head.curve_
    assert not hasattr(clone(head), "network_")


@every_head
def test_what_cannot_be_fitted_is_refused(kind):
    X, y = data(kind)
    with pytest.raises(ValueError, match="only one class: 'calm'"):
        small(kind).fit(X, np.full(len(X), "calm"))
    with pytest.raises(ValueError, match="90 clips but 89 labels"):
        small(kind).fit(X, y[1:])
    with pytest.raises(ValueError, match="class"):
        small(kind).fit(X, np.linspace(0, 1, len(X)))
    with pytest.raises(NotFittedError):
        small(kind).predict(X)


@every_head
@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"pooling": "median"}, "pooling must be one of mean, sum"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"attention": 0}, "attention must be at least 1"),
        ({"hidden": -1}, "hidden"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(kind, params, reason):
    X, y = data(kind, 12)
    with pytest.raises(ValueError, match=reason):
        small(kind, **params).fit(X, y)


@every_head
def test_other_frames_than_in_fit_are_refused(kind):
    X, y = data(kind, 30)
    head = small(kind).fit(X, y)
    frames, _ = marked(6, width=8)
    wider = MemoryClips(frames, backbone(width=8)) if kind[1] == "backbone" else frames
    with pytest.raises(ValueError, match="fitted on frames of 16 features, these have 8"):
        head.predict_proba(wider)


@every_head
def test_validation_may_hold_a_class_that_training_lacks(kind):
    X, y = data(kind)
    known = np.flatnonzero(y != "sad")
    training = Training(validation=(X, y))
    head = small(kind).fit(X.take(known), y[known], training)
    assert head.classes_.tolist() == ["calm", "happy"]
    assert all(epoch.validation_macro_f1 <= 2 / 3 for epoch in head.curve_)
    assert all(np.isfinite(epoch.validation_loss) for epoch in head.curve_)
    assert all(epoch.validation_accuracy <= (y != "sad").mean() for epoch in head.curve_)


@every_head
def test_augmentation_reaches_training_batches_only(kind):
    # augmentation that erases the clip: nothing can be learnt, but predictions stay themselves
    X, y = data(kind)
    frames = X.stem if kind[1] == "backbone" else X
    frames.augment = lambda batch, seed: batch * 0
    training = Training(validation=(X.take(np.arange(30)), y[:30]))
    head = small(kind, epochs=2).fit(X.take(np.arange(30, 90)), y[30:], training)
    seeds = [seed for _, seed in frames.batches if seed is not None]
    size = head.batch_size
    assert len(seeds) == 2 * -(-60 // size)
    assert len(set(seeds)) == len(seeds)
    frames.batches.clear()
    assert len(np.unique(head.predict_proba(X), axis=0)) > 1
    assert {seed for _, seed in frames.batches} == {None}


@every_head
def test_every_suggestion_constructs_the_head_and_names_no_pooling(kind):
    name, reads = kind
    cls = HEADS.reading(name, reads)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        params = cls.suggest(trial, CONTEXT)
        assert not {"pooling", "refit_epochs", "random_state", "n_jobs"} & set(params)
        head = cls.build(params, pooling="max", random_state=5, n_jobs=1)
        assert head.get_params() | params == head.get_params()
        assert cls.suggest(optuna.trial.FixedTrial(trial.params), CONTEXT) == params
        kinds = (int, float, str, bool, type(None))
        assert all(type(value) in kinds for value in params.values())


def one_frame(clips: int = 240, seed: int = 0) -> tuple[MemorySequences, np.ndarray]:
    """Noise of 60 frames; one frame, marked by a large first feature, tells the class.

    All other frames carry wrong evidence of the same kind, so that their mean says nothing.
    """
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(clips) % 2)
    made = []
    for code in codes:
        frames = rng.standard_normal((1, 60, 8)).astype(np.float32)
        frames[0, :, 1] *= 3
        marked_frame = rng.integers(60)
        frames[0, marked_frame, 0] = 8
        frames[0, marked_frame, 1] = 3.0 if code else -3.0
        made.append(frames)
    return MemorySequences(made), codes


def test_attention_learns_what_the_mean_cannot():
    X, y = one_frame()
    scores = {}
    for pooling in ("mean", "attention"):
        head = PooledMLPHead(
            pooling=pooling,
            attention=16,
            hidden=16,
            epochs=25,
            batch_size=16,
            learning_rate=0.01,
            weight_decay=0.01,
            dropout=0.0,
            random_state=0,
        )
        head.fit(X.take(np.arange(160)), y[:160])
        scores[pooling] = head.score(X.take(np.arange(160, 240)), y[160:])
    assert scores["attention"] >= 0.9
    assert scores["mean"] <= 0.7


def test_the_layer_mix_finds_the_layer_that_tells():
    rng = np.random.default_rng(0)
    X, y = marked(120)
    clips = []
    for clip in X.clips:
        noise = rng.standard_normal((4, *clip.shape[1:])).astype(np.float32)
        noise[2] = clip[0]
        clips.append(100.0 * noise)
    head = PooledMLPHead(
        pooling="mean", hidden=16, epochs=12, batch_size=16, weight_decay=0.01, random_state=0
    ).fit(MemorySequences(clips), y)
    weights = head.network_.head["mix"].weights()
    assert weights.argmax() == 2
    assert weights[2] > 0.5
    assert weights.sum().item() == pytest.approx(1)


def test_the_frames_mlp_scores_validation_clips_but_never_stops_for_them():
    X, y = marked(90)
    told = []
    training = Training(validation=(X.take(np.arange(30)), y[:30]), on_epoch=told.append)
    rest = X.take(np.arange(30, 90))
    watched = PooledMLPHead(epochs=8, random_state=0).fit(rest, y[30:], training)
    alone = PooledMLPHead(epochs=8, random_state=0).fit(rest, y[30:])
    assert len(told) == 8
    assert watched.best_epoch_ == 7
    np.testing.assert_array_equal(watched.predict_proba(X), alone.predict_proba(X))


def changed(before: torch.nn.Module, after: torch.nn.Module) -> set[str]:
    other = dict(after.named_parameters())
    return {name for name, value in before.named_parameters() if not value.equal(other[name])}


@pytest.mark.parametrize(
    ("trained", "blocks", "count"), [("blocks", 1, 1), ("blocks", 2, 2), ("all", None, 2)]
)
def test_the_copy_is_trained_and_the_backbone_is_not(trained, blocks, count):
    frames, y = marked(60)
    source = backbone()
    X, untouched = MemoryClips(frames, source), deepcopy(source)
    head = FineTuneHead(trained=trained, blocks=blocks, epochs=2, random_state=0).fit(X, y)
    assert changed(untouched, source) == set()
    tail = head.network_.tail
    assert len(tail.blocks) == count
    start = X.tail(blocks)
    assert len(changed(start, tail)) == len(list(start.parameters()))


def test_the_classifier_alone_asks_for_no_tail():
    frames, y = marked(60)
    X = MemoryClips(frames, backbone())
    head = FineTuneHead(trained="classifier", epochs=2, random_state=0).fit(X, y)
    assert X.tails == []
    assert head.network_.tail is None


@pytest.mark.parametrize("blocks", [1, None])
def test_lora_trains_its_adapters_and_nothing_else_of_the_backbone(blocks):
    frames, y = marked(60)
    X = MemoryClips(frames, backbone())
    head = FineTuneHead(trained="lora", blocks=blocks, lora_rank=3, epochs=2, random_state=0)
    head.fit(X, y)
    start = dict(X.tail(blocks).named_parameters())
    adapters = 0
    for name, value in head.network_.tail.named_parameters():
        if ".lora_" in name:
            adapters += 1
            assert value.requires_grad
            assert min(value.shape) == 3
            assert value.abs().sum() > 0  # B starts at zero
        else:
            assert value.equal(start[name.replace(".base_layer", "")])
            assert not value.requires_grad
    assert adapters == 2 * 4 * len(head.network_.tail.blocks)


def test_lora_refuses_a_tail_without_linear_layers():
    frames, y = marked(12)
    X = MemoryClips(frames, backbone())
    X.tail = lambda blocks: torch.nn.Sequential(torch.nn.LayerNorm(16))
    with pytest.raises(HeadError, match="no linear layer for LoRA"):
        FineTuneHead(trained="lora", blocks=1).fit(X, y)


@pytest.mark.parametrize("trained", ["blocks", "lora"])
@pytest.mark.parametrize("blocks", [0, 3])
def test_more_blocks_than_there_are_is_an_error(trained, blocks):
    frames, y = marked(12)
    X = MemoryClips(frames, backbone(2))
    with pytest.raises(ValueError, match="blocks must lie between 1 and 2"):
        FineTuneHead(trained=trained, blocks=blocks).fit(X, y)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"trained": "everything"}, "trained must be one of classifier, blocks, all, lora"),
        ({"refit_epochs": 9, "epochs": 8}, "refit_epochs must lie between 1 and epochs"),
        ({"warmup": 1.5}, "warmup must lie in"),
        ({"precision": "16-mixed"}, "precision must be one of auto, 32-true, bf16-mixed"),
        ({"trained": "lora", "lora_rank": 0}, "lora_rank must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
    ],
)
def test_fine_tuning_refuses_what_means_nothing(params, reason):
    frames, y = marked(12)
    with pytest.raises(ValueError, match=reason):
        FineTuneHead(**params).fit(MemoryClips(frames, backbone()), y)


def scopes(blocks: int, accelerator: bool) -> set[tuple[str, int | None]]:
    context = HeadContext(clips=90, features=16, classes=3, blocks=blocks, accelerator=accelerator)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [FineTuneHead.suggest(study.ask(), context) for _ in range(100)]
    return {(params["trained"], params["blocks"]) for params in drawn}


def test_a_processor_is_offered_the_cheap_scopes_only():
    cheap = {("classifier", 1), ("blocks", 1), ("blocks", 2), ("lora", 2)}
    assert scopes(12, accelerator=False) == cheap
    assert scopes(12, accelerator=True) == cheap | {("blocks", 4), ("all", None), ("lora", None)}


def test_only_blocks_that_are_there_are_offered():
    assert scopes(0, accelerator=True) == {("classifier", 1)}
    assert scopes(1, accelerator=False) == {("classifier", 1), ("blocks", 1)}
    assert ("blocks", 4) not in scopes(3, accelerator=True)
