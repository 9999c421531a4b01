"""What transformers makes of a winner's folder is what the winner says, or there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml

from bench.audio import decode
from bench.errors import UserError
from bench.winner import Model, pipeline
from bench.winner.card import for_transformers
from bench.winner.parity import LIMIT, generate
from tests.backbones._hf.make_hf import save
from tests.bench.winner.make_winner import LABELS, make_winner
from tests.conftest import Voxgrid

RATE = 16_000
FAMILIES = (
    "wav2vec2-group",
    "wav2vec2-layer",
    "hubert-layer",
    "wavlm-group",
    "data2vec-audio",
    "sew",
)
CARD = """---
license: "mit"
library_name: "voxgrid"
tags: ["voxgrid"]
---
# A card

## How to use it

voxgrid predict

## Limits

Many.
"""


@pytest.fixture(autouse=True)
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of 0.3 to 3 s."""
    return generate(tmp_path_factory.mktemp("sound"), RATE, 3 * RATE)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Backbones by the names of their checkpoints."""
    folder = tmp_path_factory.mktemp("encoders")
    return {name: f"hf:{save(name, folder / name)}" for name in (*FAMILIES, "wav2vec2-bert")}


def said(folder: Path, clips: list[Path]) -> np.ndarray:
    """What the pipeline of a folder says, (clips, labels)."""
    run: Any = transformers.pipeline("audio-classification", model=str(folder), top_k=None)
    rows = []
    for clip in clips:
        wave = decode.load(clip, RATE).samples
        scores = run({"raw": wave, "sampling_rate": RATE}, top_k=None)
        rows.append([{one["label"]: one["score"] for one in scores}[label] for label in LABELS])
    return np.array(rows)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *(("wav2vec2-layer", layer) for layer in range(3)),
        ("wav2vec2-group", 2),
        ("hubert-layer", 1),
        ("wavlm-group", 0),
        ("data2vec-audio", 2),
        ("sew", 2),
    ],
)
def test_a_pipeline_says_what_the_winner_says(
    name: str, layer: int, clips: list[Path], encoders: dict[str, str], tmp_path: Path
) -> None:
    head = ("lda", "logistic_regression")[(layer + FAMILIES.index(name)) % 2]
    made = make_winner(
        tmp_path / "m", [(encoders[name], layer)], "mean", head, clips, classes=2 + layer % 2
    )
    heard = clips[:4]
    done = pipeline.export(made, tmp_path / "out", heard, card="# card", replace=False)
    assert done.parity.difference < LIMIT
    assert (done.rate, done.longest, len(done.parity.seconds)) == (RATE, 30, len(heard))
    wanted = made.predict(heard).filter(like="p_").to_numpy()
    assert np.ptp(wanted, axis=0)[:2].min() > 0.01, "they are not all the same"
    np.testing.assert_allclose(said(tmp_path / "out", heard), wanted, atol=1e-4)


def test_a_layer_is_chosen_by_weights_of_which_one_counts(
    clips: list[Path], encoders: dict[str, str], tmp_path: Path
) -> None:
    for layer, name in ((1, "wav2vec2-layer"), (2, "wavlm-group"), (2, "sew")):
        made = make_winner(tmp_path / "m", [(encoders[name], layer)], "mean", "lda", clips)
        pipeline.export(made, tmp_path / "out", clips[:1], card="# card", replace=True)
        network = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "out")
        extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "out")
        assert network.config.use_weighted_layer_sum == (name != "wavlm-group")
        if name != "wavlm-group":
            one_hot = torch.eye(3)[layer]
            assert torch.equal(network.layer_weights.softmax(dim=0), one_hot)
        assert network.config.id2label == dict(enumerate(LABELS))
        assert network.config.label2id == {label: n for n, label in enumerate(LABELS)}
        assert extractor.do_normalize == (name != "wavlm-group")
        # where padding reaches a clip's frames past a mask, none is made
        assert extractor.return_attention_mask == (name == "wav2vec2-layer")
        assert extractor.sampling_rate == RATE


def test_the_command_writes_a_folder_with_a_card(
    voxgrid: Voxgrid, clips: list[Path], tmp_path: Path
) -> None:
    make_winner(tmp_path / "m", [("wav2vec2", 1)], "mean", "logistic_regression", clips)
    run = ("export", "m", "--transformers=out/t", f"--parity={clips[0]}", f"--parity={clips[3]}")
    done = voxgrid(*run)
    assert done.returncode == 0, done.stderr
    assert "wrote out/t (" in done.stdout
    assert "probabilities of 2 clips of 0.3 to 3.0 s differ by" in done.stdout
    folder = tmp_path / "out" / "t"
    assert [path.name for path in folder.parent.iterdir()] == ["t"]
    names = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert 'library_name: "transformers"' in (folder / "README.md").read_text()
    settings = json.loads((folder / "config.json").read_text())
    assert settings["architectures"] == ["Wav2Vec2ForSequenceClassification"]
    again = voxgrid(*run)
    assert again.returncode == 2
    assert "is there: replace it with --replace, or name another folder" in again.stderr
    assert voxgrid(*run, "--replace").returncode == 0
    (folder / "mine.txt").touch()
    kept = voxgrid(*run, "--replace")
    assert kept.returncode == 2
    assert "holds other files than an export" in kept.stderr
    over = voxgrid("export", "m", "--transformers=m", "--replace")
    assert over.returncode == 2
    assert Model.load(tmp_path / "m").config.labels == LABELS
    for wrong in ((), ("--transformers=a", "--onnx=b")):
        neither = voxgrid("export", "m", *wrong)
        assert neither.returncode == 2
        assert "name one thing to write" in neither.stderr


def test_a_card_says_how_to_use_the_folder(encoders: dict[str, str]) -> None:
    from bench.plugins import BACKBONES

    info = BACKBONES.get("wav2vec2").info
    made = for_transformers(CARD, info)
    _, front, body = made.split("---\n")
    wanted = {"license": "mit", "library_name": "transformers", "tags": ["voxgrid"]}
    assert yaml.safe_load(front) == wanted
    assert body.startswith("# A card\n\n## How to use it\n\n```python\nfrom transformers")
    assert "voxgrid predict" not in body
    assert body.endswith("\n\n## Limits\n\nMany.\n")
    bare = for_transformers("# card", info)
    assert bare.startswith('---\nlibrary_name: "transformers"\n---\n\n# card\n\n## How to use it\n')


def test_what_transformers_cannot_express_is_one_sentence_and_no_folder(
    clips: list[Path], encoders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(
        *parts: tuple[str, int], pooling: str = "mean", head: str = "lda", **more: Any
    ) -> str:
        made = make_winner(tmp_path / "m", parts, pooling, head, clips, **more)
        with pytest.raises(UserError) as caught:
            pipeline.export(made, tmp_path / "out", clips[:2], card="", replace=False)
        assert [path.name for path in tmp_path.iterdir()] == ["m"]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    small = encoders["wav2vec2-group"]
    assert "fills each clip up to 30 s" in refusal(("whisper-base", 1))
    assert "no model of transformers" in refusal(("logmel", 0))
    assert "transformers has no class for audio" in refusal(("speech2text", 1))
    assert "'wav2vec2-bert' takes features" in refusal((encoders["wav2vec2-bert"], 1))
    assert "it joins vectors" in refusal((small, 1), (small, 2))
    assert "pooling 'mean_std' cannot be" in refusal((small, 1), pooling="mean_std")
    assert "head 'mlp' cannot be" in refusal((small, 1), head="mlp")
    # the label that no clip had is not as unlikely as it is without the temperature
    assert "the folder differs from the winner by" in refusal((small, 1), temperature=9.0)
    monkeypatch.setattr(pipeline, "LIMIT", 0.0)
    assert "the folder differs from the winner by" in refusal((small, 1))


def test_a_winner_of_no_single_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an average, or was trained on frames"):
        pipeline.export(
            Model(config=None, predictor=None),  # type: ignore[arg-type]
            tmp_path / "out", [], card="", replace=False,
        )  # fmt: skip
