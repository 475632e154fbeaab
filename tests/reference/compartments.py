"""Slow, obvious versions of cells and compartments: scikit-image and scipy, cell by cell."""

import numpy as np
from scipy import ndimage
from skimage import feature, filters, measure, morphology, segmentation

from hpastack.features.compartments.compartments import MEANINGS
from hpastack.features.grey_levels import grey_levels, histogram_quantiles, otsu_threshold
from hpastack.features.spots.spots import blob_peaks, blob_response

REGIONS = ("outside", "nucleus", "rim", "nucleoli", "perinuclear", "cytoplasm", "edge")
PERCENTILES = {"p10": 10, "p50": 50, "p90": 90}


def compartments_of_field(field):
    """Return the columns of the family, with cells found the straightforward way."""
    levels = [grey_levels(stain) for stain in field]
    nuclei = nuclei_of(levels[2])
    return compartments_of_maps(levels, nuclei, cells_of(levels, nuclei))


def gaussian(image, sd):
    return filters.gaussian(image, sd, mode="mirror", truncate=4, preserve_range=True)


def otsu(values):
    top = values.max()
    counts = np.bincount(np.round(values / top * 255).astype(int).ravel(), minlength=256)
    return otsu_threshold(counts) * top / 255


def nuclei_of(blue):
    """Part nuclei by a watershed of the distance to the background, without joining parts."""
    unit = max(blue.shape) / 512
    logarithm = np.log1p(gaussian(blue.astype(float), max(unit, 0.75)) / 4)
    mask = morphology.remove_small_holes(
        logarithm > otsu(logarithm), max_size=int(np.pi * (8 * unit) ** 2)
    )
    mask = morphology.remove_small_objects(mask, max_size=int(np.pi * (5 * unit) ** 2))
    depth = gaussian(ndimage.distance_transform_edt(mask), max(1.5 * unit, 0.5))
    peaks = feature.peak_local_max(depth, min_distance=max(1, round(8 * unit)), labels=mask * 1)
    seeds = np.zeros(blue.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return segmentation.watershed(-depth, seeds, mask=mask).astype(np.int32)


def cells_of(levels, nuclei):
    unit = max(nuclei.shape) / 512
    roots = [np.sqrt(gaussian(levels[i].astype(float), max(3 * unit, 0.5))) for i in (0, 3)]
    brightness = sum(root / root.max() for root in roots)
    mask = (brightness > 0.75 * otsu(brightness)) | (nuclei > 0)
    return segmentation.watershed(-brightness, nuclei, mask=mask).astype(np.int32)


def depth_of(labels):
    """Return the distance to what is not of the same label, 0.5 where two labels touch."""
    touching = np.zeros(labels.shape, bool)
    for number in np.unique(labels[labels > 0]):
        own = labels == number
        beside = ndimage.binary_dilation(own) & (labels > 0) & ~own
        touching |= beside | (ndimage.binary_dilation(beside) & own)
    inner = (labels > 0) & ~touching
    depth = ndimage.distance_transform_edt(inner)
    depth[touching] = 0.5
    return depth


def regions_of(nuclei, cells, blue):
    """Return the region of each pixel, its ring, its depth in the nucleus and its way to one."""
    unit = max(nuclei.shape) / 512
    depth, edge = depth_of(nuclei), depth_of(cells)
    gap = ndimage.distance_transform_edt(nuclei == 0)
    smooth = gaussian(blue.astype(float), max(unit, 0.5))
    dark = np.zeros(nuclei.shape, bool)
    ring = np.zeros(nuclei.shape, int)
    for number in range(1, nuclei.max() + 1):
        own = nuclei == number
        values = np.sort(smooth[own])
        dark |= own & (smooth < 0.72 * values[len(values) // 2])
        ring[own] = np.minimum(4 * (1 - depth[own] / max(depth[own].max(), 1)), 7).astype(int)
    holes = measure.label(dark, connectivity=1)
    for one in measure.regionprops(holes):
        if one.area < 5 * unit**2:
            dark[holes == one.label] = False
    out = (cells > 0) & (nuclei == 0)
    ring[out] = np.minimum(4 * (1 + gap[out] / (gap[out] + edge[out])), 7).astype(int)

    region = np.full(nuclei.shape, "outside", dtype="<U11")
    region[cells > 0] = "cytoplasm"
    region[(cells > 0) & (edge <= max(3 * unit, 1))] = "edge"
    region[(cells > 0) & (gap <= max(4 * unit, 1))] = "perinuclear"
    region[nuclei > 0] = "nucleus"
    region[dark] = "nucleoli"
    region[(nuclei > 0) & (depth <= max(2 * unit, 1))] = "rim"
    return region, ring, depth, gap


def log_ratio(above, below):
    return np.log2((above + 1) / (below + 1))


def mean_of(values):
    return values.mean() if len(values) else np.nan


def summed_up(name, stain, values):
    values = np.array([value for value in values if not np.isnan(value)])
    found = {"mean": mean_of(values), "sd": values.std() if len(values) else np.nan}
    for summary, q in PERCENTILES.items():
        found[summary] = np.percentile(values, q) if len(values) else np.nan
    return {f"compartments_{name}_{summary}__{stain}": v for summary, v in found.items()}


def compartments_of_maps(levels, nuclei, cells):
    """Return the columns of the family for cells that are known."""
    red, green, blue = (levels[i].astype(float) for i in (0, 1, 2))
    unit = max(green.shape) / 512
    values = dict.fromkeys(MEANINGS, np.nan)
    n = int(nuclei.max())
    values["compartments_no_nucleus__blue"] = float(n == 0)
    values["compartments_nuclei__blue"] = n
    values["compartments_nuclei_area__blue"] = (nuclei > 0).mean()
    values["compartments_cells_area__field"] = (cells > 0).mean()
    region, ring, depth, gap = regions_of(nuclei, cells, blue)
    border = set(nuclei[0]) | set(nuclei[-1]) | set(nuclei[:, 0]) | set(nuclei[:, -1])
    whole = [number for number in range(1, n + 1) if number not in border]
    values["compartments_whole_nuclei__blue"] = len(whole)

    background = histogram_quantiles(np.bincount(levels[1].ravel(), minlength=256), [0.01])[0]
    signal = np.maximum(green - background, 0)
    for name in REGIONS:
        inside = region == name
        share = signal[inside].sum() / signal.sum() if signal.any() else 0.0
        values[f"compartments_share_{name}__green"] = share
        ratio = log_ratio(mean_of(green[inside]), green.mean())
        values[f"compartments_ratio_{name}__green"] = ratio

    found = {one.label: one for one in measure.regionprops(nuclei)}
    centres = np.array([found[number].centroid for number in range(1, n + 1)]).reshape(n, 2)
    if n > 1:
        ways = [sorted(np.hypot(*(centres - centre).T))[1] for centre in centres]
        values["compartments_nuclei_apart__blue"] = np.median(ways) / unit
    shapes = [shape_of(found[number], blue, region, unit) for number in whole]
    for name in ("area", "eccentricity", "solidity", "form_factor", "level", "cv", "nucleoli"):
        values |= summed_up(f"nucleus_{name}", "blue", [shape[name] for shape in shapes])

    rows, columns = blob_peaks(*blob_response(levels[1], max(1.5 * unit, 0.7))[::2])
    spots = np.zeros(green.shape, bool)
    spots[rows, columns] = True
    in_cells = spots & (cells > 0)
    if in_cells.any():
        values["compartments_spots_nuclear__green"] = (nuclei[in_cells] > 0).mean()
        values["compartments_spots_to_rim__green"] = (gap - depth)[in_cells].mean() / unit
    bright_green = gaussian(green, max(1.5 * unit, 0.5))
    bright_red = gaussian(red, max(2 * unit, 0.5))
    of_cells, of_rings = [], []
    for number in whole:
        own, nucleus = cells == number, nuclei == number
        radius = np.sqrt(nucleus.sum() / np.pi)
        centre = centres[number - 1]
        one = protein_of(green, own, nucleus, region)
        if green[own].any():
            mass = ndimage.center_of_mass(green, own.astype(int), 1)
            one["polarity"] = np.hypot(*(mass - centre)) / radius
        else:
            one["polarity"] = 0.0
        one["spots"] = (spots & own).sum()
        one["peak_to_rim"] = one["peak_to_focus"] = np.nan
        peak, focus = brightest(bright_green, own), brightest(bright_red, own & (nuclei == 0))
        if peak is not None:
            one["peak_to_rim"] = (gap - depth)[peak] / radius
            if focus is not None:
                one["peak_to_focus"] = np.hypot(*np.subtract(peak, focus)) / radius
        of_cells.append(one)
        of_rings.append(rings_of(green, own, ring, centre))
    for name in of_cells[0] if of_cells else ():
        values |= summed_up(f"cell_{name}", "green", [one[name] for one in of_cells])
    for k in range(8):
        for name in ("mean", "cv"):
            known = [one[name][k] for one in of_rings if not np.isnan(one[name][k])]
            values[f"compartments_ring_{name}_{k + 1}__green"] = mean_of(np.array(known))
    return values


def shape_of(one, blue, region, unit):
    own = blue[tuple(one.coords.T)]
    return {
        "area": one.area / unit**2,
        "eccentricity": one.eccentricity,
        "solidity": one.solidity,
        "form_factor": 4 * np.pi * one.area / one.perimeter**2 if one.perimeter else np.nan,
        "level": own.mean() / 255,
        "cv": own.std() / (own.mean() + 1),
        "nucleoli": (region[tuple(one.coords.T)] == "nucleoli").mean(),
    }


def protein_of(green, own, nucleus, region):
    cytoplasm = own & ~np.isin(region, ("nucleus", "rim", "nucleoli"))
    of = {name: mean_of(green[own & (region == name)]) for name in REGIONS}
    return {
        "level": green[own].mean() / 255,
        "nuclear_share": green[nucleus].sum() / green[own].sum() if green[own].any() else 0.0,
        "nuclear_ratio": log_ratio(green[nucleus].mean(), mean_of(green[cytoplasm])),
        "rim_ratio": log_ratio(of["rim"], of["nucleus"]),
        "nucleoli_ratio": log_ratio(of["nucleoli"], of["nucleus"]),
        "perinuclear_ratio": log_ratio(of["perinuclear"], of["cytoplasm"]),
        "edge_ratio": log_ratio(of["edge"], of["cytoplasm"]),
        "nuclear_cv": green[nucleus].std() / (green[nucleus].mean() + 1),
        "cytoplasmic_cv": variation(green[cytoplasm]),
    }


def variation(values):
    return values.std() / (values.mean() + 1) if len(values) else np.nan


def brightest(smooth, inside):
    if not inside.any() or smooth[inside].max() <= 0:
        return None
    return np.unravel_index(np.argmax(np.where(inside, smooth, -1)), smooth.shape)


def rings_of(green, own, ring, centre):
    rows, columns = np.indices(green.shape)
    down, right = rows - centre[0], columns - centre[1]
    wedge = (down > 0) + 2 * (right > 0) + 4 * (abs(down) > abs(right))
    means, variations = np.full(8, np.nan), np.full(8, np.nan)
    for k in range(8):
        inside = own & (ring == k)
        if inside.any():
            means[k] = log_ratio(green[inside].mean(), green[own].mean())
            of_wedges = np.array([green[inside & (wedge == w)].mean() for w in set(wedge[inside])])
            variations[k] = variation(of_wedges)
    return {"mean": means, "cv": variations}
