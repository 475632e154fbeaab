"""Hand-crafted features: a module per family, one registry.

A family measures a whole field and knows its columns without one. Columns are
named ``<family>_<property>[_<parameters>]__<stain>``; where a stain is compared
with another, that other is the parameter.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hpastack.channels import PROTEIN, STAIN_INDEX, STAINS
from hpastack.errors import InputError
from hpastack.features import colocalisation, frequency, granularity, intensity, texture

__all__ = ["FAMILIES", "Family", "describe_columns", "feature_columns", "field_features"]


@dataclass(frozen=True)
class Family:
    """A family of features of a field.

    Parameters
    ----------
    measure : callable
        Takes a field, float, shape (4, H, W) in [0, 1]; returns a dict of
        column to float, in the order of `meanings`.
    meanings : dict of str to str
        One line for each column.
    """

    measure: Callable[[np.ndarray], dict[str, float]]
    meanings: dict[str, str]


def _of_each_stain(measure_stain, meanings: dict[str, str]) -> Family:
    def measure(field):
        return {
            f"{name}__{stain}": value
            for stain, image in zip(STAINS, field, strict=True)
            for name, value in measure_stain(image).items()
        }

    return Family(
        measure,
        {
            f"{name}__{stain}": meaning.format(stain=stain)
            for stain in STAINS
            for name, meaning in meanings.items()
        },
    )


def _of_each_pair(measure_pairs, meanings: dict[str, str]) -> Family:
    references = [stain for stain in STAINS if stain != PROTEIN]
    # The protein with each reference, then the references among each other.
    pairs = [(PROTEIN, reference) for reference in references]
    pairs += [(stain, reference) for reference, stain in combinations(references, 2)]

    def measure(field):
        numbers = [(STAIN_INDEX[stain], STAIN_INDEX[reference]) for stain, reference in pairs]
        return {
            f"{name}_{reference}__{stain}": value
            for (stain, reference), values in zip(pairs, measure_pairs(field, numbers), strict=True)
            for name, value in values.items()
        }

    return Family(
        measure,
        {
            f"{name}_{reference}__{stain}": meaning.format(stain=stain, reference=reference)
            for stain, reference in pairs
            for name, meaning in meanings.items()
        },
    )


#: Every family by name, in the order of their columns.
FAMILIES = {
    "intensity": _of_each_stain(intensity.intensity_features, intensity.MEANINGS),
    "texture": _of_each_stain(texture.texture_features, texture.MEANINGS),
    "colocalisation": _of_each_pair(
        colocalisation.colocalisation_of_pairs, colocalisation.MEANINGS
    ),
    "granularity": _of_each_stain(granularity.granularity_features, granularity.MEANINGS),
    "frequency": _of_each_stain(frequency.frequency_features, frequency.MEANINGS),
}


def field_features(field, families: Iterable[str] | None = None) -> dict[str, float]:
    """Measure the hand-crafted features of a field.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1]. Intensities are cut at
        256 grey levels over [0, 1], so a camera that uses a part of its range
        (12 of 16 bit) is to be scaled to all of it first.
    families : iterable of str, optional
        Names from `FAMILIES`; all of them if left out.

    Returns
    -------
    dict of str to float
        The columns of `feature_columns`, in that order.

    Raises
    ------
    InputError
        If `field` is not of that shape or range, or a family is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> values = field_features(np.zeros((4, 32, 32)), families=["intensity"])
    >>> len(values), values["intensity_mean__green"]
    (72, 0.0)
    """
    field = np.asarray(field)
    if field.ndim != 3 or len(field) != len(STAINS):
        raise InputError(f"a field has shape (4, H, W), not {field.shape}")
    return {
        name: value
        for family in _chosen(families)
        for name, value in FAMILIES[family].measure(field).items()
    }


def feature_columns(families: Iterable[str] | None = None) -> list[str]:
    """Name the columns of `field_features`, without a field.

    Parameters
    ----------
    families : iterable of str, optional
        Names from `FAMILIES`; all of them if left out.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a family is unknown or named twice.

    Examples
    --------
    >>> feature_columns(["colocalisation"])[:2]
    ['colocalisation_pearson_red__green', 'colocalisation_spearman_red__green']
    """
    return [name for family in _chosen(families) for name in FAMILIES[family].meanings]


def describe_columns(names: Iterable[str]) -> dict[str, str]:
    """Say in one line what each column means.

    Parameters
    ----------
    names : iterable of str
        Columns of `feature_columns`.

    Returns
    -------
    dict of str to str
        Column to meaning, in the order given.

    Raises
    ------
    InputError
        If a name is not a hand-crafted column.

    Examples
    --------
    >>> describe_columns(["texture_contrast_d2__green"])
    {'texture_contrast_d2__green': 'mean squared difference of grey levels of green 2 px apart'}
    """
    known = {name: line for family in FAMILIES.values() for name, line in family.meanings.items()}
    names = list(names)
    for name in names:
        if name not in known:
            raise InputError(f"unknown column {name!r}{_nearest(name, known)}")
    return {name: known[name] for name in names}


def _chosen(families: Iterable[str] | None) -> Sequence[str]:
    if families is None:
        return list(FAMILIES)
    if isinstance(families, str):
        raise InputError(f"families is a list of names, such as [{families!r}]")
    families = list(families)
    for name in families:
        if name not in FAMILIES:
            raise InputError(f"unknown family {name!r} of features; one of {', '.join(FAMILIES)}")
        if families.count(name) > 1:
            raise InputError(f"family {name!r} of features is named twice")
    if not families:
        raise InputError(f"no family of features named; one of {', '.join(FAMILIES)}")
    return families


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
