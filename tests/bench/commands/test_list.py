"""`voxgrid list` names everything there is and whether it can be used here."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from backbones.extras import EXTRA_MODULES
from bench import tasks
from bench.commands import list as inventory
from bench.config import presets
from bench.errors import UserError
from bench.features.pooling import POOLINGS
from bench.plugins import BACKBONES, HEADS
from bench.protocols.table import PROTOCOLS
from bench.tasks import TASKS
from tests.bench.commands.reading import WIDTHS, words


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data, no weights, an empty cache, 80 columns."""
    for name in ("VOXGRID_DATA", "VOXGRID_WEIGHTS", "VOXGRID_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("voxgrid_data", "voxgrid_weights"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def by_name(found: list[inventory.Entry]) -> dict[str, inventory.Entry]:
    return {entry["name"]: entry for entry in found}


def test_what_is_listed_is_what_is_registered() -> None:
    found = inventory.collect()
    assert {kind: [entry["name"] for entry in entries] for kind, entries in found.items()} == {
        "tasks": tasks.names(),
        "protocols": list(PROTOCOLS),
        "backbones": list(BACKBONES.names()),
        "poolings": list(POOLINGS),
        "heads": HEADS.names(),
        "presets": list(presets.all_presets()),
        "broken": [],
    }


@pytest.mark.parametrize("kind", ["tasks", "protocols", "backbones", "poolings", "heads"])
def test_one_kind_is_listed_alone(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = inventory.collect(kind)
    assert found == {kind: inventory.collect()[kind], "broken": []}
    inventory.render(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == kind.capitalize()
    for entry in found[kind]:
        assert any(line.split()[:1] == [entry["name"]] for line in lines), entry["name"]


def test_backbones_alone_show_sizes_rate_licence_and_origin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = inventory.collect("backbones")
    by_name(found["backbones"])["logmel"]["origin"] = "there.mel (mel-pack)"
    inventory.render(found)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["whisper-base", "missing", "7", "512", "16000", "50", "20.6"] in rows
    assert ["whisper-base", "Apache-2.0", "voxgrid"] in rows
    assert ["logmel", "Apache-2.0", "mel-pack"] in rows


def test_a_list_of_something_unknown_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match="no list of 'backbone': did you mean 'backbones'"):
        inventory.collect("backbone")


def test_plugins_left_out_are_listed_with_their_reason_and_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "defective_plugin.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    described = tmp_path / "defective-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: defective\nVersion: 1.0\n")
    groups = [registry.group for registry in (BACKBONES, HEADS, TASKS)]
    (described / "entry_points.txt").write_text(
        "".join(f"[{group}]\ndefective = defective_plugin\n" for group in groups)
    )
    with BACKBONES.including(), HEADS.including(), TASKS.including():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = inventory.collect()
        inventory.render(found)
        with pytest.raises(UserError, match="'defective' was left out: defective_plugin"):
            BACKBONES.get("defective")
    assert [entry["kind"] for entry in found["broken"]] == ["backbones", "heads", "tasks"]
    lines = capsys.readouterr().out.splitlines()
    for kind in ("backbones", "heads", "tasks"):
        (line,) = [line for line in lines if line.startswith(f"defective ({kind}): left out; ")]
        assert "defective_plugin (defective): ModuleNotFoundError" in line
        assert "no_such_module_at_all" in line
    assert "logmel" in by_name(found["backbones"])


def test_presets_are_listed_with_task_backbone_head_and_published_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = inventory.collect()
    entry = by_name(found["presets"])["quartznet-mlp-youtube"]
    assert (entry["task"], entry["backbone"], entry["head"]) == ("youtube", "quartznet", "mlp")
    assert entry["published"] == "accuracy above 70 %, precision above 70 %, recall above 70 %"
    inventory.render({**found, "tasks": [], "backbones": []})
    printed = " ".join(capsys.readouterr().out.split())
    assert "accuracy 63.64 %" in printed


def test_the_listing_is_strict_json() -> None:
    text = json.dumps(inventory.collect(), allow_nan=False)
    assert json.loads(text) == inventory.collect()


def test_a_bare_machine_says_what_is_missing_and_how_to_get_it_and_writes_nothing(
    bare_machine: Path,
) -> None:
    found = inventory.collect()
    ravdess = by_name(found["tasks"])["ravdess"]
    assert (ravdess["state"], "voxgrid fetch ravdess" in ravdess["detail"]) == ("missing", True)
    assert by_name(found["tasks"])["sample-emotion"]["state"] == "generated"
    whisper = by_name(found["backbones"])["whisper-base"]
    assert whisper["state"] == "missing"
    assert "hf download openai/whisper-base" in whisper["detail"]
    assert by_name(found["backbones"])["logmel"]["state"] == "not needed"
    assert {path.name for path in bare_machine.rglob("*")} == {"voxgrid_data", "voxgrid_weights"}


def test_a_folder_that_does_not_exist_is_called_so_and_not_a_lack_of_data(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("DATA", "WEIGHTS"):
        monkeypatch.setenv(f"VOXGRID_{kind}", str(bare_machine / "typo"))
    found = inventory.collect()
    for entry in (by_name(found["tasks"])["ravdess"], by_name(found["backbones"])["xlsr"]):
        assert entry["state"] == "missing"
        assert f"names the folder {bare_machine / 'typo'}, which does not exist" in entry["detail"]


def test_a_data_folder_without_clips_is_broken_and_not_missing(bare_machine: Path) -> None:
    (bare_machine / "voxgrid_data" / "ravdess").mkdir()
    ravdess = by_name(inventory.collect()["tasks"])["ravdess"]
    assert ravdess["state"] == "broken"
    assert "holds no RAVDESS clip" in ravdess["detail"]


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRA_MODULES, "egemaps", ("not_a_module",))
    egemaps = by_name(inventory.collect()["backbones"])["egemaps"]
    assert egemaps["state"] == "missing extra"
    assert "pip install 'opensmile>=2.5'" in egemaps["detail"]


def test_tables_fit_80_columns_with_whole_names_and_commands_stay_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = inventory.collect()
    inventory.render(found)
    lines = capsys.readouterr().out.splitlines()
    tables = [line for line in lines if not line.startswith(("ravdess:", "whisper-base:"))]
    for entries in found.values():
        for entry in entries:
            assert any(line.split()[:1] == [entry["name"]] for line in tables), entry["name"]
    hint = next(line for line in lines if line.startswith("whisper-base: missing"))
    assert "--local-dir" in hint
    heading = next(i for i, line in enumerate(lines) if line.startswith("ravdess: missing"))
    assert max(map(len, lines[:heading])) <= 80


@pytest.mark.parametrize("kind", [None, "backbones", "tasks", "heads", "presets"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_name_and_number_of_a_list_is_whole_at_any_width(
    kind: str | None,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = inventory.collect(kind)
    monkeypatch.setenv("COLUMNS", "300")
    inventory.render(found)
    whole = words(capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", str(width))
    inventory.render(found)
    printed = capsys.readouterr().out
    assert whole - words(printed) <= {"name"}  # the head of the column that blocks begin with
    entries = [entry for own in found.values() for entry in own if "state" in entry]
    hints = tuple(f"{entry['name']}: {entry['state']}; " for entry in entries)
    tables = [line for line in printed.splitlines() if not line.startswith(hints)]
    # a name that is longer than a line stands on one of its own
    assert max(len(line) for line in tables if " " in line.strip()) <= width
