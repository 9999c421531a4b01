"""Backbones that each break one promise of the contract, named by the check that `fails`."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones import Frames
from tests.backbones.broken.reference import HOP, INFO, Reference

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]


# --- the record ---------------------------------------------------------------------------------


class HasNoLicence(Reference):
    fails = "check_metadata_is_complete"
    info = replace(INFO, licence=" ")


class AnnouncesALayerMore(Reference):
    fails = "check_layers_match_metadata"
    info = replace(INFO, layers=5)


class AnnouncesAnotherWidth(Reference):
    fails = "check_sizes_match_metadata"
    info = replace(INFO, width=16)


class AnnouncesMoreParameters(Reference):
    fails = "check_sizes_match_metadata"
    info = replace(INFO, parameters=233)


class AnnouncesAnotherSampleRate(Reference):
    """Under another name: golden vectors of another rate would be others too."""

    fails = "check_sample_rate_matches_the_checkpoint"
    info = replace(INFO, name="resampled", sample_rate=16_000, frame_rate=200.0)


class AnnouncesAnotherFrameRate(Reference):
    fails = "check_frame_rate_matches_metadata"
    info = replace(INFO, frame_rate=50.0)


class SaysOneFramePerClip(Reference):
    fails = "check_frame_rate_matches_metadata"
    info = replace(INFO, per_clip=True)


class StatesADtypeTooCoarse(Reference):
    fails = "check_stated_dtypes_are_close"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        if str(self.dtype) != "torch.float16":
            return frames
        return Frames([(hidden * 4).round() / 4 for hidden in frames.hidden], frames.lengths)


# --- loading ------------------------------------------------------------------------------------


class DoesNotLoad(Reference):
    fails = "check_backbone_loads"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        raise RuntimeError("no kernel for this processor")


class ReturnsABareTensor(Reference):
    fails = "check_encode_returns_frames"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Any:
        return super().encode(waves, lengths).hidden[-1]


class PutsTimeFirst(Reference):
    fails = "check_encode_returns_frames"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames([hidden.transpose(0, 1) for hidden in frames.hidden], frames.lengths)


class PutsWidthBeforeTime(Reference):
    fails = "check_encode_returns_frames"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames([hidden.transpose(1, 2) for hidden in frames.hidden], frames.lengths)


class PoolsByItself(Reference):
    fails = "check_encode_returns_frames"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames([hidden.mean(1) for hidden in frames.hidden], frames.lengths)


class StaysInTrainingMode(Reference):
    """Harmless here, since nothing in it differs in training mode."""

    fails = "check_model_is_in_evaluation_mode"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        super().load(device, dtype)
        self.network.blocks[1].train()


class DrawsAnew(Reference):
    """Every other time it is loaded, a weight is a little larger."""

    fails = "check_loading_is_repeatable"
    loads = itertools.count()

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        super().load(device, dtype)
        self.network.norm.weight.mul_(1 + 0.001 * (next(self.loads) % 2))


class Seeds(Reference):
    fails = "check_random_state_is_left_alone"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        import torch

        torch.manual_seed(0)
        super().load(device, dtype)


class DrawsWhileEncoding(Reference):
    fails = "check_random_state_is_left_alone"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        import numpy as np

        np.random.random()
        return super().encode(waves, lengths)


class TrustsPickles(Reference):
    fails = "check_no_pickle_is_executed"

    def read(self, file: Path) -> Any:
        import torch

        return torch.load(file, weights_only=False)


class ForgivesMissingTensors(Reference):
    """Fills what a checkpoint lacks with random numbers."""

    fails = "check_no_pickle_is_executed"

    def fill(self) -> None:
        from backbones import WeightsMismatch

        with contextlib.suppress(WeightsMismatch):
            super().fill()


class IsLouderThanItWas(Reference):
    fails = "check_golden_vectors_are_met"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        return super().front(1.05 * waves, lengths)


class KeepsOldGoldenVectors(Reference):
    fails = "check_golden_vectors_are_met"
    info = replace(INFO, version=2)


# --- batches ------------------------------------------------------------------------------------


class CountsIn32Bits(Reference):
    fails = "check_lengths_fit_the_frames"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames(frames.hidden, [counts.int() for counts in frames.lengths])


class CountsAFrameTooEarly(Reference):
    fails = "check_lengths_follow_the_models_arithmetic"

    def count(self, lengths: torch.Tensor) -> torch.Tensor:
        return (lengths + 1).clamp(min=HOP) // HOP


class CountsAFrameTooLate(Reference):
    """For clips of little more than half a second or less."""

    fails = "check_lengths_follow_the_models_arithmetic"

    def count(self, lengths: torch.Tensor) -> torch.Tensor:
        return ((lengths - (lengths < 5000).long()) // HOP).clamp(min=1)


class SeesPadding(Reference):
    """The quieter, the more padding there is."""

    fails = "check_padding_changes_nothing"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        hidden, counts = super().front(waves, lengths)
        return hidden * (counts / hidden.shape[1])[:, None, None], counts


class SeesPaddingUnmasked(SeesPadding):
    """Says so, and is right then: it is only given clips of one length."""

    info = replace(INFO, attention_mask=False)


class ReversesWhatIsSorted(Reference):
    """A fast path for batches that come with the longest clip first."""

    fails = "check_order_of_the_batch_changes_nothing"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        if len(lengths) < 3 or not bool((lengths[:-1] > lengths[1:]).all()):
            return frames
        return Frames([hidden.flip(0) for hidden in frames.hidden], frames.lengths)


class CentresLargeBatches(Reference):
    fails = "check_size_of_the_batch_changes_nothing"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        hidden, counts = super().front(waves, lengths)
        return (hidden - 0.1 * hidden.mean(0) if len(hidden) > 12 else hidden), counts


class TakesWindowsForAStream(Reference):
    """Goes on where the last long clip ended."""

    fails = "check_windows_are_clips_of_their_own"
    context: Any = 0.0

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        hidden, counts = super().front(waves, lengths)
        if waves.shape[1] >= 20_000:
            hidden = hidden + 0.1 * self.context
            self.context = hidden[-1, -1]
        return hidden, counts


# --- sounds -------------------------------------------------------------------------------------


class SkipsLayersOfShortClips(Reference):
    fails = "check_every_length_gives_every_layer"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        kept = 2 if waves.shape[1] < 500 else 4
        return Frames(frames.hidden[:kept], frames.lengths[:kept])


class TakesShortWindows(Reference):
    """Says so, and is right then: no clip may be longer."""

    info = replace(INFO, name="short-windows", max_seconds=0.2)

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        if waves.shape[1] > 0.2 * self.info.sample_rate:
            raise ValueError(f"a window of {waves.shape[1]} samples")
        return super().front(waves, lengths)


class NeedsATenthOfASecond(Reference):
    fails = "check_short_clips_are_encoded"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames(frames.hidden, [n * (lengths >= 800) for n in frames.lengths])


class DividesBySilence(Reference):
    fails = "check_values_are_finite"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        loudest = waves.abs().amax(dim=1, keepdim=True)
        return super().front(waves / loudest * loudest, lengths)


class StumblesOverASample(Reference):
    """With an error that tells its user nothing."""

    fails = "check_values_are_finite"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        if int(lengths.min()) == 1:
            raise IndexError("list index out of range")
        return super().front(waves, lengths)


# --- what is left behind ------------------------------------------------------------------------


class Dithers(Reference):
    fails = "check_encoding_is_repeatable"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        import torch

        super().load(device, dtype)
        self.generator = torch.Generator().manual_seed(0)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        import torch

        frames = super().encode(waves, lengths)
        noise = 1e-6 * torch.randn(8, generator=self.generator)
        return Frames([hidden + noise.to(hidden) for hidden in frames.hidden], frames.lengths)


class CountsWhatItEncodes(Reference):
    fails = "check_parameters_are_left_alone"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        import torch

        super().load(device, dtype)
        self.network.register_buffer("seen", torch.tensor(0), persistent=False)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        self.network.seen += len(lengths)
        return super().encode(waves, lengths)


class KeepsTheGraph(Reference):
    fails = "check_no_gradient_is_recorded"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames([hidden.requires_grad_() for hidden in frames.hidden], frames.lengths)


class LeavesGradientsOn(Reference):
    """Under no_grad nothing shows, until somebody else encodes without it."""

    fails = "check_no_gradient_is_recorded"

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        super().load(device, dtype)
        self.network.requires_grad_(True)


class WritesIntoItsInput(Reference):
    fails = "check_input_is_left_alone"

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        waves.mul_(0.5)
        return frames


class SharesItsLengths(Reference):
    """Keeps those of the current batch where another thread finds them."""

    fails = "check_threads_may_share_it"

    def front(self, waves: torch.Tensor, lengths: torch.Tensor) -> Pair:
        self.current = lengths.tolist()
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.1)  # long enough for another thread of a busy machine
        return super().front(waves, lengths.new_tensor(self.current))
