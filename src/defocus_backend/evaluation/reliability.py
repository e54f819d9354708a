"""Calibration of the probabilities, and reliability of the confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: mean difference between confidence and accuracy, over equal bins.

    Parameters
    ----------
    confidence : (N,) array_like
        Predicted probability of being right, 0 to 1.
    right : (N,) array_like
        Whether the prediction was right, or to what degree, 0 to 1.
    bins : int
        Number of bins.
    """
    return float(sum(share * abs(seen - said) for share, said, seen in reliability(confidence, right, bins)))


def reliability(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> list[tuple[float, float, float]]:
    """For every bin that is not empty: its share of all predictions, its mean confidence and its accuracy."""
    said, seen = (np.asarray(values, dtype=np.float64) for values in (confidence, right))
    index = np.minimum((said * bins).astype(int), bins - 1)
    return [
        (float((index == n).mean()), float(said[index == n].mean()), float(seen[index == n].mean()))
        for n in np.unique(index)
    ]


def risk_coverage(error: ArrayLike, confidence: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean error of the most confident predictions, for every coverage (El-Yaniv and Wiener 2010).

    Parameters
    ----------
    error : (N,) array_like
        Absolute errors.
    confidence : (N,) array_like
        Confidence by which they are sorted, most confident first.

    Returns
    -------
    coverage, risk : (N,) arrays
        Share of predictions included, 1/N to 1, and their mean error.
    """
    wrong = np.asarray(error, dtype=np.float64)
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    kept = np.arange(1, len(wrong) + 1)
    return kept / len(wrong), np.cumsum(wrong[order]) / kept
