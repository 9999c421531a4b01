"""An encoder and a linear head as the library's own class for audio classification.

Its classes take the mean over frames of `projector(layer)`, and give that to `classifier`. Imports
torch, so it is imported inside functions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING, Wav2Vec2FeatureExtractor
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

from backbones._hf.encoder import TransformersEncoder
from backbones._hf.waveform import Waveform
from backbones._hf.whisper import Whisper
from backbones.base import Backbone

# As a layer's weight before a softmax, beside zeros: nothing at all, in float16 too.
_NONE = -1e4


@dataclass(frozen=True, eq=False)
class Ending:
    """What comes after the mean over the frames of a layer.

    Attributes:
        mean, scale: of the standardisation, (width,).
        weight, bias: of the logits, (labels, width) and (labels,).
        labels: their names.
    """

    mean: Any
    scale: Any
    weight: Any
    bias: Any
    labels: Sequence[str]


def refusal(cls: type[Backbone]) -> str | None:
    """Why no class of transformers says what such a backbone and a linear head say, or None."""
    if issubclass(cls, Whisper):
        return (
            "the class of transformers fills each clip up to 30 s and averages the silence too, "
            "and voxgrid reads the clip's own frames"
        )
    if not issubclass(cls, TransformersEncoder):
        return "it is no model of transformers"
    kind = cls.full["model_type"]
    if kind not in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
        return f"transformers has no class for audio classification of type '{kind}'"
    if not issubclass(cls, Waveform):
        return f"type '{kind}' takes features, and this is made of encoders of waveforms"
    return None


def classifier(backbone: Waveform, layer: int, ending: Ending) -> tuple[Any, Any]:
    """The classifier and its feature extractor, both ready to `save_pretrained`.

    Args:
        backbone: a loaded one; its weights are shared, and not copied.
        layer: whose frames are averaged.
        ending: what comes then.
    """
    network, info = backbone.model, backbone.info
    layers = info.layers_of(backbone.weights.size)
    # of SEW the output has other frames than the layers, and voxgrid's are those of the layers
    weighted = layer != layers - 1 or hasattr(network.config, "squeeze_factor")
    config = copy.deepcopy(network.config)
    config.id2label = dict(enumerate(ending.labels))
    config.label2id = {label: number for number, label in enumerate(ending.labels)}
    config.problem_type = "single_label_classification"
    config.classifier_proj_size = config.hidden_size
    config.use_weighted_layer_sum = weighted
    library: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    with torch.device("meta"):
        made = library(config)
    setattr(made, library.base_model_prefix, network)
    scale = torch.as_tensor(ending.scale, dtype=torch.float64)
    # standardised frame by frame, so that large means do not drown what is left of them
    made.projector = _linear(torch.diag(1 / scale), -torch.as_tensor(ending.mean) / scale)
    made.classifier = _linear(ending.weight, ending.bias)
    if weighted:
        chosen = torch.full((layers,), _NONE)
        chosen[layer] = 0.0
        made.layer_weights = nn.Parameter(chosen)
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=info.sample_rate,
        do_normalize=info.normalised,
        return_attention_mask=info.attention_mask,
    )
    return made.eval(), extractor


def _linear(weight: Any, bias: Any) -> nn.Linear:
    """A layer of these numbers, in float32."""
    values = torch.as_tensor(weight, dtype=torch.float32)
    made = nn.Linear(values.shape[1], values.shape[0])
    made.weight = nn.Parameter(values.contiguous())
    made.bias = nn.Parameter(torch.as_tensor(bias, dtype=torch.float32))
    return made
