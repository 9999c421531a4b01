"""What a task is: labelled clips with groups, and the protocols that may fold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.printable import printable


@dataclass(frozen=True)
class Section:
    """A part of a longer file.

    Attributes:
        start, end: seconds from the file's beginning; None is its end.
    """

    file: Path
    start: float
    end: float | None


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        id: stable name inside the task, e.g. `03-01-05-01-02-01-12`; never a path.
        path: the audio file; of a section what a scan cut out of `section.file`.
        label: its class; empty where nobody has said, which no task may leave so.
        group: what must never straddle train and test (speaker, channel).
        part: the fold or split that a table of one's own puts it in.
        section: where it is a part of a longer file.
    """

    id: str
    path: Path
    label: str
    group: str
    part: str | None = None
    section: Section | None = None


@dataclass(frozen=True, order=True)
class Exclusion:
    """A clip (or file) left out, and why, in one sentence; both are kept as `printable`."""

    clip: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("clip", "reason"):
            object.__setattr__(self, name, printable(getattr(self, name)))


@dataclass(frozen=True)
class Task:
    """A labelled audio classification set, resolved on this machine.

    Attributes:
        name: e.g. `ravdess`, or `sample-emotion` for its generated twin.
        labels: class names in their fixed order.
        clips: usable clips, in whatever order.
        protocols: names of the protocols that fit it, default first.
        sample: True for generated data, which never shares a table with real data.
        excluded: files found but not used, each with its reason.
        notes: what a reader should know (e.g. "3 clips of the manifest are missing: …").
        published: sha256 of the decoded samples as published, by clip id, where it is known.
        file_sha256: sha256 of each file as it was fetched, by clip id, where it is known.
        default: protocols that run where none is named; empty where all do that do not repeat.
        near_duplicates: whether the same sound may occur in another encoding, level or cut, so
            that clips are compared by ear, not only by their samples.
    """

    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    protocols: tuple[str, ...]
    sample: bool = False
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)
    file_sha256: Mapping[str, str] = field(default_factory=dict)
    near_duplicates: bool = False
    default: tuple[str, ...] = ()

    def altered(
        self, pcm_sha256: Mapping[str, str], file_sha256: Mapping[str, str]
    ) -> tuple[str, ...]:
        """Notes where clips are not what was published or fetched.

        Args:
            pcm_sha256: sha256 of the decoded samples found, by clip id.
            file_sha256: sha256 of the files found, by clip id.
        """
        notes = []
        if other := _differing(pcm_sha256, self.published):
            notes.append(
                f"{len(other)} clips do not hold the published samples (re-encoded or edited): "
                f"{shortened(other)}"
            )
        if other := _differing(file_sha256, self.file_sha256):
            notes.append(
                f"the files of {len(other)} clips are not those that were fetched: "
                f"{shortened(other)}"
            )
        return tuple(notes)


def _differing(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return [clip for clip, digest in found.items() if expected.get(clip, digest) != digest]


def shortened(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names, for a sentence."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
