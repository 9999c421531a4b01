"""The task made of what was fetched: clips, groups, and what a reader should know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import tasks
from bench.errors import DataUnavailable
from bench.tasks.youtube import manifest, task
from bench.tasks.youtube.manifest import Item


def video(id: str, **known: object) -> Item:
    return Item(**{"left": id, "row": 2, "id": id, "category": "food", "title": "t", **known})


def fetched(folder: Path, id: str, **known: object) -> Item:
    """An item with a real sound file, WAV in place of Matroska."""
    item = video(id, status="ok", asked_seconds=60.0)
    item = replace(item, **known)  # type: ignore[arg-type]
    target = item.target(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(id)).normal(scale=0.1, size=4000)
    soundfile.write(target, noise, 8000, format="WAV")
    return replace(item, file=target.name, sha256="0" * 64, bytes=target.stat().st_size)


def groups(folder: Path, *items: Item) -> dict[str, str]:
    manifest.write(folder, items)
    return {clip.id: clip.group for clip in task.read(folder).clips}


def test_clips_are_the_fetched_videos_with_category_and_channel(tmp_path: Path) -> None:
    manifest.write(
        tmp_path / "youtube",
        [
            fetched(tmp_path / "youtube", "bbbbbbbbbbb", channel="Kitchen TV", category="food"),
            fetched(tmp_path / "youtube", "aaaaaaaaaaa", channel="Roads", category="travel"),
            video("ccccccccccc", category="history", status="private"),
            video("ddddddddddd", category="history"),
            replace(fetched(tmp_path / "youtube", "eeeeeeeeeee"), in_table=False),
        ],
    )
    found = tasks.resolve("youtube", data_root=tmp_path, cache=tmp_path / "cache")
    assert [(c.id, c.label, c.group) for c in found.clips] == [
        ("aaaaaaaaaaa", "travel", "channel:roads"),
        ("bbbbbbbbbbb", "food", "channel:kitchen tv"),
    ]
    assert found.near_duplicates
    assert not found.sample
    assert found.notes == (
        "2 of the 4 videos of the table have sound here; not to be had: 1 private",
        "1 videos are not fetched yet: 'voxgrid fetch youtube' goes on",
        "of each video the first 60 s, or all of a shorter one",
    )


def test_a_video_without_a_channel_is_its_own_group(tmp_path: Path) -> None:
    found = groups(tmp_path, fetched(tmp_path, "aaaaaaaaaaa"), fetched(tmp_path, "bbbbbbbbbbb"))
    assert found == {"aaaaaaaaaaa": "video:aaaaaaaaaaa", "bbbbbbbbbbb": "video:bbbbbbbbbbb"}


def test_channels_are_joined_by_either_name(tmp_path: Path) -> None:
    found = groups(
        tmp_path,
        fetched(tmp_path, "aaaaaaaaaaa", channel="Old Name", channel_id="UC1"),
        fetched(tmp_path, "bbbbbbbbbbb", channel="New name", channel_id="UC1"),
        fetched(tmp_path, "ccccccccccc", channel="New Name"),
        fetched(tmp_path, "ddddddddddd", channel_id="UC1"),
        fetched(tmp_path, "eeeeeeeeeee", channel="Other", channel_id="UC2"),
    )
    assert len({found[letter * 11] for letter in "abcd"}) == 1
    assert found["eeeeeeeeeee"] == "channel:other"


@settings(max_examples=40)
@given(
    channels=st.lists(
        st.tuples(
            st.none() | st.sampled_from(["A", "a ", "B", "C"]),
            st.none() | st.sampled_from(["UC1", "UC2", "UC3"]),
        ),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
def test_videos_that_share_a_channel_share_a_group_in_any_order(
    channels: list[tuple[str | None, str | None]], data: st.DataObject
) -> None:
    items = [
        video(f"{n:011}", channel=name, channel_id=id) for n, (name, id) in enumerate(channels)
    ]
    group = dict(zip((i.left for i in items), task.channels(items), strict=True))
    shuffled = data.draw(st.permutations(items))
    again = dict(zip((i.left for i in shuffled), task.channels(shuffled), strict=True))
    assert again == group
    for one in items:
        for other in items:
            same_name = one.channel and other.channel
            if same_name and one.channel.strip().lower() == other.channel.strip().lower():
                assert group[one.left] == group[other.left]
            if one.channel_id and one.channel_id == other.channel_id:
                assert group[one.left] == group[other.left]


def test_where_nothing_is_fetched_the_message_says_how(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"run 'voxgrid fetch youtube TABLE\.csv'"):
        tasks.resolve("youtube", data_root=tmp_path, cache=tmp_path / "cache")


def test_a_folder_in_which_every_video_is_refused_says_where_to_look(tmp_path: Path) -> None:
    manifest.write(tmp_path, [video("aaaaaaaaaaa", status="private")])
    with pytest.raises(DataUnavailable, match="sound of none of its 1 videos"):
        task.read(tmp_path)


def test_a_file_that_is_gone_is_an_excluded_clip(tmp_path: Path) -> None:
    kept, gone = fetched(tmp_path, "aaaaaaaaaaa"), fetched(tmp_path, "bbbbbbbbbbb")
    gone.target(tmp_path).unlink()
    manifest.write(tmp_path, [kept, gone])
    found = task.read(tmp_path)
    assert [clip.id for clip in found.clips] == ["aaaaaaaaaaa"]
    assert [(e.clip, "is gone" in e.reason) for e in found.excluded] == [("bbbbbbbbbbb", True)]


@pytest.mark.parametrize("file", ["../../secret.wav", "/etc/passwd", "other.mka"])
def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path, file: str) -> None:
    item = fetched(tmp_path, "aaaaaaaaaaa")
    manifest.write(tmp_path, [replace(item, file=file)])
    (clip,) = task.read(tmp_path).clips
    assert clip.path == item.target(tmp_path)
    assert clip.path.parent == tmp_path / "audio"


def test_files_that_were_replaced_since_are_noticed(tmp_path: Path) -> None:
    manifest.write(tmp_path, [fetched(tmp_path, "aaaaaaaaaaa")])
    found = task.read(tmp_path)
    assert found.altered({}, {"aaaaaaaaaaa": "0" * 64}) == ()
    assert found.altered({}, {"aaaaaaaaaaa": "1" * 64}) == (
        "the files of 1 clips are not those that were fetched: aaaaaaaaaaa",
    )
