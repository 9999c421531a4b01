"""Checks of the metadata record by itself: complete, and light to read."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from typing import get_args

from backbones._conformance.outcome import Measured, require, require_equal
from backbones._conformance.subject import BackboneSubject
from backbones.base import Dtype

HEAVY = ("torch", "transformers", "nemo")
IMPORT_SECONDS = 60
# What comes before the heavy modules on the standard output of the process that imports.
FOUND = "imported by voxgrid check:"
# A file name, or a scheme and the address of a checkpoint (`hf:organisation/model`).
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*|[a-z]+:\S.*")


def check_metadata_is_complete(subject: BackboneSubject) -> Measured:
    """Every field of the metadata record has a sensible value."""
    info = subject.info
    require(
        NAME.fullmatch(info.name) is not None,
        "the name cannot be that of a file",
        measured=repr(info.name),
        limit="lower case letters, digits and ._-",
        remedy="rename the backbone in INFO",
    )
    numbers = ("sample_rate", "layers", "width", "frame_rate", "max_seconds", "version")
    for field in ("summary", "licence", *numbers):
        value = getattr(info, field)
        require(
            value > 0 if field in numbers else bool(value.strip()),
            f"{field} is {'not positive' if field in numbers else 'empty'}",
            measured=repr(value),
            limit="> 0" if field in numbers else "some text",
            remedy=f"state the {field} in INFO",
        )
    require(
        (info.weights_id is None) == (info.revision is None),
        "weights_id and revision do not belong together",
        measured=f"{info.weights_id}, {info.revision}",
        limit="both or neither",
        remedy="pin the revision of the weights in INFO",
    )
    require(
        (info.parameters > 0) == info.needs_weights,
        "parameters and weights_id do not belong together",
        measured=f"{info.parameters} parameters, weights_id {info.weights_id}",
        limit="parameters where there are weights",
        remedy="state the number of parameters of the full-size encoder in INFO, 0 without weights",
    )
    unknown = set(info.dtypes) - set(get_args(Dtype))
    require(
        "float32" in info.dtypes and not unknown,
        "dtypes are not what torch computes in here",
        measured=", ".join(info.dtypes) or "none",
        limit="float32, and of bfloat16 and float16 those that fit",
        remedy="correct dtypes in INFO",
    )
    pinned = "; revision main is not pinned" if info.revision == "main" else ""
    return Measured(f"complete{pinned}", "every field")


def check_listing_is_light(
    subject: BackboneSubject, import_seconds: float = IMPORT_SECONDS
) -> Measured:
    """Listing the backbones, this one included, imports neither torch nor transformers."""
    module = subject.cls.__module__
    error, heavy = _imported(module, tuple(sys.path), import_seconds)
    require_equal(
        error,
        None,
        f"importing {module} in a process of its own fails",
        "make the module importable by itself",
    )
    return require(
        not heavy,
        f"importing {module} imports model code",
        measured=", ".join(heavy) or "nothing heavy imported",
        limit=f"none of {', '.join(HEAVY)}",
        remedy="import it inside methods",
    )


@functools.cache  # several backbones may come from one module
def _imported(
    module: str, path: tuple[str, ...], seconds: float
) -> tuple[str | None, tuple[str, ...]]:
    code = (
        f"import sys; sys.path[:] = {list(path)!r}; import {module}; "
        f"print({FOUND!r}, *[m for m in {HEAVY!r} if m in sys.modules], sep='\\n')"
    )
    try:
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not imported after {seconds:g} s", ()
    # a module may print as it is imported, or exit
    _, said, heavy = run.stdout.partition(f"{FOUND}\n")
    if run.returncode != 0 or not said:
        return run.stderr.strip()[-300:] or f"exit code {run.returncode}", ()
    return None, tuple(name for name in heavy.split() if name in HEAVY)
