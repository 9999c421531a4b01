"""Checkpoints saved by transformers itself load tensor for tensor, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from backbones import Backbone, BackboneError, Weights, WeightsMismatch
from backbones.speech2text import Speech2TextSmall
from backbones.wav2vec2 import Wav2Vec2
from backbones.weights import resolve
from backbones.xlsr import Xlsr
from bench.plugins import BACKBONES

NAMES = ("wav2vec2", "xlsr", "speech2text")
Model = transformers.PreTrainedModel


def published(name: str) -> Model:
    """A small model of the class whose checkpoint is published, decoder or quantizer included."""
    torch.manual_seed(0)
    if name == "speech2text":
        config = transformers.AutoConfig.for_model(
            **Speech2TextSmall.settings("small"),
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            vocab_size=20,
        )
        return transformers.Speech2TextForConditionalGeneration(config).eval()
    cls: type[Wav2Vec2 | Xlsr] = {"wav2vec2": Wav2Vec2, "xlsr": Xlsr}[name]
    extras = {"codevector_dim": 8, "proj_codevector_dim": 8, "num_codevectors_per_group": 4}
    config = transformers.AutoConfig.for_model(**cls.settings("small"), **extras)
    return transformers.Wav2Vec2ForPreTraining(config).eval()


def save_as_safetensors(model: Model, folder: Path) -> None:
    model.save_pretrained(folder)
    assert (folder / "model.safetensors").is_file()


def save_as_published_in_2021(model: Model, folder: Path) -> None:
    """A pickle, with the names weight normalisation had, and the table of positions."""
    model.config.save_pretrained(folder)
    state = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    if isinstance(model, transformers.Speech2TextForConditionalGeneration):
        encoder = model.model.encoder
        state["model.encoder.embed_positions.weights"] = encoder.embed_positions.weights
    torch.save(state, folder / "pytorch_model.bin")


SAVERS = [save_as_safetensors, save_as_published_in_2021]


def load(name: str, root: Path, dtype: str = "float32") -> Backbone:
    """The way of a user's folder: resolve, create, load."""
    weights = resolve(BACKBONES.get(name).info, root=root, allow_download=False)
    assert weights.kind == "pretrained"
    backbone = BACKBONES.create(name, weights)
    backbone.load(dtype=dtype)
    return backbone


def rewrite(folder: Path, change: Any) -> None:
    """Apply a change to the tensors of a safetensors checkpoint."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.fixture
def wave() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 12_000, generator=generator) * 0.1, torch.tensor([12_000])


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("name", NAMES)
def test_published_layout_gives_the_librarys_own_numbers(
    name: str, save: Any, tmp_path: Path, wave: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = published(name)
    (tmp_path / name).mkdir()
    save(model, tmp_path / name)
    backbone = load(name, tmp_path)
    frames = backbone.encode(*wave)

    with torch.no_grad():
        if name == "speech2text":
            extractor = transformers.Speech2TextFeatureExtractor()
            inputs = extractor(wave[0][0].numpy(), sampling_rate=16_000, return_tensors="pt")
            output = model.model.encoder(inputs.input_features, output_hidden_states=True)
        else:
            output = model.wav2vec2(wave[0], output_hidden_states=True)
    expected = (*output.hidden_states[:-1], output.last_hidden_state)
    assert len(frames.hidden) == len(expected)
    for ours, theirs in zip(frames.hidden, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_on_disk_loads_as_the_type_asked_for(
    name: str, tmp_path: Path, wave: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = published(name).half()
    save_as_safetensors(model, tmp_path / name)
    assert '"float16"' in (tmp_path / name / "config.json").read_text()
    for dtype in ("float32", "bfloat16"):
        frames = load(name, tmp_path, dtype).encode(*wave)
        assert {hidden.dtype for hidden in frames.hidden} == {getattr(torch, dtype)}
        assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)


@pytest.mark.parametrize("name", NAMES)
def test_missing_tensor_is_refused_by_name(name: str, tmp_path: Path) -> None:
    save_as_safetensors(published(name), tmp_path / name)
    lost: list[str] = []

    def lose(tensors: dict[str, torch.Tensor]) -> None:
        lost.append(next(n for n in tensors if "encoder.layers.1.final_layer_norm.bias" in n))
        del tensors[lost[0]]

    rewrite(tmp_path / name, lose)
    with pytest.raises(WeightsMismatch, match="1 missing") as caught:
        load(name, tmp_path)
    assert lost[0].rpartition("layers.")[2] in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_tensor_is_refused_by_name(name: str, tmp_path: Path) -> None:
    save_as_safetensors(published(name), tmp_path / name)
    rewrite(tmp_path / name, lambda tensors: tensors.update(surprise=torch.zeros(2)))
    with pytest.raises(WeightsMismatch, match=r"1 unexpected.*surprise"):
        load(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_misshaped_tensor_is_refused_with_both_shapes(name: str, tmp_path: Path) -> None:
    save_as_safetensors(published(name), tmp_path / name)

    def cut(tensors: dict[str, torch.Tensor]) -> None:
        key = next(n for n in tensors if n.endswith("encoder.layer_norm.weight"))
        tensors[key] = tensors[key][:-1].clone()

    rewrite(tmp_path / name, cut)
    with pytest.raises(WeightsMismatch, match=r"layer_norm\.weight \(\d+,\) instead of \(\d+,\)"):
        load(name, tmp_path)


def test_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    save_as_safetensors(published("speech2text"), tmp_path / "xlsr")
    with pytest.raises(WeightsMismatch, match="'speech_to_text', not 'wav2vec2'"):
        load("xlsr", tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_file_is_named(file: str, tmp_path: Path) -> None:
    published("xlsr").config.save_pretrained(tmp_path / "xlsr")
    (tmp_path / "xlsr" / file).write_bytes(b"PK\x03\x04 half a download")
    with pytest.raises(WeightsMismatch, match=f"cannot read .*{file}"):
        load("xlsr", tmp_path)


def test_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    published("xlsr").config.save_pretrained(tmp_path / "xlsr")
    torch.save({"weight": Payload()}, tmp_path / "xlsr" / "pytorch_model.bin")
    with pytest.raises(WeightsMismatch, match="cannot read"):
        load("xlsr", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_unreadable_configuration_is_named(tmp_path: Path) -> None:
    save_as_safetensors(published("xlsr"), tmp_path / "xlsr")
    (tmp_path / "xlsr" / "config.json").write_text("{")
    with pytest.raises(BackboneError, match=r"cannot read .*config\.json"):
        load("xlsr", tmp_path)


def test_checkpoint_in_the_hub_cache_loads_offline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wave: tuple[torch.Tensor, torch.Tensor],
) -> None:
    info = BACKBONES.get("speech2text").info
    assert info.weights_id is not None
    assert info.revision == "main"
    repository = tmp_path / "hub" / f"models--{info.weights_id.replace('/', '--')}"
    commit = "c" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    save_as_safetensors(published("speech2text"), repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    monkeypatch.delenv("VOXGRID_WEIGHTS", raising=False)
    weights = resolve(info)
    assert weights.path == repository / "snapshots" / commit
    assert weights.commit == commit
    backbone = BACKBONES.create("speech2text", weights)
    backbone.load()
    assert bool(backbone.encode(*wave).hidden[-1].isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_random_initialisation_follows_its_seed(
    name: str, wave: tuple[torch.Tensor, torch.Tensor]
) -> None:
    def last(seed: int) -> torch.Tensor:
        backbone = BACKBONES.create(name, Weights("random-init", size="small", seed=seed))
        backbone.load()
        return backbone.encode(*wave).hidden[-1]

    torch.testing.assert_close(last(1), last(1))
    assert not torch.allclose(last(1), last(2), atol=1e-3)


@pytest.mark.parametrize("name", ["wav2vec2", "speech2text"])
def test_published_size_has_the_announced_layers_and_parameters(name: str) -> None:
    backbone = BACKBONES.create(name, Weights("random-init", size="full"))
    backbone.load()
    info = backbone.info
    frames = backbone.encode(torch.zeros(1, 4000), torch.tensor([4000]))
    assert backbone.parameter_count() == info.parameters
    assert len(frames.hidden) == info.layers
    assert frames.hidden[-1].shape[2] == info.width


def test_xlsr_configuration_has_the_announced_parameters() -> None:
    """Counted without allocating 1.3 GB."""
    with torch.device("meta"):
        config = Xlsr.configured(Xlsr.full)
        model = transformers.Wav2Vec2Model(config)
    assert sum(p.numel() for p in model.parameters()) == Xlsr.info.parameters
    assert config.num_hidden_layers + 1 == Xlsr.info.layers


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_exact(name: str) -> None:
    """The frames themselves, last one included, not only their means."""
    backbone = BACKBONES.create(name, Weights("random-init", size="small"))
    backbone.load()
    lengths = torch.tensor([16_000, 1_600, 23_456, 9_999, 300])
    waves = torch.zeros(len(lengths), 25_000)
    for row, length in enumerate(lengths.tolist()):
        waves[row, :length] = torch.randn(length, generator=torch.Generator().manual_seed(row))
    batch = backbone.encode(waves, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = backbone.encode(waves[row : row + 1, :length], lengths[row : row + 1])
        for padded, one, count in zip(batch.hidden, alone.hidden, batch.lengths, strict=True):
            assert int(count[row]) == one.shape[1]
            torch.testing.assert_close(padded[row, : one.shape[1]], one[0], atol=1e-5, rtol=1e-4)
