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

    The field is first rounded to grey levels and rotated and flipped into a canonical
    orientation (`canonical_position`), so that the features do not change if the field is
    rotated by multiples of 90 degrees or flipped.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1]. Intensities are quantised to
        256 grey levels over [0, 1], so images of a camera that uses only part of the range
        (12 of 16 bits) must be scaled to the full range, as `read_field` does by
        the catalogue's ``bits``. A field of dtype uint8 is taken as grey levels.
        A stain that is all NaN counts as missing; `read_field` returns missing stains so.
    families : iterable of str, optional
        Names of families, from `FAMILIES`: ``intensity``, ``texture``, ``granularity``,
        ``spots``, ``colocalisation``, ``compartments``, ``frequency``, ``minimal``. Default:
        all except ``minimal``.

    Returns
    -------
    dict of str to float
        Value of each column, named and ordered as by `feature_columns`; for a field that
        lacks a stain, as by `columns_of_stains`. `describe_columns` explains the columns. Only
        those of `undefined_columns` can be NaN.

    Raises
    ------
    InputError
        If `field` does not have this shape or range or is too small for a family,
        or a family is unknown or needs a stain that is missing.
    RuntimeError
        If a family returns columns other than those it declares, infinity, or NaN in a column
        that must not be NaN: a bug of the family.

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
