"""A winner's graph says what the winner says, and where it would not there is none."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from bench.audio import decode
from bench.errors import UserError
from bench.plugins import BACKBONES
from bench.winner import Model
from bench.winner.onnx import export
from bench.winner.onnx.graph import POOLED
from bench.winner.parity import LIMIT, generate
from heads import sequences
from tests.bench.winner.make_winner import LABELS, make_winner
from tests.conftest import Voxgrid

LONG = pytest.mark.skipif(os.environ.get("VOXGRID_LONG") != "1", reason="VOXGRID_LONG is not 1")
RATE = 16_000
HEADS = ("logistic_regression", "lda", "mlp")

PLUGIN = """
import numpy as np
import torch
from backbones import Backbone, BackboneInfo, Frames

INFO = BackboneInfo(
    name="{name}", summary="a test", weights_id=None, revision=None, licence="MIT",
    sample_rate={rate}, layers=1, width=4, frame_rate=100.0, max_seconds=2.0, attention_mask=True,
    normalised=True,
)

class Plugin(Backbone):
    info = INFO

    def load(self, device="cpu", dtype="float32"):
        pass

    def encode(self, waves, lengths):
        waves = torch.nn.functional.pad(waves, (0, 160)).unfold(1, 160, 160)
        hidden = {expression}
        return Frames.same_lengths([hidden], lengths // 160 + 1)
"""
FOLLOWED = "torch.stack([waves.square().mean(2), waves.amax(2), waves.amin(2), waves[..., 0]], 2)"
NUMPY = "torch.from_numpy(np.sort(waves.numpy())[..., ::40].copy())"


@pytest.fixture(autouse=True)
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return generate(tmp_path_factory.mktemp("sound"), RATE, 3 * RATE)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    from contextlib import ExitStack

    monkeypatch.syspath_prepend(tmp_path)
    with ExitStack() as stack:

        def known(name: str, expression: str, rate: int = RATE) -> str:
            text = PLUGIN.format(name=name, expression=expression, rate=rate)
            (tmp_path / f"{name}.py").write_text(text)
            stack.enter_context(BACKBONES.including(EntryPoint(name, name, BACKBONES.group)))
            return name

        yield known


def test_every_fixed_pooling_is_known() -> None:
    assert POOLED.keys() == sequences.FIXED.keys()


@pytest.mark.parametrize(
    ("backbone", "pooling", "head"),
    [
        ("logmel", "sum", "logistic_regression"),
        ("whisper-base", "mean", "lda"),
        ("whisper-base", "mean_std", "mlp"),
        ("quartznet", "max", "mlp"),
        ("wav2vec2", "mean_max", "lda"),
    ],
)
def test_a_graph_says_what_the_winner_says(
    backbone: str, pooling: str, head: str, clips: list[Path], tmp_path: Path
) -> None:
    model = make_winner(
        tmp_path / "m", [(backbone, 1 - (backbone == "logmel"))], pooling, head, clips
    )
    done = export(model, tmp_path / "graph.onnx", [], replace=False)
    assert done.parity.difference < LIMIT
    assert (min(done.parity.seconds), max(done.parity.seconds)) == pytest.approx((0.3, 20), abs=0.1)
    onnx.checker.check_model(tmp_path / "graph.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"]) == list(LABELS)
    assert (said["sample_rate"], said["max_seconds"]) == ("16000", "30")
    # shorter than any file that voxgrid reads, and than a frame
    (made,) = session.run(None, {"wave": np.array([0.1, -0.1], dtype=np.float32)})
    assert made.shape == (len(LABELS),)
    assert made.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", [*HEADS, "gradient_boosting"])
def test_a_head_as_a_module_gives_its_probabilities(head: str, classes: int) -> None:
    from bench.plugins import HEADS as REGISTRY

    random = np.random.default_rng(0)
    X = random.standard_normal((60, 40)).astype(np.float32)
    y = random.integers(classes, size=60)
    X[:, 0] += y
    cls = REGISTRY.reading(head, "vectors")
    fitted = cls.build({}, pooling="mean", random_state=0, n_jobs=1).fit(X, y)
    said = fitted.exported()(torch.from_numpy(X)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(said, fitted.predict_proba(X), atol=1e-6)


def test_trees_are_a_graph_too(clips: list[Path], tmp_path: Path) -> None:
    # on sounds it was not fitted on: those it was lie on its thresholds
    model = make_winner(tmp_path / "m", [("logmel", 0)], "mean_std", "gradient_boosting", clips[:4])
    assert export(model, tmp_path / "g.onnx", clips[5:], replace=False).parity.difference < 1e-4


def test_a_fusion_is_one_graph_and_the_command_says_how_close_it_comes(
    voxgrid: Voxgrid, clips: list[Path], tmp_path: Path
) -> None:
    parts = [("whisper-base", 1), ("logmel", 0), ("whisper-base", 2)]
    model = make_winner(tmp_path / "m", parts, "mean_std", "logistic_regression", clips)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "broken.wav").write_bytes(b"RIFF and no more")
    noise = np.random.default_rng(0).standard_normal(31 * 8000)
    soundfile.write(folder / "long.flac", 0.1 * noise, 8000)
    soundfile.write(folder / "short.flac", 0.1 * noise[:9999], 8000)
    run = ("export", "m", "--onnx=out/g.onnx", "--parity=files", f"--parity={clips[0]}")
    done = voxgrid(*run)
    assert done.returncode == 0, done.stderr
    assert "wrote out/g.onnx" in done.stdout
    assert "at most 30 s of it" in done.stdout
    assert "probabilities of 2 clips of 0.3 to 1.2 s differ by" in done.stdout
    assert "1 longer ones were left out; 1 cannot be used" in done.stdout
    session = onnxruntime.InferenceSession(tmp_path / "out" / "g.onnx")
    wave = decode.load(folder / "short.flac", RATE).samples
    (made,) = session.run(None, {"wave": wave})
    wanted = model.predict([folder / "short.flac"]).filter(like="p_").to_numpy()[0]
    np.testing.assert_allclose(made, wanted, atol=1e-4)
    again = voxgrid(*run)
    assert again.returncode == 2
    assert "out/g.onnx is there: replace it with --replace" in again.stderr
    only = voxgrid("export", "m", "--onnx=x.onnx", f"--parity={folder / 'long.flac'}")
    assert only.returncode == 2
    assert "none of 1 files can be compared (1 are longer than the 30 s" in only.stderr
    assert not (tmp_path / "x.onnx").exists()


def test_a_plugin_that_torch_can_follow_needs_to_do_nothing(
    plugin: Callable[..., str], clips: list[Path], tmp_path: Path
) -> None:
    parts = [(plugin("followed", FOLLOWED), 0)]
    model = make_winner(tmp_path / "m", parts, "mean_std", "lda", clips)
    done = export(model, tmp_path / "graph.onnx", [], replace=False)
    assert done.longest == max(done.parity.seconds) == 2.0


def test_what_cannot_be_a_graph_is_one_sentence_and_no_file(
    plugin: Callable[..., str], clips: list[Path], tmp_path: Path, voxgrid: Voxgrid,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refusal(*parts: tuple[str, int], pooling: str = "mean") -> str:
        model = make_winner(tmp_path / "m", parts, pooling, "logistic_regression", clips)
        done = voxgrid("export", "m", "--onnx", "g.onnx")
        assert done.returncode == 2
        assert not [path for path in tmp_path.iterdir() if "onnx" in path.name]
        assert model.config.parts
        said = [line for line in done.stderr.splitlines() if line]
        assert len(said) == 2, "what is done, and the sentence"
        return said[1]

    assert "speech2text cannot be put into a graph: torch.onnx says" in refusal(("speech2text", 1))
    assert "numpysorts cannot be put" in refusal((plugin("numpysorts", NUMPY), 0))
    slow = plugin("slow", FOLLOWED, 8000)
    assert "take other rates (slow 8000, logmel 16000)" in refusal((slow, 0), ("logmel", 0))
    if importlib.util.find_spec("opensmile"):
        assert "takes each clip at the rate of its file" in refusal(("egemaps", 0))
    monkeypatch.setattr("bench.winner.onnx.write.LIMIT", 0.0)
    assert "the graph differs from the winner by" in refusal(("logmel", 0))


def test_without_the_extra_it_says_what_to_install(
    clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_winner(tmp_path / "m", [("logmel", 0)], "mean", "lda", clips)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else found(name)
    )
    with pytest.raises(UserError, match=r"pip install 'voxgrid\[onnx\]'"):
        export(model, tmp_path / "graph.onnx", [], replace=False)


@pytest.mark.real
@pytest.mark.skipif(
    not {"VOXGRID_WEIGHTS", "VOXGRID_DATA"} <= os.environ.keys(),
    reason="needs VOXGRID_WEIGHTS and VOXGRID_DATA",
)
@pytest.mark.parametrize(
    ("backbone", "layer", "head"),
    [
        ("whisper-base", 5, "logistic_regression"),
        ("quartznet", 9, "mlp"),
        # a graph of a real network takes half a minute
        pytest.param("whisper-base", 5, "mlp", marks=LONG),
        pytest.param("quartznet", 9, "logistic_regression", marks=LONG),
    ],
)
def test_real_networks_say_the_same_of_real_clips(
    backbone: str, layer: int, head: str, tmp_path: Path
) -> None:
    speech = [
        path
        for path in sorted(Path(os.environ["VOXGRID_DATA"], "ravdess").rglob("*.*"))
        if path.suffix in (".wav", ".flac")
    ]
    random = np.random.default_rng(0)
    folder = tmp_path / "cut"
    folder.mkdir()
    for number in range(20):
        chosen = random.choice(len(speech), 1 + number % 5)
        joined = np.concatenate([decode.load(speech[one]).samples for one in chosen])
        # from where speech begins: of the silence before it QuartzNet's own normalisation makes
        # rounding errors, and voxgrid itself says something else in another batch
        end = int(random.uniform(1.3 * RATE, len(joined)))
        soundfile.write(folder / f"{number}.flac", joined[RATE:end], RATE)
    model: Model = make_winner(
        tmp_path / "m", [(backbone, layer)], "mean_std", head, speech[::60], sample=False
    )
    done: Any = export(model, tmp_path / "g.onnx", sorted(folder.iterdir()), replace=True)
    assert len(done.parity.seconds) == 20
    assert done.parity.difference < 1e-4
