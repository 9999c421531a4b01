"""A winner predicts as the benchmark did, is sealed, and goes on where it was killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from backbones.fusion import parse
from bench.errors import UserError
from bench.plugins import BACKBONES
from bench.records import store as records
from bench.report.select import validation_f1
from bench.winner import Model, card
from bench.winner import folder as folders
from bench.winner.folder import Contents
from tests.bench.run.test_execute import COUNTING_PLUGIN
from tests.bench.tasks.own.make_own import LABELS, RATE, Clips, joined, make_clips, write_csv
from tests.conftest import Voxgrid

HEADS = ("logistic_regression", "lda", "mlp", "gradient_boosting")
ROWS = [*(("logmel", head) for head in HEADS), ("counting[1]+logmel", "lda")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "counting.py").write_text(COUNTING_PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COUNT_FILE", str(tmp_path / "seen"))
    with BACKBONES.including(EntryPoint("counting", "counting", BACKBONES.group)):
        yield


@pytest.fixture
def ran(voxgrid: Voxgrid, plugin: None, clips: Clips, tmp_path: Path, session_cache: Path,
        monkeypatch: pytest.MonkeyPatch) -> Path:  # fmt: skip
    """A folder with results of a few rows on own data."""
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))
    rows = [[str(path), label, speaker] for path, label, speaker in clips]
    write_csv(tmp_path / "own.csv", ("file", "label", "speaker"), rows)
    _run(voxgrid, "logmel", "lda", tmp_path)
    return tmp_path


def _run(voxgrid: Voxgrid, backbone: str, head: str, folder: Path) -> None:
    options = (f"--backbone={backbone}", f"--head={head}", "--pooling=mean_std", "--trials=6")
    done = voxgrid("run", "own.csv", *options, COUNT_FILE=str(folder / "seen"))
    assert done.returncode == 0, done.stderr


def _train(voxgrid: Voxgrid, folder: Path, *options: str) -> Model:
    where = ("--out=model", "--replace", *options)
    done = voxgrid("train", "own", *where, COUNT_FILE=str(folder / "seen"))
    assert done.returncode == 0, done.stderr
    return Model.load(folder / "model")


@pytest.mark.parametrize(("backbone", "head"), ROWS)
def test_without_a_fold_it_predicts_that_fold_as_the_benchmark_did(
    backbone: str, head: str, voxgrid: Voxgrid, ran: Path, clips: Clips
) -> None:
    _run(voxgrid, backbone, head, ran)
    (path,) = (ran / "results").rglob(f"{parse(backbone).file_name}__mean_std__{head}.parquet")
    stored = pd.read_parquet(path)
    files = {path.stem: path for path, _, _ in clips}
    for fold in (0, 2):
        cell = f"--cell={backbone}/mean_std/{head}"
        model = _train(voxgrid, ran, cell, f"--without-fold={fold}")
        own = stored[stored["fold"] == fold]
        said = model.predict([files[clip] for clip in own["clip"]], temperature=False)
        columns = [f"p_{label}" for label in LABELS]
        np.testing.assert_array_equal(
            said[columns].to_numpy().astype(np.float32), own[columns].to_numpy()
        )
        assert said["label"].tolist() == own["predicted"].tolist()
        assert not said["in_training"].any()
        others = stored[stored["fold"] != fold]["clip"].tolist()
        assert model.predict([files[others[0]]])["in_training"].all()


def test_a_winner_of_all_clips_is_chosen_by_inner_folds_and_predicts(
    voxgrid: Voxgrid, ran: Path, clips: Clips
) -> None:
    model = _train(voxgrid, ran)
    config = model.config
    assert len(config.clips) == len(clips)
    assert config.without_fold is None
    assert config.temperature > 0
    said = model.predict([path for path, _, _ in clips])
    assert (said["label"] == [label for _, label, _ in clips]).mean() > 0.9
    assert said["in_training"].all()
    sums = said.filter(like="p_").sum(axis=1)
    np.testing.assert_allclose(sums, 1)
    assert not list((ran / "results").rglob("*.winner")), "what the search kept is left"
    plain = model.predict([clips[0][0]], temperature=False)
    assert plain["label"][0] == said["label"][0]
    # again gives the same, to the last bit
    first = {p.name: p.read_bytes() for p in (ran / "model").iterdir() if p.name != "config.json"}
    _train(voxgrid, ran)
    assert all((ran / "model" / name).read_bytes() == own for name, own in first.items())


def test_a_clip_alone_is_as_in_a_folder_and_what_cannot_be_used_is_a_row_with_a_reason(
    voxgrid: Voxgrid, ran: Path, clips: Clips
) -> None:
    model = _train(voxgrid, ran)
    folder = ran / "new"
    folder.mkdir()
    random = np.random.default_rng(7)
    for number in range(5):
        wave = 0.1 * random.standard_normal(RATE // 2 + 997 * number)
        soundfile.write(folder / f"{number}.wav", wave, RATE)
    (folder / "broken.wav").write_bytes(b"RIFF and no more")
    done = voxgrid("predict", "model", "new", str(clips[0][0]), "gone.wav")
    assert done.returncode == 0, done.stderr
    rows = {line.split(",")[0]: line.split(",") for line in done.stdout.splitlines()[1:]}
    assert len(rows) == 8
    for name in ("new/broken.wav", "gone.wav"):
        assert rows[name][1] == ""
        assert rows[name][-1]
    for number in range(5):
        (alone,) = voxgrid("predict", "model", f"new/{number}.wav").stdout.splitlines()[1:]
        assert alone.split(",") == rows[f"new/{number}.wav"]
        assert alone.endswith(",no,no,")
    assert rows[str(clips[0][0])][-3] == "yes"
    assert model.predict([folder / "0.wav"])["reason"].tolist() == [""]


def test_it_abstains_where_nothing_can_be_heard(voxgrid: Voxgrid, ran: Path) -> None:
    model = _train(voxgrid, ran)
    soundfile.write(ran / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(ran / "short.wav", np.random.default_rng(0).uniform(-1, 1, 800), RATE)
    (ran / "broken.wav").write_bytes(b"RIFF and no more")
    names = ("silent", "short", "broken")
    said = model.predict([ran / f"{name}.wav" for name in names])
    assert said["abstains"].tolist() == [True, True, False]
    assert said["label"].tolist() == [""] * 3
    assert said["reason"].str.partition(" ")[0].tolist() == ["is", "lasts", "is"]
    assert said.filter(like="p_").isna().all(axis=None)


def test_windows_of_a_long_file_are_said_as_files_of_their_sound(
    voxgrid: Voxgrid, ran: Path, clips: Clips
) -> None:
    model = _train(voxgrid, ran)
    random = np.random.default_rng(3)
    long = 0.1 * random.standard_normal(round(5.3 * RATE))
    long[2 * RATE : 3 * RATE] = 0.0
    soundfile.write(ran / "long.wav", long, RATE)
    done = voxgrid("predict", "model", "long.wav", str(clips[0][0]), "--every=1s")
    assert done.returncode == 0, done.stderr
    header, *rows = (line.split(",") for line in done.stdout.splitlines())
    assert header[:4] == ["file", "start", "end", "label"]
    long_rows = [row for row in rows if row[0] == "long.wav"]
    # what is left at the end is less than half a window
    assert [float(row[2]) for row in long_rows] == [1, 2, 3, 4, 5.3]
    assert [row[-2] for row in long_rows] == ["no", "no", "yes", "no", "no"]
    for number, row in enumerate(long_rows):
        begin, end = (round(float(row[at]) * RATE) for at in (1, 2))
        soundfile.write(ran / f"{number}.wav", long[begin:end], RATE)
        (alone,) = model.predict([ran / f"{number}.wav"]).to_dict("records")
        assert row[3] == alone["label"]
        for own, label in zip(row[4:], LABELS, strict=False):
            assert own == ("" if alone["abstains"] else f"{alone[f'p_{label}']:.6f}")
    (trained,) = [row for row in rows if row[0] == str(clips[0][0])]
    assert trained[-3] == "yes"
    cut = Path(os.environ["VOXGRID_CACHE"]) / "sections"
    assert not [path for path in cut.iterdir() if path.is_dir()], "windows are removed"


@pytest.mark.parametrize("text", ["0", "soon", "0.1s", "inf"])
def test_a_window_is_a_length_of_time(text: str, voxgrid: Voxgrid, ran: Path) -> None:
    _train(voxgrid, ran)
    done = voxgrid("predict", "model", "own.csv", f"--every={text}")
    assert done.returncode == 2
    assert "is no length of a window: name 0.5 seconds or more" in done.stderr


@pytest.mark.parametrize(("form", "windows"), [("csv", False), ("jsonl", False), ("csv", True)])
def test_what_a_kill_left_is_gone_on_with_and_gives_the_identical_file(
    form: str, windows: bool, voxgrid: Voxgrid, ran: Path, clips: Clips
) -> None:
    _train(voxgrid, ran)
    files = [path for path, _, _ in clips[:9]]
    if windows:
        files = sorted({path for path, _, _ in joined(ran / "long", clips)})[:3]
    (ran / "list.txt").write_text("\n".join(map(str, files)) + "\n")
    more = "--every=1.5s" if windows else "--top=2"
    run = ("predict", "model", "list.txt", f"--format={form}", more)
    assert voxgrid(*run, f"--out=whole.{form}").returncode == 0
    whole = (ran / f"whole.{form}").read_bytes()
    assert whole.count(b"\n") == 9 + (form == "csv")
    for cut in (0, 3, len(whole) // 3, len(whole) // 2 + 1, len(whole) - 1, len(whole)):
        (ran / "part").write_bytes(whole[:cut])
        assert voxgrid(*run, "--out=part").returncode == 0
        assert (ran / "part").read_bytes() == whole, cut
    (ran / "part").write_bytes(b"file,of,others\n1,2,3\n")
    other = voxgrid(*run[:3], "--out=part")
    assert other.returncode == 2
    assert "is no table of this winner's predictions" in other.stderr
    (ran / "list.txt").write_text("\n".join(map(str, reversed(files))))
    other = voxgrid(*run, f"--out=whole.{form}")
    assert other.returncode == 2
    assert "which is not file 1 of those asked for" in other.stderr


def test_a_changed_byte_in_any_file_is_refused_with_its_name(voxgrid: Voxgrid, ran: Path) -> None:
    _train(voxgrid, ran)
    random = np.random.default_rng(0)
    for path in sorted((ran / "model").iterdir()):
        content = path.read_bytes()
        for place in random.integers(len(content), size=12).tolist():
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(bytes(changed))
            with pytest.raises(UserError, match=path.name.replace(".", r"\.")):
                Model.load(ran / "model")
        path.unlink()
        with pytest.raises(UserError, match=path.name.replace(".", r"\.")):
            Model.load(ran / "model")
        path.write_bytes(content)
    Model.load(ran / "model")


def test_there_is_no_code_in_it(voxgrid: Voxgrid, ran: Path) -> None:
    _run(voxgrid, "logmel", "gradient_boosting", ran)
    _train(voxgrid, ran, "--cell=logmel/mean_std/gradient_boosting")
    files = {path.name: path.read_bytes() for path in (ran / "model").iterdir()}
    assert sorted(files) == ["README.md", "config.json", "head.safetensors"]
    for content in files.values():
        assert not content.startswith((b"\x80", b"PK"))
        assert b"PK\x03\x04" not in content
        assert b"sklearn" not in content
    size = int.from_bytes(files["head.safetensors"][:8], "little")
    json.loads(files["head.safetensors"][8 : 8 + size])


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"code": "print()"},
        {"files": {"../head.safetensors": "0"}},
        {"encoders": [{"backbone": "../../evil"}]},
    ],
    ids=str,
)
def test_settings_that_ask_for_more_are_refused(
    change: dict[str, object], voxgrid: Voxgrid, ran: Path
) -> None:
    _train(voxgrid, ran)
    path = ran / "model" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | change, indent=1) + "\n")
    with pytest.raises(UserError, match=r"config\.json is not as it was written"):
        Model.load(ran / "model")


def test_other_weights_and_other_heads_than_the_winners_are_refused(
    voxgrid: Voxgrid, ran: Path
) -> None:
    model = _train(voxgrid, ran)
    arrays = folders.read(ran / "model").arrays
    (encoder,) = model.config.encoders
    for update, said in (
        ({"encoders": (encoder.model_copy(update={"feature_key": "0"}),)}, "gives other vectors"),
        ({"encoders": (encoder.model_copy(update={"weights_sha256": "1" * 64}),)}, "have sha256"),
        ({"head_version": 99}, "is of version"),
        ({"params": {"nonsense": 1}}, "are not those of a head"),
    ):
        shutil.rmtree(ran / "other", ignore_errors=True)
        config = model.config.model_copy(update=update)
        folders.write(ran / "other", Contents(config, arrays), "# card", replace=False)
        with pytest.raises(UserError, match=said):
            Model.load(ran / "other")


def test_a_folder_that_is_there_is_not_replaced_unasked(voxgrid: Voxgrid, ran: Path) -> None:
    _train(voxgrid, ran)
    again = voxgrid("train", "own", "--out=model")
    assert again.returncode == 2
    assert "holds a winner; replace it with --replace" in again.stderr
    (ran / "mine").mkdir()
    (ran / "mine" / "thesis.txt").write_text("years of work")
    other = voxgrid("train", "own", "--out=mine", "--replace")
    assert other.returncode == 2
    assert "is no winner of voxgrid's" in other.stderr
    assert (ran / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "own", "--out=m", "--cell=logmel/mean_std/ldaa"), "did you mean"),
        (("train", "nobody", "--out=m"), "no finished row of task 'nobody'"),
        (("train", "own", "--out=m", "--protocol=speaker-6fold"), "has no row of 'speaker-6fold'"),
        (("train", "own", "--out=m", "--without-fold=9"), "has folds 0 to 3"),
        (("train", "own", "--out=m", "--best-under=0.0000001"), "that takes at most"),
        (("predict", "nothing", "a.wav"), "is no winner (config.json: No such file"),
        (("predict", "results", "a.wav"), "is no winner"),
        (("best", "nobody"), "no finished row of task 'nobody'"),
    ],
)
def test_mistakes_end_in_a_sentence(
    arguments: tuple[str, ...], said: str, voxgrid: Voxgrid, ran: Path
) -> None:
    done = voxgrid(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (ran / "m").exists()


def test_a_row_of_other_clips_is_not_put_to_use(voxgrid: Voxgrid, ran: Path) -> None:
    lines = (ran / "own.csv").read_text().splitlines()
    (ran / "own.csv").write_text("\n".join(lines[:-1]) + "\n")
    done = voxgrid("train", "own", "--out=model")
    assert done.returncode == 2
    assert "would not be here what its record was made of" in done.stderr


def test_best_is_by_validation_and_says_what_test_clips_say(voxgrid: Voxgrid, ran: Path) -> None:
    _run(voxgrid, "logmel", "logistic_regression", ran)
    _run(voxgrid, "logmel", "gradient_boosting", ran)
    told = " ".join(voxgrid("best", "own", COLUMNS="200").stdout.split())
    order = sorted(records.read_all(ran / "results"), key=lambda r: -validation_f1(r))
    places = [told.index(f"logmel/mean_std/{record.head} ") for record in order]
    assert places == sorted(places)
    assert f"`voxgrid train own -o model` fits logmel/mean_std/{order[0].head} on all" in told


def test_the_card_says_what_it_is_and_how_good(voxgrid: Voxgrid, ran: Path) -> None:
    _train(voxgrid, ran)
    text = (ran / "model" / "README.md").read_text()
    front = text.split("---\n")[1]
    assert 'pipeline_tag: "audio-classification"' in front
    (record,) = records.read_all(ran / "results")
    assert f"| macro-F1 | {100 * record.scored.macro_f1:.1f} |" in text
    for label in LABELS:
        assert f"| {label} |" in text


def test_front_matter_names_weights_of_the_hub_alone() -> None:
    encoders = [BACKBONES.get(name).info for name in ("quartznet", "whisper-base", "logmel")]
    front = card._front(SimpleNamespace(task="t"), [SimpleNamespace(encoders=encoders)])  # type: ignore[arg-type,list-item]
    assert 'base_model: ["openai/whisper-base"]' in front


def test_a_fresh_process_predicts_without_a_network(
    voxgrid: Voxgrid, voxgrid_process: Voxgrid, ran: Path, clips: Clips
) -> None:
    _train(voxgrid, ran)
    done = voxgrid_process("predict", "model", str(clips[0][0]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split(",")[1] == clips[0][1]
