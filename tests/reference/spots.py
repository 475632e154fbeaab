"""Slow, obvious versions of spots and fibres: scikit-image and scipy, one call a step."""

import numpy as np
from scipy import ndimage
from skimage import feature, filters, measure, morphology

from hpastack.features.grey_levels import grey_levels, otsu_threshold
from hpastack.features.spots.fibres import SCALES as RIDGE_SCALES
from hpastack.features.spots.spots import SCALES as BLOB_SCALES


def sd_of_background(values):
    return 1.4826 * np.median(np.abs(values))


def gaussian(image, sd):
    return filters.gaussian(image, sd, mode="mirror", truncate=4, preserve_range=True)


def spots_of_stain(image):
    """Return the columns of spots and fibres of one stain, in their order."""
    levels = grey_levels(image).astype(float)
    per_pixels = 10_000 / levels.size
    values = {}
    for scale in BLOB_SCALES:
        wide = gaussian(levels, 1.6 * scale)
        difference = gaussian(levels, scale) - wide
        least = max(1.0, 4 * sd_of_background(difference))
        peaks = feature.peak_local_max(difference, threshold_abs=least, exclude_border=False)
        rows, columns = peaks.T
        out = difference >= least
        n = len(peaks)
        values[f"spots_blobs_s{scale}"] = n * per_pixels
        values[f"spots_blob_size_s{scale}"] = out.sum() / n if n else np.nan
        contrast = difference[rows, columns] / (wide[rows, columns] + 1)
        values[f"spots_blob_contrast_s{scale}"] = contrast.mean() if n else np.nan
        values[f"spots_blob_signal_s{scale}"] = difference[out].sum() / levels.sum() if n else 0.0
    values |= parts(levels, per_pixels)
    for scale in RIDGE_SCALES:
        values |= ridges(levels, scale)
    return values | skeleton(levels, per_pixels)


def parts(levels, per_pixels):
    smooth = gaussian(levels, 1)
    names = (
        "part_area_p10",
        "part_area_p50",
        "part_area_p90",
        "part_area_max",
        "part_eccentricity",
    )
    values = {"spots_parts": 0.0, **{f"spots_{name}": np.nan for name in names}}
    values["spots_euler_number"] = 0.0
    if smooth.max() == smooth.min():
        return values
    # Refined between levels, as judged in test_grey_levels.
    threshold = otsu_threshold(np.bincount(np.round(smooth).astype(int).ravel(), minlength=256))
    labels = measure.label(smooth > threshold, connectivity=2)
    labels = morphology.remove_small_objects(labels, max_size=7)
    found = measure.regionprops(labels)
    if not found:
        return values
    areas = np.array([one.area for one in found])
    values["spots_parts"] = len(found) * per_pixels
    for q in (10, 50, 90):
        values[f"spots_part_area_p{q}"] = np.percentile(areas, q)
    values["spots_part_area_max"] = areas.max() / areas.sum()
    eccentricities = [one.eccentricity for one in found]
    values["spots_part_eccentricity"] = np.average(eccentricities, weights=areas)
    values["spots_euler_number"] = measure.euler_number(labels > 0, connectivity=2) * per_pixels
    return values


def ridge_response(levels, scale):
    """Return curvature across and along, and the doubled direction across."""
    smooth = gaussian(levels, scale)
    by_column = ndimage.correlate1d(smooth, [1, -2, 1], axis=1, mode="mirror")
    by_row = ndimage.correlate1d(smooth, [1, -2, 1], axis=0, mode="mirror")
    mixed = ndimage.correlate1d(smooth, [-0.5, 0, 0.5], axis=1, mode="mirror")
    mixed = ndimage.correlate1d(mixed, [-0.5, 0, 0.5], axis=0, mode="mirror")
    high, low = feature.hessian_matrix_eigvals([by_row, mixed, by_column])
    across = np.clip(-low * scale**2, 0, None)
    along = np.clip(-high * scale**2, 0, None)
    doubled = np.arctan2(mixed, (by_column - by_row) / 2)
    return across, along, doubled


def ridges(levels, scale):
    across, along, doubled = ridge_response(levels, scale)
    names = [f"spots_ridge_{name}_s{scale}" for name in ("energy", "anisotropy", "alignment")]
    if across.sum() == 0 or across.sum() < 1e-6 * levels.sum():
        return dict.fromkeys(names, 0.0)
    values = (
        across.sum() / levels.sum(),
        (across.sum() - along.sum()) / (across.sum() + along.sum()),
        np.hypot((across * np.cos(doubled)).sum(), (across * np.sin(doubled)).sum()) / across.sum(),
    )
    return dict(zip(names, values))


def skeleton(levels, per_pixels):
    across = ridge_response(levels, RIDGE_SCALES[0])[0]
    mask = across >= max(2.0, 3 * sd_of_background(across))
    mask = morphology.remove_small_objects(mask, max_size=7, connectivity=2)
    thin = morphology.skeletonize(mask)
    if not thin.any():
        return {
            "spots_skeleton_length": 0.0,
            "spots_branch_points": 0.0,
            "spots_fibre_length": np.nan,
        }
    length = skeleton_length(thin)
    neighbours = ndimage.convolve(thin.astype(int), np.ones((3, 3), int), mode="constant") - 1
    branches = measure.label(thin & (neighbours >= 3), connectivity=2).max()
    return {
        "spots_skeleton_length": length * per_pixels,
        "spots_branch_points": branches * per_pixels,
        "spots_fibre_length": length / measure.label(thin, connectivity=2).max(),
    }


def skeleton_length(thin):
    """Add up the steps between neighbours; a diagonal one where no two straight ones join them."""
    points = {tuple(point) for point in np.argwhere(thin)}
    length = 0.0
    for row, column in points:
        length += ((row, column + 1) in points) + ((row + 1, column) in points)
        for step in (1, -1):
            corner = (row, column + step) in points or (row + 1, column) in points
            if (row + 1, column + step) in points and not corner:
                length += 2**0.5
    return length
