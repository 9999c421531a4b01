"""Linear discriminant analysis as a head: scikit-learn's, and the quicker one of a search."""

from __future__ import annotations

import numpy as np
import pytest

from heads import lda
from heads._solvers.discriminant import NotSolved
from heads.lda import LDAHead
from tests.heads._solvers.test_multinomial import SHAPES, clips_of


def searched(X: np.ndarray, y: np.ndarray) -> LDAHead:
    (head,) = LDAHead.fit_many(X, y, [{}], pooling="mean", random_state=0, n_jobs=1)
    return head


def test_there_is_one_setting() -> None:
    assert LDAHead.grid() == ({},)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_search_sees_the_probabilities_of_a_fit(shape: str) -> None:
    X, y = clips_of(shape)
    labels = np.array(["calm", "happy", "sad", "angry", "afraid", "bored"])[y]
    fitted, quick = LDAHead().fit(X, labels), searched(X, labels)
    assert (quick.classes_ == fitted.classes_).all()
    assert np.abs(quick.predict_proba(X) - fitted.predict_proba(X)).max() < 1e-4


def test_what_is_not_shrunk_is_fitted_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise NotSolved("a feature is not shrunk at all")

    monkeypatch.setattr(lda, "solve", fails)
    X, y = clips_of("wide, noise")
    assert (searched(X, y).predict_proba(X) == LDAHead().fit(X, y).predict_proba(X)).all()


def test_clips_that_cannot_be_fitted_are_refused() -> None:
    X, y = clips_of("wide, noise")
    with pytest.raises(ValueError, match="at least two classes"):
        searched(X, np.zeros_like(y))
