"""Fitted heads as modules of torch, for graphs: see `Head.exported`.

Imports torch, so it is imported inside methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_LEAF = -1


class Linear(nn.Module):
    """One linear layer in float64, in which scikit-learn computes.

    Args:
        coef: (classes, features), or one row of two classes, for the second of them.
        intercept: (classes,) likewise.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, coef: NDArray[Any], intercept: NDArray[Any]) -> None:
        super().__init__()
        if len(coef) == 1:
            coef, intercept = np.vstack([0 * coef, coef]), np.append(0 * intercept, intercept)
        self.register_buffer("weight", torch.tensor(coef.T, dtype=torch.float64))
        self.register_buffer("bias", torch.tensor(intercept, dtype=torch.float64))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(clips, features) → (clips, classes)."""
        return vectors.double() @ self.weight + self.bias


class Hidden(nn.Module):
    """One hidden tanh layer in float32.

    Args:
        weights: (features, hidden) and (hidden, classes).
        biases: (hidden,) and (classes,).
    """

    def __init__(self, weights: Sequence[NDArray[Any]], biases: Sequence[NDArray[Any]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.tensor(own) for own in weights])
        self.biases = nn.ParameterList([torch.tensor(own) for own in biases])

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(clips, features) → (clips, classes)."""
        activity = torch.tanh(vectors @ self.weights[0] + self.biases[0])
        return activity @ self.weights[1] + self.biases[1]


@dataclass(frozen=True, eq=False)
class Tree:
    """A decision tree, each array (nodes,), the root first.

    Attributes:
        feature: column that a node looks at.
        threshold: values below it go left; of a leaf, what it adds.
        left, right: positions of nodes, -1 of leaves.
        label: class that it adds to.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    label: int

    @classmethod
    def of_xgboost(cls, tree: Any, label: int, columns: NDArray[np.int64]) -> Self:
        """A tree of XGBoost's model in JSON, on these columns of the vectors."""
        return cls(
            columns[np.array(tree["split_indices"], dtype=np.int64)],
            np.array(tree["split_conditions"], dtype=np.float32),
            np.array(tree["left_children"], dtype=np.int64),
            np.array(tree["right_children"], dtype=np.int64),
            label,
        )

    def depth(self, node: int = 0) -> int:
        """Decisions on the longest way to a leaf."""
        if self.left[node] == _LEAF:
            return 0
        return 1 + max(self.depth(int(own[node])) for own in (self.left, self.right))


class Trees(nn.Module):
    """The sum of what trees say, all walked down at once: leaves lead to themselves.

    Args:
        trees: of all classes.
        classes: how many there are.
    """

    feature: torch.Tensor
    threshold: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    roots: torch.Tensor
    adds: torch.Tensor

    def __init__(self, trees: Sequence[Tree], classes: int) -> None:
        super().__init__()
        sizes = [len(tree.left) for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]])
        own = np.arange(sum(sizes))
        first = np.repeat(roots, sizes)
        for side in ("left", "right"):
            to = np.concatenate([getattr(tree, side) for tree in trees])
            self.register_buffer(side, torch.tensor(np.where(to == _LEAF, own, to + first)))
        for name in ("feature", "threshold"):
            joined = np.concatenate([getattr(tree, name) for tree in trees])
            self.register_buffer(name, torch.tensor(joined))
        labels = np.array([tree.label for tree in trees])
        self.register_buffer("roots", torch.tensor(roots))
        self.register_buffer("adds", torch.tensor(np.eye(classes)[labels]))
        self.depth = max(tree.depth() for tree in trees)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(clips, features) → (clips, classes)."""
        at = self.roots.expand(vectors.shape[0], -1)
        for _ in range(self.depth):
            below = vectors.gather(1, self.feature[at]) < self.threshold[at]
            at = torch.where(below, self.left[at], self.right[at])
        return self.threshold[at].double() @ self.adds
