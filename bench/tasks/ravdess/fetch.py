"""Get RAVDESS from Zenodo: resumed where it stopped, checked clip by clip, in place at once."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, MutableSet
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from bench.clips import shortened
from bench.errors import DataUnavailable, UserError
from bench.files import storing
from bench.paths import cache_dir, data_root, offline
from bench.progress import Reporter
from bench.tasks.ravdess.manifest import manifest
from bench.terminal import Terminal

RAVDESS_URL = "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1"
RAVDESS_MD5 = "bc696df654c87fed845eb13823edef8a"
# Bytes that are taken of it; it has about 208 MB.
MOST = 220_000_000

_ARCHIVE = "Audio_Speech_Actors_01-24.zip"
_MEMBER = re.compile(r"(?:.*/)?(Actor_\d\d)/(\d\d(?:-\d\d){6})\.wav", re.ASCII)
_TIMEOUT = httpx.Timeout(20.0, connect=3.0)  # seconds between two pieces, and to connect
_PIECE = 1 << 16
_ROOM = (
    "RAVDESS needs 0.8 GB while it is unpacked: free some space, or set VOXGRID_CACHE to a "
    "writable folder with more"
)
_BY_HAND = (
    "get Audio_Speech_Actors_01-24.zip from https://zenodo.org/records/1188976 by other means "
    "and unzip it into the folder ravdess of VOXGRID_DATA"
)

# Hosts that did not answer this process.
SILENT_HOSTS: set[str] = set()


def fetch_ravdess(
    dest: Path | None = None,
    reporter: Reporter | None = None,
    *,
    url: str = RAVDESS_URL,
    md5: str = RAVDESS_MD5,
    published: Mapping[str, str] | None = None,
    silent: MutableSet[str] = SILENT_HOSTS,
) -> Path:
    """Download, check and unpack the 1440 clips into `dest`/Actor_NN.

    A download that breaks off leaves a `.part` file beside `dest`, and the next call goes on
    from there. `dest` appears only once every clip is checked.

    Args:
        dest: folder to create, `VOXGRID_DATA`/ravdess or else the cache's by default; nothing is
            done where it holds every clip already.
        reporter: told of the progress; by default a bar on standard error.
        url: where the archive is.
        md5: of the archive.
        published: sha256 of each WAV by `Actor_NN/stem`; that of the manifest by default.
        silent: hosts that are not asked, since they did not answer before; added to.

    Returns:
        The folder.

    Raises:
        UserError: `dest` holds other things than all the clips.
        DataUnavailable: offline, refused, broken off, or not what was published.
        StorageError: `dest` cannot be written.
    """
    if published is None:
        published = {
            f"Actor_{clip[-2:]}/{clip}": one.wav_sha256 for clip, one in manifest().items()
        }
    if dest is None:
        root = data_root()
        dest = (root if root is not None else cache_dir() / "data") / "ravdess"
    with storing(dest, _ROOM):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(dest.parent / f".{dest.name}.lock"):
            if not _is_complete(dest, published):
                archive = dest.parent / _ARCHIVE
                if not _holds(archive, md5):
                    part = dest.parent / f"{_ARCHIVE}.part"
                    _download(url, part, reporter or Reporter(Terminal(stderr=True)), silent)
                    if not _holds(part, md5):
                        part.unlink()
                        raise DataUnavailable(
                            f"what {urlsplit(url).netloc} sent is not the published archive (its "
                            f"md5 is not {md5}): run the same command again, or {_BY_HAND}"
                        )
                    part.replace(archive)
                _unpack(archive, dest, published)
                archive.unlink()
    return dest


def _is_complete(dest: Path, published: Mapping[str, str]) -> bool:
    """Whether the folder holds a file for every clip; False where it is empty or absent."""
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


def _holds(file: Path, md5: str) -> bool:
    """Whether the file is there and is what was published."""
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest() == md5


def _download(url: str, part: Path, reporter: Reporter, silent: MutableSet[str]) -> None:
    """Complete the `.part` file, going on from what is there where the host sends ranges."""
    host = urlsplit(url).netloc
    if offline():
        raise DataUnavailable(f"VOXGRID_OFFLINE forbids the download of RAVDESS: {_BY_HAND}")
    if host in silent:
        raise DataUnavailable(f"{host} did not answer before, and is not asked again: {_BY_HAND}")
    if part.is_symlink() or not part.is_file():
        part.unlink(missing_ok=True)  # nothing is written through a link, and a pipe never ends
    begun = part.stat().st_size if part.exists() else 0
    # identity: a byte range of a compressed transfer would not fit what is there
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    answered = False
    try:
        with httpx.stream(
            "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
        ) as response:
            answered = True
            if response.status_code == 416:
                return  # everything is there already; the checksum will tell
            if not response.is_success:
                raise DataUnavailable(
                    f"{host} answers {response.status_code} for {url}: {_BY_HAND}"
                )
            if response.status_code != 206:
                begun = 0
            total = min(MOST, begun + int(response.headers.get("Content-Length", 0)))
            with (
                reporter.phase("download RAVDESS (MB)", total / 1e6, done=begun / 1e6) as phase,
                part.open("ab" if begun else "wb") as file,
            ):
                for piece in response.iter_bytes(_PIECE):
                    begun += len(piece)
                    if begun > MOST:
                        return  # longer than what was published; the checksum will tell
                    file.write(piece)
                    phase(len(piece) / 1e6)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if answered:
            raise DataUnavailable(
                f"the download from {host} broke off after {part.stat().st_size / 1e6:.0f} MB: "
                "run the same command again to go on from there"
            ) from error
        silent.add(host)
        raise DataUnavailable(f"{host} cannot be reached: {_BY_HAND}") from error


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
        f"{len(clips)} {what} ({shortened(sorted(clips))})"
        for what, clips in parts.items()
        if clips
    )
