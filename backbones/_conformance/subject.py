"""What the conformance suite looks at: a backbone, and what it makes of a few synthetic clips."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backbones._conformance.outcome import Measured, NotApplicable
from backbones.base import Backbone, Frames, Weights

if TYPE_CHECKING:
    import torch

SECONDS = (1.3, 0.7, 2.0)
# The longest clip for a backbone that takes clips of any length.
LONGEST_SECONDS = 30.0
# A state of the random generators that no plugin happens to leave behind.
SEED = 20_240_229


class Reloaded(NamedTuple):
    """A second instance, and the global random generators that loading it disturbed."""

    backbone: Backbone
    disturbed: tuple[str, ...]


class BackboneSubject:
    """A backbone under test, its synthetic clips, and what it made of them.

    Args:
        weights: None takes a small random-init network, or `none` for hand-made features.
        seconds: lengths of the clips, at least two different ones; all in proportion shorter
            where the longest window is shorter than 2 s.
    """

    def __init__(
        self,
        backbone: type[Backbone],
        weights: Weights | None = None,
        seconds: Sequence[float] = SECONDS,
    ) -> None:
        self.cls = backbone
        self.info = self.cls.info
        if weights is None:
            kind: Any = "random-init" if self.info.needs_weights else "none"
            weights = Weights(kind, id=self.info.weights_id, size="small")
        self.weights = weights
        self.lengths = [self.samples(s) for s in seconds]
        self.unfit: str | None = None

    def __repr__(self) -> str:
        return self.info.name

    @property
    def backbone(self) -> Backbone:
        """The loaded backbone; `NotApplicable` once a check found that nothing can be had of it."""
        if self.unfit:
            raise NotApplicable(self.unfit)
        return self._loaded

    @cached_property
    def _loaded(self) -> Backbone:
        with self.only_if("it does not load"):
            return self.fresh()

    @contextmanager
    def only_if(self, otherwise: str) -> Iterator[None]:
        """What all later checks rest on: where it fails they do not apply, for that reason."""
        self.unfit = otherwise
        yield
        self.unfit = None

    @cached_property
    def reloaded(self) -> Reloaded:
        """Another instance with the same weights."""
        import numpy as np
        import torch

        _ = self.backbone  # the first one pays for imports, which may do as they please
        kept = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            before = random_states()
            backbone = self.fresh()
            disturbed = disturbed_since(before)
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        return Reloaded(backbone, disturbed)

    @cached_property
    def alone(self) -> list[Frames]:
        """Frames of each clip encoded alone."""
        return [self.encode([n]) for n in self.lengths]

    @cached_property
    def padded(self) -> Frames:
        """Frames of all clips in one padded batch."""
        return self.encode(self.lengths)

    @cached_property
    def together(self) -> Frames:
        """Frames of all clips, batched as the harness does: padded only where there is a mask."""
        return self.padded if self.info.attention_mask else _stacked(self.alone)

    @cached_property
    def last(self) -> int:
        """Number of the last layer."""
        return len(self.together.hidden) - 1

    @property
    def full_size(self) -> bool:
        """Whether the published sizes apply."""
        return not (self.weights.kind == "random-init" and self.weights.size == "small")

    @property
    def longest(self) -> int:
        """Samples of the longest clip to encode at once."""
        return int(min(self.info.max_seconds, LONGEST_SECONDS) * self.info.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from one frame of the last layer to the next, rounded up."""
        return -int(-self.info.sample_rate // self.info.frame_rate)

    @property
    def golden_file(self) -> Path | None:
        """Where golden vectors are looked for: next to the plugin's file, if it has one."""
        file = getattr(sys.modules.get(self.cls.__module__), "__file__", None)
        if file is None:
            return None
        return Path(file).parent / "golden" / self.golden_name

    @property
    def golden_name(self) -> str:
        """Name of the file of golden vectors."""
        return re.sub(r"[^A-Za-z0-9._-]+", "--", self.info.name) + ".json"

    def samples(self, seconds: float) -> int:
        """Length of a clip in samples, in proportion shorter where the longest window is."""
        longest = max(SECONDS)
        if self.info.max_seconds >= longest:
            return round(seconds * self.info.sample_rate)
        return max(1, round(seconds / longest * self.longest))

    def fresh(self, dtype: str = "float32") -> Backbone:
        """Another instance, loaded."""
        backbone = self.cls(self.weights)
        backbone.load(dtype=dtype)
        return backbone

    def encode(self, lengths: Sequence[int]) -> Frames:
        """Frames of clips of the given lengths, in one batch."""
        return self.backbone.encode(*self.batch(lengths))

    def batch(self, lengths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Clips of the given lengths, zero after each one's end. One length is always one clip."""
        return pad([self.clip(length) for length in lengths])

    def clip(self, length: int, number: int = 0) -> torch.Tensor:
        """A gliding tone with overtones and noise, scaled for the backbone."""
        wave = _sound(length, number, self.info.sample_rate)
        return self.scaled(wave if self.info.normalised else 0.5 * wave / wave.abs().max())

    def scaled(self, wave: torch.Tensor) -> torch.Tensor:
        """A wave as the harness would pass it on."""
        if not self.info.normalised:
            return wave
        return (wave - wave.mean()) / (wave.var(unbiased=False) + 1e-7).sqrt()


@lru_cache(maxsize=256)  # about two thirds of all clips are asked for again
def _sound(length: int, number: int, sample_rate: int) -> torch.Tensor:
    import numpy as np
    import torch

    # golden vectors rest on this noise: the one generator whose numbers are frozen for good
    noise = np.random.RandomState((length + 7919 * number) % 2**32)
    time = torch.arange(length) / sample_rate
    phase = 2 * torch.pi * (120 + 15 * number + 40 * time) * time
    tone = sum(torch.sin(k * phase) / k for k in range(1, 9))
    rough = torch.from_numpy(noise.standard_normal(length)).float()
    return tone * (1 + torch.sin(9 * time)) + 0.1 * rough


Check = Callable[[BackboneSubject], Measured]


def pad(waves: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of waves, zero after each one's end, and their lengths."""
    import torch

    lengths = torch.tensor([len(wave) for wave in waves], dtype=torch.int64)
    return torch.nn.utils.rnn.pad_sequence(list(waves), batch_first=True), lengths


def random_states() -> dict[str, Any]:
    """The state of every global random generator, in a form that can be compared."""
    import numpy as np
    import torch

    state: Any = np.random.get_state(legacy=False)
    return {
        "random": random.getstate(),
        "numpy": (bytes(state["state"]["key"]), state["state"]["pos"], state["gauss"]),
        "torch": bytes(torch.random.get_rng_state().numpy()),
    }


def disturbed_since(before: dict[str, Any]) -> tuple[str, ...]:
    """The global random generators that are in another state now."""
    now = random_states()
    return tuple(name for name, state in before.items() if state != now[name])


def _stacked(encoded: Sequence[Frames]) -> Frames:
    """Clips that were encoded alone, as one padded batch of frames."""
    import torch

    layers = zip(*(frames.hidden for frames in encoded), strict=True)
    lengths = zip(*(frames.lengths for frames in encoded), strict=True)
    return Frames(
        [pad([clip[0] for clip in layer])[0] for layer in layers],
        [torch.cat(list(layer)) for layer in lengths],
    )
