"""The conformance suite passes what is right, and every check catches what it is there for."""

from __future__ import annotations

import ast
import importlib
import json
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbones import Backbone, BackboneError, Weights, _conformance
from backbones._conformance.compare import difference, largest
from backbones._conformance.model import check_backbone_loads
from backbones._conformance.record import check_listing_is_light, check_metadata_is_complete
from backbones.checks import (
    CHECKS,
    BackboneSubject,
    CheckFailed,
    Examination,
    check_backbone,
    examine,
    parametrize_with_checks,
    run_check,
    write_golden,
)
from backbones.extras import EXTRA_MODULES, missing_extra
from backbones.logmel import LogMel
from backbones.weights import availability
from bench.plugins import BACKBONES
from tests.backbones.broken import heavy, plugins, training
from tests.backbones.broken.reference import INFO, PRETRAINED, HandMade, Reference

NAMES = [check.__name__ for check in CHECKS]
BROKEN = [
    value
    for module in (plugins, training, heavy)
    for value in vars(module).values()
    if isinstance(value, type) and "fails" in vars(value)
]
REGISTERED = BACKBONES.names()
MODULES = [module.name for module in pkgutil.iter_modules(_conformance.__path__)]


def outcomes(backbone: type[Backbone], weights: Weights | None = None) -> dict[str, str]:
    return {r.name: r.outcome for r in check_backbone(backbone, weights)}


def test_reference_backbone_passes_every_check_that_is_about_it() -> None:
    found = outcomes(Reference, PRETRAINED)
    assert list(found) == NAMES
    other = {"check_untrainable_backbone_says_so": "skipped"}
    assert found == dict.fromkeys(NAMES, "passed") | other


@parametrize_with_checks([Reference, HandMade, LogMel])
def test_decorator_runs_each_check_on_each_class(
    backbone: Any, check: Callable[[Any], Any]
) -> None:
    check(backbone)


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_broken_backbone_fails_its_check_and_no_other(cls: Any) -> None:
    results = list(check_backbone(cls, PRETRAINED))
    failed = [result for result in results if not result.passed]
    assert [result.name for result in failed] == [cls.fails]
    (failure,) = failed
    assert re.search(r"\w+ \w+ \w+", str(failure.problem)), "no sentence"
    assert failure.measured
    assert failure.limit
    assert re.search(r"\w+ \w+", failure.remedy), "no remedy"


def test_every_check_has_a_backbone_that_fails_it() -> None:
    assert {cls.fails for cls in BROKEN} == set(NAMES)


def test_no_check_is_written_and_then_forgotten() -> None:
    written = {
        name
        for module in MODULES
        for name in vars(importlib.import_module(f"{_conformance.__name__}.{module}"))
        if name.startswith("check_")
    }
    assert written == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_suite_asserts_nothing_that_python_O_would_leave_out() -> None:  # noqa: N802
    for module in MODULES:
        path = Path(_conformance.__path__[0]) / f"{module}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path.name


def test_failed_check_says_what_was_measured_the_limit_and_what_to_do() -> None:
    by_name = dict(zip(NAMES, CHECKS, strict=True))
    with pytest.raises(CheckFailed) as caught:
        by_name["check_sizes_match_metadata"](
            BackboneSubject(plugins.AnnouncesAnotherWidth, PRETRAINED)
        )
    assert str(caught.value) == (
        "the last layer has another width than INFO says (measured 8, limit 16): "
        "correct width in INFO"
    )


@pytest.mark.parametrize(
    ("cls", "said", "remedy"),
    [
        (
            plugins.ReturnsABareTensor,
            "encode returns a Tensor instead of Frames",
            "Frames.same_lengths(layers, lengths)",
        ),
        (
            plugins.PutsTimeFirst,
            "layer 0 of 3 clips is (130, 3, 8) instead of (batch, frames, width)",
            "hidden.transpose(0, 1), since time comes before the clips",
        ),
        (
            plugins.PutsWidthBeforeTime,
            "layer 0 of 3 clips is (3, 8, 130) instead of (batch, frames, width)",
            "hidden.transpose(1, 2), since width comes before the 130 frames",
        ),
    ],
)
def test_frames_of_another_shape_are_one_failure_that_says_which(
    cls: type[Backbone], said: str, remedy: str
) -> None:
    found = {result.name: result for result in check_backbone(cls, PRETRAINED)}
    failure = found["check_encode_returns_frames"]
    assert failure.problem == said
    assert remedy in failure.remedy
    outcomes = Counter(result.outcome for result in found.values())
    assert outcomes["failed"] == 1
    assert {r.skipped for r in found.values() if r.skipped} >= {"encode does not return frames"}


class Boom(Exception):
    """An error of a plugin's own."""


@pytest.mark.parametrize("error", [Boom, SystemExit, AssertionError])
def test_an_error_of_any_type_fails_the_check_and_names_the_type(
    error: type[BaseException],
) -> None:
    class Crashes(Reference):
        def load(self, device: str = "cpu", dtype: str = "float32") -> None:
            raise error("no driver")

    found = run_check(check_backbone_loads, BackboneSubject(Crashes))
    assert found.outcome == "failed"
    line = Crashes.load.__code__.co_firstlineno + 1
    assert found.measured == f"{error.__name__}: no driver ({__file__}, line {line})"


def test_an_interrupt_is_not_taken_for_a_failure() -> None:
    class Interrupted(Reference):
        def load(self, device: str = "cpu", dtype: str = "float32") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_check(check_backbone_loads, BackboneSubject(Interrupted))


SLOW = """
import sys
import time

if "pytest" not in sys.modules:
    time.sleep(60)

from tests.backbones.broken.reference import Reference


class Slow(Reference):
    pass
"""


def test_a_module_that_takes_for_ever_to_import_fails_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_backbone.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailed, match=r"not imported after 0\.3 s"):
        check_listing_is_light(
            BackboneSubject(importlib.import_module("slow_backbone").Slow), import_seconds=0.3
        )


def test_no_clip_is_longer_than_the_longest_window() -> None:
    found = outcomes(plugins.TakesShortWindows, PRETRAINED)
    others = dict.fromkeys(
        ("check_golden_vectors_are_met", "check_untrainable_backbone_says_so"), "skipped"
    )
    assert found == dict.fromkeys(NAMES, "passed") | others


@given(window=st.floats(2.0, 1000.0), seconds=st.floats(0.005, 2.0))
def test_windows_of_two_seconds_and_more_leave_every_length_as_it_is(
    window: float, seconds: float
) -> None:
    class Longer(Reference):
        info = replace(INFO, max_seconds=window)

    assert BackboneSubject(Longer).samples(seconds) == BackboneSubject(HandMade).samples(seconds)


def test_a_revision_that_is_a_branch_is_said_to_be_not_pinned() -> None:
    class Branch(Reference):
        info = replace(INFO, revision="main")

    found = run_check(check_metadata_is_complete, BackboneSubject(Branch))
    assert (found.outcome, found.measured) == ("passed", "complete; revision main is not pinned")
    assert run_check(check_metadata_is_complete, BackboneSubject(Reference)).measured == "complete"


def test_weights_of_no_use_fail_one_backbone_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xlsr").mkdir()
    monkeypatch.setenv("VOXGRID_WEIGHTS", str(tmp_path))
    names = ["xlsr", "logmel"]
    broken, right = (examine(BACKBONES.get(name), pretrained=True) for name in names)
    assert not broken.passed
    assert "xlsr lacks config.json" in str(broken.problem)
    assert right.passed


def test_backbone_without_mask_may_change_with_padding() -> None:
    found = {r.name: r for r in check_backbone(plugins.SeesPaddingUnmasked, PRETRAINED)}
    assert [name for name, result in found.items() if not result.passed] == []
    reason = str(found["check_padding_changes_nothing"].skipped)
    assert "attention_mask is False" in reason
    assert "%" in reason


def test_what_is_not_finite_is_never_close() -> None:
    nan, one = torch.tensor([1.0, math.nan]), torch.ones(2)
    for found in (difference(one, nan, "x"), difference(nan, one, "x")):
        assert found.change == math.inf
        assert found.cosine == -1.0
    assert largest([difference(one, nan, "x"), difference(one, one, "y")]).where == "x"


def test_golden_vectors_of_several_weights_share_a_file(tmp_path: Path) -> None:
    path = write_golden(BackboneSubject(Reference, PRETRAINED), tmp_path)
    other = Weights("pretrained", path=PRETRAINED.path, sha="f" * 64)
    assert write_golden(BackboneSubject(Reference, other), tmp_path) == path
    entries = json.loads(path.read_text())
    assert set(entries) == {PRETRAINED.sha, "f" * 64}
    committed = BackboneSubject(Reference).golden_file
    assert committed is not None
    assert entries[PRETRAINED.sha]["means"].keys() == {"0", "1", "3"}
    with pytest.raises(BackboneError, match="--pretrained"):
        write_golden(BackboneSubject(Reference), tmp_path)


@pytest.fixture(scope="module")
def examined() -> dict[str, Examination]:
    """Each registered backbone, as `voxgrid check` without a name examines them."""
    return {name: examine(BACKBONES.get(name)) for name in REGISTERED}


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_backbone_conforms(name: str, examined: dict[str, Examination]) -> None:
    found = examined[name]
    if found.skipped:
        pytest.skip(found.skipped)
    failed = [r for r in found.results if not r.passed]
    assert failed == []
    assert [r.name for r in found.results] == NAMES
    if BACKBONES.get(name).info.needs_weights:
        by_name = {r.name: r.outcome for r in found.results}
        assert by_name["check_no_pickle_is_executed"] == "passed", "its layout was not tried"


def test_every_registered_backbone_is_checked_or_skipped_with_a_reason(
    examined: dict[str, Examination],
) -> None:
    skipped = {name for name, found in examined.items() if found.skipped}
    checked = {name for name, found in examined.items() if found.results}
    assert checked == set(REGISTERED) - skipped
    assert skipped == {n for n in REGISTERED if missing_extra(BACKBONES.get(n).info)}


def test_extra_that_is_missing_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRA_MODULES, "egemaps", ("no_such_module_at_all",))
    found = examine(BACKBONES.get("egemaps"))
    assert found.subject is None
    assert "get it with" in str(found.skipped)


@pytest.mark.real
@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_real_weights_conform_and_meet_their_golden_vectors(name: str) -> None:
    if availability(BACKBONES.get(name).info)[0] != "found":
        pytest.skip(f"no weights of {name}")
    found = {r.name: r for r in examine(BACKBONES.get(name), pretrained=True).results}
    assert [r for r in found.values() if not r.passed] == []
    assert found["check_golden_vectors_are_met"].outcome == "passed"
