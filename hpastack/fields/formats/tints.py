"""Reduce a colour image of one stain to one plane, as grey or by the tint of the stain."""

from __future__ import annotations

import numpy as np

from hpastack.fields.formats.faults import FileFault, StrPath

# Planes of an RGB image used by the tint of each stain.
TINT_PLANES = {"red": (0,), "green": (1,), "blue": (2,), "yellow": (0, 1)}

# Largest fraction of the energy (sum of squares) of an RGB image that may deviate from grey, or
# from the tint of its stain. HPA's own JPEG files deviate from their tint by up to 0.009, from
# chroma subsampling, and the dimmest usable ones by 0.25; a wrong tint deviates by 0.46 or more,
# and a yellow stain deviates from grey by 0.2.
_OFF_GREY = 0.02
_OFF_TINT = 0.35


def reduce_planes(planes: np.ndarray, stain: str, noise: float, path: StrPath) -> np.ndarray:
    """Reduce R, G and B to one plane, as grey or by the tint of the stain."""
    if np.array_equal(planes[0], planes[1]) and np.array_equal(planes[0], planes[2]):
        return planes[0]
    flat = planes.reshape(3, -1)
    energy = flat @ flat.T / flat.shape[1]  # (3, 3), means over the pixels of plane times plane
    total = np.trace(energy)
    tint = list(TINT_PLANES[stain])
    for used, limit in (
        ([0, 1, 2], _OFF_GREY * total),
        (tint, max(_OFF_TINT * total, noise**2)),
    ):
        # Energy that remains after subtracting the mean of the planes used.
        if total - energy[np.ix_(used, used)].sum() / len(used) <= limit:
            return planes[used].mean(axis=0) if len(used) > 1 else planes[used[0]]
    means = ", ".join(f"{name} {plane.mean():.3f}" for name, plane in zip("RGB", planes))
    raise FileFault(
        path,
        f"its colour does not match the {stain} stain (mean {means}); "
        "save it as grey, or check that it is the right file",
    )
