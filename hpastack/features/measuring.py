"""All hand-crafted features of one field."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from hpastack.features.grey_levels import field_levels
from hpastack.features.orientation import canonical_position
from hpastack.features.registry import FAMILIES, chosen_families, columns_of_stains
from hpastack.fields.stains import measured_stains


def field_features(field: np.ndarray, families: Iterable[str] | None = None) -> dict[str, float]:
    """Measure the hand-crafted features of a field.

    The field is first rounded to grey levels and brought into its canonical orientation
    (`canonical_position`), so that rotating it by multiples of 90 degrees and flipping it
    leave every value unchanged.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1]. Intensities are quantised to
        256 grey levels over [0, 1], so images of a camera that uses part of its range
        (12 of 16 bits) must be scaled to the full range, as `read_field` does from
        the catalogue's ``bits``. A field of dtype uint8 is taken as grey levels.
        A stain that is all NaN is missing, as `read_field` returns it.
    families : iterable of str, optional
        As `chosen_families`.

    Returns
    -------
    dict of str to float
        The columns of `feature_columns`, in that order; for a field that lacks
        a stain, those of `columns_of_stains`. Only the columns of
        `undefined_columns` can be NaN.

    Raises
    ------
    InputError
        If `field` does not have that shape or range or is too small for a family,
        or a family is unknown or needs a stain that is
        missing.
    RuntimeError
        If a family violates its contract: other columns, infinity, or NaN in any other column.

    Examples
    --------
    >>> import numpy as np
    >>> values = field_features(np.zeros((4, 32, 32)), families=["intensity"])
    >>> len(values), values["intensity_mean__green"]
    (72, 0.0)
    """
    families = chosen_families(families)
    levels = field_levels(field)
    wanted = columns_of_stains(families, measured_stains(np.asarray(field)))
    levels = canonical_position(levels)
    values: dict[str, float] = {}
    for name in families:
        family = FAMILIES[name]
        measured = family.measure(levels)
        if list(measured) != list(family.meanings):
            raise RuntimeError(f"the family {name} returned other columns than it declares")
        for column, value in measured.items():
            if not math.isfinite(value) and not (math.isnan(value) and column in family.undefined):
                raise RuntimeError(f"{column} is {value}, which it must never be")
        values.update(measured)
    return {column: values[column] for column in wanted}
