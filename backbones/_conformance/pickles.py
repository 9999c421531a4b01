"""The check that weights are opened without running what is in them."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backbones._conformance import reach
from backbones._conformance.outcome import Measured, NotApplicable, require
from backbones._conformance.subject import BackboneSubject
from backbones._hf.files import WEIGHT_FILES
from backbones.base import Weights

SETTINGS_BYTES = 2**20
CHECKPOINT = "model_weights.ckpt"
# What torch itself writes.
PROTOCOL = 2


def spring(marker: str) -> None:
    """What the trap in the made-up checkpoints runs where it is unpickled: it leaves a mark."""
    Path(marker).touch()


class Trap:
    """Leaves a mark when it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, (str(self.marker),)


def check_no_pickle_is_executed(subject: BackboneSubject) -> Measured:
    """A checkpoint with code in its pickle is refused and its code does not run.

    Made-up checkpoints of every layout there is (a folder as of transformers, a NeMo archive, a
    single file), each written by torch and as a plain pickle, are given to `load`. The settings in
    them are the real ones where there are pretrained weights; otherwise those of the small
    network, where it holds any. That a layout was tried in earnest shows in the refusal: it comes
    from an unpickler, or names what it would have had to call.
    """
    if not subject.info.needs_weights:
        raise NotApplicable("it has no weights")
    _ = subject.backbone
    opened, reasons = [], []
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "executed"
        for layout, path in _checkpoints(subject, Path(folder), Trap(marker)):
            backbone = subject.cls(Weights("pretrained", id=subject.info.weights_id, path=path))
            accepted = False
            try:
                backbone.load()
                accepted = True
            # whatever a plugin raises, it has not taken the checkpoint
            except (Exception, SystemExit) as error:  # noqa: BLE001
                reasons.append(str(error))
                if _from_unpickling(error):
                    opened.append(layout)
            require(
                not marker.exists(),
                f"load runs the code in the weights ({layout})",
                measured="the code ran",
                limit="refused",
                remedy="read safetensors, or torch.load(…, weights_only=True)",
            )
            require(
                not accepted,
                f"load takes a checkpoint that holds none of its weights ({layout})",
                measured="accepted",
                limit="refused",
                remedy="read every tensor from Weights.path, and raise WeightsMismatch for those "
                "that are missing",
            )
    if not opened:
        raise NotApplicable(
            "it opened none of the made-up checkpoints as a pickle, either because it reads none "
            f"or since it wants other settings, which --pretrained has (it said: {reasons[0]})"
        )
    return Measured(f"refused: {', '.join(opened)}", "refused, nothing run")


def _checkpoints(subject: BackboneSubject, folder: Path, trap: Trap) -> Iterator[tuple[str, Path]]:
    import torch

    content = {"weight": torch.zeros(2), "trap": trap}
    by_torch = io.BytesIO()
    torch.save(content, by_torch)
    writers: tuple[tuple[str, Callable[[BackboneSubject, Path, bytes], Path]], ...] = (
        ("a folder", _write_folder),
        ("a .nemo archive", _write_archive),
        ("a single file", _write_file),
    )
    pickles = (
        ("written by torch", by_torch.getvalue()),
        ("a plain pickle", pickle.dumps(content, protocol=PROTOCOL)),
    )
    for kind, write in writers:
        for number, (encoding, pickled) in enumerate(pickles):
            target = folder / f"{write.__name__}{number}"
            target.mkdir()
            yield f"{kind}, {encoding}", write(subject, target, pickled)


def _write_folder(subject: BackboneSubject, target: Path, pickled: bytes) -> Path:
    real = subject.weights.path
    if real is not None and real.is_dir():
        for file in real.iterdir():
            small = file.is_file() and file.stat().st_size <= SETTINGS_BYTES
            if small and file.name not in WEIGHT_FILES:
                shutil.copyfile(file, target / file.name)
    else:
        (target / "config.json").write_text(_settings(subject), encoding="utf-8")
    (target / "pytorch_model.bin").write_bytes(pickled)
    return target


def _settings(subject: BackboneSubject) -> str:
    """The configuration of a network in the transformers layout, or an empty one."""
    from torch import nn

    for _, module in reach.held(subject.backbone, nn.Module):
        to_json = getattr(getattr(module, "config", None), "to_json_string", None)
        if to_json is not None:
            return str(to_json(use_diff=False))
    return "{}"


def _write_archive(subject: BackboneSubject, target: Path, pickled: bytes) -> Path:
    path = target / "model.nemo"
    members = {"model_config.yaml": b"{}"}
    real = subject.weights.path
    if real is not None and real.is_file() and tarfile.is_tarfile(real):
        with tarfile.open(real) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and member.size <= SETTINGS_BYTES:
                    members[member.name.removeprefix("./")] = content.read()
    with tarfile.open(path, "w") as archive:
        for name, held in (members | {CHECKPOINT: pickled}).items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(held)
            archive.addfile(entry, io.BytesIO(held))
    return path


def _write_file(subject: BackboneSubject, target: Path, pickled: bytes) -> Path:
    suffix = subject.weights.path.suffix if subject.weights.path is not None else ""
    path = target / f"weights{suffix or '.pt'}"
    path.write_bytes(pickled)
    return path


def _from_unpickling(error: BaseException | None) -> bool:
    """Whether an error, or one it came from, is an unpickler's."""
    while error is not None:
        if isinstance(error, pickle.PickleError) or f"{__name__}.{spring.__name__}" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
