"""eGeMAPS: the 88 hand-made voice parameters of affective computing, by openSMILE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backbones.base import Backbone, BackboneError, BackboneInfo, Frames

if TYPE_CHECKING:
    import numpy as np
    import torch

INFO = BackboneInfo(
    name="egemaps",
    summary="eGeMAPSv02 voice parameters by openSMILE (research licence), no weights",
    weights_id=None,
    revision=None,
    # of openSMILE itself, by audEERING: research and personal use only
    licence="LicenseRef-audEERING-openSMILE-research",
    sample_rate=16_000,
    layers=2,
    width=88,
    frame_rate=100.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    extra="egemaps",
    own_rate=True,
    per_clip=True,
    version=2,
)

# One window, the longest openSMILE uses here, in seconds; it has nothing to say below that.
SHORTEST = 0.06
# openSMILE reads 16-bit samples, in which 1.0 would wrap round to -1.0.
LOUDEST = 32767 / 32768


class EGeMAPS(Backbone):
    """openSMILE's eGeMAPSv02.

    Layer 0 is the 25 low-level descriptors as frames at 100 Hz; layer 1 is the 88 functionals
    of the whole clip as a single frame, so that its mean over time is the functionals
    themselves. Both are made at the rate of the clip's file, as openSMILE itself would: brought
    to 16 kHz, a clip of 48 kHz has other values. Each clip is processed alone and in full
    length, so that padding cannot change it. A clip shorter than 60 ms counts as 60 ms, the rest
    being silence.

    Reference: Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for voice
    research and affective computing, IEEE Transactions on Affective Computing 7(2), 2016.
    """

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Set up openSMILE, which computes in float32 on the CPU; see `Backbone.load`."""
        try:
            import opensmile
        except ModuleNotFoundError as error:
            raise BackboneError(
                "egemaps needs openSMILE, which is free for research and personal use only: "
                "pip install 'voxgrid[egemaps]'"
            ) from error

        self._device = device
        levels = opensmile.FeatureLevel
        self._descriptors, self._functionals = (
            opensmile.Smile(
                feature_set=opensmile.FeatureSet.eGeMAPSv02,
                feature_level=level,
            )
            for level in (levels.LowLevelDescriptors, levels.Functionals)
        )

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`: `encode_at` of clips at 16 kHz."""
        return self.encode_at(waves, lengths, lengths.new_full(lengths.shape, INFO.sample_rate))

    def encode_at(self, waves: torch.Tensor, lengths: torch.Tensor, rates: torch.Tensor) -> Frames:
        """See `Backbone.encode_at`: (batch, frames, 25) and (batch, 1, 88), float32."""
        import numpy as np
        import torch

        descriptors, functionals = [], []
        arrays = waves.float().cpu().numpy()
        for wave, length, rate in zip(arrays, lengths.tolist(), rates.tolist(), strict=True):
            clip = np.clip(wave[:length], -1.0, LOUDEST)
            clip = np.pad(clip, (0, max(0, round(SHORTEST * rate) - len(clip))))
            descriptors.append(torch.from_numpy(_run(self._descriptors, clip, rate)))
            functionals.append(torch.from_numpy(_run(self._functionals, clip, rate)))
        frames = torch.tensor([len(rows) for rows in descriptors])
        ones = torch.ones(len(arrays), dtype=torch.int64)
        return Frames(
            hidden=(
                torch.nn.utils.rnn.pad_sequence(descriptors, batch_first=True).to(self._device),
                torch.stack(functionals).to(self._device),
            ),
            lengths=(frames.to(self._device), ones.to(self._device)),
        )


def _run(smile: Any, clip: np.ndarray, rate: int) -> np.ndarray:
    """(frames, features) of one clip."""
    import numpy as np

    features = smile(clip, rate)[0].T
    if not np.isfinite(features).all():
        names = [smile.feature_names[i] for i in np.flatnonzero(~np.isfinite(features).all(0))]
        raise BackboneError(
            f"openSMILE gave NaN or infinity for {', '.join(names)} on a clip of "
            f"{len(clip) / rate:.2f} s: leave the clip out of the task"
        )
    return np.ascontiguousarray(features, dtype=np.float32)
