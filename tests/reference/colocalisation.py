"""Slow, obvious version of the co-localisation features, pixel by pixel, with scipy."""

import numpy as np
from scipy import stats
from skimage.metrics import structural_similarity

from hpastack.features.grey_levels import otsu_threshold


def shares(values, others, above, others_above, weights):
    """Return the weighted share of the signal of each stain that lies on that of the other."""
    both = above * others_above * weights
    return [
        float((signal * both).sum() / (signal * own).sum()) if (signal * own).any() else 0.0
        for signal, own in ((values, above), (others, others_above))
    ]


def colocalisation_of_pair(image, reference):
    """Return correlations, shares and similarity; neither stain may be constant."""
    levels = [
        np.rint(np.asarray(stain) * np.float32(255)).astype(np.float64)
        for stain in (image, reference)
    ]
    first, second = (stain.ravel() for stain in levels)
    # A level across whose width the threshold falls counts in part.
    above = [
        np.clip(stain + 0.5 - otsu_threshold(np.bincount(stain.astype(int), minlength=256)), 0, 1)
        for stain in (first, second)
    ]
    ranks = [stats.rankdata(stain, method="dense") for stain in (first, second)]
    alike = 1 - np.abs(ranks[0] - ranks[1]) / max(ranks[0].max(), ranks[1].max())
    m1, m2 = shares(first, second, *above, 1)
    rwc1, rwc2 = shares(first, second, *above, alike)
    return {
        "colocalisation_pearson": float(stats.pearsonr(first, second).statistic),
        "colocalisation_spearman": float(stats.spearmanr(first, second).statistic),
        "colocalisation_m1": m1,
        "colocalisation_m2": m2,
        "colocalisation_overlap": float(
            (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
        ),
        "colocalisation_slope": float(stats.linregress(second, first).slope),
        "colocalisation_rwc1": rwc1,
        "colocalisation_rwc2": rwc2,
        "colocalisation_ssim": float(structural_similarity(*levels, data_range=255)),
    }
