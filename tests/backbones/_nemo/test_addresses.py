"""Encoders in NeMo archives run as their configuration says, give NeMo's numbers, run no code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from backbones import Backbone, BackboneError, Weights
from backbones.checks import check_backbone
from backbones.weights import resolve
from bench.plugins import BACKBONES
from tests.backbones._nemo import make_nemo
from tests.backbones._nemo.make_nemo import ENCODERS, FEATURES


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Citrinet and a tiny FastConformer."""
    folder = tmp_path_factory.mktemp("archives")
    return {target: make_nemo.save(folder / f"{target}.nemo", target) for target in ENCODERS}


def loaded(path: Path) -> Backbone:
    name = f"nemo:{path}"
    backbone = BACKBONES.create(name, resolve(BACKBONES.get(name).info))
    backbone.load()
    return backbone


def refusal(path: Path) -> str:
    with pytest.raises(BackboneError) as caught:
        loaded(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([24_000, 9_999, 17_123])
    waves = torch.zeros(3, 24_000)
    for row, length in enumerate(lengths.tolist()):
        generator = torch.Generator().manual_seed(row)
        waves[row, :length] = 0.1 * torch.randn(length, generator=generator)
    return waves, lengths


def problems(path: Path) -> dict[str, str | None]:
    """What the conformance suite finds wrong with an archive."""
    address = f"nemo:{path}"
    weights = resolve(BACKBONES.get(address).info)
    return {
        result.name: result.problem
        for result in check_backbone(BACKBONES.get(address), weights, seconds=(0.9, 0.5, 1.2))
        if not result.passed
    }


def same_as_nemo(path: Path, network: Any) -> None:
    """The last layer is what NeMo's own network makes of NeMo's own features."""
    from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor

    waves, lengths = batch()
    frames = loaded(path).encode(waves, lengths)
    features = {**FEATURES, "dither": 0.0, "pad_to": 0}
    preprocessor = AudioToMelSpectrogramPreprocessor(**features).eval()
    with torch.no_grad():
        mel, counts = preprocessor(input_signal=waves, length=lengths)
        theirs, counts = network(audio_signal=mel, length=counts)
    assert frames.lengths[-1].tolist() == counts.tolist()
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(
            frames.hidden[-1][row, :count], theirs[row, :, :count].T, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("target", ENCODERS)
def test_the_last_layer_is_nemos_own(target: str, archives: dict[str, Path]) -> None:
    same_as_nemo(archives[target], make_nemo.network(target))


@pytest.mark.parametrize(
    ("subsampling", "rate"), [("striding", 25.0), ("dw_striding", 25.0), (None, 100.0)]
)
def test_every_honoured_subsampling_keeps_the_contract_and_gives_nemos_numbers(
    subsampling: str | None, rate: float, tmp_path: Path
) -> None:
    changed = {"subsampling": subsampling, "subsampling_factor": 4}
    network = make_nemo.network("ConformerEncoder", {**make_nemo.CONFORMER, **changed})
    path = make_nemo.write(
        tmp_path / "x.nemo",
        make_nemo.config("ConformerEncoder", **changed),
        {f"encoder.{name}": tensor for name, tensor in network.state_dict().items()},
    )
    assert BACKBONES.get(f"nemo:{path}").info.frame_rate == rate
    same_as_nemo(path, network)
    assert problems(path) == {}


@pytest.mark.parametrize("target", ENCODERS)
def test_archive_passes_the_conformance_suite(target: str, archives: dict[str, Path]) -> None:
    assert problems(archives[target]) == {}


def test_records_say_what_the_configuration_says(archives: dict[str, Path]) -> None:
    citrinet = BACKBONES.get(f"nemo:{archives['ConvASREncoder']}").info
    assert (citrinet.layers, citrinet.width, citrinet.frame_rate) == (5, 24, 25.0)
    conformer = BACKBONES.get(f"nemo:{archives['ConformerEncoder']}").info
    assert (conformer.layers, conformer.width, conformer.frame_rate) == (3, 16, 12.5)


@pytest.mark.parametrize("target", ENCODERS)
def test_random_initialisation_follows_its_seed(target: str, archives: dict[str, Path]) -> None:
    address = f"nemo:{archives[target]}"

    def encoded(size: Any, seed: int) -> torch.Tensor:
        backbone = BACKBONES.create(address, Weights("random-init", size=size, seed=seed))
        backbone.load()
        frames = backbone.encode(*batch())
        assert len(frames.hidden) == backbone.info.layers_of(size)
        return frames.hidden[-1]

    assert torch.equal(encoded("small", 1), encoded("small", 1))
    assert not torch.equal(encoded("small", 1), encoded("small", 2))
    assert encoded("full", 1).shape[2] == BACKBONES.get(address).info.width


def test_another_encoder_is_refused_with_what_there_is(tmp_path: Path) -> None:
    settings = make_nemo.config("ConformerEncoder")
    settings["encoder"]["_target_"] = "os.system"
    message = refusal(make_nemo.write(tmp_path / "x.nemo", settings, {}))
    assert "its encoder is a system" in message
    assert "ConvASREncoder and ConformerEncoder" in message


@pytest.mark.parametrize(
    ("target", "changed", "said"),
    [
        ("ConvASREncoder", {"normalization_mode": "layer"}, "normalization_mode = layer"),
        ("ConvASREncoder", {"conv_mask": False}, "conv_mask = False"),
        ("ConformerEncoder", {"self_attention_model": "rel_pos_local_attn"}, "rel_pos_local_attn"),
        ("ConformerEncoder", {"subsampling": "stacking"}, "subsampling = stacking"),
        ("ConformerEncoder", {"subsampling": "stacking_norm"}, "subsampling = stacking_norm"),
        ("ConformerEncoder", {"subsampling": "vggnet"}, "subsampling = vggnet"),
        ("ConformerEncoder", {"subsampling": "striding_conv1d"}, "= striding_conv1d"),
        ("ConformerEncoder", {"subsampling": "dw_striding_conv1d"}, "= dw_striding_conv1d"),
        ("ConformerEncoder", {"d_model": "${model.width}"}, "refers to other settings"),
        ("ConformerEncoder", {"no_such_setting": 1}, "no_such_setting"),
        ("ConformerEncoder", {"subsampling_factor": 0}, "cannot build the ConformerEncoder"),
        ("ConformerEncoder", {"d_model": "wide"}, "cannot build the ConformerEncoder"),
        ("ConvASREncoder", {"jasper": None}, "cannot build the ConvASREncoder"),
    ],
)
def test_settings_that_are_not_honoured_are_named(
    target: str, changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = make_nemo.write(tmp_path / "x.nemo", make_nemo.config(target, **changed), {})
    assert said in refusal(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path / "nothing.nemo")
    (tmp_path / "x.nemo").write_bytes(b"no archive")
    assert "not a readable .nemo archive" in refusal(tmp_path / "x.nemo")


def test_nothing_in_an_archive_is_unpacked_or_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    inside = tmp_path / "inside"
    inside.mkdir()
    members = (("../escaped.txt", b"x"), (str(tmp_path / "absolute.txt"), b"x"))
    tensors = {
        f"encoder.{n}": t for n, t in make_nemo.network("ConvASREncoder").state_dict().items()
    }
    settings = make_nemo.config("ConvASREncoder")
    good = make_nemo.write(inside / "good.nemo", settings, tensors, members)
    loaded(good)
    bad = make_nemo.write(inside / "bad.nemo", settings, {**tensors, "encoder.x": Payload()})
    assert "something else than tensors" in refusal(bad)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.nemo", "good.nemo", "inside"]


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = make_nemo.tensors("ConformerEncoder")
    del tensors["encoder.layers.1.norm_out.weight"]
    path = make_nemo.write(tmp_path / "x.nemo", make_nemo.config("ConformerEncoder"), tensors)
    assert "1 missing (encoder.layers.1.norm_out.weight)" in refusal(path)


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_WEIGHTS" not in os.environ, reason="needs VOXGRID_WEIGHTS")
def test_real_quartznet_gives_the_plugins_vectors() -> None:
    generic = loaded(Path(os.environ["VOXGRID_WEIGHTS"]) / "quartznet.nemo")
    plugin = BACKBONES.create(
        "quartznet", resolve(BACKBONES.get("quartznet").info, allow_download=False)
    )
    plugin.load()
    assert generic.info.trainable
    assert generic.parameter_count() == generic.info.parameters == plugin.info.parameters
    for one, other in zip(
        generic.encode(*batch()).hidden, plugin.encode(*batch()).hidden, strict=True
    ):
        assert torch.equal(one, other)
