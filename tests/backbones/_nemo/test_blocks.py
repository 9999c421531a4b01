"""QuartzNet's blocks compute as they say."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from backbones._nemo.blocks import Conv


class Watch(TorchFunctionMode):
    """Notes in what each two-dimensional convolution computes, without letting it compute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, torch.dtype, torch.dtype]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.nn.functional.conv2d:
            image, weight = args[:2]
            self.seen.append((torch.is_autocast_enabled("cpu"), image.dtype, weight.dtype))
            return image.float()
        return func(*args, **(kwargs or {}))


def test_depthwise_convolution_is_float32_under_autocast() -> None:
    """In bfloat16 its kernel may never return, so it is not run to find out."""
    conv = Conv(
        torch.ones(4, 1, 1, 3), torch.ones(2, 4), torch.zeros(2), stride=1, padding=1, dilation=1
    )
    with torch.autocast("cpu", dtype=torch.bfloat16), Watch() as watch:
        made, _ = conv(torch.ones(1, 5, 4, dtype=torch.bfloat16), torch.tensor([5]))
    assert watch.seen == [(False, torch.float32, torch.float32)]
    assert made.dtype == torch.bfloat16
