"""Where and in what networks compute: precision, memory, random numbers; and prediction."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from heads._training.batches import plain_batches
from heads._training.network import Network
from heads.base import FitDiverged, OutOfMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heads.sequences import Sequences

Result = TypeVar("Result")

# How allocators on the CPU say that memory ended; the last is all that oneDNN says.
_MEMORY_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",
)


def predict(
    network: Network,
    clips: Sequences,
    device: torch.device,
    precision: str,
    batch_size: int,
    head: str,
) -> NDArray[np.float64]:
    """Logits (clips, classes) in the order of the clips.

    Args:
        network: on the CPU; goes to the device and back.
        clips: to predict.
        device: where.
        precision: what to compute in, as chosen for training.
        batch_size: clips at once, fewer if memory ends.
        head: name of the head, for messages.

    Raises:
        FitDiverged: a frame is not finite, which a bounded activation would hide.
        OutOfMemory: a batch of one clip does not fit.
    """

    def attempt(size: int) -> NDArray[np.float64]:
        network.to(device).eval()
        logits, positions = [], []
        with torch.no_grad(), autocast(device, precision):
            for batch in plain_batches(clips, size):
                if not bool(torch.isfinite(batch.inputs).all()):
                    raise FitDiverged(f"{head}: the frames of a clip to predict are not finite")
                found = network(batch.inputs.to(device), batch.lengths.to(device))
                logits.append(found.cpu().double().numpy())
                positions.append(batch.positions.numpy())
        stacked = np.concatenate(logits)
        ordered = np.empty_like(stacked)
        ordered[np.concatenate(positions)] = stacked
        return ordered

    try:
        with own_generators(device):
            return halving(batch_size, attempt, [], head, "prediction")
    finally:
        network.cpu()


def halving(
    size: int, attempt: Callable[[int], Result], notes: list[str], head: str, what: str
) -> Result:
    """Try with fewer and fewer clips at once, until it fits into memory.

    Args:
        size: clips at once to begin with.
        attempt: does the work with so many.
        notes: filled with one sentence per halving.
        head: name of the head, for messages.
        what: is tried, for messages.

    Raises:
        OutOfMemory: it does not even fit with one.
    """
    while True:
        try:
            return attempt(size)
        except (MemoryError, RuntimeError) as error:
            if not _memory_ended(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        # out here, because the error held on to the tensors of the failed attempt
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if size == 1:
            raise OutOfMemory(
                f"{head}: memory ended in {what} with a single clip per batch; train fewer blocks, "
                f"shorten the clips, or use a machine with more memory ({reason})"
            )
        notes.append(
            f"memory ended in {what} with {size} clips per batch: went on with {size // 2}"
        )
        size //= 2


def _memory_ended(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in _MEMORY_WORDS)


def choose_precision(asked: str, device: torch.device) -> str:
    """What to compute in: `auto` is bfloat16 where the hardware multiplies it natively."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # emulated bfloat16 is slower than float32; torch has no public name for this yet
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """What every pass through a network runs in."""
    mixed = precision == "bf16-mixed"
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed, cache_enabled=False)


@contextmanager
def own_generators(device: torch.device) -> Iterator[None]:
    """Give the caller's global random generators back as they were."""
    numbers = np.random.get_state()
    devices = [device.index or 0] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numbers)


def seed_everything(seed: int) -> None:
    """Seed the global generators that layers draw from: torch's, and NumPy's in transformers."""
    torch.manual_seed(seed)
    np.random.seed(seed)
