"""What the configuration in a NeMo archive says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones.base import WeightsMismatch, shown


def target_of(config: Mapping[str, Any], name: str) -> str:
    """The class that a part of a NeMo configuration names, without its module; or nothing."""
    part = config.get(name)
    found = (part.get("_target_") or part.get("cls") or "") if isinstance(part, dict) else ""
    return str(found).rpartition(".")[2]


def section(config: Mapping[str, Any], name: str, target: str, source: Path) -> dict[str, Any]:
    """One part of a NeMo configuration, in the style of today or of 2020 (`cls`, `params`)."""
    if target_of(config, name) == target:
        parameters = config[name].get("params", config[name])
        if isinstance(parameters, dict):
            return {str(key): value for key, value in parameters.items() if key != "_target_"}
    raise WeightsMismatch(f"{source}: the {name} in its model_config.yaml is not a {target}.")


def expect(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Refuse a configuration that says something else than `wanted`; saying nothing is fine."""
    for key, value in wanted.items():
        if found.get(key, value) != value:
            raise WeightsMismatch(
                f"{where} has {key} = {shown(found[key])}, wanted is {value}: this is another "
                "model, get the published archive."
            )
