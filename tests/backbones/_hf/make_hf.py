"""Tiny checkpoints of many architectures, saved by transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

_SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,  # of 16 channels, as in backbones/_hf/waveform.py
    "vocab_size": 12,
}
_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
_SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 8,
    "vocab_size": 12,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
}
# 2.56 s of input instead of 10.24 s
AST_FRAMES = 256

# name → class that is saved (with a head, or without), its settings, settings of its features
CHECKPOINTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "wav2vec2-group": ("Wav2Vec2ForCTC", _SPEECH, {}),
    "wav2vec2-layer": ("Wav2Vec2ForPreTraining", {**_SPEECH, **_LAYER_NORM}, {}),
    # shortens what follows the last block, for a decoder
    "wav2vec2-adapter": ("Wav2Vec2Model", {**_SPEECH, "add_adapter": True}, {}),
    "hubert-group": ("HubertModel", _SPEECH, {}),
    "hubert-layer": ("HubertForSequenceClassification", {**_SPEECH, **_LAYER_NORM}, {}),
    "hubert-batch": (
        "HubertModel",
        {**_SPEECH, **_LAYER_NORM, "conv_pos_batch_norm": True},
        {},
    ),
    "wavlm-group": ("WavLMModel", _SPEECH, {"do_normalize": False}),
    "wavlm-layer": ("WavLMForCTC", {**_SPEECH, **_LAYER_NORM}, {}),
    "data2vec-audio": ("Data2VecAudioModel", {**_SPEECH, "num_conv_pos_embeddings": 2}, {}),
    "unispeech": ("UniSpeechForCTC", {**_SPEECH, **_LAYER_NORM, "num_ctc_classes": 8}, {}),
    "unispeech-sat": ("UniSpeechSatModel", _SPEECH, {}),
    "sew": ("SEWForCTC", {**_SPEECH, "conv_dim": (16,) * 13}, {}),
    "sew-d": ("SEWDModel", {**_SPEECH, "conv_dim": (16,) * 13}, {}),
    "wav2vec2-conformer": ("Wav2Vec2ConformerModel", _SPEECH, {}),
    "wav2vec2-conformer-rotary": (
        "Wav2Vec2ConformerModel",
        {**_SPEECH, "position_embeddings_type": "rotary"},
        {},
    ),
    "wav2vec2-bert": ("Wav2Vec2BertForCTC", {**_BLOCKS, "vocab_size": 12}, {}),
    "whisper": ("WhisperForConditionalGeneration", {**_SEQ2SEQ, "num_mel_bins": 80}, {}),
    "speech_to_text": (
        "Speech2TextForConditionalGeneration",
        {**_SEQ2SEQ, "conv_channels": 16},
        {},
    ),
    "audio-spectrogram-transformer": (
        "ASTForAudioClassification",
        {**_BLOCKS, "max_length": AST_FRAMES},
        {"max_length": AST_FRAMES},
    ),
}
_EXTRACTORS = {
    "wav2vec2-bert": "SeamlessM4TFeatureExtractor",
    "whisper": "WhisperFeatureExtractor",
    "speech_to_text": "Speech2TextFeatureExtractor",
    "audio-spectrogram-transformer": "ASTFeatureExtractor",
}


def extractor(name: str) -> Any:
    """The feature extractor of a checkpoint, as its library has it."""
    kind = _EXTRACTORS.get(name, "Wav2Vec2FeatureExtractor")
    return getattr(transformers, kind)(**CHECKPOINTS[name][2])


def save(name: str, folder: Path) -> Path:
    """Save a checkpoint with random weights and its feature extractor."""
    head, settings, _ = CHECKPOINTS[name]
    cls = getattr(transformers, head)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(cls.config_class(**settings))
        # positions and tokens begin as zeros, where nothing could tell them apart
        for parameter in model.parameters():
            if not bool(parameter.any()):
                torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    extractor(name).save_pretrained(folder)
    return folder
