"""Every hand-crafted feature of one field."""

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

    The field is rounded to grey levels and brought to one position first
    (`canonical_position`), so that turning it by quarters and mirroring it
    leave every value as it is.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1]. Intensities are cut at
        256 grey levels over [0, 1], so a camera that uses a part of its range
        (12 of 16 bits) is to be scaled to all of it, as `read_field` does by
        the catalogue's ``bits``. A field of dtype uint8 holds grey levels
        already. A stain that is all NaN is missing, as `read_field` gives it.
    families : iterable of str, optional
        As `chosen_families`.

    Returns
    -------
    dict of str to float
        The columns of `feature_columns`, in that order; of a field that lacks
        a stain, those of `columns_of_stains`. NaN is a value of the columns of
        `undefined_columns` only.

    Raises
    ------
    InputError
        If `field` is not of that shape or range, or too small for a family,
        or a family is unknown or cannot be measured without a stain that is
        missing.
    RuntimeError
        If a family breaks its word: other columns, infinity, or NaN in any other column.

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
            raise RuntimeError(f"the family {name} measured other columns than it names")
        for column, value in measured.items():
            if not math.isfinite(value) and not (math.isnan(value) and column in family.undefined):
                raise RuntimeError(f"{column} came out as {value}, which it never should be")
        values.update(measured)
    return {column: values[column] for column in wanted}
