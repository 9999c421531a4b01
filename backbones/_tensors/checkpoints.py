"""What a checkpoint may hold: every tensor of the network, nothing unexplained."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING

from backbones.base import BackboneError, WeightsMismatch, first_line, shown
from backbones.reading import PICKLE, opened

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 5
# What a library makes of settings that contradict each other, or of sizes no memory can hold.
CONTRADICTIONS = (
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
)
# What a damaged file comes to, in any library that reads one.
DAMAGES = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, OSError, MemoryError)
# What a pickle of tensors calls. torch allows more, with which a few bytes take all memory:
# `bytearray(10**11)`, `torch.FloatTensor(10**11)`.
_CALLED = re.compile(
    r"collections OrderedDict|torch \w+Storage|torch\._utils _rebuild_(tensor|parameter)\w*"
    # of those that somebody gave attributes to; an empty one of any size is not stored in full
    r"|torch Tensor|torch\.nn\.parameter Parameter|torch\._tensor _rebuild_from_type_v2"
)
_CONTAINERS = ("TUPLE", "LIST", "DICT", "EMPTY_", "FROZENSET")
# Files older than torch 1.6 are pickles one after the other, and then values.
_PICKLES_OF_2020 = 5
# Tensors that are one to the network may be stored once, and are counted each.
_TIED = 4


@contextmanager
def buildable(name: str, what: str, library: str) -> Iterator[None]:
    """Turn what a library makes of settings it cannot build into a `BackboneError`."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (StrictDataclassError, *CONTRADICTIONS) as error:
        raise BackboneError(
            f"{name}: {library} {version(library)} cannot build the {what} that its settings "
            f"describe ({first_line(error)}); get the published ones again"
        ) from error


def read_pickle(file: Path | bytes, what: str, remedy: str) -> dict[str, torch.Tensor]:
    """Read a pickle of tensors by name and of nothing else, or say `what` it is and what to do."""
    import torch

    try:
        with opened(file) if isinstance(file, Path) else io.BytesIO(file) as stream:
            zipped = _refuse_calls(stream)
            stored = stream.seek(0, io.SEEK_END)
        source = file if isinstance(file, Path) else io.BytesIO(file)
        with warnings.catch_warnings():
            # of the version of a pickle that is refused next
            warnings.simplefilter("ignore", UserWarning)
            # the mapping of files older than torch 1.6 is not supported
            mapped = zipped and isinstance(file, Path)
            found = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
        if not isinstance(found, dict) or not all(map(torch.is_tensor, found.values())):
            raise RuntimeError("it holds no tensors by name")
        if not _is_stored(found.values(), stored):
            raise RuntimeError("its tensors are not stored in full")
        return found
    except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsMismatch(f"cannot read {what} ({first_line(error)}); {remedy}") from error
    # what torch says then is how to switch its protection off, or which line of its own gave up
    except (*DAMAGES, *CONTRADICTIONS) as error:
        raise WeightsMismatch(
            f"cannot read {what}, whose pickle is damaged or holds something else than tensors; "
            f"{remedy}"
        ) from error


def _refuse_calls(stream: IO[bytes]) -> bool:
    """Refuse a checkpoint whose pickles call anything but what makes tensors; say if it is a zip.

    Raises:
        RuntimeError: so they do, or it is larger unpacked than any.
    """
    zipped = stream.read(4) == b"PK\x03\x04"
    stream.seek(0)
    if zipped:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > stream.seek(0, io.SEEK_END):
                raise RuntimeError("it is compressed, which torch never does")
            # however it is written and wherever it lies: torch finds any
            found = [m for m in members if m.filename.lower().endswith("data.pkl")]
            if sum(member.file_size for member in found) > PICKLE.most:
                raise RuntimeError(f"its pickle {PICKLE.excess}")
            pickles = [io.BytesIO(archive.read(member)) for member in found]
    else:
        pickles = [io.BytesIO(stream.read(PICKLE.most))] * _PICKLES_OF_2020
    for each in pickles:
        before, containers, memos = ("", ""), set(), 0
        for opcode, value, _ in pickletools.genops(each):
            # parts that are repeated within parts double what a hash or a message goes through
            if "GET" in opcode.name and value in containers:
                raise RuntimeError("its pickle repeats its lists")
            if "PUT" in opcode.name or opcode.name == "MEMOIZE":
                made_of_nothing = before == ("EMPTY_TUPLE", "REDUCE")  # an OrderedDict
                if made_of_nothing or before[1].startswith(_CONTAINERS):
                    containers.add(memos if value is None else value)
                memos += 1
            before = before[1], opcode.name
            if opcode.name == "GLOBAL" and not _CALLED.fullmatch(str(value)):
                called = shown(str(value).replace(" ", "."))
                raise RuntimeError(
                    f"its pickle asks to call {called}, something else than tensors, and no code "
                    "in it is run"
                )
    return zipped


def _is_stored(tensors: Collection[torch.Tensor], stored: int) -> bool:
    """Whether tensors are in so many bytes: else a look at them, or a copy, would take memory."""
    import torch

    plain = all(t.layout is torch.strided and t.device.type == "cpu" for t in tensors)
    return plain and sum(t.numel() * t.element_size() for t in tensors) <= _TIED * stored


def refuse_nan(source: str, tensors: Iterable[tuple[str, torch.Tensor]], remedy: str) -> None:
    """Refuse weights that are no numbers, for which the first clip would be blamed otherwise."""
    broken = [
        name
        for name, tensor in tensors
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise WeightsMismatch(
            f"{source} holds NaN or infinite numbers in {len(broken)} of its tensors "
            f"({_shortened(broken)}); {remedy}"
        )


def load_strictly(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    source: str,
    prefix: str,
    remedy: str,
) -> None:
    """Copy `tensors` into `module`, refusing anything that does not fit exactly, or is no number.

    The values are cast to the module's own dtype, so that half precision on disk becomes
    float32 in memory. Tensors whose names lack `prefix` belong to other parts of the original
    model.
    """
    wanted = {prefix + name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    refuse(
        source,
        missing=wanted.keys() - found.keys(),
        unexpected=found.keys() - wanted.keys(),
        misshaped={
            name: (found[name].shape, wanted[name])
            for name in wanted.keys() & found.keys()
            if found[name].shape != wanted[name]
        },
        remedy=remedy,
    )
    refuse_nan(source, found.items(), remedy)
    module.load_state_dict({name.removeprefix(prefix): found[name] for name in wanted})


def refuse(
    source: str,
    *,
    missing: set[str],
    unexpected: set[str],
    misshaped: Mapping[str, tuple[torch.Size, torch.Size]],
    remedy: str,
) -> None:
    """Refuse a checkpoint in which anything is wrong; misshaped are shape found, shape wanted."""
    problems = {
        "missing": sorted(missing),
        "unexpected": sorted(unexpected),
        "of the wrong shape": [
            f"{name} {tuple(found)} instead of {tuple(wanted)}"
            for name, (found, wanted) in sorted(misshaped.items())
        ],
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{len(names)} {problem} ({_shortened(names)})"
            for problem, names in problems.items()
            if names
        )
        raise WeightsMismatch(
            f"{source} does not fit this architecture, tensors: {listed}; {remedy}"
        )


def _shortened(names: list[str]) -> str:
    listed = ", ".join(map(shown, names[:NAMES_SHOWN]))
    return listed + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
