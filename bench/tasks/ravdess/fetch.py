"""Get RAVDESS from Zenodo: resumed where it stopped, checked clip by clip, in place at once."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from bench.errors import DataUnavailable, StorageError, UserError
from bench.paths import cache_dir, data_root, offline

RAVDESS_URL = "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1"
RAVDESS_MD5 = "bc696df654c87fed845eb13823edef8a"

_ARCHIVE = "Audio_Speech_Actors_01-24.zip"
_MEMBER = re.compile(r"(?:.*/)?(Actor_\d\d)/(\d\d(?:-\d\d){6})\.wav", re.ASCII)
_TIMEOUT = (3.0, 20.0)  # seconds to connect, and between two pieces
_PIECE = 1 << 16
_NAMED = 5  # clips named in a message before "…"
_BY_HAND = (
    "get Audio_Speech_Actors_01-24.zip from https://zenodo.org/records/1188976 by other means "
    "and unzip it into the folder ravdess of VOXGRID_DATA"
)

# A host that did not answer is not asked again by this process.
_silent_hosts: set[str] = set()


def fetch_ravdess(
    dest: Path | None = None,
    progress: bool = True,
    *,
    url: str = RAVDESS_URL,
    md5: str = RAVDESS_MD5,
    published: Mapping[str, str] | None = None,
) -> Path:
    """Download, check and unpack the 1440 clips into `dest`/Actor_NN.

    A download that breaks off leaves a `.part` file beside `dest`, and the next call goes on
    from there. `dest` appears only once every clip is checked.

    Args:
        dest: folder to create, `VOXGRID_DATA`/ravdess or else the cache's by default; nothing is
            done where it holds every clip already.
        progress: show a bar on stderr.
        url: where the archive is.
        md5: of the archive.
        published: sha256 of each WAV by `Actor_NN/stem`; that of the manifest by default.

    Returns:
        The folder.

    Raises:
        UserError: `dest` holds other things than all the clips.
        DataUnavailable: offline, refused, broken off, or not what was published.
        StorageError: `dest` cannot be written.
    """
    if published is None:
        from bench.tasks.ravdess.task import manifest

        published = {
            f"Actor_{clip[-2:]}/{clip}": one.wav_sha256 for clip, one in manifest().items()
        }
    if dest is None:
        root = data_root()
        dest = (root if root is not None else cache_dir() / "data") / "ravdess"
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(dest.parent / f".{dest.name}.lock"):
            if not _is_complete(dest, published):
                archive = _download(url, md5, dest.parent, progress)
                _unpack(archive, dest, published)
                archive.unlink()
    except OSError as error:
        raise _storage_error(dest, error) from error
    return dest


def _is_complete(dest: Path, published: Mapping[str, str]) -> bool:
    """Return whether the folder holds a file for every clip; False where it is empty or absent."""
    if not dest.is_dir() or not any(dest.iterdir()):
        return False
    found = {path.stem for path in dest.rglob("*") if path.suffix.lower() in (".wav", ".flac")}
    missing = [clip for clip in published if clip.rpartition("/")[2] not in found]
    if missing:
        raise UserError(
            f"{dest} is there, and {len(missing)} of {len(published)} clips are not in it: "
            "remove it to fetch RAVDESS anew, or choose another folder"
        )
    return True


def _download(url: str, md5: str, folder: Path, progress: bool) -> Path:
    host = urlsplit(url).netloc
    if offline():
        raise DataUnavailable(f"VOXGRID_OFFLINE forbids the download of RAVDESS: {_BY_HAND}")
    if host in _silent_hosts:
        raise DataUnavailable(f"{host} did not answer before, and is not asked again: {_BY_HAND}")
    pooch.get_logger().setLevel("WARNING")  # its "Downloading …" would cut through the bar
    try:
        got = pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=_ARCHIVE,
            path=folder,
            downloader=_Resuming(folder / f"{_ARCHIVE}.part", progress),
        )
    except ValueError as error:  # pooch's word for a wrong checksum; it has removed the file
        raise DataUnavailable(
            f"what {host} sent is not the published archive (its md5 is not {md5}): "
            f"run the same command again, or {_BY_HAND}"
        ) from error
    return Path(got)


class _Resuming:
    """A pooch downloader that goes on from a `.part` file; pooch's own starts anew."""

    def __init__(self, part: Path, progress: bool):
        self.part = part
        self.progress = progress

    def __call__(self, url: str, output_file: str | os.PathLike, _: pooch.Pooch | None) -> None:
        host = urlsplit(url).netloc
        begun = self.part.stat().st_size if self.part.exists() else 0
        # identity: a byte range of a compressed transfer would not fit what is there
        headers = {"Accept-Encoding": "identity"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
        try:
            response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
        except requests.RequestException as error:
            _silent_hosts.add(host)
            raise DataUnavailable(f"{host} cannot be reached: {_BY_HAND}") from error
        with response:
            # 416: the .part file holds everything already; the checksum will tell
            if response.status_code != 416:
                if not response.ok:
                    raise DataUnavailable(
                        f"{host} answers {response.status_code} for {url}: {_BY_HAND}"
                    )
                self._receive(response, begun if response.status_code == 206 else 0, host)
        shutil.move(self.part, output_file)

    def _receive(self, response: requests.Response, begun: int, host: str) -> None:
        length = int(response.headers.get("Content-Length", 0))
        bar = tqdm(
            total=begun + length or None,
            initial=begun,
            unit="B",
            unit_scale=True,
            desc="RAVDESS",
            disable=not self.progress,
        )
        with bar, self.part.open("ab" if begun else "wb") as file:
            try:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                    bar.update(len(piece))
            except requests.RequestException as error:
                raise DataUnavailable(
                    f"the download from {host} broke off after {bar.n / 1e6:.0f} MB: "
                    "run the same command again to go on from there"
                ) from error


def _unpack(archive: Path, dest: Path, published: Mapping[str, str]) -> None:
    """Extract the clips into a temporary folder, check each, and move it to `dest`.

    Targets are built from the two parts of a member's name that `_MEMBER` matched, so no member
    can be written outside the folder.
    """
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{dest.name}-") as scratch:
        found: dict[str, str] = {}
        try:
            with zipfile.ZipFile(archive) as zipped:
                for member in zipped.infolist():
                    match = _MEMBER.fullmatch(member.filename)
                    if match is None:
                        continue
                    target = Path(scratch) / "clips" / match[1] / f"{match[2]}.wav"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with zipped.open(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file, _PIECE)
                    with target.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    found[f"{match[1]}/{match[2]}"] = digest
        except zipfile.BadZipFile as error:
            archive.unlink()
            raise DataUnavailable(f"the archive is damaged ({error}): {_BY_HAND}") from error
        differing = _differences(found, published)
        if differing:
            archive.unlink()
            raise DataUnavailable(f"the archive is not RAVDESS as published: {differing}")
        if dest.is_dir():
            dest.rmdir()  # empty, see _is_complete
        (Path(scratch) / "clips").rename(dest)


def _differences(found: Mapping[str, str], published: Mapping[str, str]) -> str:
    """Return one sentence, empty where every clip is there and unchanged."""
    both = found.keys() & published.keys()
    parts = {
        "missing": published.keys() - found.keys(),
        "unknown": found.keys() - published.keys(),
        "changed": {clip for clip in both if found[clip] != published[clip]},
    }
    return "; ".join(
        f"{len(clips)} {what} ({_some(clips)})" for what, clips in parts.items() if clips
    )


def _some(clips: Iterable[str]) -> str:
    names = sorted(clips)
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _storage_error(dest: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"the disk of {dest.parent} is full: RAVDESS needs 0.8 GB while it is unpacked, so "
            "free some space or set VOXGRID_CACHE to a folder on another disk"
        )
    return StorageError(
        f"{dest} cannot be written ({error}): set VOXGRID_CACHE to a writable folder"
    )
