"""How large a network may be: by its settings before it is built, then by the weights it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones.base import WeightsMismatch, shown
from backbones.reading import (
    FRAME_RATES,
    MOST_LISTED,
    MOST_OF_SETTINGS,
    MOST_PARAMETERS,
    RATES,
    WINDOWS,
    size,
)

if TYPE_CHECKING:
    import torch


def require_sensible(settings: Any, name: str = "") -> None:
    """Refuse numbers and lists with which building alone would take all memory, or hours.

    Sample rates are not looked at (`require_rates`), nor are the numbers of words.

    Raises:
        ValueError: a setting is too large, or no number at all.
    """
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            require_sensible(value, str(key))
    elif isinstance(settings, list | tuple):
        if len(settings) > MOST_LISTED:
            raise ValueError(f"{shown(name)} with more than {MOST_LISTED} entries")
        for value in settings:
            require_sensible(value, name)
    elif isinstance(settings, int | float) and not any(
        part in name for part in ("sample_rate", "sampling_rate", "vocab", "_token")
    ):
        most = next(most for part, most in MOST_OF_SETTINGS.items() if part in name)
        if not abs(settings) <= most:
            raise ValueError(f"{shown(name)} = {shown(settings)}, beyond the limit of {most}")


def require_rates(found: Any) -> None:
    """Refuse the rates and sizes of a backbone's record (or of what becomes one).

    Raises:
        ValueError: one is not positive, or beyond anything that exists.
    """
    limits = {
        "sample_rate": RATES,
        "layers": (1, MOST_OF_SETTINGS["layers"] + 1),
        "width": (1, MOST_OF_SETTINGS[""]),
        "frame_rate": FRAME_RATES,
        "max_seconds": WINDOWS,
    }
    for name, (least, most) in limits.items():
        value = getattr(found, name)
        if not least <= value <= most:
            raise ValueError(f"a {name} of {shown(value)}, outside of {least} to {most}")


def require_fillable(network: torch.nn.Module, source: str, weights: int | None = None) -> int:
    """Count a network's parameters, on the meta device, and refuse it where nothing can fill it.

    Args:
        weights: bytes of its weights, of which each parameter takes one or more; None where there
            are none.

    Raises:
        WeightsMismatch: it has more parameters than that, or than any network.
    """
    count = sum(parameter.numel() for parameter in network.parameters())
    if weights is not None and count > weights:
        raise WeightsMismatch(
            f"{source}: its settings describe {count:,} parameters, more than its weights of "
            f"{size(weights)} can fill; get the published ones again"
        )
    if count > MOST_PARAMETERS:
        raise WeightsMismatch(
            f"{source}: its settings describe {count:,} parameters, more than the "
            f"{MOST_PARAMETERS:,} that any network here may have; get the published ones again"
        )
    return count
