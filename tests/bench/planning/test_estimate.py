"""How long a plan takes and how much disk it needs, and what each estimate rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.planning import estimate
from bench.planning.estimate import Estimate, History, Times
from bench.planning.plan import ReadyBackbone
from bench.records.benchmarks import Benchmark
from tests.bench.planning.make_plans import INFO, make_backbone, make_folded, make_ready
from tests.bench.records.make_records import HARDWARE, make_record

EMPTY = History(HARDWARE, HARDWARE, 2, (), ())
BENCHMARK = Benchmark("xlsr", "pretrained", "ravdess", HARDWARE, 5.0, 20.0, 8)


@pytest.fixture
def xlsr(tmp_path: Path) -> ReadyBackbone:
    return make_backbone(make_folded(tmp_path), tmp_path)


def test_extraction_time_rests_on_records_first_then_benchmarks_then_a_guess(
    xlsr: ReadyBackbone,
) -> None:
    benchmarked = replace(EMPTY, benchmarks=[replace(BENCHMARK, hardware="Other"), BENCHMARK])
    assert estimate.extraction(xlsr, benchmarked) == Estimate(180.0, "benchmark")
    recorded = replace(benchmarked, records=[make_record("xlsr")])  # end to end 10 × real time
    assert estimate.extraction(xlsr, recorded) == Estimate(360.0, "records")
    assert estimate.extraction(xlsr, EMPTY).basis == "guess"


def test_other_machines_backbones_and_sizes_say_nothing(xlsr: ReadyBackbone) -> None:
    benchmarks = [replace(BENCHMARK, hardware="Other CPU")]
    small = make_record("xlsr", task="sample-emotion").model_copy(
        update={"weights": make_record().weights.model_copy(update={"size": "small"})}
    )
    elsewhere = [make_record("xlsr", hardware="Other CPU"), make_record("wav2vec2"), small]
    found = estimate.extraction(xlsr, replace(EMPTY, records=elsewhere, benchmarks=benchmarks))
    assert found == estimate.extraction(xlsr, EMPTY)


def test_a_guess_grows_with_parameters_and_shrinks_with_cores(xlsr: ReadyBackbone) -> None:
    light = replace(xlsr, info=replace(INFO, parameters=20_000_000))
    slow, fast = estimate.extraction(xlsr, EMPTY), estimate.extraction(light, EMPTY)
    assert slow.seconds > fast.seconds > 0
    assert estimate.extraction(xlsr, replace(EMPTY, cores=4)).seconds < slow.seconds


def test_nothing_pending_takes_no_time(xlsr: ReadyBackbone) -> None:
    assert estimate.extraction(replace(xlsr, pending_seconds=0.0), EMPTY) == Estimate()


def test_tuning_time_counts_cells_to_do_at_the_pace_of_their_head() -> None:
    # 40 seconds for 2 folds of 10 trials: 2 seconds per trial
    history = replace(EMPTY, records=[make_record(head="mlp"), make_record(head="other")])
    found = tuple(estimate.tuning(make_ready(number), history) for number in (0, 1))
    assert Times(tuning=found).tuned == Estimate(2 * 6 * 10 * 2.0, "records")
    assert Times(tuning=found, workers=2).tuned == Estimate(6 * 10 * 2.0, "records")
    assert estimate.tuning(make_ready(), EMPTY).basis == "guess"
    assert Times().tuned == Estimate()


def test_a_setting_among_many_fitted_at_once_is_guessed_to_take_less() -> None:
    path = make_ready(head="logistic_regression")
    drawn = make_ready(head="mlp")
    found = [
        estimate.tuning(replace(ready, job=replace(ready.job, inner=inner)), EMPTY).seconds
        for ready, inner in ((path, True), (path, False), (drawn, True))
    ]
    assert found[0] < found[1] == found[2]


def test_a_training_of_the_backbone_takes_no_hint_from_heads_on_vectors() -> None:
    history = replace(EMPTY, records=[make_record(head="mlp")])
    trained = make_ready(reads="backbone")
    assert estimate.tuning(trained, history).basis == "guess"
    assert estimate.tuning(trained, history).seconds > 60 * 6


def test_tuning_times_count_on_what_heads_are_tuned_on_whatever_encoded() -> None:
    history = replace(EMPTY, hardware="Test GPU", records=[make_record(hardware="Test GPU")])
    assert estimate.tuning(make_ready(), history).basis == "guess"
    throughput = make_record().throughput
    assert throughput is not None
    encoded_on_gpu = throughput.model_copy(update={"hardware": "Test GPU"})
    record = make_record().model_copy(update={"throughput": encoded_on_gpu})
    assert estimate.tuning(make_ready(), replace(history, records=[record])) == Estimate(
        6 * 10 * 2.0, "records"
    )


def test_a_sum_rests_on_its_weakest_part() -> None:
    assert Estimate(1, "records") + Estimate(2, "guess") == Estimate(3, "guess")
    assert Estimate(1, "benchmark") + Estimate() == Estimate(1, "benchmark")


def test_disk_is_four_float32_statistics_per_layer_and_pending_clip(xlsr: ReadyBackbone) -> None:
    assert estimate.feature_bytes(xlsr) == 100 * 25 * 1024 * 16
    half = replace(xlsr, pending_seconds=1800.0)
    assert estimate.feature_bytes(half) == 50 * 25 * 1024 * 16


@pytest.mark.parametrize(
    ("count", "words"), [(400, "<1 kB"), (338_000, "338 kB"), (83e6, "83 MB"), (1.26e9, "1.3 GB")]
)
def test_sizes_read_as_words(count: float, words: str) -> None:
    assert estimate.size(count) == words


def test_frames_to_be_kept_take_half_precision_of_every_layer(xlsr: ReadyBackbone) -> None:
    kept = replace(xlsr, extraction=replace(xlsr.extraction, frames=(3, 4)))
    more = estimate.feature_bytes(kept) - estimate.feature_bytes(xlsr)
    assert more == 2 * 3600 * 50 * 1024 * 2
