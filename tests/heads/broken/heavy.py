"""A correct head in a module that imports what takes seconds."""

from __future__ import annotations

import torch

from tests.heads.broken.vectors import Centroids

HIDDEN = torch.float32


class ImportsTorch(Centroids):
    pass
