"""Golden vectors: what pinned weights have given, kept in a file next to the plugin's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from backbones._conformance.compare import difference, require_close, valid_layers
from backbones._conformance.outcome import Measured, NotApplicable, require_equal
from backbones._conformance.subject import BackboneSubject
from backbones.base import BackboneError, first_line
from backbones.reading import SETTINGS, parse_json, read_text

# Other versions of torch, and other processors, sum in another order.
CHANGE = 0.005
CLIP_SECONDS = 1.3
DIGITS = 5
NO_WEIGHTS = "none"
WRITE = "voxgrid check {name} --pretrained --write-golden FOLDER"


def check_golden_vectors_are_met(subject: BackboneSubject) -> Measured:
    """Mean vectors of a synthetic clip are those that the same weights gave before."""
    import torch

    if subject.weights.kind == "random-init":
        raise NotApplicable("golden vectors belong to pinned weights: --pretrained")
    write = WRITE.format(name=subject.info.name)
    path = subject.golden_file
    if path is None or not path.is_file():
        raise NotApplicable(f"there are no golden vectors; write them with: {write}")
    entry = _entries(path).get(_key(subject))
    if entry is None:
        raise NotApplicable(
            f"{path.name} has no golden vectors of these weights (sha256 {_key(subject)[:12]}…); "
            f"write them with: {write}"
        )
    again = (
        f"undo the change that altered the numbers, or raise INFO.version and write them again "
        f"with: {write}"
    )
    require_equal(
        f"version {subject.info.version}",
        f"version {entry['version']}",
        "the golden vectors are those of another version of the plugin",
        f"write them again with: {write}",
    )
    found, expected = _vectors(subject), entry["means"]
    require_equal(
        {layer: len(means) for layer, means in found.items()},
        {layer: len(means) for layer, means in expected.items()},
        "the golden vectors are of other layers",
        again,
    )
    return require_close(
        (
            difference(torch.tensor(means), torch.tensor(found[k]), f"the mean of layer {k}")
            for k, means in expected.items()
        ),
        "{} is not what these weights gave before",
        again,
        limit=CHANGE,
    )


def write_golden(subject: BackboneSubject, folder: Path) -> Path:
    """Write the golden vectors of a backbone's weights, beside those of other weights.

    They are looked for in the folder `golden` next to the plugin's file.

    Raises:
        BackboneError: the weights are random.
    """
    if subject.weights.kind == "random-init":
        raise BackboneError(
            f"{subject.info.name}: golden vectors of random weights are worth nothing; "
            "add --pretrained"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / subject.golden_name
    if path.is_symlink():
        raise BackboneError(f"{path} is a link, through which nothing is written: remove it first")
    entries = _entries(path) if path.is_file() else {}
    entries[_key(subject)] = {"version": subject.info.version, "means": _vectors(subject)}
    text = json.dumps(dict(sorted(entries.items())), indent=1)
    # a line per vector, so that a difference can be read
    text = re.sub(r"\[.*?\]", lambda vector: re.sub(r"\s", "", vector[0]), text, flags=re.DOTALL)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """What is in a file of golden vectors, by the digest of weights.

    Raises:
        BackboneError: it is none.
    """
    try:
        found = parse_json(read_text(path, SETTINGS))
        if not isinstance(found, dict):
            raise ValueError("it is no table")
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"{path} holds no golden vectors ({first_line(error)}): remove it and write them again"
        ) from error
    return found


def _key(subject: BackboneSubject) -> str:
    return subject.weights.sha or NO_WEIGHTS


def _vectors(subject: BackboneSubject) -> dict[str, list[float]]:
    """Means over the frames of the first, the middle and the last layer."""
    means = [
        valid.mean(dim=0)
        for valid in valid_layers(subject.encode([subject.samples(CLIP_SECONDS)]), 0)
    ]
    last = len(means) - 1
    return {
        str(layer): [float(f"{value:.{DIGITS}g}") for value in means[layer].tolist()]
        for layer in sorted({0, last // 2, last})
    }
