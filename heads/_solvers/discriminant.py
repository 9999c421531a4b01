"""Linear discriminant analysis with shrunk covariances, by products of clips.

scikit-learn's within-class covariance (`shrinkage="auto"`) is the mean over classes, by their share
of clips, of `(1 - λ) S + λ μ diag(s²)`: S the covariance of a class, s its features' standard
deviations, λ and μ those of Ledoit and Wolf on the standardised features. That is `Aᵀ A` plus a
diagonal, A with a row per clip, so of wide vectors only products of clips have to be factored.

References:
    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance
    matrices". Woodbury (1950), "Inverting modified matrices".
    scikit-learn: `sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]


class NotSolved(ArithmeticError):
    """The covariance cannot be inverted as it is; another solver has to be asked."""


def solve(X: NDArray[np.floating], y: NDArray[np.int64]) -> tuple[Doubles, Doubles]:
    """Fit by the shares of the classes and their means.

    Args:
        X: (clips, features).
        y: class of each clip (clips,), 0 to classes - 1, each of them present.

    Returns:
        Weights (classes, features) and intercepts (classes,), in float64.

    Raises:
        NotSolved: a feature has no variance left that a shrunk covariance could be divided by.
    """
    X = X.astype(np.float64)
    clips, features = X.shape
    shares = np.bincount(y) / clips
    means = np.empty((len(shares), features))
    rows = np.empty_like(X)
    diagonal = np.zeros(features)
    for label, share in enumerate(shares):
        members = y == label
        scaler = StandardScaler().fit(X[members])
        means[label] = scaler.mean_
        centred = X[members] - scaler.mean_
        shrinkage, mean_variance = _ledoit_wolf(centred / scaler.scale_)
        rows[members] = centred * np.sqrt((1 - shrinkage) / clips)
        diagonal += share * shrinkage * mean_variance * scaler.scale_**2
    coef = _divide(means, rows, diagonal)
    return coef, np.log(shares) - 0.5 * (means * coef).sum(axis=1)


def _ledoit_wolf(Z: Doubles) -> tuple[float, float]:
    """Shrinkage λ and mean variance μ of centred vectors (clips, features)."""
    clips, features = Z.shape
    products = Z @ Z.T if clips < features else Z.T @ Z
    lengths = np.einsum("ij,ij->i", Z, Z)
    mean_variance = float(lengths.sum() / clips / features)
    if features == 1:
        return 0.0, mean_variance
    # squares of all covariances, and how far those of single clips are from them
    squares = float((products * products).sum() / clips**2)
    error = float((lengths @ lengths) / clips - squares) / (features * clips)
    spread = squares / features - mean_variance**2
    error = min(error, spread)
    return (0.0 if error == 0 else error / spread), mean_variance


def _divide(means: Doubles, rows: Doubles, diagonal: Doubles) -> Doubles:
    """Solve `(rowsᵀ rows + diag(diagonal)) weights = means` for each mean; (classes, features)."""
    clips, features = rows.shape
    try:
        if features <= clips:
            covariance = rows.T @ rows
            covariance.flat[:: features + 1] += diagonal
            weights: Doubles = cho_solve(cho_factor(covariance), means.T).T
        elif diagonal.min() > 0:
            scaled = rows / diagonal
            inner = scaled @ rows.T
            inner.flat[:: clips + 1] += 1
            explained = cho_solve(cho_factor(inner), scaled @ means.T)
            weights = means / diagonal - explained.T @ scaled
        else:
            raise NotSolved("a feature is not shrunk at all")
    except (LinAlgError, ValueError) as error:
        raise NotSolved(f"the covariance cannot be factored: {error}") from error
    if not np.isfinite(weights).all():
        raise NotSolved("the weights are not finite")
    return weights
