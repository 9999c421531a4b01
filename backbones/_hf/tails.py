"""Parts of a loaded encoder of transformers as modules of their own, to be trained.

Imports torch, so plugins import it inside methods.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from backbones._tensors.frames import check_part, trainable, valid_frames
from backbones.base import STEM, Frames


class TransformerTail(nn.Module):
    """Transformer blocks in the transformers layout, with what comes before and after them.

    All modules are frozen; what belongs to the part is copied.

    Args:
        encoder: has a configuration, which says how masks look, and `layers`, which are blocks
            `(hidden, attention mask) -> hidden`.
        start, stop: as of `Backbone.tail`.
        front: `(hidden, valid frames) -> layer 0`, of a part that starts at the stem; None where
            the stem gives layer 0.
        dropout: probability, of what enters the first block of the encoder.
        norm: of the last layer of the encoder, or None.
    """

    def __init__(
        self,
        encoder: Any,
        start: int,
        stop: int,
        *,
        front: nn.Module | None = None,
        dropout: float = 0.0,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        last = len(encoder.layers)
        check_part(start, stop, last)
        self.config = encoder.config
        self.stem = start == STEM
        self.front = trainable(front) if front is not None and self.stem else None
        self.dropout = nn.Dropout(dropout if start <= 0 else 0.0)
        self.blocks = nn.ModuleList(trainable(b) for b in encoder.layers[max(start, 0) : stop])
        self.norm = trainable(norm) if norm is not None and stop == last else None
        # the copies come from an encoder in evaluation mode
        self.train()

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """The part's layers, of the frames of the layer or stem it starts from: `Backbone.tail`."""
        hidden, lengths = hidden.float(), lengths.to(hidden.device)
        valid = valid_frames(lengths, hidden.shape[1])
        if self.front is not None:
            hidden = self.front(hidden, valid)
        layers = [hidden] if self.stem else []
        mask = attention_mask(self.config, hidden, valid)
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden, mask)
            layers.append(hidden)
        if self.norm is not None:
            layers[-1] = self.norm(hidden)
        return Frames.same_lengths(layers, lengths)


def attention_mask(config: Any, hidden: torch.Tensor, valid: torch.Tensor) -> Any:
    """The mask a block takes, as the library makes it; None where every frame is valid."""
    from transformers.masking_utils import create_bidirectional_mask

    mask = None if bool(valid.all()) else valid
    return create_bidirectional_mask(config=config, inputs_embeds=hidden, attention_mask=mask)


class Wav2Vec2Front(nn.Module):
    """From the convolutions of wav2vec 2.0 to layer 0: projection, masks, positions, norm."""

    def __init__(self, model: Any, masks: nn.Module) -> None:
        super().__init__()
        self.projection = model.feature_projection
        self.masks = masks
        self.positions = model.encoder.pos_conv_embed
        # the stable variant normalises after the last block instead
        self.norm = None if model.config.do_stable_layer_norm else model.encoder.layer_norm
        self.dropout = model.encoder.dropout

    def forward(self, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(batch, frames, convolution width) and valid (batch, frames) → layer 0."""
        projected = self.projection(hidden)
        # some of the family return their normalised input as well
        hidden = projected[0] if isinstance(projected, tuple) else projected
        hidden = self.masks(hidden, valid)
        # the convolution over positions reads what is after a clip's end
        hidden = hidden.masked_fill(~valid[..., None], 0.0)
        hidden = hidden + self.positions(hidden)
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.dropout(hidden)
