"""Any encoder in the transformers layout as a backbone, known by its own settings.

What is refused is refused before torch and transformers are imported, which takes seconds.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones._hf.checkpoint import architecture, silent
from backbones._hf.encoder import TransformersEncoder, Unsupported
from backbones._hf.files import AGAIN, FEATURE_FILES, MODEL_CARD, read_settings, settings_digest
from backbones._hf.hub import settings_folder
from backbones._hf.spectrogram import SpectrogramTransformer
from backbones._hf.speech2text import Speech2Text
from backbones._hf.wav2vec2_bert import Wav2Vec2Bert
from backbones._hf.waveform import Waveform
from backbones._hf.whisper import Whisper
from backbones._tensors.checkpoints import buildable
from backbones._tensors.sizes import require_fillable, require_rates, require_sensible
from backbones.base import Backbone, BackboneError, BackboneInfo, first_line, shown
from backbones.names import Address
from backbones.reading import CARD, opened, parse_yaml

# Which class runs which model type of transformers.
FAMILIES: Mapping[str, type[TransformersEncoder]] = {
    **dict.fromkeys(
        (
            "wav2vec2",
            "hubert",
            "wavlm",
            "data2vec-audio",
            "unispeech",
            "unispeech-sat",
            "sew",
            "sew-d",
            "wav2vec2-conformer",
        ),
        Waveform,
    ),
    "wav2vec2-bert": Wav2Vec2Bert,
    "whisper": Whisper,
    "speech_to_text": Speech2Text,
    "audio-spectrogram-transformer": SpectrogramTransformer,
}
# What stands before a model card, as `huggingface_hub` finds it.
_FRONT = re.compile(r"\s*---\s*?\n(.*?)\n---[ \t]*(\n|$)", re.DOTALL)


def backbone_class(address: Address, *, allow_download: bool = True) -> type[Backbone]:
    """The backbone class of one checkpoint, made from its settings.

    Raises:
        BackboneError: there is no such model, or it is no encoder voxgrid can run.
        WeightsUnavailable: its settings are not on this machine and cannot be had.
    """
    folder = settings_folder(address, allow_download=allow_download)
    return _made(address, folder, settings_digest(folder))


@functools.lru_cache(maxsize=64)
def _made(address: Address, folder: Path, digest: str) -> type[Backbone]:
    """`digest` is what makes a folder that has changed another one.

    Files of the hub lie in folders named after their commit: it is what weights are looked up by,
    so that they and the settings are of the same one.
    """
    settings = read_settings(address.name, folder / "config.json", AGAIN)
    cls = _family(address, settings)
    features = {**cls.defaults, **_features(address, folder, cls)}
    full = {**architecture(settings), "model_type": settings["model_type"]}
    members: dict[str, Any] = {
        "full": full,
        "features": features,
        "settings_sha": digest,
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
    }
    made: type[TransformersEncoder] = type(cls.__name__, (cls,), members)
    import torch

    try:
        with silent(), buildable(address.name, full["model_type"], "transformers"):
            # of what the extractor's settings say, this is read
            named = (*cls.defaults, "feature_size", "num_mel_bins")
            require_sensible({k: v for k, v in features.items() if k in named})
            config = made.configured(full)
            traits = made.traits(config, features)
            require_rates(traits)
            with torch.device("meta"):
                network = made.library(full["model_type"])(config)
            small = made.traits(made.configured(made.settings("small")), features).layers
    except Unsupported as error:
        raise BackboneError(
            f"{address.name}: its settings ask for {first_line(error)}, which voxgrid does not "
            "do; write a plugin for it (CONTRIBUTING.md) or pick another model"
        ) from error
    # the library keeps the angles of rotated positions on the module, where two threads would take
    # each other's, and in the network's dtype, too coarse in any but float32
    rotates = getattr(config, "position_embeddings_type", None) == "rotary"
    made.info = BackboneInfo(
        name=address.name,
        summary=f"{full['model_type']} encoder, as its own settings describe it",
        weights_id=address.where,
        revision="local" if address.revision is None else folder.name,
        licence=_licence(address, folder),
        parameters=require_fillable(network, address.name),
        small_layers=None if small == traits.layers else small,
        dtypes=("float32",) if rotates else cls.dtypes,
        thread_safe=not rotates,
        differs=cls.differs,
        **vars(traits),
    )
    return made


def _family(address: Address, settings: Mapping[str, Any]) -> type[TransformersEncoder]:
    kind = str(settings.get("model_type") or "")
    if kind not in FAMILIES:
        what = f"a model of type '{shown(kind)}'" if kind else "no model that names its type"
        raise BackboneError(
            f"{address.name} is {what}, and voxgrid reads encoders of sound of these types: "
            f"{', '.join(FAMILIES)}; pick one of them or write a plugin (CONTRIBUTING.md)"
        )
    _refuse_code(address, settings)
    return FAMILIES[kind]


def _refuse_code(address: Address, settings: Mapping[str, Any]) -> None:
    if "auto_map" in settings:
        raise BackboneError(
            f"{address.name}: its settings name code of their own to run (auto_map), which "
            "voxgrid never does; pick a model that transformers knows by itself"
        )


def _features(address: Address, folder: Path, cls: type[TransformersEncoder]) -> dict[str, Any]:
    """Settings of the feature extractor, saved by itself or within a processor."""
    for name in FEATURE_FILES:
        path = folder / name
        if path.is_file():
            found = read_settings(address.name, path, AGAIN)
            nested = found.get("feature_extractor")
            features = nested if isinstance(nested, dict) else found
            _refuse_code(address, features)
            kind = features.get("feature_extractor_type")
            if kind is not None and kind not in cls.extractors:
                raise BackboneError(
                    f"{address.name}: its network takes the features of "
                    f"{' or '.join(cls.extractors)}, but {path} is of a {shown(kind)}; get "
                    "the one that was saved with it"
                )
            return features
    raise BackboneError(
        f"{address.name}: {folder} has no preprocessor_config.json, which says what sample rate "
        "and scale the model takes; save it there with save_pretrained of its feature extractor"
    )


def _licence(address: Address, folder: Path) -> str:
    """The licence in the model card, or where it may be found."""
    from huggingface_hub import constants

    if address.path is None:
        unknown = f"unknown: see {constants.ENDPOINT}/{address.where}"
    else:
        unknown = f"unknown: no {MODEL_CARD} in the folder names one"
    try:
        with opened(folder / MODEL_CARD) as file:
            front = _FRONT.match(file.read(CARD.most).decode("utf-8-sig", "replace"))
        fields = parse_yaml(front[1]) if front else None
    except (OSError, ValueError):
        return unknown
    fields = fields if isinstance(fields, dict) else {}
    found = fields.get("license")
    if found == "other":
        found = fields.get("license_name") or found
    found = found if isinstance(found, list) else [found]
    named = all(isinstance(each, str) and each for each in found)
    return shown(", ".join(found)) if named and found else unknown
