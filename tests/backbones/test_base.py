"""Parts of an encoder give what `encode` gives, train, and leave the encoder alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from backbones import STEM, Backbone, Frames, Weights
from backbones.weights import resolve
from bench.plugins import BACKBONES

NAMES = ("quartznet", "speech2text", "wav2vec2", "whisper-base", "xlsr")
# With a probability above zero in their published configurations.
WITH_DROPOUT = ("speech2text", "wav2vec2", "xlsr")
LENGTHS = (16_000, 9_999, 23_456)

Batch = tuple[torch.Tensor, torch.Tensor]


def loaded(name: str, dtype: str = "float32", size: str = "small") -> Backbone:
    backbone = BACKBONES.create(name, Weights("random-init", size=size))
    backbone.load(dtype=dtype)
    return backbone


def batch(*lengths: int) -> Batch:
    waves = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        generator = torch.Generator().manual_seed(length)
        waves[row, :length] = torch.randn(length, generator=generator)
    return waves, torch.tensor(lengths)


def linear_names(tail: nn.Module) -> list[str]:
    return [name for name, module in tail.named_modules() if isinstance(module, nn.Linear)]


def loss_of(frames: Frames) -> torch.Tensor:
    """Distance of the valid frames of the last layer from a fixed direction."""
    counts = frames.lengths[-1].tolist()
    last = torch.cat([frames.hidden[-1][row, :n] for row, n in enumerate(counts)]).float()
    target = torch.linspace(-1, 1, last.shape[1])
    return (last - target).square().mean()


def assert_same(found: Frames, expected: Frames, tolerance: float) -> None:
    """Valid frames are the same up to a relative change."""
    for layer, valid, wanted, counts in zip(
        found.hidden, found.lengths, expected.hidden, expected.lengths, strict=True
    ):
        assert valid.tolist() == counts.tolist()
        for row, n in enumerate(counts.tolist()):
            change = (layer[row, :n] - wanted[row, :n]).norm() / wanted[row, :n].norm()
            assert change <= tolerance


def test_every_backbone_with_weights_is_trainable() -> None:
    infos = [BACKBONES.get(name).info for name in BACKBONES.names()]
    assert tuple(info.name for info in infos if info.trainable) == NAMES
    assert all(info.trainable == info.needs_weights for info in infos)


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_a_clip_in_a_tail(name: str) -> None:
    backbone = loaded(name)
    last = len(backbone.encode(*batch(16_000)).hidden) - 1
    tail = backbone.tail(STEM, last).eval()
    with torch.no_grad():
        together = tail(*backbone.stem(*batch(*LENGTHS)))
        for row, length in enumerate(LENGTHS):
            alone = tail(*backbone.stem(*batch(length)))
            part = Frames(
                [hidden[row : row + 1] for hidden in together.hidden],
                [lengths[row : row + 1] for lengths in together.lengths],
            )
            assert_same(part, alone, tolerance=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    torch.manual_seed(0)
    backbone = loaded(name)
    inputs = backbone.stem(*batch(*LENGTHS))
    tail = backbone.tail(STEM, len(backbone.encode(*batch(16_000)).hidden) - 1)
    assert all(module.training for module in tail.modules())
    optimizer = torch.optim.Adam(tail.parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(tail(*inputs))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_is_active_in_training_mode_only(name: str) -> None:
    torch.manual_seed(0)
    backbone = loaded(name)
    tail, inputs = backbone.tail(STEM, 1), backbone.stem(*batch(16_000))

    def last() -> torch.Tensor:
        return tail(*inputs).hidden[-1]

    tail.train()
    assert not torch.equal(last(), last())
    tail.eval()
    assert torch.equal(last(), last())


@pytest.mark.parametrize("name", ["quartznet", "speech2text", "whisper-base"])
def test_layer_zero_passes_through_where_the_stem_gives_it(name: str) -> None:
    backbone = loaded(name)
    hidden, lengths = backbone.stem(*batch(*LENGTHS))
    frames = backbone.tail(STEM, 1)(hidden, lengths)
    assert torch.equal(frames.hidden[0], hidden)
    assert frames.lengths[0].tolist() == lengths.tolist()


@pytest.mark.parametrize("name", ["wav2vec2", "xlsr"])
def test_projection_and_positions_are_trained_from_the_stem(name: str) -> None:
    backbone = loaded(name)
    front = dict(backbone.tail(STEM, 0).named_parameters())
    assert any("projection" in parameter for parameter in front)
    assert any("positions" in parameter for parameter in front)
    assert not front.keys() & dict(backbone.tail(0, 1).named_parameters()).keys()


@pytest.mark.parametrize("name", NAMES)
def test_tail_is_float32_whatever_the_encoder_computes_in(name: str) -> None:
    backbone = loaded(name, dtype="bfloat16")
    tail = backbone.tail(STEM, 1)
    assert {parameter.dtype for parameter in tail.parameters()} == {torch.float32}
    hidden, lengths = backbone.stem(*batch(*LENGTHS))
    assert tail(hidden, lengths).hidden[-1].dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_encoding_records_no_graph_after_a_tail_was_made(name: str) -> None:
    backbone = loaded(name)
    backbone.tail(STEM, 1)
    assert not any(hidden.requires_grad for hidden in backbone.encode(*batch(16_000)).hidden)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (2, 1), (STEM, STEM), (-2, 1), (0, 99)])
@pytest.mark.parametrize("name", NAMES)
def test_part_that_does_not_exist_is_refused_with_a_sentence(
    name: str, start: int, stop: int
) -> None:
    with pytest.raises(ValueError, match=r"no part makes layer .* the layers are 0 to \d+"):
        loaded(name).tail(start, stop)


@pytest.mark.parametrize("name", NAMES)
def test_training_step_under_bfloat16_autocast_gives_finite_gradients(name: str) -> None:
    backbone = loaded(name, size="full" if name == "quartznet" else "small")
    tail = backbone.tail(STEM, len(backbone.encode(*batch(16_000)).hidden) - 1)
    inputs = backbone.stem(*batch(16_000, 9_999))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(tail(*inputs))
    loss.backward()
    for parameter in tail.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_adapters_on_linear_modules_are_all_that_trains(name: str) -> None:
    backbone = loaded(name)
    last = len(backbone.encode(*batch(16_000)).hidden) - 1
    tail = backbone.tail(0, last).eval()
    encoded = backbone.encode(*batch(*LENGTHS))
    inputs = encoded.hidden[0], encoded.lengths[0]
    inject_adapter_in_model(LoraConfig(r=2, target_modules=linear_names(tail)), tail)
    trained = {name: p for name, p in tail.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in parameter for parameter in trained)
    # an adapter starts as the zero function
    frames = tail(*inputs)
    assert_same(frames, Frames(encoded.hidden[1:], encoded.lengths[1:]), tolerance=1e-5)
    tail.train()
    loss_of(tail(*inputs)).backward()
    for parameter, tensor in tail.named_parameters():
        assert (tensor.grad is not None) == (parameter in trained)


@pytest.mark.parametrize("name", NAMES)
def test_most_of_a_block_can_have_adapters(name: str) -> None:
    """At least three quarters of the parameters of two blocks are in linear modules."""
    backbone = loaded(name, size="small" if name == "xlsr" else "full")
    tail = backbone.tail(0, 2)
    inside = sum(tail.get_submodule(n).weight.numel() for n in linear_names(tail))
    assert inside >= 0.75 * sum(parameter.numel() for parameter in tail.parameters())


real = pytest.mark.skipif(
    not {"VOXGRID_WEIGHTS", "VOXGRID_DATA"} <= os.environ.keys(),
    reason="needs VOXGRID_WEIGHTS and VOXGRID_DATA",
)


@pytest.fixture(scope="module")
def clips() -> Batch:
    """Three real clips of different lengths, in one padded batch."""
    import soundfile
    import soxr

    files = sorted((Path(os.environ["VOXGRID_DATA"]) / "ravdess").glob("*/*.flac"))[::500][:3]
    waves = []
    for row, file in enumerate(files):
        wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
        wave = soxr.resample(wave.mean(axis=1), rate, 16_000)
        waves.append(torch.from_numpy(wave)[: len(wave) - 8_000 * row])
    lengths = torch.tensor([len(wave) for wave in waves])
    return nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths


def pretrained(name: str) -> Backbone:
    weights = resolve(BACKBONES.get(name).info, allow_download=False)
    backbone = BACKBONES.create(name, weights)
    backbone.load()
    return backbone


@pytest.mark.real
@real
@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_tails_of_real_weights_repeat_encode_on_real_clips(name: str, clips: Batch) -> None:
    backbone = pretrained(name)
    encoded = backbone.encode(*clips)
    last = len(encoded.hidden) - 1
    for start, stop in ((STEM, last), (0, last), (last // 2, last), (last - 1, last), (0, 2)):
        inputs = (encoded.hidden[start], encoded.lengths[start])
        if start == STEM:
            inputs = backbone.stem(*clips)
        with torch.no_grad():
            found = backbone.tail(start, stop).eval()(*inputs)
        part = slice(start + 1, stop + 1)
        expected = Frames(encoded.hidden[part], encoded.lengths[part])
        assert_same(found, expected, tolerance=1e-4)


@pytest.mark.real
@real
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_real_weights_take_a_training_step(name: str, autocast: bool, clips: Batch) -> None:
    backbone = pretrained(name)
    tail = backbone.tail(STEM, backbone.info.layers - 1)
    inputs = backbone.stem(*clips)
    optimizer = torch.optim.AdamW(tail.parameters(), lr=1e-4)
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = loss_of(tail(*inputs))
        optimizer.zero_grad()
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in tail.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
