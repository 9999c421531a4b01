import io
import os
import tarfile
from pathlib import Path

import pytest
import torch
import yaml

from backbones._nemo.encoders import built
from backbones._nemo.quartznet import FEATURE_SETTINGS, quartznet_config
from backbones.base import Weights, WeightsMismatch
from backbones.quartznet import INFO, QuartzNet

MODULES = "nemo.collections.asr.modules."
SECONDS = (1.0, 0.63, 0.31)


@pytest.fixture(scope="module")
def trained():
    """A small network of NeMo's whose batch normalisation is not the identity."""
    torch.manual_seed(1)
    network = built("a test", "ConvASREncoder", quartznet_config("small"))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.fixture
def tensors(trained):
    named = {f"encoder.{name}": tensor for name, tensor in trained.state_dict().items()}
    return named | {
        "preprocessor.featurizer.window": torch.zeros(320),
        "decoder.decoder_layers.0.bias": torch.zeros(29),
    }


def new_style(encoder):
    return {
        "preprocessor": {
            "_target_": MODULES + "AudioToMelSpectrogramPreprocessor",
            **FEATURE_SETTINGS,
        },
        "encoder": {"_target_": MODULES + "ConvASREncoder", **encoder},
    }


def old_style(encoder):
    """As in the NGC original of 2020."""
    features = {"dither": 1e-5, "normalize": "per_feature", "features": 64, "stft_conv": True}
    parameters = {key: encoder[key] for key in ("feat_in", "activation", "conv_mask", "jasper")}
    return {
        "preprocessor": {
            "cls": MODULES + "AudioToMelSpectrogramPreprocessor",
            "params": features,
        },
        "encoder": {"cls": MODULES + "ConvASREncoder", "params": parameters},
    }


def write_nemo(path, config, tensors, *, mode="w", prefix="./", extra=()):
    checkpoint = io.BytesIO()
    torch.save(tensors, checkpoint)
    members = [
        *extra,
        (prefix + "model_config.yaml", yaml.safe_dump(config).encode()),
        (prefix + "model_weights.ckpt", checkpoint.getvalue()),
    ]
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def loaded(path, dtype="float32"):
    backbone = QuartzNet(Weights("pretrained", path=path))
    backbone.load(dtype=dtype)
    return backbone


def batch(seconds=SECONDS):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([round(s * 16_000) + 7 for s in seconds])
    waves = torch.zeros(len(lengths), int(lengths.max()))
    for row, length in enumerate(lengths):
        waves[row, :length] = 0.1 * torch.randn(int(length), generator=generator)
    return waves, lengths


@pytest.mark.parametrize("style", [new_style, old_style])
@pytest.mark.parametrize(("mode", "prefix"), [("w", "./"), ("w:gz", "")])
def test_forward_equals_nemos_own(tmp_path, trained, tensors, style, mode, prefix):
    config = style(quartznet_config("small"))
    path = write_nemo(tmp_path / "q.nemo", config, tensors, mode=mode, prefix=prefix)
    waves, lengths = batch()
    frames = loaded(path).encode(waves, lengths)

    from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor

    preprocessor = AudioToMelSpectrogramPreprocessor(
        **FEATURE_SETTINGS, dither=0.0, pad_to=0
    ).eval()
    with torch.no_grad():
        mel, mel_lengths = preprocessor(input_signal=waves, length=lengths)
        states, counts, expected = [mel], mel_lengths, []
        for block in trained.encoder:
            states, counts = block((states, counts))
            expected.append((states[-1], counts))
    assert frames.lengths[0].tolist() == mel_lengths.tolist()
    for hidden, valid, (theirs, count) in zip(
        frames.hidden[1:], frames.lengths[1:], expected, strict=True
    ):
        assert valid.tolist() == count.tolist()
        for row, n in enumerate(count):
            torch.testing.assert_close(hidden[row, :n], theirs[row, :, :n].T, atol=1e-5, rtol=1e-4)


def test_half_precision_on_disk_is_read(tmp_path, tensors):
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    path = write_nemo(tmp_path / "q.nemo", new_style(quartznet_config("small")), halved)
    assert loaded(path).encode(*batch()).hidden[-1].dtype == torch.float32


def test_nothing_is_extracted_from_the_archive(tmp_path, tensors):
    folder = tmp_path / "inside"
    folder.mkdir()
    evil = [("../escaped.txt", b"x"), (str(tmp_path / "absolute.txt"), b"x")]
    config = new_style(quartznet_config("small"))
    loaded(write_nemo(folder / "q.nemo", config, tensors, extra=evil))
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "q.nemo"]


class Exploit:
    def __reduce__(self):
        return (os.getcwd, ())


def test_a_pickle_with_code_is_refused(tmp_path, tensors):
    config = new_style(quartznet_config("small"))
    path = write_nemo(tmp_path / "q.nemo", config, {**tensors, "code": Exploit()})
    with pytest.raises(
        WeightsMismatch, match=r"asks to call posix\.getcwd, something else"
    ) as caught:
        loaded(path)
    for advice in ("weights_only", "\x1b", "trust", "elete"):
        assert advice not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused_by_tensor_and_file(tmp_path, tensors):
    name = next(name for name in tensors if name.startswith("encoder.") and "weight" in name)
    broken = {**tensors, name: torch.full_like(tensors[name], torch.nan)}
    path = write_nemo(tmp_path / "q.nemo", new_style(quartznet_config("small")), broken)
    with pytest.raises(WeightsMismatch, match="holds NaN or infinite numbers in 1") as caught:
        loaded(path)
    assert name in str(caught.value)
    assert str(path) in str(caught.value)


def test_misfitting_tensors_are_named(tmp_path, tensors):
    config = new_style(quartznet_config("small"))
    name = "encoder.encoder.3.mconv.0.conv.weight"
    for label, changed in (
        ("1 missing", {k: v for k, v in tensors.items() if k != name}),
        ("of the wrong shape", {**tensors, name: tensors[name][..., :-1]}),
    ):
        path = write_nemo(tmp_path / "q.nemo", config, changed)
        with pytest.raises(WeightsMismatch, match=label) as caught:
            loaded(path)
        assert name in str(caught.value)
        assert str(path) in str(caught.value)
    path = write_nemo(tmp_path / "q.nemo", config, {**tensors, "encoder.more": torch.zeros(1)})
    with pytest.raises(WeightsMismatch, match=r"1 unexpected \(encoder\.more\)"):
        loaded(path)


def test_another_architecture_is_refused(tmp_path, tensors):
    config = new_style(quartznet_config("small"))
    config["encoder"]["jasper"][4]["kernel"] = [11]
    with pytest.raises(WeightsMismatch, match=r"block 4 has kernel = \[11\]"):
        loaded(write_nemo(tmp_path / "q.nemo", config, tensors))
    config = new_style(quartznet_config("small"))
    config["preprocessor"]["normalize"] = "all_features"
    with pytest.raises(WeightsMismatch, match="normalize = all_features"):
        loaded(write_nemo(tmp_path / "q.nemo", config, tensors))
    config["encoder"]["_target_"] = MODULES + "ConformerEncoder"
    with pytest.raises(WeightsMismatch, match="not a ConvASREncoder"):
        loaded(write_nemo(tmp_path / "q.nemo", config, tensors))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08damaged"])
def test_a_damaged_archive_is_refused(tmp_path, content):
    path = tmp_path / "q.nemo"
    path.write_bytes(content)
    with pytest.raises(WeightsMismatch, match="not a readable"):
        loaded(path)


def test_padding_does_not_change_a_clip(tmp_path, tensors):
    backbone = loaded(
        write_nemo(tmp_path / "q.nemo", new_style(quartznet_config("small")), tensors)
    )
    waves, lengths = batch()
    together = backbone.encode(waves, lengths)
    for row, length in enumerate(lengths):
        alone = backbone.encode(waves[row : row + 1, :length], lengths[row : row + 1])
        for a, n, b, m in zip(
            alone.hidden, alone.lengths, together.hidden, together.lengths, strict=True
        ):
            assert int(n[0]) == int(m[row]) == a.shape[1]
            torch.testing.assert_close(a[0], b[row, : int(n[0])], atol=1e-5, rtol=1e-5)


def test_random_init_has_the_published_size_and_follows_the_seed():
    state = torch.random.get_rng_state()
    full = QuartzNet(Weights("random-init", seed=3))
    full.load()
    assert full.parameter_count() == INFO.parameters
    assert torch.equal(torch.random.get_rng_state(), state)
    waves, lengths = batch()

    def encoded(seed):
        backbone = QuartzNet(Weights("random-init", size="small", seed=seed))
        backbone.load()
        return backbone.encode(waves, lengths)

    one, same, other = encoded(3), encoded(3), encoded(4)
    assert len(one.hidden) == INFO.layers
    assert one.hidden[-1].shape[:2] == (3, 50)
    assert torch.equal(one.hidden[-1], same.hidden[-1])
    assert not torch.equal(one.hidden[-1], other.hidden[-1])


@pytest.mark.parametrize("samples", [1, 200, 500])
def test_very_short_clips_give_finite_frames(samples):
    backbone = QuartzNet(Weights("random-init", size="small"))
    backbone.load()
    frames = backbone.encode(torch.ones(1, samples) * 0.1, torch.tensor([samples]))
    for hidden, valid in zip(frames.hidden, frames.lengths, strict=True):
        assert int(valid[0]) >= 1
        assert bool(hidden.isfinite().all())


def test_bfloat16_is_close_to_float32(tmp_path, tensors):
    path = write_nemo(tmp_path / "q.nemo", new_style(quartznet_config("small")), tensors)
    a = loaded(path).encode(*batch((1.0,))).hidden[-1]
    b = loaded(path, dtype="bfloat16").encode(*batch((1.0,))).hidden[-1]
    assert b.dtype == torch.bfloat16
    assert torch.cosine_similarity(a.mean(1), b.float().mean(1)).item() > 0.999


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_WEIGHTS" not in os.environ, reason="needs VOXGRID_WEIGHTS")
def test_real_weights_load_and_are_padding_exact():
    backbone = loaded(Path(os.environ["VOXGRID_WEIGHTS"]) / "quartznet.nemo")
    assert backbone.parameter_count() == INFO.parameters
    waves, lengths = batch((1.6, 1.1))
    together = backbone.encode(waves, lengths)
    alone = backbone.encode(waves[1:, : lengths[1]], lengths[1:])
    for a, b, n in zip(alone.hidden, together.hidden, alone.lengths, strict=True):
        a, b = a[0, : int(n)], b[1, : int(n)]
        assert torch.cosine_similarity(a.mean(0), b.mean(0), dim=0) > 0.99999
        assert torch.cosine_similarity(a.amax(0), b.amax(0), dim=0) > 0.99999
