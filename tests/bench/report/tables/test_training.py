"""The leaderboard's section on heads that were trained epoch by epoch."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest

from bench.report import leaderboard
from bench.report.tables import training
from heads import HeadContext
from heads.fine_tune import FineTuneHead
from tests.bench.records.make_records import make_record, make_trained, right_of_ten
from tests.bench.report.test_leaderboard import rows, section, store


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_heads_trained_epoch_by_epoch_say_what_was_trained_how_long_and_on_what(
    results: Path,
) -> None:
    augmentation = {"noise_db": 20.0, "masks": 2}
    store(
        results,
        make_record("logmel"),
        make_trained(
            best=(1, 2, 3),
            params=({"trained": "lora", "lora_rank": 8}, {"trained": "blocks", "blocks": 2}),
            training={"augmentation": augmentation, "frozen_part": "live"},
            confusion=right_of_ten(9, 9),
        ),
        make_trained(backbone="wav2vec2", head="mlp", pooling="attention", params=({"layer": 3},)),
        make_trained(backbone="xlsr", control="random-init", weights="random-init"),
    )
    text = section(leaderboard.render(results), "Trained epoch by epoch")
    own = section(text, "speaker-6fold")
    assert [(row[0], *row[3:6]) for row in rows(own)] == [
        ("xlsr", "90.0", "LoRA of rank 8 on all blocks (2), the last 2 blocks (1)", "3 (2–4)"),
        ("wav2vec2", "60.0", "attention pooling and classifier", "2.5 (2–3)"),
        ("xlsr, random weights", "60.0", "all but the feature encoder", "2.5 (2–3)"),
    ]
    assert rows(own)[0][6:] == [
        "bfloat16",
        "live",
        "yes: noise_db 20.0, masks 2",
        "30 s",
        "cuda",
        "40 s",
    ]
    assert "- trained on: Test GPU" in own


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"scope": "classifier", "lora_rank": 4}, "the classifier alone"),
        ({"scope": "top-1", "lora_rank": 4}, "the last block"),
        ({"scope": "top-4", "lora_rank": 4}, "the last 4 blocks"),
        ({"scope": "all", "lora_rank": 4}, "all but the feature encoder"),
        ({"scope": "lora-2", "lora_rank": 4}, "LoRA of rank 4 on the last 2 blocks"),
        ({"scope": "lora-all", "lora_rank": 4}, "LoRA of rank 4 on all blocks"),
        ({"trained": "blocks", "blocks": 3}, "the last 3 blocks"),
    ],
)
def test_what_was_trained_reads_the_same_from_a_search_and_from_a_recipe(
    results: Path, params: dict[str, object], shown: str
) -> None:
    store(results, make_trained(params=(params,)))
    text = section(leaderboard.render(results), "Trained epoch by epoch")
    assert rows(section(text, "speaker-6fold"))[0][4] == shown


def test_every_scope_that_fine_tuning_searches_has_words() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    context = HeadContext(clips=10, features=8, classes=2, blocks=12, accelerator=True)
    trial = study.ask()
    FineTuneHead.suggest(trial, context)
    scopes = trial.distributions["scope"].choices
    assert len(scopes) > 4
    for scope in scopes:
        params = {**trial.params, "scope": scope}
        words = training.parts(make_trained(params=(params,)))
        assert not re.search(r"None|top|-", words), words


def test_notes_of_folds_are_listed_once_with_the_folds_they_are_of(results: Path) -> None:
    halved = "batch halved to 4: out of memory"
    store(results, make_trained(best=(1, 1, 1), notes=[[halved], [], [halved, "resumed"]]))
    text = section(leaderboard.render(results), "Trained epoch by epoch")
    assert f"- xlsr, mean, fine_tune, folds 1, 3: {halved}" in text
    assert "- xlsr, mean, fine_tune, fold 3: resumed" in text


def test_curves_of_cells_that_trained_their_backbone_are_shown_under_their_protocol(
    results: Path,
) -> None:
    store(results, make_trained(), make_trained(protocol="random-80-20"))
    text = section(leaderboard.render(results), "Trained epoch by epoch")
    for protocol in ("speaker-6fold", "random-80-20"):
        link = f"results/figures/ravdess__{protocol}__xlsr__mean__fine_tune__curves.png)"
        assert link in section(text, protocol)
        assert text.count(link) == 1


def test_without_trained_heads_no_section_speaks_of_training(results: Path) -> None:
    store(results, make_record("xlsr"))
    assert "Trained epoch by epoch" not in leaderboard.render(results)
