"""Files that come from others: regular ones alone, and no more of them than their kind can need.

All bounds are here. They are generous: no honest file comes near them, and the sentence that
refuses a file names the one that it broke.
"""

from __future__ import annotations

import errno
import json
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

_LFS = b"version https://git-lfs.github.com/spec/"
# So much of a file tells whether it is a Git LFS pointer.
HEAD = len(_LFS)

# The faster one, of C, refuses depth by itself.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True)
class Kind:
    """A kind of file, such as `a file of settings`, and how many bytes it has at most."""

    name: str
    most: int

    @property
    def excess(self) -> str:
        """Why a larger one is refused, in half a sentence."""
        return f"is larger than {size(self.most)}, the most that {self.name} may have"


# JSON and TOML. The published index of the largest open model has 9 MB.
SETTINGS = Kind("a file of settings", 16 << 20)
# A configuration within an archive; a parser takes up to 10 s for it.
YAML = Kind("a YAML text", 1 << 20)
# JSON as well; one of 24 folds with all curves has 200 kB.
RECORD = Kind("a record", 16 << 20)
# CSV; one of a million clips has about 100 MB.
TABLE = Kind("a table", 1 << 30)
# What stands before a model card; nothing but the licence is looked for in it.
CARD = Kind("what stands before a model card", 64 << 10)
# What in a checkpoint says how its tensors are made, without their values.
PICKLE = Kind("the pickle of a checkpoint", 8 << 20)
WEIGHTS = Kind("a file of weights", 64 << 30)
# A compressed archive unpacks to so many times its size, and to some MiB in any case: weights
# hardly shrink.
UNPACKED_TIMES, UNPACKED = 20, 16 << 20
# In settings and records, where lists within lists and repeated parts cost more than their bytes.
MOST_VALUES = 1_000_000

# What the settings of a network may ask for, by what their names contain; `""` is any other.
MOST_OF_SETTINGS: Mapping[str, int] = {
    "layers": 256,
    "conv_pos_embeddings": 1024,
    "kernel": 1024,
    "mel": 1024,
    "n_fft": 16_384,
    "features": 1024,
    "repeat": 20,
    "": 65_536,
}
# Entries of a list in them, such as one for each convolution.
MOST_ENTRIES = 256
# The largest published encoder of speech has 7 billion.
MOST_PARAMETERS = 10_000_000_000
# Samples per second of any sound.
RATES = (1_000, 768_000)
# Frames per second, and seconds of the longest window.
FRAME_RATES = (0.1, 1_000.0)
WINDOWS = (0.01, 3_600.0)


def size(count: int) -> str:
    """A number of bytes in words, such as `16 MiB`."""
    power = max(0, min(len(_UNITS) - 1, (count.bit_length() - 1) // 10))
    return f"{count / 1024**power:.4g} {_UNITS[power]}"


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file, itself or behind a link, to be read.

    Raises:
        OSError: it cannot be opened, or is something else: a pipe or a device never ends.
    """
    # a pipe that nobody writes to would be waited for
    _refuse_irregular(path, path.stat().st_mode)
    with path.open("rb") as file:
        yield file


def read_bytes(path: Path, kind: Kind) -> bytes:
    """The whole of a file.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than its kind.
    """
    with opened(path) as file:
        content = file.read(kind.most + 1)
    if len(content) > kind.most:
        raise OSError(errno.EFBIG, f"it {kind.excess}", str(path))
    return content


def read_text(path: Path, kind: Kind) -> str:
    """The whole of a file in UTF-8, with or without a mark at its beginning.

    Raises:
        OSError: as of `read_bytes`.
        ValueError: it is not UTF-8.
    """
    return read_bytes(path, kind).decode("utf-8-sig")


def parse_json(content: bytes | str) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is none, or lists lie in lists too deep.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("its lists or tables lie too deep in one another") from error


def parse_toml(content: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: it is none, or lists lie in lists too deep.
    """
    try:
        return tomllib.loads(content)
    except RecursionError as error:
        raise ValueError("its lists or tables lie too deep in one another") from error


def parse_yaml(content: bytes | str) -> Any:
    """What a YAML text holds.

    Raises:
        ValueError: it is none, or repeats its parts (`*name`) to more than `MOST_VALUES` values.
    """
    try:
        found = yaml.load(content, Loader=_YAML)
        _count(found)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("its lists or tables lie too deep in one another") from error
    return found


def _count(value: Any, known: int = 0) -> int:
    """How many values there are, repeated ones each time, which is what any walk of them costs."""
    known += 1
    if known > MOST_VALUES:
        raise ValueError(f"its parts are repeated to more than {MOST_VALUES} values")
    parts: Sequence[Any] = ()
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        parts = list(value)
    for part in parts:
        known = _count(part, known)
    return known


def _refuse_irregular(path: Path, mode: int) -> None:
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFSOCK: "socket",
    }
    if not stat.S_ISREG(mode):
        what = kinds.get(stat.S_IFMT(mode), "special file")
        code = errno.EISDIR if what == "folder" else errno.EINVAL
        raise OSError(code, f"it is a {what}, not a file", str(path))


def pointer(head: bytes) -> str | None:
    """Half a sentence for a file that begins like a Git LFS pointer, or None.

    A checkout has its three lines in place of a file that it did not fetch.
    """
    if not head.startswith(_LFS):
        return None
    return "is a Git LFS pointer and not the file itself: fetch it with `git lfs pull`"
