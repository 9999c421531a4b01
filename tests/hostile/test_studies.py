"""Journals, outcomes and checkpoints from elsewhere: nothing is written through them."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import resource
import struct
import zipfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import FrozenTrial
from safetensors.torch import save_file

from bench.errors import StorageError
from bench.planning.make import STUDIES
from bench.tuning import outcomes
from bench.tuning.fits.base import Draw
from bench.tuning.outcomes import Validated
from bench.tuning.search import open_study, recalled
from bench.tuning.storage import JournalStudies
from heads import Epoch
from heads._training import checkpoints
from tests.bench.tuning.test_outcomes import CLASSES, FOLD, OUTCOME
from tests.bench.tuning.test_search import Trainings
from tests.heads._training.test_train import Stop, fitted, losses, saved_in, stop_after

SPACE = Trainings()
CELL = "task/protocol/a__mean__mlp.0123456789abcdef.3"


def _recall(study: str, trial: FrozenTrial) -> Draw | None:
    return recalled(SPACE, trial, 1, None)


@pytest.fixture
def studies(tmp_path: Path) -> JournalStudies:
    return JournalStudies(tmp_path / "results" / STUDIES)


def _victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim.txt"
    victim.write_text("not yours\n")
    return victim


def _place(studies: JournalStudies) -> Path:
    path = studies.journal(CELL)
    path.parent.mkdir(parents=True)
    return path


def test_a_journal_that_is_a_link_is_refused_and_its_target_stays(
    studies: JournalStudies, tmp_path: Path
) -> None:
    victim, path = _victim(tmp_path), _place(studies)
    path.symlink_to(victim)
    with pytest.raises(StorageError, match="is a link"):
        studies.open(CELL, _recall)
    assert victim.read_text() == "not yours\n"


@pytest.mark.parametrize("part", [STUDIES, f"{STUDIES}/task", f"{STUDIES}/task/protocol"])
def test_a_link_above_a_journal_is_refused(
    part: str, studies: JournalStudies, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "results" / part
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    for ask in (lambda cell: studies.open(cell, _recall), studies.folder, studies.discard):
        with pytest.raises(StorageError, match="is a link"):
            ask(CELL)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_journal_that_is_no_file_is_named(make, studies: JournalStudies) -> None:
    path = _place(studies)
    make(path)
    with pytest.raises(StorageError, match=r"journal cannot be written .*remove what lies there"):
        studies.open(CELL, _recall)


def test_the_results_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    studies = JournalStudies(tmp_path / "results" / STUDIES)
    open_study(studies.open(CELL, _recall), "fold-0")
    assert studies.folder(CELL).parent.is_dir()


@pytest.mark.parametrize("place", ["fold-0", "fold-0/trial-0-abc", "fold-0/trial-0-abc/last.ckpt"])
def test_a_link_among_the_checkpoints_of_a_cell_is_refused(
    place: str, studies: JournalStudies, tmp_path: Path
) -> None:
    link = studies.folder(CELL) / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path)
    with pytest.raises(StorageError, match="is a link"):
        studies.folder(CELL)


def _finished(studies: JournalStudies) -> list[dict]:
    """What a journal of one finished trial holds."""
    study = open_study(studies.open(CELL, _recall), "fold-0")
    trial = study.ask()
    SPACE.draw(trial, 1)
    trial.report(0.5, 0)
    epoch = asdict(Epoch(0, 1.0, 0.1, 1.0, 0.5, 0.5))
    trial.set_user_attr("validated", {**asdict(Validated(0.5, 0.5, 0)), "curve": [epoch]})
    study.tell(trial, 0.5)
    return [json.loads(line) for line in studies.journal(CELL).read_text().splitlines()]


FORGED = {
    "a list": "[1, 2]",
    "a number": "5",
    "nested": "[" * 100_000 + "]" * 100_000,
    "not JSON": "Dear diary",
    "unknown operation": '{"op_code": 77, "worker_id": "a"}',
    "operation of a text": '{"op_code": "x", "worker_id": "a"}',
    "no operation": "{}",
    "no fields": '{"op_code": 4, "worker_id": "a"}',
    "a study without a name": '{"op_code": 0, "worker_id": "a", "directions": [2]}',
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED.keys())
def test_a_journal_that_is_none_is_kept_aside_and_begun_anew(
    line: str, studies: JournalStudies
) -> None:
    path = _place(studies)
    path.write_text(line + "\n")
    for _ in range(2):
        assert open_study(studies.open(CELL, _recall), "fold-0").get_trials() == []
    assert path.with_name(path.name + ".damaged").read_text() == line + "\n"


def _without(key: str):
    return lambda ops: [op for op in ops if key not in op.get("user_attr", {})]


def _changed(where: str, value: object):
    def change(ops: list[dict]) -> list[dict]:
        for op in ops:
            if where in op.get("user_attr", {}):
                op["user_attr"][where] = value
            elif where in op:
                op[where] = value
        return ops

    return change


def _changed_in_validated(where: str, value: object):
    def change(ops: list[dict]) -> list[dict]:
        for op in ops:
            if "validated" in op.get("user_attr", {}):
                op["user_attr"]["validated"][where] = value
        return ops

    return change


CHANGES = {
    "nothing validated": _without("validated"),
    "drawn from elsewhere": _changed("param_name", "speed"),
    "drawn out of its range": _changed("param_value_internal", 1e9),
    "drawn from another range": _changed(
        "distribution", '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1e10}}'
    ),
    "another layer of another kind": _changed(
        "distribution", '{"name": "CategoricalDistribution", "attributes": {"choices": [1]}}'
    ),
    "best at no epoch of its": _changed_in_validated("best_epoch", 7),
    "validated of a number": _changed("validated", 5),
    "validated without figures": _changed("validated", {}),
    "to be minimised": _changed("directions", [1]),
    "of two aims": _changed("directions", [2, 2]),
    "infinite": _changed("values", [float("inf")]),
    "of no value": _changed("values", None),
    "reported at a text": _changed("step", "x"),
    "at no time": _changed("datetime_start", "yesterday"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_journal_that_no_search_can_go_on_from_is_begun_anew(
    change, studies: JournalStudies
) -> None:
    operations = change(_finished(studies))
    studies.journal(CELL).write_text("".join(json.dumps(each) + "\n" for each in operations))
    assert open_study(studies.open(CELL, _recall), "fold-0").get_trials() == []
    assert list(studies.root.rglob("*.damaged"))


def test_a_journal_of_ours_is_gone_on_from(studies: JournalStudies) -> None:
    _finished(studies)
    (trial,) = open_study(studies.open(CELL, _recall), "fold-0").get_trials()
    assert trial.value == 0.5
    assert not list(studies.root.rglob("*.damaged"))


def _values(**changes: object) -> dict:
    values = asdict(OUTCOME)
    del values["tested"]["probabilities"]
    return values | changes


ODD_VALUES: dict[str, object] = {
    "empty": {},
    "a list": [1],
    "a number": 3,
    "tested is null": _values(tested=None),
    "validated is a text": _values(validated="x"),
    "states are others": _values(states={"done": 1}),
    "seconds are a text": _values(seconds="long"),
    "seconds are infinite": _values(seconds=float("inf")),
    "notes are a number": _values(notes=5),
}


@pytest.mark.parametrize("values", ODD_VALUES.values(), ids=ODD_VALUES.keys())
def test_an_outcome_of_odd_values_is_missing(values: object, tmp_path: Path) -> None:
    file = tmp_path / "outcome.npz"
    text = np.array(json.dumps(values))
    np.savez(file, probabilities=OUTCOME.tested.probabilities, outcome=text)
    assert outcomes.load(file, FOLD, CLASSES) is None


def _packed(path: Path) -> None:
    np.savez_compressed(path, probabilities=np.zeros((10_000, 1_000)), outcome=np.array("{}"))


def _promising(path: Path) -> None:
    """A header of 10^14 numbers, and none of them."""
    buffer = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 100)}
    np.lib.format.write_array_header_1_0(buffer, about)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", buffer.getvalue())
        archive.writestr("outcome.npy", b"")


def _objects(path: Path) -> None:
    text = np.array(json.dumps(_values()))
    np.savez(path, probabilities=np.array([[None, {}]], dtype=object), outcome=text)


def _nested(path: Path) -> None:
    text = np.array("[" * 50_000)
    np.savez(path, probabilities=OUTCOME.tested.probabilities, outcome=text)


def _of_nothing(path: Path) -> None:
    text = np.array(json.dumps(_values()))
    np.savez(path, probabilities=np.full((2, CLASSES), np.nan), outcome=text)


@pytest.mark.parametrize(
    "make", [_packed, _promising, _objects, _nested, _of_nothing, os.mkfifo, os.mkdir]
)
def test_an_odd_file_of_an_outcome_is_missing(make, tmp_path: Path) -> None:
    file = tmp_path / "outcome.npz"
    make(file)
    assert outcomes.load(file, FOLD, CLASSES) is None


def test_an_outcome_of_another_fold_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "outcome.npz"
    outcomes.save(file, OUTCOME)
    assert outcomes.load(file, FOLD, CLASSES) is not None
    assert outcomes.load(file, replace(FOLD, test=np.arange(3)), CLASSES) is None
    assert outcomes.load(file, FOLD, CLASSES + 1) is None


def test_a_checkpoint_is_written_through_no_link(tmp_path: Path) -> None:
    victim = _victim(tmp_path)
    folder = tmp_path / "fit"
    folder.mkdir()
    for name in ("last.ckpt", "last.ckpt.tmp"):
        (folder / name).symlink_to(victim)
    checkpoints.write(folder / "last.ckpt", {"digest": "x"})
    assert victim.read_text() == "not yours\n"
    assert not (folder / "last.ckpt").is_symlink()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


class _Large:
    def __reduce__(self):
        return bytearray, (3 * 10**9,)


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Large()))


def _pickle_of_torch(path: Path) -> None:
    torch.save({"digest": "x", "batch_size": _Large()}, path)


def _stored(path: Path, header: str, length: int | None = None) -> None:
    told = len(header) if length is None else length
    path.write_bytes(struct.pack("<Q", told) + header.encode() + b"\0" * 16)


def _promised(path: Path) -> None:
    """A tensor of 4 TB, and 16 bytes of it."""
    _stored(
        path, '{"a/b":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    )


def _of_another_size(path: Path) -> None:
    _stored(path, '{"a/b":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,16]}}')


def _of_a_long_header(path: Path) -> None:
    _stored(path, "{}", 1 << 40)


def _of_many_lists(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90 << 20) + b'{"__metadata__":{"state":"[')
        file.write(b"[]," * (30 << 20))


def _without_metadata(path: Path) -> None:
    save_file({"a/b": torch.zeros(3)}, path)


def _nested_state(path: Path) -> None:
    text = "[" * 100_000
    save_file({}, path, {"state": text, "crc32": f"{zlib.crc32(text.encode()):08x}"})


def _a_list(path: Path) -> None:
    save_file({}, path, {"state": "[]", "crc32": f"{zlib.crc32(b'[]'):08x}"})


def _batch_of_a_text(path: Path) -> None:
    checkpoints.write(path, {"digest": "x", "batch_size": "many"})


ODD_CHECKPOINTS = [
    _pipe,
    _pickle,
    _pickle_of_torch,
    _promised,
    _of_another_size,
    _of_a_long_header,
    _of_many_lists,
    _without_metadata,
    _nested_state,
    _a_list,
    _batch_of_a_text,
]


@pytest.mark.parametrize("make", ODD_CHECKPOINTS)
def test_an_odd_checkpoint_cannot_be_used_and_says_why(make, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state, why = checkpoints.read(path, "x")
    assert state is None
    assert why
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 50_000  # KiB


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_bit_that_flips_is_noticed(share: float, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    kept = {"digest": "x", "batch_size": 2, "trained": {"w": torch.arange(100.0)}}
    checkpoints.write(path, kept)
    assert checkpoints.read(path, "x")[0] is not None
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    state, why = checkpoints.read(path, "x")
    assert state is None
    assert "damaged" in str(why)


def test_tensors_of_every_type_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    types = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
    held = {str(each): torch.arange(6).reshape(2, 3).to(each) for each in types}
    held |= {
        "of nothing": torch.zeros(0, 3),
        "step": torch.tensor(7.0),
        "turned": held[str(types[0])].T,
    }
    checkpoints.write(path, {"digest": "x", "batch_size": 2, "best": None, "a": held, "b": {}})
    state, why = checkpoints.read(path, "x")
    assert why is None
    assert state is not None
    assert (state["best"], state["b"], state["a"].keys()) == (None, {}, held.keys())
    for name, tensor in held.items():
        found = state["a"][name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found, tensor)


def _of_other_shapes(state: dict) -> None:
    state["trained"] = {name: value[:1] for name, value in state["trained"].items()}


def _of_odd_moments(state: dict) -> None:
    state["moments"]["0 exp_avg"] = torch.zeros(1)


def _of_other_moments(state: dict) -> None:
    state["moments"]["1000 step"] = torch.tensor(1.0)


def _of_unnumbered_moments(state: dict) -> None:
    state["moments"]["step"] = torch.tensor(1.0)


def _without_curve(state: dict) -> None:
    del state["curve"]


def _of_odd_epochs(state: dict) -> None:
    state["curve"][0]["train_loss"] = "low"


def _of_unknown_fields(state: dict) -> None:
    state["curve"][0]["mood"] = 1


def _best_of_a_text(state: dict) -> None:
    state["best"] = "best"


def _notes_of_a_number(state: dict) -> None:
    state["notes"] = 5


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[float]]:
    folder = tmp_path_factory.mktemp("fit")
    with pytest.raises(Stop):
        fitted(folder, on_epoch=stop_after(1))
    return saved_in(folder), losses(fitted()[0])


@pytest.mark.parametrize(
    "forge",
    [
        _of_other_shapes,
        _of_odd_moments,
        _of_other_moments,
        _of_unnumbered_moments,
        _without_curve,
        _of_odd_epochs,
        _of_unknown_fields,
        _best_of_a_text,
        _notes_of_a_number,
    ],
)
def test_a_forged_state_is_damaged_and_training_begins_anew(
    forge, honest: tuple[dict, list[float]], tmp_path: Path
) -> None:
    state = copy.deepcopy(honest[0])
    forge(state)
    checkpoints.write(tmp_path / "last.ckpt", state)
    fit, training = fitted(tmp_path)
    assert "anew" in training.notes[0]
    assert losses(fit) == honest[1]
