"""Co-localisation: whether two stains are found in the same places."""

from __future__ import annotations

import numpy as np

from hpastack.errors import InputError
from hpastack.features.grey_levels import N_LEVELS, grey_levels, otsu_threshold, weights_above

#: What each value means, in the order of `colocalisation_features`; ``{reference}`` and
#: ``{stain}`` are filled in.
MEANINGS = {
    "colocalisation_pearson": "Pearson correlation of {stain} with {reference}, pixel by pixel",
    "colocalisation_spearman": "rank correlation of {stain} with {reference}, pixel by pixel",
    "colocalisation_m1": "share of the signal of {stain} that lies on signal of {reference}",
    "colocalisation_m2": "share of the signal of {reference} that lies on signal of {stain}",
    "colocalisation_overlap": "overlap coefficient of {stain} with {reference}",
    "colocalisation_slope": "slope of the line that gives {stain} from {reference}",
}


def colocalisation_features(image, reference) -> dict[str, float]:
    """Measure how far one stain goes with another.

    All values come from the joint histogram of the 256 grey levels of both
    stains, so the place of a pixel does not matter, ranks are exact (ties get
    their mean rank) and nothing is sampled.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        The stain asked about, in [0, 1].
    reference : ndarray of float, shape (H, W)
        The stain it is compared with, in [0, 1].

    Returns
    -------
    dict of str to float
        Six values named ``colocalisation_<property>``: pearson; spearman; m1
        and m2 (Manders: of the summed intensity of `image` above its own
        Otsu threshold, the share at pixels where `reference` is above its own;
        m2 the other way round); overlap (sum of products over the root of the
        product of the sums of squares); slope (least squares, `image` from
        `reference`).

    Raises
    ------
    InputError
        If the two differ in shape, or either is not 2-D, is not finite or
        leaves [0, 1].

    Notes
    -----
    If either is constant, all but overlap are 0; overlap is 0 if either is
    black.

    References
    ----------
    .. [1] E. M. M. Manders, F. J. Verbeek and J. A. Aten, "Measurement of
       co-localization of objects in dual-colour confocal images", J. Microsc.
       169(3), 375-382, 1993. :doi:`10.1111/j.1365-2818.1993.tb03313.x`

    Examples
    --------
    >>> reference = np.array([[0.0, 0.2], [0.8, 1.0]])
    >>> values = colocalisation_features(reference / 2, reference)
    >>> values["colocalisation_m1"], round(values["colocalisation_slope"], 2)
    (1.0, 0.5)
    """
    first, second = grey_levels(image), grey_levels(reference)
    if first.shape != second.shape:
        raise InputError(f"stains of shape {first.shape} and {second.shape} cannot be compared")
    pairs = first.astype(np.intp) * N_LEVELS + second
    joint = np.bincount(pairs.ravel(), minlength=N_LEVELS**2).reshape(N_LEVELS, N_LEVELS)
    return dict(zip(MEANINGS, _compare(joint), strict=True))


def _compare(joint: np.ndarray) -> list[float]:
    levels = np.arange(N_LEVELS)
    counts = joint.sum(axis=1), joint.sum(axis=0)
    squares = [float((c * levels**2).sum()) for c in counts]
    products = float(levels @ joint @ levels)
    overlap = products / (squares[0] * squares[1]) ** 0.5 if all(squares) else 0.0
    if any(np.count_nonzero(c) == 1 for c in counts):
        return [0.0, 0.0, 0.0, 0.0, overlap, 0.0]

    pearson, covariance, variances = _correlation(joint, counts, (levels, levels))
    ranks = tuple(np.cumsum(c) - (c - 1) / 2 for c in counts)
    spearman, _, _ = _correlation(joint, counts, ranks)

    above = [weights_above(otsu_threshold(c)) for c in counts]
    both = above[0][:, None] * joint * above[1]
    shares = [
        float(
            (both.sum(axis=1 - axis) * levels).sum() / (counts[axis] * above[axis] * levels).sum()
        )
        for axis in (0, 1)
    ]
    return [pearson, spearman, *shares, overlap, covariance / variances[1]]


def _correlation(joint, counts, values) -> tuple[float, float, list[float]]:
    """Return the correlation, covariance and variances of values given to the levels."""
    n = joint.sum()
    centred = [v - (c * v).sum() / n for c, v in zip(counts, values)]
    variances = [float((c * v**2).sum() / n) for c, v in zip(counts, centred)]
    covariance = float(centred[0] @ joint @ centred[1] / n)
    correlation = covariance / (variances[0] * variances[1]) ** 0.5
    return float(np.clip(correlation, -1, 1)), covariance, variances
