"""Low-rank adapters on the linear layers of a module."""

from __future__ import annotations

import re

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from heads.base import HeadError

# How strongly an adapter adds to its layer; the common choice of alpha = 2 · rank.
_SCALE = 2


def adapt(module: nn.Module, rank: int) -> nn.Module:
    """Freeze a module and put trainable adapters beside its linear layers, in place.

    Args:
        module: to adapt.
        rank: of the adapters, at least 1.

    Raises:
        ValueError: the rank is less than 1.
        HeadError: there is no linear layer.

    References:
        Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
    """
    if rank < 1:
        raise ValueError(f"lora_rank must be at least 1, got {rank}")
    # not subclasses: some are only there to be read by the layer around them
    linear = [name for name, part in module.named_modules() if type(part) is nn.Linear]
    if not linear:
        raise HeadError(
            "the trained part of this backbone has no linear layer for LoRA to adapt; "
            "train its blocks instead (trained = 'blocks' or 'all')"
        )
    module.requires_grad_(False)
    # a list would be matched by the ends of names, an expression is matched in full
    names = "|".join(re.escape(name) for name in linear)
    config = LoraConfig(r=rank, lora_alpha=_SCALE * rank, target_modules=names)
    return inject_adapter_in_model(config, module)
