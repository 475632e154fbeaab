"""Repeated sampling of training fields with rare labels."""

from __future__ import annotations

import numpy as np


def repeat_factors(indicator: np.ndarray, threshold: float) -> np.ndarray:
    """Return the expected number of times each field is used in an epoch.

    Parameters
    ----------
    indicator : ndarray of {0, 1}, shape (n, n_labels)
    threshold : float
        Prevalence below which a label counts as rare.

    Returns
    -------
    ndarray of float, shape (n,)
        ``max(1, sqrt(threshold / prevalence))`` of the rarest label of each
        field; 1 for fields without labels.

    References
    ----------
    .. [1] A. Gupta, P. Dollar and R. Girshick, "LVIS: A dataset for large
       vocabulary instance segmentation", CVPR 2019.
       :doi:`10.1109/CVPR.2019.00550`

    Examples
    --------
    >>> repeat_factors(np.array([[1, 0], [1, 0], [1, 0], [1, 1]]), threshold=1.0)
    array([1., 1., 1., 2.])
    """
    prevalence = np.maximum(indicator.mean(axis=0), 1 / max(len(indicator), 1))
    factors = np.maximum(1, np.sqrt(threshold / prevalence))
    return np.where(indicator > 0, factors, 1.0).max(axis=1, initial=1.0)


def repeated_rows(rows: np.ndarray, repeats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return rows repeated by the factors of `repeat_factors`, with random rounding."""
    whole = np.floor(repeats)
    counts = whole + (rng.random(len(rows)) < repeats - whole)
    return np.repeat(rows, counts.astype(int))
