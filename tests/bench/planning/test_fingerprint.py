"""The fingerprint is of values alone: whatever moves in the code, finished records stay final."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.audio.index import ScannedClip
from bench.clips import Clip, Task
from bench.config.grid import Cell
from bench.config.spec import FineTuneSettings, RunSpec
from bench.planning.fingerprint import fingerprint
from bench.planning.plan import FoldedTask
from bench.protocols.fold import Fold, Split
from bench.tuning.fits.base import Draw

CELL = Cell("a-task", "a-protocol", "a-backbone", "mean", "mlp")
FINE_TUNE = replace(CELL, head="fine_tune")


@pytest.fixture
def folded() -> FoldedTask:
    clips = tuple(
        ScannedClip(
            Clip(f"c{i}", Path(f"{i}.wav"), "ab"[i % 2], f"g{i}"), f"f{i}", f"p{i}", 2.0, 1, 16000
        )
        for i in range(6)
    )
    fold = Fold(0, np.array([0, 1]), np.array([2, 3]), np.array([4, 5]), ("g4", "g5"))
    task = Task("a-task", ("a", "b"), tuple(c.clip for c in clips), ("a-protocol",))
    return FoldedTask(task, clips, (), {"a-protocol": Split("a-protocol", True, (fold,))}, {})


def mark(folded: FoldedTask, cell: Cell = CELL, spec: RunSpec | None = None, **more: Any) -> str:
    fixed = {"feature_key": "key", "reads": "vectors", "head_version": 1, "layers": ()}
    return fingerprint(cell, folded, spec or RunSpec(), **{**fixed, "recipe": None, **more})


@pytest.mark.parametrize(
    ("cell", "spec", "more", "known"),
    [
        (CELL, RunSpec(), {}, "045a9a830f01b9c168f1a8c99bfc13d0460566a9f5f343cc4980ee49efc583e2"),
        (
            replace(CELL, control="random-init"),
            RunSpec(seed=3),
            {},
            "b051d78ef969145a07785e0a9ba0ca354bc1b99f9ecd89d081b6271304498f1a",
        ),
        (
            replace(CELL, pooling="attention"),
            RunSpec(),
            {"reads": "frames", "layers": (1, 2)},
            "64b976448f937fff15f7bd38cdbf113a43b8df472451fa00a0a0708cad74d404",
        ),
        (
            FINE_TUNE,
            RunSpec(),
            {"reads": "backbone", "layers": (1, 2)},
            "92b0a1de0581fb490941567295133d2f2df3b8dee12171b4aaade9bed5b4f267",
        ),
        (
            FINE_TUNE,
            RunSpec(
                device="cuda",
                fine_tune=FineTuneSettings(augment=True, cache=False, crop_seconds=5),
            ),
            {"reads": "backbone", "layers": (1, 2)},
            "2472239312aa5617cbb654c362408bd65b0ea0d9d925e0467b6af8c4f31ac300",
        ),
        (
            replace(CELL, preset="a-preset"),
            RunSpec(),
            {"recipe": Draw(3, {"C": 0.5})},
            "e763a580189bb1367f096aeb810e216ac917abacbc82984c446f8951dfa6ee1c",
        ),
    ],
    ids=["vectors", "control", "frames", "backbone", "augmented", "recipe"],
)
def test_the_digests_of_version_0_1_stand(
    folded: FoldedTask, cell: Cell, spec: RunSpec, more: dict[str, Any], known: str
) -> None:
    assert mark(folded, cell, spec, **more) == known


def test_everything_that_decides_the_scores_is_in_it(folded: FoldedTask) -> None:
    other_label = replace(folded.clips[0], clip=replace(folded.clips[0].clip, label="b"))
    other_sound = replace(folded.clips[0], pcm_sha256="q")
    fold = replace(folded.splits["a-protocol"].folds[0], test=np.array([4]))
    marks = [
        mark(folded),
        mark(replace(folded, clips=(other_label, *folded.clips[1:]))),
        mark(replace(folded, clips=(other_sound, *folded.clips[1:]))),
        mark(replace(folded, splits={"a-protocol": Split("a-protocol", True, (fold,))})),
        mark(folded, replace(CELL, pooling="max")),
        mark(folded, replace(CELL, head="logistic_regression")),
        mark(folded, spec=RunSpec(seed=1)),
        mark(folded, feature_key="another"),
        mark(folded, head_version=2),
        mark(folded, recipe=Draw(0, {})),
        mark(folded, reads="frames", layers=(0,)),
        mark(folded, reads="frames", layers=(1,)),
    ]
    assert len(set(marks)) == len(marks)


def test_inner_folds_are_in_it_where_settings_are_scored_on_them(folded: FoldedTask) -> None:
    fold = folded.splits["a-protocol"].folds[0]
    in_turn = replace(fold, inner=(np.array([0, 2]), np.array([1, 3])))
    other = replace(folded, splits={"a-protocol": Split("a-protocol", True, (in_turn,))})
    assert mark(other) == mark(folded)
    every, race = ({how: [{"C": 1.0}]} for how in ("every", "race"))
    marks = [
        mark(folded),
        *(mark(of, inner=how) for of in (folded, other) for how in (every, race)),
    ]
    assert len(set(marks)) == len(marks)


def test_names_of_files_and_clips_trials_and_folders_are_not_in_it(folded: FoldedTask) -> None:
    renamed = tuple(
        replace(scanned, clip=replace(scanned.clip, id=f"x{i}", path=Path(f"elsewhere/{i}.flac")))
        for i, scanned in enumerate(folded.clips)
    )
    assert mark(replace(folded, clips=renamed)) == mark(folded)
    elsewhere = RunSpec(trials=99, results=Path("elsewhere"), jobs=7, batch=9)
    assert mark(folded, spec=elsewhere) == mark(folded)
