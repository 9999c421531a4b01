"""What a task is: labelled clips with groups, and the protocols that may fold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        id: stable name inside the task, e.g. `03-01-05-01-02-01-12`; never a path.
        path: the audio file.
        label: its class.
        group: what must never straddle train and test (speaker, channel).
    """

    id: str
    path: Path
    label: str
    group: str


@dataclass(frozen=True)
class Exclusion:
    """A clip (or file) left out, and why, in one sentence."""

    clip: str
    reason: str


@dataclass(frozen=True)
class Task:
    """A labelled audio classification set, resolved on this machine.

    Attributes:
        name: e.g. `ravdess`, or `sample-emotion` for its generated twin.
        labels: class names in their fixed order.
        clips: usable clips, sorted by id.
        protocols: names of the protocols that fit it, default first.
        sample: True for generated data, which never shares a table with real data.
        excluded: files found but not used, each with its reason.
        notes: what a reader should know (e.g. "3 clips of the manifest are missing: …").
    """

    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    protocols: tuple[str, ...]
    sample: bool = False
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = field(default=())
