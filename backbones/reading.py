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
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

_LFS = b"version https://git-lfs.github.com/spec/"
# So much of a file tells whether it is a Git LFS pointer.
HEAD = len(_LFS)

# The faster one, of C, refuses depth by itself.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_DOTS = 100
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
# Parquet; those of 1440 clips have 60 kB.
PREDICTIONS = Kind("a table of predictions", 256 << 20)
# Markdown; a leaderboard of 160 records has 33 kB.
PAGE = Kind("a page", 16 << 20)
# CSV; one of 50,000 clips with long descriptions has about 100 MB.
TABLE = Kind("a table", 128 << 20)
# Parquet, as it is and unpacked; one of 3,600 videos has 1 MB.
MANIFEST = Kind("a manifest", 64 << 20)
# A day in two channels of 24 bits at 96 kHz has 50 GB.
AUDIO = Kind("an audio file", 64 << 30)
# JSON, line by line; one of 24 folds with 100 trials each, with all curves, has about 15 MB.
JOURNAL = Kind("a study's journal", 128 << 20)
# JSON; 50 fits that were each asked for a class of 100,000 clips have 20 MB.
INNER = Kind("what fits of inner folds said", 64 << 20)
# Why a clip is left out.
REASON = Kind("a reason", 64 << 10)
# Probabilities of the test clips of a fold; of a million clips and 100 classes they have 800 MB.
OUTCOME = Kind("the outcome of a fold", 1 << 30)
# What stands before a model card; nothing but the licence is looked for in it.
CARD = Kind("what stands before a model card", 64 << 10)
# What in a checkpoint says how its tensors are made, without their values.
PICKLE = Kind("the pickle of a checkpoint", 8 << 20)
# A head on 20,000 features and 100 classes has 16 MB; boosting's trees have less.
WINNER = Kind("the arrays of a winner", 256 << 20)
# Of a shard.
WEIGHTS = Kind("a file of weights", 64 << 30)
# A compressed archive unpacks to so many times its size, and to some MiB in any case: weights
# hardly shrink.
UNPACKED_TIMES, UNPACKED = 20, 16 << 20
# In settings and records, where lists within lists and repeated parts cost more than their bytes.
MOST_VALUES = 1_000_000
# Of a table, a manifest or predictions.
MOST_ROWS = 1_000_000
# Files and folders below that of a task; RAVDESS as published has 1,464.
MOST_ENTRIES = 200_000
# Chunks or boxes of an audio file. A day of fragmented MP4 has about 350,000.
MOST_PARTS = 500_000
# Streams of an Ogg file at once.
MOST_STREAMS = 64
# Samples per second: of seismographs, and of recorders of bats.
RATES = (1_000, 768_000)
# Seconds of one clip.
LONGEST = 24 * 3600
# Samples that a file may unpack to, so many and so many more for each of its bytes; speech in Opus
# at its lowest rate has 64 for each.
MOST_SAMPLES, MOST_SAMPLES_PER_BYTE = 1 << 28, 1_000

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
MOST_LISTED = 256
# The largest published encoder of speech has 7 billion.
MOST_PARAMETERS = 10_000_000_000
# Frames per second, and seconds of the longest window.
FRAME_RATES = (0.1, 1_000.0)
WINDOWS = (0.01, 3_600.0)


def size(count: int) -> str:
    """A number of bytes in words, such as `16 MiB`."""
    power = max(0, min(len(_UNITS) - 1, (count.bit_length() - 1) // 10))
    return f"{count / 1024**power:.4g} {_UNITS[power]}"


@contextmanager
def opened(path: Path, kind: Kind | None = None) -> Iterator[BufferedReader]:
    """Open a regular file, itself or behind a link, to be read.

    Raises:
        OSError: it cannot be opened, is larger than its kind, or is no file: a pipe or a device
            never ends.
    """
    # a pipe that nobody writes to would be waited for
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        folder = stat.S_ISDIR(found.st_mode)
        what, code = ("folder", errno.EISDIR) if folder else ("pipe or a device", errno.EINVAL)
        raise OSError(code, f"it is a {what}, not a file", str(path))
    if kind is not None and found.st_size > kind.most:
        raise OSError(errno.EFBIG, f"it {kind.excess}", str(path))
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


def parse_json(content: bytes | str, fields: int | None = None) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is none, lists lie in lists too deep, or a table has more `fields` than that.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > (fields or 0):
            raise ValueError(f"a table in it has more than {fields} fields")
        return dict(pairs)

    try:
        return json.loads(content, object_pairs_hook=None if fields is None else table)
    except RecursionError as error:
        raise ValueError("its lists or tables lie too deep in one another") from error


def parse_toml(content: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: it is none, or lists lie in lists too deep.
    """
    # what a key of very many parts takes grows with their number squared
    if any(line.partition("=")[0].count(".") > _MOST_DOTS for line in content.splitlines()):
        raise ValueError(f"a key has more than {_MOST_DOTS} dots")
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
        _count(yaml.compose(content, Loader=_YAML))
        return yaml.load(content, Loader=_YAML)
    except RecursionError as error:
        raise ValueError("its lists or tables lie too deep in one another") from error
    # of a value that is none of its tag, as of `!!bool maybe`, a loader raises any of these
    except (yaml.YAMLError, LookupError, AttributeError, ArithmeticError, TypeError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _count(node: yaml.Node | None, known: int = 0) -> int:
    """How many values there are, repeated ones each time, which is what making them costs."""
    known += 1
    if known > MOST_VALUES:
        raise ValueError(f"its parts are repeated to more than {MOST_VALUES} values")
    parts: Sequence[yaml.Node] = ()
    if isinstance(node, yaml.MappingNode):
        parts = list(chain(*node.value))
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    for part in parts:
        known = _count(part, known)
    return known


def pointer(head: bytes) -> str | None:
    """Half a sentence for a file that begins like a Git LFS pointer, or None.

    A checkout has its three lines in place of a file that it did not fetch.
    """
    if not head.startswith(_LFS):
        return None
    return "is a Git LFS pointer and not the file itself: fetch it with `git lfs pull`"
