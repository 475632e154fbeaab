"""Hand-crafted features of one field on one core, compared with alternatives.

By family at 512 px: hpastack, the straightforward calls of scikit-image and scipy for the
same columns (the slow versions that the tests use as reference), and cp_measure for the
features that both have. Then hpastack at 512, 1,024 and 2,048 px. The field is real if there
is one beside the checkout.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import REAL_DATA
from hpastack.features import (
    FAMILIES,
    chosen_families,
    feature_columns,
    field_features,
    segment_cells,
)
from hpastack.features.compartments.compartments import measure_compartments
from hpastack.features.grey_levels import grey_levels
from hpastack.features.texture.glcm import cooccurrence_features
from hpastack.fields import STAIN_INDEX, STAINS, read_field
from hpastack.synthetic import draw_field

SIZES = (512, 1024, 2048)
FIELD = "000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0"
DISTANCES = (1, 2, 4)


def main(data: Path | None = None) -> None:
    with threadpool_limits(1):
        n_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            _beside_others(data)
            _scale_up(data)
            if data is not None:
                _known_cells(data)
        finally:
            cv2.setNumThreads(n_threads)


def _field(data: Path | None, size: int) -> np.ndarray:
    if data is None:
        return draw_field("0 16", size=size, seed=0)
    folder = data / "fields" / "kaggle"
    return read_field({stain: folder / f"{FIELD}_{stain}.png" for stain in STAINS}, size)


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _beside_others(data: Path | None) -> None:
    field = _field(data, 512)
    straightforward, theirs = _straightforward(field), _cp_measure(field)
    print(
        f"features: {'a synthetic' if data is None else 'a real'} field at 512 px, one core; "
        "milliseconds (hpastack: median of 7, others: of 3)"
    )
    print(
        "family | columns | hpastack | straightforward | ratio | "
        "in common: hpastack / cp_measure | ratio"
    )
    sums, shared = np.zeros(2), np.zeros(2)
    for family in chosen_families():
        field_features(field, [family])  # the first call fills caches and is not timed
        ours = _milliseconds(lambda family=family: field_features(field, [family]), 7)
        plain = _milliseconds(straightforward[family], 3)
        sums += ours, plain
        row = [family, len(feature_columns([family])), f"{ours:.0f}"]
        row += [f"{plain:.0f}", f"{plain / ours:.1f}"]
        if family in theirs:
            alike, other = theirs[family]
            mine = ours if alike is None else _milliseconds(alike, 7)
            peer = _milliseconds(other, 3)
            shared += mine, peer
            row += [f"{mine:.0f} / {peer:.0f}", f"{peer / mine:.1f}"]
        print(" | ".join(map(str, row)))
    together = _milliseconds(lambda: field_features(field), 7)
    print(
        f"all | {len(feature_columns())} | {together:.0f} | {sums[1]:.0f} | "
        f"{sums[1] / together:.1f} | {shared[0]:.0f} / {shared[1]:.0f} | "
        f"{shared[1] / max(shared[0], 1e-9):.1f}"
    )


def _straightforward(field: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return functions that compute the columns of each family in the obvious way."""
    # The references of the tests, which are not a package.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from reference import (
        colocalisation,
        compartments,
        frequency,
        granularity,
        intensity,
        spots,
        texture_scales,
    )

    def of_each_stain(measure):
        return lambda: [measure(stain) for stain in field]

    def of_each_pair():
        for one, other in itertools.combinations(field, 2):
            colocalisation.colocalisation_of_pair(one, other)

    return {
        "intensity": of_each_stain(intensity.intensity_of_stain),
        "texture": of_each_stain(texture_scales.texture_of_stain),
        "granularity": of_each_stain(granularity.granularity_of_stain),
        "spots": lambda: spots.spots_of_stain(field[STAIN_INDEX["green"]]),
        "colocalisation": of_each_pair,
        "compartments": lambda: compartments.compartments_of_field(field),
        "frequency": of_each_stain(frequency.frequency_of_stain),
    }


def _cp_measure(field: np.ndarray) -> dict[str, tuple]:
    """Return, for each family of cp_measure, the columns to compare and its function."""
    try:
        from cp_measure.core import (
            measurecolocalization,
            measuregranularity,
            measureobjectintensity,
            measureobjectintensitydistribution,
            measureobjectsizeshape,
            measuretexture,
        )
    except ModuleNotFoundError:
        print("features: cp_measure is not installed: skipped")
        return {}
    whole = np.ones(field.shape[1:], np.int32)
    levels = np.stack([grey_levels(stain) for stain in field])
    stains = [image / 255 for image in levels]
    maps = segment_cells(field)

    def intensity():
        for stain in stains:
            measureobjectintensity.get_intensity(whole, stain)

    def texture():
        for stain in stains:
            for distance in DISTANCES:
                measuretexture.get_texture(whole, stain, scale=distance, gray_levels=32)

    def granularity():
        for stain in stains:
            measuregranularity.get_granularity(whole, stain, 0.5, 0.25, 10, 16)

    def colocalisation():
        for one, other in itertools.combinations(stains, 2):
            measurecolocalization.get_correlation_pearson(one, other, whole)
            measurecolocalization.get_correlation_manders_fold(one, other, whole)
            measurecolocalization.get_correlation_rwc(one, other, whole)
            measurecolocalization.get_correlation_overlap(one, other, whole)

    def compartments():
        green = stains[STAIN_INDEX["green"]]
        measureobjectsizeshape.get_sizeshape(maps.nuclei, None)
        with np.errstate(invalid="ignore"):
            measureobjectintensitydistribution.get_radial_distribution(
                maps.cells, green, bin_count=8
            )

    return {
        "intensity": (None, intensity),
        # cp_measure has co-occurrence at full scale only.
        "texture": (lambda: [cooccurrence_features(image) for image in levels], texture),
        "granularity": (None, granularity),
        "colocalisation": (None, colocalisation),
        # cp_measure takes given cells, so hpastack does here, too.
        "compartments": (lambda: measure_compartments(levels, maps), compartments),
    }


def _known_cells(data: Path) -> None:
    """Compare the cells with those of a neural network (HPA-Cell-Segmentation)."""
    n_known = n_matched = 0
    overlaps = []
    for place in sorted((data / "fields" / "kaggle").glob("*_cellmask.png")):
        stem = str(place).removesuffix("_cellmask.png")
        found = segment_cells(read_field({s: f"{stem}_{s}.png" for s in STAINS}, 512)).cells
        known = cv2.imread(str(place), cv2.IMREAD_UNCHANGED)
        known = cv2.resize(known, found.shape[::-1], interpolation=cv2.INTER_NEAREST)
        for number in np.unique(known[known > 0]):
            cell = known == number
            best = np.bincount(found[cell & (found > 0)], minlength=1).argmax()
            own = (found == best) & (best > 0)
            overlaps.append((cell & own).sum() / (cell | own).sum())
            n_known += 1
            n_matched += overlaps[-1] > 0.5
    print(
        f"features: {n_matched} of {n_known} cells of a neural network overlap one of hpastack "
        f"by more than half; median intersection over union {np.median(overlaps):.2f}"
    )


def _scale_up(data: Path | None) -> None:
    print(
        "family | "
        + " | ".join(f"{size} px" for size in SIZES)
        + " | ratio, for 16 times the pixels"
    )
    fields = {size: _field(data, size) for size in SIZES}
    totals = dict.fromkeys(SIZES, 0.0)
    for family in FAMILIES:
        times = []
        for size in SIZES:
            field_features(fields[size], [family])
            times.append(_milliseconds(lambda s=size, f=family: field_features(fields[s], [f]), 3))
            totals[size] += times[-1]
        row = [f"{time:.0f}" for time in times]
        print(" | ".join([family, *row, f"{times[-1] / times[0]:.1f}"]))
    row = [f"{total:.0f}" for total in totals.values()]
    print(" | ".join(["sum", *row, f"{totals[SIZES[-1]] / totals[SIZES[0]]:.1f}"]))


if __name__ == "__main__":
    main(REAL_DATA if REAL_DATA.is_dir() else None)
