"""Colour images of one stain -> one plane, by grey or by the tint of the stain."""

from __future__ import annotations

import numpy as np

from hpastack.fields.formats.faults import FileFault, StrPath

# Planes of an RGB image that the tint of each stain uses.
TINT_PLANES = {"red": (0,), "green": (1,), "blue": (2,), "yellow": (0, 1)}

# Largest part of the energy (sum of squares) of an RGB image that may lie off grey, or off the
# tint of its stain. HPA's own JPEG have up to 0.009 off their tint, from chroma subsampling, and
# the dimmest that could be of use 0.25; a wrong tint has 0.46 or more, a yellow stain 0.2 off grey.
_OFF_GREY = 0.02
_OFF_TINT = 0.35


def reduce_planes(planes: np.ndarray, stain: str, noise: float, path: StrPath) -> np.ndarray:
    """Reduce R, G and B to one plane, by grey or by the tint of the stain."""
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
        # What is left of the planes after taking away the mean of those used.
        if total - energy[np.ix_(used, used)].sum() / len(used) <= limit:
            return planes[used].mean(axis=0) if len(used) > 1 else planes[used[0]]
    means = ", ".join(f"{name} {plane.mean():.3f}" for name, plane in zip("RGB", planes))
    raise FileFault(
        path,
        f"its colour is not that of the {stain} stain (mean {means}); "
        "save it as grey, or check that it is the right file",
    )
