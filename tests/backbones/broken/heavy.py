"""A backbone whose module imports torch when it is listed."""

from __future__ import annotations

import torch

from tests.backbones.broken.reference import Reference


class ImportsTorch(Reference):
    """Correct otherwise."""

    fails = "check_listing_is_light"
    zero = torch.tensor(0.0)
