"""Presets: what was published, what runs for it, and which part of the command line wins."""

from __future__ import annotations

import inspect
import pickle
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest

from backbones import names
from bench import tasks
from bench.config import presets
from bench.config.presets import Preset, Published
from bench.config.spec import RunSpec, load
from bench.errors import UserError
from bench.features.pooling import get_pooling
from bench.planning import pairs
from bench.plugins import BACKBONES, HEADS
from bench.protocols import table as protocols
from heads import Head

PRESETS = presets.all_presets()
ALL = [pytest.param(preset, id=name) for name, preset in PRESETS.items()]
ON_YOUTUBE = [param for param in ALL if param.values[0].task == "youtube"]
RAVDESS = PRESETS["xlsr-finetune-ravdess"]


def percents(preset: Preset) -> tuple[str | None, ...]:
    own = preset.published
    return tuple(own.figures.get(name) for name in ("accuracy", "macro_f1", "precision", "recall"))


def head_class(preset: Preset) -> type[Head]:
    kinds = {pairs.reads(pooling, preset.head) for pooling in preset.poolings}
    assert len(kinds) == 1
    return HEADS.reading(preset.head, kinds.pop())


def test_the_published_figures_are_those_of_the_five_systems() -> None:
    assert {name: percents(preset) for name, preset in PRESETS.items()} == {
        "s2t-mlp-youtube": ("55.75", "55.95", None, None),
        "w2v2-finetune-youtube": ("63.64", None, None, None),
        "quartznet-mlp-youtube": ("above 70", None, "above 70", "above 70"),
        "xlsr-finetune-ravdess": ("76", "74", None, None),
        "w2v2-gb-ravdess": ("48", None, None, None),
    }


def test_what_is_documented_of_training_is_what_runs() -> None:
    wav2vec2, xlsr = PRESETS["w2v2-finetune-youtube"], RAVDESS
    for preset, rate, batch, accumulate, epochs in (
        (wav2vec2, 1e-5, 8, 4, 45),
        (xlsr, 1e-4, 2, 2, 2),
    ):
        assert preset.params["trained"] == "all"
        assert preset.params["learning_rate"] == preset.params["backbone_learning_rate"] == rate
        assert (preset.params["batch_size"], preset.params["accumulate"]) == (batch, accumulate)
        assert preset.params["epochs"] == preset.params["patience"] == epochs
    assert wav2vec2.params["warmup"] == 0.1
    assert wav2vec2.protocols[0] == "balanced-109"
    assert xlsr.backbone == "hf:jonatasgrosman/wav2vec2-large-xlsr-53-english"
    assert xlsr.poolings == ("mean",)
    assert xlsr.params["hidden"] == 1024
    quartznet = PRESETS["quartznet-mlp-youtube"].params
    assert (quartznet["hidden"], quartznet["dropout"]) == (256, 0.9)
    assert {name: p.crop_seconds for name, p in PRESETS.items() if p.crop_seconds is not None} == {
        "w2v2-finetune-youtube": 60
    }


@pytest.mark.parametrize("preset", ALL)
def test_every_name_in_a_preset_is_one_that_can_run(preset: Preset) -> None:
    assert PRESETS[preset.name] is preset
    address = names.parse(preset.backbone)
    # what an address names is known from its settings, which are on the hub
    info = BACKBONES.get("xlsr" if address else preset.backbone).info
    why = [pairs.skip((info,), info.name, pooling, preset.head) for pooling in preset.poolings]
    assert why == [None for _ in preset.poolings]
    assert [get_pooling(pooling).name for pooling in preset.poolings] == list(preset.poolings)
    assert preset.protocols[-1] in ("speaker-6fold", "channel-5fold")
    assert set(preset.protocols) <= set(tasks.find(preset.task).protocols)


@pytest.mark.parametrize("preset", ALL)
def test_the_parameters_of_a_preset_build_its_head(preset: Preset) -> None:
    built = head_class(preset)(**preset.params, random_state=0, n_jobs=1).get_params()
    assert {name: built[name] for name in preset.params} == preset.params


@pytest.mark.parametrize("preset", ALL)
def test_no_preset_decays_weights_that_no_author_says_decayed(preset: Preset) -> None:
    assert preset.params.get("weight_decay", 0.0) == 0.0


@pytest.mark.parametrize(
    ("name", "right", "clips"), [("s2t-mlp-youtube", 63, 113), ("w2v2-finetune-youtube", 28, 44)]
)
def test_a_figure_of_few_clips_says_how_many_and_its_interval(
    name: str, right: int, clips: int
) -> None:
    own = PRESETS[name].published
    assert f"{100 * right / clips:.2f}" == own.figures["accuracy"]
    interval = binomtest(right, clips).proportion_ci(method="wilson")
    said = f"95 % interval {100 * interval.low:.0f} to {100 * interval.high:.0f} %"
    for words in (str(right), f"{clips} ", said):
        assert words in own.measured_on


@pytest.mark.parametrize("preset", ALL)
def test_a_figure_says_where_it_is_from(preset: Preset) -> None:
    assert re.search(r"; from its (text|author's notebook)", preset.published.measured_on)


def test_the_seed_that_is_stated_is_not_called_undocumented() -> None:
    assert "random_state=101" in RAVDESS.published.measured_on
    assert not any("seed" in sentence for sentence in RAVDESS.undocumented)
    assert any("picked on that split" in sentence for sentence in RAVDESS.differs)


# the cell's, the harness's, the hardware's, and those of what no preset trains
NOT_OF_A_RECIPE = {"pooling", "random_state", "n_jobs", "refit_epochs", "precision"} | {
    "blocks",
    "lora_rank",
    "attention",
}


@pytest.mark.parametrize("preset", ALL)
def test_no_setting_of_training_is_left_to_a_default_that_may_change(preset: Preset) -> None:
    accepted = set(inspect.signature(head_class(preset)).parameters)
    assert set(preset.params) == accepted - NOT_OF_A_RECIPE


@pytest.mark.parametrize("preset", ALL)
def test_a_preset_says_what_is_not_documented_and_what_differs_in_sentences(
    preset: Preset,
) -> None:
    assert preset.undocumented
    assert preset.differs
    for sentence in (*preset.undocumented, *preset.differs):
        assert sentence.endswith(".")
        assert sentence[0].isupper()
    assert any("Test clips choose nothing" in sentence for sentence in preset.differs)


@pytest.mark.parametrize("preset", ALL)
def test_a_preset_cannot_be_changed_and_travels_to_a_worker(preset: Preset) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        preset.head = "mlp"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(preset)) == preset


@given(st.integers(0, 10_000))
def test_a_quoted_share_reads_the_same_in_percent_with_no_digit_more_or_less(tenths: int) -> None:
    share = str(Decimal(tenths).scaleb(-4))
    figures = {"accuracy": share, "recall": f"above {share}"}
    own = Published.model_validate({"measured_on": "clips", "figures": figures}).figures
    assert Decimal(own["accuracy"]) == Decimal(tenths) / 100
    assert own["recall"] == f"above {own['accuracy']}"


def test_an_unknown_preset_says_which_was_meant() -> None:
    assert presets.find("w2v2-gb-ravdess") is PRESETS["w2v2-gb-ravdess"]
    with pytest.raises(UserError, match="did you mean 'w2v2-gb-ravdess'"):
        presets.find("w2v2-gb-ravdes")
    with pytest.raises(UserError, match=r"known: .*s2t-mlp-youtube"):
        presets.find("zzz")


def test_the_published_figures_read_as_words() -> None:
    assert str(RAVDESS.published) == "accuracy 76 %, macro-F1 74 %"


def test_a_preset_goes_on_top_of_the_file_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("trials = 7\nseed = 5\nheads = ['mlp']\n")
    spec = load(tmp_path / "grid.toml", {"preset": RAVDESS.name})
    assert spec.tasks == ("ravdess",)
    assert spec.protocols == ("random-80-20", "speaker-6fold")
    assert (spec.backbones, spec.poolings) == ((RAVDESS.backbone,), ("mean",))
    assert spec.heads == ("fine_tune",)
    assert (spec.trials, spec.sample.trials, spec.fine_tune.trials) == (1, 1, 1)
    assert spec.fine_tune.poolings == spec.poolings
    assert not spec.fine_tune.augment
    assert spec.seed == 5


def run(preset: Preset, **given: Any) -> RunSpec:
    return load(None, {"preset": preset.name, **given})


def test_the_crop_of_a_preset_is_that_of_its_training() -> None:
    assert run(PRESETS["w2v2-finetune-youtube"]).fine_tune.crop_seconds == 60


@pytest.mark.parametrize("preset", ALL)
def test_a_preset_on_vectors_has_no_crop_since_none_would_be_heeded(preset: Preset) -> None:
    if "vectors" in {pairs.reads(pooling, preset.head) for pooling in preset.poolings}:
        assert preset.crop_seconds is None


@pytest.mark.parametrize("preset", ALL)
def test_the_command_line_wins_over_task_backbone_pooling_and_protocol(preset: Preset) -> None:
    spec = run(
        preset,
        tasks=("ravdess",),
        protocols=("speaker-6fold",),
        backbones=("logmel", "egemaps"),
        poolings=("max",),
    )
    assert spec.tasks == ("ravdess",)
    assert spec.protocols == ("speaker-6fold",)
    assert spec.backbones == ("logmel", "egemaps")
    assert spec.poolings == spec.fine_tune.poolings == ("max",)
    assert spec.heads == (preset.head,)


@pytest.mark.parametrize("preset", ON_YOUTUBE)
def test_on_another_task_all_its_protocols_run(preset: Preset, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("protocols = ['random-80-20']\n")
    spec = load(tmp_path / "grid.toml", {"preset": preset.name, "tasks": ("ravdess",)})
    assert spec.protocols == ()


def test_naming_the_own_task_changes_nothing() -> None:
    assert run(RAVDESS, tasks=("ravdess",)) == run(RAVDESS)


def test_a_head_more_trials_or_augmentation_with_a_preset_are_refused() -> None:
    with pytest.raises(UserError, match="leave out --augment"):
        run(RAVDESS, fine_tune={"augment": True})
    with pytest.raises(UserError, match="own head, fine_tune: leave out --head"):
        run(RAVDESS, heads=("mlp",))
    for more in ({"trials": 5}, {"sample": {"trainings": 2}}, {"fine_tune": {"trials": 3}}):
        with pytest.raises(UserError, match="leave out --trials"):
            run(RAVDESS, **more)
    assert run(RAVDESS, trials=1).trials == 1


@pytest.mark.parametrize("preset", ON_YOUTUBE)
def test_the_published_kind_of_split_runs_first_and_then_whole_channels(preset: Preset) -> None:
    spec = run(preset)
    assert spec.tasks == ("youtube",)
    assert spec.protocols == preset.protocols
    first, last = preset.protocols
    assert (protocols.find(first).grouped, last) == (False, "channel-5fold")


@pytest.mark.parametrize("preset", ALL)
def test_the_generated_twin_of_a_presets_task_can_stand_in(preset: Preset) -> None:
    twin = tasks.find(preset.task).twin
    assert twin is not None
    assert set(preset.protocols) & set(tasks.find(twin).protocols)
