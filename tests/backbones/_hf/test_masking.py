"""SpecAugment masks what transformers masks, in training alone, with the checkpoint's vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from backbones import STEM, Backbone
from backbones._hf.masking import Spans
from backbones.weights import resolve
from bench.plugins import BACKBONES
from tests.backbones._hf.make_hf import _LAYER_NORM, _SPEECH

SECONDS = 2
QUIET = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"),
    0.0,
)


def saved(folder: Path, **settings: Any) -> tuple[transformers.PreTrainedModel, Backbone]:
    """A checkpoint of transformers without any dropout, and the backbone of its folder."""
    config = transformers.Wav2Vec2Config(**_SPEECH, **_LAYER_NORM, **QUIET, **settings)
    torch.manual_seed(0)
    model = transformers.Wav2Vec2ForCTC(config)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    name = f"hf:{folder}"
    backbone = BACKBONES.create(name, resolve(BACKBONES.get(name).info))
    backbone.load()
    return model.wav2vec2, backbone


def waves() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    samples = 16_000 * SECONDS
    return torch.randn(2, samples, generator=generator), torch.full((2,), samples)


def last(tail: torch.nn.Module, backbone: Backbone) -> torch.Tensor:
    with torch.no_grad():
        return tail(*backbone.stem(*waves())).hidden[-1]


def test_masked_training_is_that_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, backbone = saved(tmp_path / "own")
    masked = torch.zeros(2, 99, dtype=torch.bool)
    masked[0, 5:25] = masked[1, 60:80] = True
    monkeypatch.setattr(
        Spans, "draw", lambda spans, lengths, steps: masked[:, :steps] & (steps == 99)
    )
    with torch.no_grad():
        expected = model.train()(waves()[0], mask_time_indices=masked).last_hidden_state
        bare = model.eval()(waves()[0]).last_hidden_state
    tail = backbone.tail(STEM, 2)
    assert torch.allclose(last(tail.train(), backbone), expected, atol=1e-5)
    assert torch.allclose(last(tail.eval(), backbone), bare, atol=1e-5)
    assert not torch.allclose(expected, bare, atol=1e-2)


def test_the_checkpoint_says_how_much_is_masked(tmp_path: Path) -> None:
    _, backbone = saved(tmp_path / "none", apply_spec_augment=False)
    tail = backbone.tail(STEM, 2)
    assert torch.equal(last(tail.train(), backbone), last(tail.eval(), backbone))
    _, backbone = saved(tmp_path / "channels", mask_time_prob=0.0, mask_feature_prob=0.5)
    tail = backbone.tail(STEM, 2)
    assert not torch.equal(last(tail.train(), backbone), last(tail.eval(), backbone))


def test_masks_repeat_with_the_seed_and_their_vector_is_trained(tmp_path: Path) -> None:
    _, backbone = saved(tmp_path / "own")
    tail = backbone.tail(STEM, 2).train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(last(tail, backbone))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    tail(*backbone.stem(*waves())).hidden[-1].sum().backward()
    assert tail.front.masks.vector.grad.abs().sum() > 0


@given(
    share=st.floats(0, 1),
    length=st.integers(1, 20),
    least=st.integers(0, 3),
    own=st.lists(st.integers(1, 80), min_size=1, max_size=4),
)
def test_spans_lie_within_each_row(share: float, length: int, least: int, own: list[int]) -> None:
    masked = Spans(share, length, least).draw(torch.tensor(own), 80)
    for row, steps in zip(masked, own, strict=True):
        assert not row[steps:].any()
        count = int(row.sum())
        if share == 0 or steps < length:
            assert count == 0
            continue
        assert count <= max(share * steps + length, least * length)
        if min(least, steps // length) > 0:
            assert count >= length


def test_the_share_is_kept_on_average() -> None:
    """Starts differ, but spans may overlap: a little less than the share is masked."""
    torch.manual_seed(0)
    masked = Spans(0.05, 10, 0).draw(torch.full((2000,), 199), 199)
    assert 0.045 < masked.float().mean() < 0.05
