"""What no record needs any more: studies, features, frames, sections. Downloads are left alone.

- A *study* is unneeded where its cell's record is finished, has the study's fingerprint and was
  written after it, or where its version is no longer read. Any other is what a run goes on from: it
  counts as unneeded only where that is asked for.
- *Features* are needed where a record of the results folders names their key.
- *Frames* are needed where such a record's head was trained on them.
- Whatever belongs to a backbone with an unfinished study is needed.
- *Sections* that were cut out of long files are cut again where they are wanted.

What is a link, lies behind one, or is not named and filled as ours is nobody's here: it is not
listed, and stays.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.audio import sections
from bench.errors import StorageError
from bench.features.frames import FRAMES
from bench.features.key import FOLDER_DIGITS, SETTINGS
from bench.files import below, storing
from bench.planning.cells import STUDY_VERSION
from bench.planning.make import STUDIES
from bench.records import store as records
from bench.records.schema import Record

Kind = Literal["studies", "features", "frames", "sections"]

# A study's journal, its lock, and the folder beside it.
_STUDY = re.compile(
    r"(?P<cell>.+)\.(?P<fingerprint>[0-9a-f]{16})\.(?P<version>[0-9]{1,9})"
    r"(?P<journal>\.journal(\.lock|\.damaged)?)?"
)
_KEY = re.compile(f"[0-9a-f]{{{FOLDER_DIGITS}}}")


@dataclass(frozen=True)
class Unneeded:
    """Files and folders to delete with all that is in them, why, and their bytes."""

    kind: Kind
    paths: tuple[Path, ...]
    reason: str
    size: int


def unneeded(
    results: Sequence[Path], features: Path, *, unfinished: bool = False
) -> list[Unneeded]:
    """What may be deleted, by kind.

    Args:
        results: folders of records; what any of them needs is kept.
        unfinished: whether studies without a finished record go as well, and what belongs to them.

    Raises:
        StorageError: a file or folder cannot be read.
    """
    try:
        return _unneeded(results, features, unfinished)
    except OSError as error:
        raise StorageError(
            f"{error.filename} cannot be read ({error.strerror}): make it readable, then run the "
            "same command again"
        ) from error


def _unneeded(results: Sequence[Path], features: Path, unfinished: bool) -> list[Unneeded]:
    found: list[Unneeded] = []
    waiting: set[str] = set()
    needed: dict[str, bool] = {}
    for folder in results:
        for record in records.read_all(folder):
            if key := record.provenance.feature_key:
                name = key[:FOLDER_DIGITS]
                needed[name] = needed.get(name, False) or record.training is not None
        for (cell, fingerprint, version), paths in _studies(folder / STUDIES).items():
            reason = _why(folder / f"{cell}.json", fingerprint, version, paths, unfinished)
            if reason:
                found.append(Unneeded("studies", tuple(paths), reason, _size(paths)))
            else:
                waiting.add(cell.name.partition("__")[0])
    for path in _feature_sets(features):
        # of an address the cache knows the scheme alone, which a file name begins with
        if any(path.parent.name in (name, name.partition("--")[0]) for name in waiting):
            continue
        frames = path / FRAMES
        if path.name not in needed:
            found.append(Unneeded("features", (path,), "no record has their key", _size((path,))))
        elif not needed[path.name] and _is_folder(frames):
            reason = "no record with their key was trained on frames"
            found.append(Unneeded("frames", (frames,), reason, _size((frames,))))
    cut = features.parent / sections.FOLDER
    if _is_folder(cut):
        found.append(Unneeded("sections", (cut,), "they are cut again where needed", _size((cut,))))
    return found


def remove(found: Sequence[Unneeded]) -> None:
    """Delete all of it, and folders that are empty then.

    Raises:
        StorageError: something cannot be deleted; the rest stays.
    """
    for one in found:
        with storing(one.paths[0].parent, "make it writable, then run the same command again"):
            for path in one.paths:
                if _is_folder(path):
                    shutil.rmtree(path)
                else:
                    path.unlink()
            for parent in one.paths[0].parents[:2]:
                if one.kind in ("studies", "features") and not any(parent.iterdir()):
                    parent.rmdir()


def _studies(root: Path) -> dict[tuple[Path, str, int], list[Path]]:
    """Files and folders of studies by cell, start of its fingerprint, and version."""
    found: defaultdict[tuple[Path, str, int], list[Path]] = defaultdict(list)
    for path in below(root) if _is_folder(root) else ():
        match = _STUDY.fullmatch(path.name)
        if match and not path.is_symlink() and path.is_file() == bool(match["journal"]):
            cell = path.relative_to(root).with_name(match["cell"])
            found[cell, match["fingerprint"], int(match["version"])].append(path)
    return dict(sorted(found.items()))


def _feature_sets(root: Path) -> list[Path]:
    """Folders below a cache that features were written into."""
    return [
        path
        for path in sorted(root.glob("*/*"))
        if _KEY.fullmatch(path.name)
        and all(map(_is_folder, (root, path.parent, path)))
        and (path / SETTINGS).is_file()
    ]


def _is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _why(
    file: Path, fingerprint: str, version: int, study: Sequence[Path], unfinished: bool
) -> str | None:
    """Why the study of the record in a file is unneeded, or None where it is needed."""
    if version != STUDY_VERSION:
        return "studies are no longer kept like this"
    record = records.read(file) if file.exists() else None
    if isinstance(record, Record) and record.status == "ok":
        same = (record.provenance.fingerprint or "").startswith(fingerprint)
        written = file.stat().st_mtime
        # a run with more trials goes on with the study of a finished record
        if same and all(path.stat().st_mtime <= written for path in study):
            return "its record is finished"
    return "it is unfinished" if unfinished else None


def _size(paths: Sequence[Path]) -> int:
    """Bytes of files, and of all files in folders."""
    files = [file for path in paths for file in (below(path) if path.is_dir() else (path,))]
    return sum(file.lstat().st_size for file in files if file.is_file())
