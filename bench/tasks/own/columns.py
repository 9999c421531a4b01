"""Which column of a table is the file, the label, the group and the part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.config.own import OwnData
from bench.errors import UserError, nearest

# Usual names, the first of which goes before the others; case, blanks, `-` and `_` do not matter.
SYNONYMS: Mapping[str, Sequence[str]] = {
    "file": (
        *("file", "filename", "path", "filepath", "audio", "audiofile", "audiopath"),
        *("audiofilepath", "wav", "wavpath", "wavfile", "clip", "recording", "fname", "sound"),
    ),
    "label": (
        *("label", "class", "emotion", "emo", "category", "target", "classname", "labels"),
        *("classlabel", "tag", "y"),
    ),
    "group": (
        *("speaker", "speakerid", "spk", "spkid", "spkr", "group", "subject", "subjectid"),
        *("actor", "channel", "participant", "patient", "clientid", "userid", "user", "session"),
    ),
    "fold": ("fold", "folds", "cvfold", "foldid"),
    "split": ("split", "subset", "partition", "set"),
    "start": ("start", "offset", "begin", "starttime", "onset"),
    "end": ("end", "stop", "endtime", "offsettime"),
    "duration": ("duration", "length", "dur"),
}
_GIVEN = {"file": "file_column", "label": "label_column", "group": "group_column"}


def recognised(columns: Sequence[str], own: OwnData, path: Path) -> dict[str, int]:
    """The place of each column that is read, by what it is.

    Raises:
        UserError: a column that was named is not there, or none is file or label.
    """
    plain = [_plain(name) for name in columns]
    found: dict[str, int] = {}
    for role, synonyms in SYNONYMS.items():
        given = getattr(own, _GIVEN[role]) if role in _GIVEN else None
        if given is not None:
            if given not in columns:
                raise UserError(f"{path} has no column '{given}': {nearest(given, columns)}")
            found[role] = list(columns).index(given)
        else:
            at = next((plain.index(name) for name in synonyms if name in plain), None)
            if at is not None:
                found[role] = at
    for role in ("file", "label"):
        if role not in found:
            option = f"--{_GIVEN[role].replace('_', '-')}"
            raise UserError(
                f"no column of {path} is known to be the {role}; it has {', '.join(columns)}: "
                f"name the one with {option}"
            )
    if found["file"] == found["label"]:
        raise UserError(
            f"{path}: column '{columns[found['file']]}' cannot be both file and label; name the "
            "other with --file-column or --label-column"
        )
    return found


def passed_over(columns: Sequence[str], read: Mapping[str, int]) -> list[str]:
    """Columns that could be what another is read as, in words."""
    return [
        f"column '{name}' could be the {role} too; '{columns[read[role]]}' is read"
        for role in _GIVEN
        if role in read
        for at, name in enumerate(columns)
        if at != read[role] and _plain(name) in SYNONYMS[role] and at not in read.values()
    ]


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
