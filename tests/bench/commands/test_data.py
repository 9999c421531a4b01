"""`voxgrid data`, and one's own data in `run` and `plan`, as a new user tries them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.records import store as records
from tests.bench.tasks.own.make_own import LAYOUTS, Clips, make_clips, write_csv
from tests.conftest import Voxgrid

RUN = ("--backbone=logmel", "--pooling=mean_std", "--head=lda")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


@pytest.fixture
def classes(clips: Clips, tmp_path: Path) -> str:
    """A folder per class that says nothing of speakers."""
    return LAYOUTS["folders"](tmp_path, clips)[0]


def _lines(text: str) -> str:
    return " ".join(text.split())


def test_what_is_understood_is_shown_before_anything_runs(
    voxgrid: Voxgrid, classes: str, tmp_path: Path
) -> None:
    done = voxgrid("data", classes, COLUMNS="100")
    assert done.returncode == 0, done.stderr
    told = _lines(done.stdout)
    assert "a folder per class, 36 rows" in told
    assert "labels: 01 12, high 12, low 12" in told
    assert "4 speakers from the name up to '_'? (anna, ben, cem, …)" in told
    assert "`voxgrid run` refuses that" in told
    assert "36 clips can be used: 0.3 minutes, each 0.5 to 0.5 s (median 0.5), at 16000 Hz" in told
    assert "these figures will be too good" in told
    known = voxgrid("data", classes, "--speaker={speaker}_*", COLUMNS="100")
    told = _lines(known.stdout)
    assert "anna 3 3 3 ben 3 3 3" in told
    assert "group-kfold 4 – random-kfold 5 yes leave-one-group-out 4 –" in told
    assert "takes group-kfold" in told
    assert not list(tmp_path.rglob("results"))


def test_what_was_understood_is_written_edited_and_read(
    voxgrid: Voxgrid, classes: str, clips: Clips, tmp_path: Path
) -> None:
    write = ("data", classes, "--speaker={speaker}_*", "--write=own.csv")
    assert voxgrid(*write).returncode == 0
    text = (tmp_path / "own.csv").read_text()
    assert text.startswith("file,label,speaker\n")
    assert len(text.splitlines()) == 1 + len(clips)
    again = voxgrid(*write)
    assert again.returncode == 2
    assert "is there and is not replaced" in again.stderr
    (tmp_path / "own.csv").write_text(text.replace(",01,", ",deep,"))
    assert "labels: deep 12" in _lines(voxgrid("data", "own.csv").stdout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "does not say who speaks, and without that figures are too good: 4 speakers from"),
        (("--task=ravdess",), "is the task: leave out --task"),
        (("--speaker=*",), "--speaker: '*' has no {speaker}"),
        (("--speaker={speaker}_*", "--protocol=speaker-6fold"), "it has: group-kfold"),
        (("--speaker={speaker}_*", "--name=ravdess"), "name it otherwise with --name"),
        (("--speaker={speaker}_*", "--name=My Data"), "cannot be the name of a task"),
    ],
)
def test_what_cannot_run_ends_in_a_sentence_before_anything_is_computed(
    options: tuple[str, ...], said: str, voxgrid: Voxgrid, classes: str, tmp_path: Path
) -> None:
    done = voxgrid("run", classes, *RUN, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list((tmp_path / "results").rglob("*.json"))


def test_options_of_own_data_ask_for_their_path(voxgrid: Voxgrid) -> None:
    for option in ("--no-groups", "--drop-small", "--speaker={speaker}_*"):
        done = voxgrid("plan", option)
        assert done.returncode == 2
        assert f"{option.partition('=')[0]} is of your own data: name its path" in done.stderr
    done = voxgrid("run", "ravdess")
    assert done.returncode == 2
    assert "the task of that name is --task ravdess" in done.stderr


def test_where_nobody_is_known_every_row_says_that_it_leaks(
    voxgrid: Voxgrid, classes: str, tmp_path: Path
) -> None:
    done = voxgrid("run", classes, "--no-groups", *RUN)
    assert done.returncode == 0, done.stderr
    assert "voxgrid plan" in done.stdout
    (record,) = records.read_all(tmp_path / "results")
    assert (record.task, record.protocol) == ("classes", "random-kfold")
    assert record.folding.leaks
    assert "leaks" in (tmp_path / "leaderboard.md").read_text()
    again = voxgrid("plan", classes, "--no-groups", *RUN)
    assert "Nothing to do" in again.stdout


def test_data_that_changed_is_not_mixed_with_what_was_measured(
    voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    rows = [[str(path), label, speaker] for path, label, speaker in clips]
    write_csv(tmp_path / "own.csv", ("file", "label", "speaker"), rows)
    assert voxgrid("run", "own.csv", *RUN).returncode == 0
    write_csv(tmp_path / "own.csv", ("file", "label", "speaker"), rows[1:])
    held = voxgrid("run", "own.csv", *RUN)
    assert held.returncode == 2
    assert "clips 36 (wanted: 35)" in held.stderr
    assert "data of state" in held.stderr
    assert "Would be replaced: 1 result" in _lines(voxgrid("plan", "own.csv", *RUN).stdout)
    # another row on today's clips: the old one takes no part beside it, and is kept
    other = ("--backbone=logmel", "--pooling=mean", "--head=lda")
    assert voxgrid("run", "own.csv", *other).returncode == 0
    page = (tmp_path / "leaderboard.md").read_text()
    assert "1 row of an older state of the data, with other clips, takes no part here" in page
    table = (tmp_path / "results" / "leaderboard.csv").read_text()
    assert ",mean,lda," in table
    assert ",mean_std,lda," not in table
    assert len(list(records.read_all(tmp_path / "results"))) == 2
    assert voxgrid("run", "own.csv", *RUN, "--replace").returncode == 0
    assert "older state" not in (tmp_path / "leaderboard.md").read_text()


def test_the_page_on_own_data_is_what_happens(
    voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    LAYOUTS["folders"](tmp_path, clips)
    (tmp_path / "classes").rename(tmp_path / "mydata")
    page = (Path(__file__).parents[3] / "docs" / "own-data.md").read_text()
    ran = 0
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            command = shlex.split(line)
            assert command[0] == "voxgrid"
            done = voxgrid(*command[1:])
            assert done.returncode == 0, f"{line}: {done.stderr}"
            ran += 1
    assert ran == 7
    toml = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert toml is not None
    (tmp_path / "grid.toml").write_text(toml[1])
    again = voxgrid("plan", "--backbone=logmel", "--pooling=mean_std")
    assert "Nothing to do" in again.stdout
    guess = re.search(r"`(4 speakers .*?)`", page)
    assert guess is not None
    assert guess[1] in " ".join(voxgrid("data", "mydata").stdout.split())


def test_wrong_settings_of_own_data_in_a_file_are_named(voxgrid: Voxgrid, tmp_path: Path) -> None:
    for text, said in (
        ('[data.mine]\npath = "a.csv"\nlable_column = "x"\n', "did you mean 'label_column'"),
        ('[data.mine]\npath = "a.csv"\nspeaker = "*"\n', "has no {speaker}"),
        ('[data.mine]\nlabel_column = "x"\n', "data.mine.path"),
        ('[data."My Data"]\npath = "a.csv"\n', "cannot be the name of a task"),
        ("data = 3\n", "data"),
    ):
        (tmp_path / "grid.toml").write_text(text)
        done = voxgrid("plan")
        assert done.returncode == 2, text
        assert said in done.stderr, text
        assert "grid.toml" in done.stderr, text


def test_a_path_is_checked_as_a_task(voxgrid: Voxgrid, classes: str, clips: Clips) -> None:
    done = voxgrid("check", classes, "--speaker={speaker}_*")
    assert done.returncode == 0, done.stderr
    assert "every clip decodes" in done.stdout
    assert "1 of 1 tasks checked, 0 failed" in done.stdout
    silent = clips[0][0].with_name("silent.wav")
    soundfile.write(silent, np.zeros(16_000), 16_000)
    table = write_csv(silent.with_name("own.csv"), ("file", "label", "speaker"), [
        *clips, (silent, "high", "anna")
    ])  # fmt: skip
    done = voxgrid("check", str(table))
    assert done.returncode == 1
    assert "silent" in done.stdout
    refused = voxgrid("check", classes)
    assert refused.returncode == 2
    assert "does not say who speaks" in refused.stderr
