"""Any encoder in a NeMo archive as a backbone, known by the archive's own configuration.

Of that configuration, only the encoder and the features are built, each of a class known here:
nothing in it is instantiated by name, and no code is run from it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones._nemo.archive import CONFIG, parse_config, read_members
from backbones._nemo.config import section, target_of
from backbones._nemo.encoders import (
    FEATURES,
    LIBRARY,
    Conformer,
    ConvAsr,
    NemoEncoder,
    unfilled,
)
from backbones._nemo.quartznet import FoldedQuartzNet, checked_config
from backbones._tensors.checkpoints import buildable
from backbones._tensors.sizes import require_fillable, require_rates, require_sensible
from backbones.base import Backbone, BackboneError, BackboneInfo, shown
from backbones.names import Address

ENCODERS: Mapping[str, type[NemoEncoder]] = {cls.target: cls for cls in (ConvAsr, Conformer)}
MAX_SECONDS = 30.0
# Where a setting is not given: what NeMo does then.
SAMPLE_RATE, WINDOW_STRIDE = 16_000, 0.01
# An archive has no model card.
LICENCE = "unknown: see where the archive is from"


def backbone_class(address: Address) -> type[Backbone]:
    """The backbone class of one archive, made from its configuration.

    Raises:
        BackboneError: there is no such archive, or no encoder in it that voxgrid can run.
    """
    path = address.path
    assert path is not None
    if not path.is_file():
        raise BackboneError(f"{address.name}: there is no file {path}; check the path")
    return _made(address, path, *read_members(path, CONFIG))


@functools.lru_cache(maxsize=64)
def _made(address: Address, path: Path, content: bytes) -> type[Backbone]:
    """`content` of the configuration is what makes an archive that has changed another one."""
    config = parse_config(content, path)
    kind = target_of(config, "encoder")
    if kind not in ENCODERS:
        raise BackboneError(
            f"{address.name}: its encoder is a {shown(kind) or 'thing without a name'}, and "
            f"voxgrid runs {' and '.join(ENCODERS)}; pick another model or write a plugin "
            "(CONTRIBUTING.md)"
        )
    cls = ENCODERS[kind]
    encoder: Mapping[str, Any] = section(config, "encoder", kind, path)
    features: Mapping[str, Any] = section(config, "preprocessor", FEATURES, path)
    if cls is ConvAsr:
        # a QuartzNet has a faster and trainable class
        try:
            with buildable(address.name, kind, LIBRARY):
                encoder = checked_config(config, source=path)
            cls, features = FoldedQuartzNet, FoldedQuartzNet.features
        except BackboneError:
            pass  # whatever is wrong with it as an encoder of its kind is said below
    _refuse(address, features, encoder, cls)
    with buildable(address.name, kind, LIBRARY):
        rate = int(features.get("sample_rate", SAMPLE_RATE))
        window = float(features.get("window_size") or 0) * rate
        require_sensible({"n_fft of a window": window})
        hop = features.get("n_window_stride") or features.get("window_stride", WINDOW_STRIDE) * rate
        layers, width, subsampling = cls.sizes(encoder)
        small = cls.sizes(cls.shrunk(encoder)).layers
        network = unfilled(address.name, kind, encoder)
        info = BackboneInfo(
            name=address.name,
            summary=f"{cls.title}, as its own settings describe it",
            weights_id=address.where,
            revision="local",
            licence=LICENCE,
            sample_rate=rate,
            layers=layers,
            width=width,
            frame_rate=rate / hop / subsampling,
            max_seconds=MAX_SECONDS,
            attention_mask=True,
            normalised=False,
            parameters=require_fillable(network, address.name),
            trainable=cls.trainable,
            small_layers=small if small != layers else None,
            dtypes=cls.dtypes,
            thread_safe=cls.thread_safe,
        )
        require_rates(info)
    members = {
        "info": info,
        "full": encoder,
        "features": features,
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
    }
    return type(cls.__name__, (cls,), members)


def _refuse(
    address: Address,
    features: Mapping[str, Any],
    encoder: Mapping[str, Any],
    cls: type[NemoEncoder],
) -> None:
    """Refuse settings that are not honoured, naming the first."""
    wanted: dict[str, tuple[Mapping[str, Any], tuple[Any, ...]]] = {
        "normalize": (features, ("per_feature", "all_features", "NA", "", None)),
        "frame_splicing": (features, (1,)),
        **{name: (encoder, values) for name, values in cls.honoured.items()},
    }
    for name, (found, values) in wanted.items():
        if found.get(name, values[0]) not in values:
            raise BackboneError(
                f"{address.name}: its settings ask for {name} = {shown(found[name])}, which "
                "voxgrid does not do; pick another model or write a plugin (CONTRIBUTING.md)"
            )
    for part in (features, encoder):
        if any(isinstance(value, str) and "${" in value for value in part.values()):
            raise BackboneError(
                f"{address.name}: its model_config.yaml refers to other settings (${{…}}); save "
                "the model again with NeMo's save_to, which writes them out"
            )
