"""The blocks of QuartzNet as modules, for encoding and for training.

Imports torch, so it is imported inside methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import relu

from backbones._tensors.frames import trainable, valid_frames, zero_padding
from backbones.base import Frames


class Conv(nn.Module):
    """A convolution over time, optional, then one over channels, on (batch, frames, width).

    Batch normalisation is folded into `pointwise`. The depthwise part is always float32, under
    autocast too: oneDNN's bfloat16 kernel for it never returns at some widths and numbers of
    threads (torch 2.13), and it is bound by memory, not by arithmetic.

    Args:
        depthwise: weight (width, 1, 1, kernel) of the convolution over time, or None.
        pointwise: weight (new width, width) of the convolution over channels.
        bias: (new width,).
        stride, padding, dilation: of the convolution over time, in frames; padding on each side.
    """

    def __init__(
        self,
        depthwise: torch.Tensor | None,
        pointwise: torch.Tensor,
        bias: torch.Tensor,
        *,
        stride: int,
        padding: int,
        dilation: int,
    ) -> None:
        super().__init__()
        self.depthwise = None if depthwise is None else nn.Parameter(depthwise)
        with torch.device("meta"):
            self.pointwise = nn.Linear(pointwise.shape[1], pointwise.shape[0])
        self.pointwise.weight, self.pointwise.bias = nn.Parameter(pointwise), nn.Parameter(bias)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, frames, width) and valid frames → the same after the convolution."""
        if self.depthwise is not None:
            with torch.autocast(x.device.type, enabled=False):
                x = self.over_time(x.float(), self.depthwise)
            x = x.to(self.pointwise.weight.dtype)
            reach = self.dilation * (self.depthwise.shape[-1] - 1)
            lengths = (lengths + 2 * self.padding - reach - 1) // self.stride + 1
        return self.pointwise(x), lengths

    def over_time(self, x: torch.Tensor, depthwise: torch.Tensor) -> torch.Tensor:
        """Convolve (batch, frames, width) over time, in the dtype of both."""
        # (batch, frames, width) in memory is what a channels-last (batch, width, 1, frames)
        # looks like, and that is the layout with a fast depthwise kernel
        image = nn.functional.conv2d(
            x.transpose(1, 2).unsqueeze(2),
            depthwise,
            stride=(1, self.stride),
            padding=(0, self.padding),
            dilation=(1, self.dilation),
            groups=depthwise.shape[0],
        )
        return image.squeeze(2).transpose(1, 2)


class ConvBlock(nn.Module):
    """Convolutions one after the other, with a shortcut around them where there is one."""

    def __init__(self, body: Sequence[Conv], residual: Conv | None) -> None:
        super().__init__()
        self.body = nn.ModuleList(body)
        self.residual = residual

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, frames, width) and valid frames → the same after this block."""
        shortcut = None if self.residual is None else self.residual(x, lengths)[0]
        for index, conv in enumerate(self.body):
            x, lengths = conv(x, lengths)
            if shortcut is not None and index == len(self.body) - 1:
                x = x + shortcut
            # Padding has to be zero before each convolution over time, as silence is not. Written
            # in place before the relu: autograd keeps what comes out of that, not what goes in.
            x = relu(_zero_padding_(x, lengths))
        return x, lengths


class QuartzNetTail(nn.Module):
    """Blocks one after the other, on layer 0 or on a later layer.

    Batch normalisation stays folded into the convolutions, which makes training it the same as
    fine-tuning with frozen batch statistics.

    Args:
        blocks: frozen blocks, copied.
        first: the part starts at layer 0, which is normalised before the first block.
        stem: layer 0 comes out as well.
    """

    def __init__(self, blocks: Iterable[ConvBlock], *, first: bool, stem: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(trainable(block) for block in blocks)
        self.first, self.stem = first, stem
        # the copies come from an encoder in evaluation mode
        self.train()

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """The part's layers, of the frames of the layer it starts from: see `Backbone.tail`."""
        hidden, lengths = hidden.float(), lengths.to(hidden.device)
        layers, valid = ([hidden], [lengths]) if self.stem else ([], [])
        x = normalised(hidden, lengths) if self.first else zero_padding(hidden, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
            layers.append(x)
            valid.append(lengths)
        return Frames(layers, valid)


def normalised(mel: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Layer 0 with zero mean and unit deviation per clip and band, zero after each clip's end."""
    from nemo.collections.asr.parts.preprocessing.features import normalize_batch

    bands, _, _ = normalize_batch(mel.transpose(1, 2), lengths, "per_feature")
    return bands.transpose(1, 2).contiguous()


def fold_block(block: Any, *, device: str, dtype: torch.dtype) -> ConvBlock:
    """One of NeMo's `JasperBlock`s with its batch normalisation folded in, frozen."""

    def fold(modules: Sequence[nn.Module]) -> list[Conv]:
        convs: list[Conv] = []
        depthwise: Any = None
        pointwise: Any = None
        for module in modules:
            conv = getattr(module, "conv", None)
            if isinstance(conv, nn.Conv1d) and conv.groups > 1:
                depthwise = conv
            elif isinstance(conv, nn.Conv1d):
                pointwise = conv
            elif isinstance(module, nn.BatchNorm1d):
                fused: Any = torch.nn.utils.fuse_conv_bn_eval(pointwise, module)
                over_time = depthwise if depthwise is not None else pointwise
                convs.append(
                    Conv(
                        None if depthwise is None else depthwise.weight.unsqueeze(2).to(device),
                        fused.weight.squeeze(2).to(device, dtype),
                        fused.bias.to(device, dtype),
                        stride=over_time.stride[0],
                        padding=over_time.padding[0],
                        dilation=over_time.dilation[0],
                    )
                )
                depthwise = None
        return convs

    with torch.no_grad():
        residual = None if block.res is None else fold(block.res[0])[0]
        return ConvBlock(fold(block.mconv), residual).eval().requires_grad_(False)


def _zero_padding_(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    if bool((lengths == x.shape[1]).all()):
        return x
    return x.masked_fill_(~valid_frames(lengths, x.shape[1])[..., None], 0.0)
