"""The conformance suite for heads passes what is right and catches what is wrong."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from bench.plugins import HEADS
from heads._conformance import listing
from heads._conformance.search import check_listing_is_light
from heads.base import Head
from heads.checks import (
    HEAD_CHECKS,
    PARAMETER_CHECKS,
    CheckFailed,
    HeadSubject,
    checks_of,
    parametrize_with_checks,
    results_of,
    scikit_learn_results,
)
from heads.logistic_regression import LogisticRegressionHead
from tests.heads.broken import heavy, sequences, vectors
from tests.heads.broken.sequences import Averages, BackboneAverages
from tests.heads.broken.vectors import Centroids
from tests.heads.elsewhere import Elsewhere
from tests.heads.silent import Silent

# each breaks the check of this name, and no other
BROKEN = {
    vectors.HasNoSummary: "check_record_is_complete",
    heavy.ImportsTorch: "check_listing_is_light",
    vectors.ForgetsItsSeed: "check_parameters_round_trip",
    vectors.SuggestsNumpyNumbers: "check_suggestions_construct_the_head",
    vectors.BuildsItsDefaults: "check_build_gives_what_it_is_told",
    vectors.RefitsWithItsSeed: "check_a_refit_is_built_from_what_the_fit_says",
    vectors.GridsOutsideItsSpace: "check_its_grid_lies_in_the_space",
    vectors.VariesOutsideItsSpace: "check_its_grid_lies_in_the_space",
    vectors.FitsManyBackwards: "check_many_fits_are_those_of_one_by_one",
    vectors.BeginsOutsideItsSpace: "check_first_trial_lies_in_the_space",
    vectors.SuggestsWhatItRefuses: "check_suggestions_can_be_fitted",
    vectors.IsNotNormalised: "check_probabilities_are_distributions",
    vectors.OrdersClassesByAppearance: "check_classes_are_sorted",
    vectors.TakesNumbersForQuantities: "check_labels_may_be_words_or_numbers",
    vectors.LearnsNothing: "check_separable_clips_are_learnt",
    vectors.DrawsUnseeded: "check_fit_is_repeatable",
    vectors.LearnsOn: "check_refitting_forgets_the_first_fit",
    vectors.CentresTheBatch: "check_one_clip_is_predicted_as_in_a_batch",
    vectors.FillsGaps: "check_missing_numbers_are_refused",
    vectors.CutsToItsWidth: "check_other_widths_are_refused",
    vectors.AcceptsOneClass: "check_a_single_class_is_refused",
    vectors.DividesBySpread: "check_a_constant_feature_is_survived",
    vectors.GuessesUnfitted: "check_an_unfitted_head_says_so",
    vectors.HoldsAFunction: "check_a_pickled_head_predicts_the_same",
    vectors.RestoresItsMeansAlone: "check_a_restored_head_predicts_the_same",
    vectors.StandardisesInPlace: "check_input_is_left_alone",
    vectors.SeedsTheWorld: "check_global_state_is_left_alone",
    sequences.KeepsEpochsToItself: "check_training_reports_every_epoch",
    sequences.ForgetsItsCurve: "check_a_fitted_head_tells_of_its_training",
    sequences.TellsAnotherLayer: "check_the_layer_read_is_told",
    sequences.StartsAnew: "check_interrupted_training_goes_on",
    sequences.AugmentsPredictions: "check_predictions_are_not_augmented",
    sequences.PoolsPadding: "check_one_clip_is_predicted_as_in_a_batch",
}


def problems(head: type[Head]) -> dict[str, str]:
    """What our own checks find; scikit-learn has tests of its own."""
    return {
        result.name.partition(" ")[0]: result.problem
        for result in results_of(HeadSubject(head))
        if result.problem is not None
    }


def classes_of(module: ModuleType) -> set[type]:
    return {
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
    }


@pytest.mark.parametrize("head", [Centroids, Averages, BackboneAverages, Elsewhere, Silent])
def test_a_correct_head_passes_every_check(head: type[Head]) -> None:
    assert problems(head) == {}


@pytest.mark.parametrize("head", BROKEN, ids=lambda head: head.__name__)
def test_a_broken_head_fails_its_check_and_no_other(head: type[Head]) -> None:
    found = problems(head)
    assert list(found) == [BROKEN[head]]
    sentence = found[BROKEN[head]]
    assert len(sentence.split()) >= 3


def test_every_check_can_fail() -> None:
    assert set(BROKEN.values()) == {check.__name__ for check in HEAD_CHECKS}


def test_every_broken_head_is_looked_at() -> None:
    there = classes_of(vectors) | classes_of(sequences) | classes_of(heavy)
    assert there - {Centroids, Averages, BackboneAverages} == set(BROKEN)


@pytest.mark.parametrize("name", HEADS.names())
def test_every_registered_head_passes(name: str) -> None:
    for head in HEADS.get(name).values():
        assert problems(head) == {}


def test_a_crash_in_a_head_is_a_problem_and_the_other_checks_go_on() -> None:
    class Crashes(Centroids):
        __module__ = vectors.__name__  # what another process imports

        def _from(self, X):
            raise KeyError("means")

    found = problems(Crashes)
    said = found["check_probabilities_are_distributions"]
    assert said.startswith(f"KeyError: 'means' ({vectors.__file__}, line ")
    assert "check_record_is_complete" not in found


@pytest.mark.parametrize("error", [type("Boom", (Exception,), {}), SystemExit])
def test_an_error_of_any_type_is_a_problem_named_by_its_type(error: type[BaseException]) -> None:
    class Crashes(Centroids):
        __module__ = vectors.__name__  # what another process imports

        def __init__(self, sharpness=1.0, random_state=None, n_jobs=1):
            raise error("no driver")

    said = f"{error.__name__}: no driver"
    assert problems(Crashes)["check_probabilities_are_distributions"] == said
    (result,) = scikit_learn_results(HeadSubject(Crashes))
    assert result.problem == said


SLOW = """
import sys
import time

if "pytest" not in sys.modules:
    time.sleep(60)

from tests.heads.broken.vectors import Centroids


class Slow(Centroids):
    pass
"""


def test_a_module_that_takes_for_ever_to_import_fails_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_head.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailed, match=r"importing slow_head takes more than 0\.3 s"):
        check_listing_is_light(HeadSubject(importlib.import_module("slow_head").Slow), 0.3)


def test_a_module_that_prints_is_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SLOW.replace("time.sleep(60)", "print('hello from torch')").replace("Slow", "Chatty")
    (tmp_path / "chatty_head.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    check_listing_is_light(HeadSubject(importlib.import_module("chatty_head").Chatty))


@pytest.mark.parametrize("way", [listing._forked, listing._alone])
@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("print('one')", 0, f"one\n{listing.FOUND}\n"),
        ("import sys\nsys.modules['xgboost'] = sys", 0, f"{listing.FOUND}\nxgboost\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("raise SystemExit(3)", 3, ""),
        ("input()", 1, "EOFError: EOF when reading a line\n"),
    ],
)
def test_a_process_says_what_a_module_imports_or_how_it_failed(
    way: Callable[[str, float], tuple[int, str]], source: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "looked_at.py").write_text(source)
    found = way(json.dumps(["looked_at", [str(tmp_path), *sys.path]]), 60.0)
    assert (found[0], found[1].endswith(said)) == (code, True), found[1]


def test_scikit_learns_own_checks_run_and_expected_failures_carry_their_reason() -> None:
    # scikit-learn gives X as lists and as objects, and wants fit to return the same object
    class ReturnsNothing(Centroids):
        expected_failed_checks = {  # noqa: RUF012 # as a plugin author writes it
            "check_estimators_fit_returns_self": "for this test",
            "check_estimator_cloneable": "passes in truth",
        }

        def fit(self, X, y):
            super().fit(X, y)

    results = {r.name: r for r in scikit_learn_results(HeadSubject(ReturnsNothing))}
    expected = results["scikit-learn's check_estimators_fit_returns_self"]
    assert expected.skipped == "expected to fail: for this test"
    wrong = results["scikit-learn's check_estimator_cloneable"]
    assert wrong.problem == "passes, so take it out of expected_failed_checks"
    assert results["scikit-learn's check_no_attributes_set_in_init"].passed


def test_heads_without_vectors_pass_what_scikit_learn_says_of_parameters() -> None:
    class SetsAnAttribute(Averages):
        def __init__(self, sharpness=1.0, random_state=None, n_jobs=1):
            super().__init__(sharpness, random_state, n_jobs)
            self.extra = 1

    class Excused(SetsAnAttribute):
        expected_failed_checks = {  # noqa: RUF012 # as a plugin author writes it
            "check_no_attributes_set_in_init": "for this test",
        }

    for head in (Averages, HEADS.reading("mlp", "frames"), HEADS.reading("fine_tune", "backbone")):
        results = list(scikit_learn_results(HeadSubject(head)))
        assert [r.name.split()[1] for r in results] == list(PARAMETER_CHECKS)
        assert [r for r in results if r.problem or r.skipped] == []
    (wrong,) = (r for r in scikit_learn_results(HeadSubject(SetsAnAttribute)) if r.problem)
    assert wrong.name == "scikit-learn's check_no_attributes_set_in_init (frames)"
    (excused,) = (r for r in scikit_learn_results(HeadSubject(Excused)) if r.skipped)
    assert excused.skipped == "expected to fail: for this test"


def test_the_correct_head_passes_scikit_learns_checks() -> None:
    results = list(scikit_learn_results(HeadSubject(Centroids)))
    assert len(results) > 40
    assert [r for r in results if r.problem] == []


@parametrize_with_checks([Centroids, LogisticRegressionHead])
def test_the_decorator_gives_every_check(head: HeadSubject, check) -> None:
    assert check in checks_of(head)
    if head.cls is Centroids:
        check(head)


def test_a_check_that_fails_is_an_assertion_error_even_without_assert_statements() -> None:
    (check,) = (c for c in HEAD_CHECKS if c.__name__ == "check_record_is_complete")
    with pytest.raises(CheckFailed, match="summary is empty"):
        check(HeadSubject(vectors.HasNoSummary))
    assert issubclass(CheckFailed, AssertionError)
