"""Any encoder of transformers runs from its own files, with its library's numbers and no code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from backbones import Backbone, BackboneError, Weights, WeightsMismatch
from backbones._hf.addresses import FAMILIES
from backbones.checks import check_backbone
from backbones.weights import resolve
from bench.plugins import BACKBONES
from tests.backbones._hf import make_hf
from tests.backbones._hf.make_hf import CHECKPOINTS

Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """The folder of a checkpoint, saved once."""
    root = tmp_path_factory.mktemp("checkpoints")
    return lambda name: root / name if (root / name).is_dir() else make_hf.save(name, root / name)


@pytest.fixture
def folder(saved: Saved, tmp_path: Path) -> Path:
    """A copy of a small checkpoint, to be damaged."""
    return shutil.copytree(saved("wav2vec2-layer"), tmp_path / "model")


def change(path: Path, **settings: Any) -> None:
    """Write other settings into a JSON file; None removes one."""
    merged = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({k: v for k, v in merged.items() if v is not None}))


def loaded(folder: Path, dtype: str = "float32") -> Backbone:
    """The way of a user's folder: resolve, create, load."""
    name = f"hf:{folder}"
    weights = resolve(BACKBONES.get(name).info, allow_download=False)
    assert weights.kind == "pretrained"
    backbone = BACKBONES.create(name, weights)
    backbone.load(dtype=dtype)
    return backbone


def refusal(folder: Path) -> str:
    """What is said of a folder that is no backbone: one sentence that names it."""
    with pytest.raises(BackboneError) as caught:
        loaded(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def noise(seconds: float, scale: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, round(seconds * 16_000), generator=generator) * scale


def of_the_library(
    name: str, folder: Path, wave: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Every layer of one clip by the library's own model on its own extractor's features.

    Returns:
        The layers, and the waveform as the harness would hand it over.
    """
    model = getattr(transformers, CHECKPOINTS[name][0]).from_pretrained(folder).eval()
    base = getattr(model, model.base_model_prefix, model)
    base = base.encoder if name in ("whisper", "speech_to_text") else base
    extractor = type(make_hf.extractor(name)).from_pretrained(folder)
    inputs = extractor(wave[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    values = inputs[base.main_input_name]
    mask = {"attention_mask": inputs["attention_mask"]} if name == "wav2vec2-bert" else {}
    with torch.no_grad():
        output = base(values, output_hidden_states=True, **mask)
    layers = list(output.hidden_states)
    if layers[-1].shape == output.last_hidden_state.shape:
        layers[-1] = output.last_hidden_state
    if name == "audio-spectrogram-transformer":
        layers = [layer[:, 2:].unflatten(1, (12, -1)).mean(dim=1) for layer in layers]
    return layers, values if values.shape == wave.shape else wave


def test_every_supported_model_type_is_tested_here(saved: Saved) -> None:
    types = {
        json.loads((saved(name) / "config.json").read_text())["model_type"] for name in CHECKPOINTS
    }
    assert types == set(FAMILIES)


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_every_supported_model_type_is_named_for_the_reader(page: str) -> None:
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    assert [kind for kind in FAMILIES if f"`{kind}`" not in text] == []


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_frames_are_the_librarys_own(name: str, saved: Saved) -> None:
    # Whisper's own window is 30 s, and ours as long as the clip
    wave = noise(30.0 if name == "whisper" else 1.5)
    expected, wave = of_the_library(name, saved(name), wave)
    frames = loaded(saved(name)).encode(wave, torch.tensor([wave.shape[1]]))
    assert len(frames.hidden) == len(expected)
    for ours, count, theirs in zip(frames.hidden, frames.lengths, expected, strict=True):
        valid = int(count[0])
        # the input of AST is longer than the clip
        assert valid == theirs.shape[1] or name == "audio-spectrogram-transformer"
        torch.testing.assert_close(ours[:, :valid], theirs[:, :valid], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("speech_to_text", {"do_ceptral_normalize": False}),
        ("speech_to_text", {"normalize_means": False}),
        ("speech_to_text", {"normalize_vars": False}),
        ("audio-spectrogram-transformer", {"do_normalize": False}),
        ("audio-spectrogram-transformer", {"mean": -3.0, "std": 2.0}),
        ("whisper", {"hop_length": 320, "chunk_length": 60}),
    ],
)
def test_features_follow_their_settings(
    name: str, settings: dict[str, Any], saved: Saved, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved(name), tmp_path / "model")
    change(folder / "preprocessor_config.json", **settings)
    expected, wave = of_the_library(name, folder, noise(30.0 if name == "whisper" else 1.5))
    frames = loaded(folder).encode(wave, torch.tensor([wave.shape[1]]))
    for ours, count, theirs in zip(frames.hidden, frames.lengths, expected, strict=True):
        valid = int(count[0])
        if name == "whisper":
            # half of the library's window is silence, to which ours does not attend and of which
            # the last frame does not hear
            assert valid == 750
            ours, theirs, valid = frames.hidden[0], expected[0], 749
        torch.testing.assert_close(ours[:, :valid], theirs[:, :valid], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint_passes_the_conformance_suite(name: str, saved: Saved) -> None:
    address = f"hf:{saved(name)}"
    weights = resolve(BACKBONES.get(address).info, allow_download=False)
    problems = {
        result.name: result.problem
        for result in check_backbone(BACKBONES.get(address), weights, seconds=(0.9, 0.5, 1.2))
        if not result.passed
    }
    assert problems == {}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_random_initialisation_is_tiny_where_asked_for_and_follows_its_seed(
    name: str, saved: Saved
) -> None:
    address = f"hf:{saved(name)}"
    info = BACKBONES.get(address).info

    def encoded(size: Any, seed: int) -> torch.Tensor:
        backbone = BACKBONES.create(address, Weights("random-init", size=size, seed=seed))
        backbone.load()
        frames = backbone.encode(noise(0.4), torch.tensor([6400]))
        assert len(frames.hidden) == info.layers_of(size)
        return frames.hidden[-1]

    one, other = encoded("small", 1), encoded("small", 2)
    assert torch.equal(one, encoded("small", 1))
    assert not torch.allclose(one, other, atol=1e-3)
    assert encoded("full", 1).shape[2] == info.width


def test_records_say_what_the_models_own_files_say(saved: Saved) -> None:
    info = {name: BACKBONES.get(f"hf:{saved(name)}").info for name in CHECKPOINTS}
    assert {name for name, found in info.items() if not found.attention_mask} == {
        "wav2vec2-group",
        "wav2vec2-adapter",
        "hubert-group",
        "hubert-batch",
        "wavlm-group",
        "unispeech-sat",
        "data2vec-audio",
        "wav2vec2-conformer",
        "wav2vec2-conformer-rotary",
        "sew",
        "sew-d",
    }
    assert {name for name, found in info.items() if found.trainable} == {
        "wav2vec2-group",
        "wav2vec2-layer",
        "wav2vec2-adapter",
        "hubert-group",
        "hubert-layer",
        "unispeech",
        "unispeech-sat",
        "whisper",
        "speech_to_text",
    }
    assert {name for name, found in info.items() if not found.thread_safe} == {
        "wav2vec2-conformer-rotary"
    }
    assert info["wav2vec2-conformer-rotary"].dtypes == ("float32",)
    assert not info["wavlm-group"].normalised
    assert info["wavlm-layer"].normalised
    assert info["sew"].frame_rate == 25.0
    assert info["speech_to_text"].frame_rate == 25.0
    assert info["audio-spectrogram-transformer"].frame_rate == 10.0
    assert info["audio-spectrogram-transformer"].max_seconds == make_hf.AST_FRAMES / 100
    assert {found.max_seconds for name, found in info.items() if not name.startswith("audio")} == {
        30.0
    }


def test_a_changed_folder_is_another_backbone(folder: Path) -> None:
    before = BACKBONES.get(f"hf:{folder}").info
    key = resolve(before).config_sha
    change(folder / "preprocessor_config.json", sampling_rate=8_000, do_normalize=False)
    after = BACKBONES.get(f"hf:{folder}").info
    assert (before.sample_rate, after.sample_rate) == (16_000, 8_000)
    assert (before.frame_rate, after.frame_rate) == (50.0, 25.0)
    assert (before.normalised, after.normalised) == (True, False)
    assert resolve(after).config_sha != key


def test_random_weights_are_keyed_by_the_settings_that_shape_them(folder: Path) -> None:
    def key() -> str | None:
        return resolve(BACKBONES.get(f"hf:{folder}").info, sample=True).config_sha

    before = key()
    change(folder / "config.json", intermediate_size=64)
    assert before is not None
    assert key() != before


def test_the_features_of_a_processor_are_read_too(folder: Path) -> None:
    own = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    nested = {"processor_class": "Wav2Vec2Processor", "feature_extractor": own}
    (folder / "processor_config.json").write_text(json.dumps({**nested, "do_normalize": False}))
    assert BACKBONES.get(f"hf:{folder}").info.normalised


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\ntags: [x]\n---\n# A model\n", "mit"),
        ("---\nlicense: other\nlicense_name: mine\n---\n", "mine"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("# A model\nlicense: mit\n", "unknown"),
        ("---\nlicense: [\n---\n", "unknown"),
        ("---\nlicense: mit\ndate: 2024-13-45\n---\n", "unknown"),
    ],
)
def test_the_licence_is_that_of_the_model_card(card: str, licence: str, folder: Path) -> None:
    (folder / "README.md").write_text(card)
    # the settings tell folders apart, the card does not
    change(folder / "config.json", note=card)
    assert BACKBONES.get(f"hf:{folder}").info.licence.startswith(licence)


# --- what is refused ---------------------------------------------------------------------------


def test_a_text_model_is_refused_with_what_there_is(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert "type 'bert'" in message
    assert "wavlm" in message


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    assert "has no config.json" in refusal(tmp_path)
    assert "is no folder" in refusal(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{}")
    assert "names its type" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "cannot read" in refusal(tmp_path)


def test_what_the_features_are_is_never_guessed(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    assert "has no preprocessor_config.json" in refusal(folder)


def test_features_of_another_architecture_are_refused(folder: Path) -> None:
    change(folder / "preprocessor_config.json", feature_extractor_type="WhisperFeatureExtractor")
    assert "Wav2Vec2FeatureExtractor" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", {"num_attention_heads": 5}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"hidden_size": "wide"}),
        ("config.json", {"conv_kernel": []}),
        ("config.json", {"num_hidden_layers": -1}),
        ("preprocessor_config.json", {"sampling_rate": -8_000}),
        ("preprocessor_config.json", {"sampling_rate": "fast"}),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    file: str, settings: dict[str, Any], folder: Path
) -> None:
    change(folder / file, **settings)
    assert "cannot build" in refusal(folder)


def test_weights_are_wanted_unless_random_ones_were_asked_for(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "lacks one of model.safetensors, " in refusal(folder)
    random = resolve(BACKBONES.get(f"hf:{folder}").info, control="random-init")
    assert (random.kind, random.size) == ("random-init", "full")


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_code_that_comes_with_a_model_is_never_run(file: str, folder: Path) -> None:
    change(folder / file, auto_map={"AutoConfig": "evil.Evil", "AutoFeatureExtractor": "evil.Evil"})
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Evil: pass\n")
    assert "code of their own" in refusal(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["wav2vec2-layer", "wavlm-group", "whisper"])
def test_settings_decide_neither_what_code_runs_nor_what_it_returns(
    name: str, saved: Saved, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved(name), tmp_path / "model")
    change(
        folder / "config.json",
        attn_implementation="evil/kernel",
        _attn_implementation="evil/kernel",
        _attn_implementation_internal="evil/kernel",
        experts_implementation="evil/kernel",
        kernel_config={"RMSNorm": "evil/kernel:RMSNorm"},
        use_kernels=True,
        return_dict=False,
        output_attentions=True,
        output_hidden_states=False,
        torchscript=True,
        transformers_weights="other.safetensors",
    )
    clip = noise(0.5), torch.tensor([8000])
    for one, other in zip(
        loaded(folder).encode(*clip).hidden, loaded(saved(name)).encode(*clip).hidden, strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_attention_is_computed_as_the_library_does_unasked(name: str, saved: Saved) -> None:
    theirs = getattr(transformers, CHECKPOINTS[name][0]).from_pretrained(saved(name))
    backbone = loaded(saved(name))
    (ours,) = (m for m in vars(backbone).values() if isinstance(m, transformers.PreTrainedModel))
    assert ours.config._attn_implementation == theirs.config._attn_implementation


@pytest.mark.parametrize("name", ["wav2vec2-layer", "whisper"])
def test_a_size_that_no_memory_holds_is_one_sentence(
    name: str, saved: Saved, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved(name), tmp_path / "model")
    width = "d_model" if name == "whisper" else "hidden_size"
    change(folder / "config.json", **{width: 2**32})
    assert "cannot build" in refusal(folder)


def test_an_odd_window_of_whisper_is_refused(saved: Saved, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("whisper"), tmp_path / "model")
    change(folder / "preprocessor_config.json", n_fft=401)
    assert "n_fft = 401, an odd one" in refusal(folder)


def test_weights_of_other_settings_are_refused(folder: Path) -> None:
    name = f"hf:{folder}"
    weights = resolve(BACKBONES.get(name).info)
    change(folder / "config.json", layer_norm_eps=1e-3)
    with pytest.raises(BackboneError, match="its settings have changed"):
        BACKBONES.create(name, weights)


# --- checkpoints in several files --------------------------------------------------------------


@pytest.fixture
def sharded(saved: Saved, tmp_path: Path) -> Path:
    """The small checkpoint as the library saves large ones."""
    model = transformers.Wav2Vec2ForPreTraining.from_pretrained(saved("wav2vec2-layer"))
    model.save_pretrained(tmp_path / "sharded", max_shard_size="60KB")
    make_hf.extractor("wav2vec2-layer").save_pretrained(tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    return tmp_path / "sharded"


def test_weights_in_several_files_are_the_same_weights(saved: Saved, sharded: Path) -> None:
    clip = noise(0.5), torch.tensor([8000])
    one, other = loaded(saved("wav2vec2-layer")), loaded(sharded)
    for ours, same in zip(one.encode(*clip).hidden, other.encode(*clip).hidden, strict=True):
        assert torch.equal(ours, same)


def test_weights_in_several_files_are_keyed_by_all_of_them(sharded: Path) -> None:
    info = BACKBONES.get(f"hf:{sharded}").info
    before = resolve(info).sha
    last = max(sharded.glob("model-*.safetensors"))
    tensors = load_file(last)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, last, {"format": "pt"})
    assert resolve(info).sha != before
    last.unlink()
    assert f"lacks {last.name} of model.safetensors.index.json" in refusal(sharded)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": {"x": 3}}',
        '{"weight_map": {"x": "../model.safetensors"}}',
        '{"weight_map": {"x": "model.bin"}}',
    ],
)
def test_an_index_that_is_none_is_refused(index: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(index)
    assert "get the published files again" in refusal(sharded)


@pytest.mark.parametrize("name", ["wav2vec2-layer", "whisper"])
def test_a_pickle_with_code_is_not_run(name: str, saved: Saved, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    folder = shutil.copytree(saved(name), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for content in ("zip", "bare"):
        if content == "zip":
            torch.save({"weight": Payload()}, folder / "pytorch_model.bin")
        else:
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Payload()}))
        message = refusal(folder)
        assert "cannot read" in message
        assert "something else than tensors" in message
        # neither what torch says of its own protection, nor how to lose what may be the only copy
        for advice in ("weights_only", "\x1b", "trust", "elete"):
            assert advice not in message
        assert not (tmp_path / "ran").exists()


@pytest.fixture
def pickled(sharded: Path) -> Path:
    """The same in pickles, as the library saved large ones until 2023."""
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    for part in set(index["weight_map"].values()):
        torch.save(load_file(sharded / part), sharded / f"pytorch_{Path(part).stem}.bin")
        (sharded / part).unlink()
    (sharded / "model.safetensors.index.json").unlink()
    names = {key: f"pytorch_{Path(part).stem}.bin" for key, part in index["weight_map"].items()}
    where = sharded / "pytorch_model.bin.index.json"
    where.write_text(json.dumps({**index, "weight_map": names}))
    return sharded


def test_weights_in_several_pickles_are_the_same_weights(saved: Saved, pickled: Path) -> None:
    clip = noise(0.5), torch.tensor([8000])
    one, other = loaded(saved("wav2vec2-layer")), loaded(pickled)
    for ours, same in zip(one.encode(*clip).hidden, other.encode(*clip).hidden, strict=True):
        assert torch.equal(ours, same)
    part = sorted(pickled.glob("*.bin"))[-1]
    part.write_bytes(pickle.dumps({"weight": Path("x")}))
    assert f"cannot read {part}" in refusal(pickled)
    part.unlink()
    assert f"lacks {part.name}" in refusal(pickled)


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "sharded"])
def test_weights_that_are_no_numbers_are_refused_by_tensor_and_file(
    form: str, saved: Saved, sharded: Path, tmp_path: Path
) -> None:
    folder = (
        sharded if form == "sharded" else shutil.copytree(saved("hubert-group"), tmp_path / "m")
    )
    path = max(folder.glob("model*.safetensors"))
    tensors = load_file(path)
    key = next(name for name in reversed(tensors) if name.endswith("weight"))
    tensors[key][0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    if form == "pytorch_model.bin":
        path.unlink()
        path = path.with_name(form)
        torch.save(tensors, path)
    said = f"{path} holds NaN or infinite numbers in 1 of its tensors ({key}); "
    assert said in refusal(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_git_lfs_pointer_is_called_so(file: str, folder: Path) -> None:
    (folder / file).write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 377607901\n"
    )
    assert f"{folder / file} is a Git LFS pointer" in refusal(folder)
    assert "`git lfs pull`" in refusal(folder)


@pytest.mark.parametrize("name", ["wav2vec2-layer", "hubert-group", "wav2vec2-bert"])
def test_tensors_that_do_not_fit_are_named(name: str, saved: Saved, tmp_path: Path) -> None:
    """With and without a head in the checkpoint: none is drawn at random, none left out."""
    folder = shutil.copytree(saved(name), tmp_path / "model")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    key = next(n for n in tensors if n.endswith("encoder.layers.1.final_layer_norm.weight"))
    cut = {**tensors, key: tensors[key][:-1].clone()}
    more = {**tensors, key.replace("weight", "surprise"): torch.zeros(2)}
    fewer = {n: t for n, t in tensors.items() if n != key}
    for changed, said in (
        (fewer, r"1 missing \(encoder\.layers\.1\.final_layer_norm\.weight\)"),
        (more, "1 unexpected .*surprise"),
        (cut, r"final_layer_norm\.weight \(31,\) instead of \(32,\)"),
    ):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(WeightsMismatch, match=said) as caught:
            loaded(folder)
        assert str(path) in str(caught.value)


def test_names_of_2021_are_read(saved: Saved, folder: Path) -> None:
    """A pickle, with what weight normalisation was called then."""
    tensors = load_file(folder / "model.safetensors")
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert old.keys() != tensors.keys()
    (folder / "model.safetensors").unlink()
    torch.save(old, folder / "pytorch_model.bin")
    clip = noise(0.5), torch.tensor([8000])
    ours, same = loaded(folder).encode(*clip), loaded(saved("wav2vec2-layer")).encode(*clip)
    assert torch.equal(ours.hidden[-1], same.hidden[-1])


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_WEIGHTS" not in os.environ, reason="needs VOXGRID_WEIGHTS")
def test_real_whisper_base_gives_the_plugins_vectors() -> None:
    generic = loaded(Path(os.environ["VOXGRID_WEIGHTS"]) / "whisper-base")
    plugin = BACKBONES.create(
        "whisper-base", resolve(BACKBONES.get("whisper-base").info, allow_download=False)
    )
    plugin.load()
    assert generic.parameter_count() == generic.info.parameters == plugin.info.parameters
    lengths = torch.tensor([48_000, 20_001])
    waves = torch.nn.utils.rnn.pad_sequence([noise(3.0)[0], noise(3.0)[0, :20_001]], True)
    for one, other in zip(
        generic.encode(waves, lengths).hidden, plugin.encode(waves, lengths).hidden, strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
