"""Winners made in a second or two: heads fitted on what small backbones give of a few clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler

from backbones import Backbone
from backbones.weights import resolve
from bench.audio import decode
from bench.features import encode as encoding
from bench.features.encode import Encoded, LoadedBackbone, Window
from bench.features.key import FeatureSettings
from bench.features.pooling import get_pooling
from bench.plugins import BACKBONES, HEADS
from bench.winner import Model
from bench.winner import folder as folders
from bench.winner.folder import Config, Contents, Encoder, Part

LABELS = ("calm", "glad", "loud", "never heard")


def make_winner(
    folder: Path,
    parts: Sequence[tuple[str, int]],
    pooling: str,
    head: str,
    clips: Sequence[Path],
    *,
    sample: bool = True,
    classes: int = 3,
    temperature: float = 1.7,
) -> Model:
    """Fit a head on clips, of which every third is of one label, and write a winner's folder.

    Args:
        folder: to write.
        parts: backbones and layers (negative ones from the end) whose vectors are joined.
        pooling, head: by name.
        clips: audio files.
        sample: small random networks, not the weights of this machine.
        classes: of `LABELS`, so many are heard; the others are labels all the same.
        temperature: what logits are divided by.
    """
    settings = {name: _settings(name, sample) for name, _ in parts}
    loaded = {name: encoding.load(own) for name, own in settings.items()}
    layers = {name: own.info.layers_of(own.weights.size) for name, own in settings.items()}
    joined = [(name, layer % layers[name]) for name, layer in parts]
    vectors = np.hstack([_vectors(loaded[name], layer, pooling, clips) for name, layer in joined])
    y = np.arange(len(clips)) % classes
    scaler = StandardScaler().fit(vectors)
    cls = HEADS.reading(head, "vectors")
    fitted = cls.build({}, pooling=pooling, random_state=0, n_jobs=1)
    fitted.fit(scaler.transform(vectors), y)
    config = Config(
        voxgrid="0",
        task="made",
        protocol="none",
        group="speaker",
        leaks=False,
        labels=LABELS,
        backbone="+".join(name for name, _ in parts),
        pooling=pooling,
        head=head,
        head_version=cls.version,
        params={},
        encoders=tuple(map(_encoder, settings.values())),
        parts=tuple(Part(backbone=name, layer=layer, pooling=pooling) for name, layer in joined),
        reads="vectors",
        features=vectors.shape[1],
        most_frames=None,
        temperature=temperature,
        clips=(),
        without_fold=None,
        seed=0,
        scores={},
        fingerprint="0",
        packages={},
        made="today",
    )
    arrays = {"classes": fitted.classes_, "mean": scaler.mean_, "scale": scaler.scale_}
    arrays |= {f"head.{name}": own for name, own in fitted.state().items()}
    folders.write(folder, Contents(config, arrays), "# card", replace=True)
    return Model.load(folder)


def _settings(name: str, sample: bool) -> FeatureSettings:
    info = BACKBONES.get(name).info
    return FeatureSettings(info, resolve(info, allow_download=False, sample=sample), "float32")


def _encoder(own: FeatureSettings) -> Encoder:
    weights = own.weights
    return Encoder(
        backbone=own.info.name,
        weights_id=weights.id,
        weights_kind=weights.kind,
        weights_sha256=weights.sha,
        weights_size=weights.size,
        weights_seed=weights.seed,
        dtype=own.dtype,
        licence=own.info.licence,
        feature_key=own.key,
    )


def _vectors(backbone: Backbone, layer: int, pooling: str, clips: Sequence[Path]) -> np.ndarray:
    """(clips, features) in float32."""
    waves = [decode.load(clip, backbone.info.sample_rate) for clip in clips]
    made, _ = encoding.encode(
        LoadedBackbone(backbone, "cpu", 1), [Window(own.samples, own.rate) for own in waves]
    )
    found = [one.statistics[layer] for one in made if isinstance(one, Encoded)]
    assert len(found) == len(clips)
    own = get_pooling(pooling)
    assert own.combine is not None
    statistics = {name: np.stack([getattr(one, name) for one in found]) for name in own.needs}
    return own.combine(statistics, np.array([one.frames for one in found]))
