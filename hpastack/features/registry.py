"""Registry of the families of hand-crafted features, one module per family.

A family measures a whole field and declares its columns in advance. Columns are
named ``<family>_<property>[_<parameters>]__<stain>``; if a stain is compared
with another, the other is the parameter. Columns that do not belong to a single stain
end in ``__field``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hpastack.errors import InputError
from hpastack.features import colocalisation, frequency, granularity, intensity, minimal
from hpastack.features.compartments import compartments
from hpastack.features.spots import fibres, spots
from hpastack.features.texture import texture
from hpastack.fields import PROTEIN, STAIN_INDEX, STAINS


@dataclass(frozen=True)
class Family:
    """A family of features of a field.

    Parameters
    ----------
    measure : callable
        Takes the grey levels of a field, uint8, shape (4, H, W); returns a dict
        of column to float, in the order of `meanings`.
    meanings : dict of str to str
        Description of each column, one line.
    undefined : frozenset of str
        Columns that are NaN for a field without the object they measure.
    needs : tuple of str
        Stains that the family requires. If another stain is
        missing, only its columns are.
    """

    measure: Callable[[np.ndarray], dict[str, float]]
    meanings: dict[str, str]
    undefined: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()


def _of_each_stain(
    measure_stain: Callable[[np.ndarray], dict[str, float]],
    meanings: dict[str, str],
    undefined: frozenset[str] = frozenset(),
    stains: Iterable[str] = STAINS,
) -> Family:
    def measure(field: np.ndarray) -> dict[str, float]:
        return {
            f"{name}__{stain}": value
            for stain in stains
            for name, value in measure_stain(field[STAIN_INDEX[stain]]).items()
        }

    return Family(
        measure,
        {
            f"{name}__{stain}": meaning.format(stain=stain)
            for stain in stains
            for name, meaning in meanings.items()
        },
        frozenset(f"{name}__{stain}" for stain in stains for name in undefined),
    )


def _of_each_pair(
    measure_pairs: Callable[[np.ndarray, list[tuple[int, int]]], list[dict[str, float]]],
    meanings: dict[str, str],
) -> Family:
    references = [stain for stain in STAINS if stain != PROTEIN]
    # The protein with each reference, then the references with one another.
    pairs = [(PROTEIN, reference) for reference in references]
    pairs += [(stain, reference) for reference, stain in combinations(references, 2)]

    def measure(field: np.ndarray) -> dict[str, float]:
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


def _spots_and_fibres(image: np.ndarray) -> dict[str, float]:
    return spots.spot_features(image) | fibres.fibre_features(image)


#: All families by name, in the order of their columns.
FAMILIES = {
    "intensity": _of_each_stain(intensity.intensity_features, intensity.MEANINGS),
    "texture": _of_each_stain(texture.texture_features, texture.MEANINGS),
    "granularity": _of_each_stain(granularity.granularity_features, granularity.MEANINGS),
    "spots": _of_each_stain(
        _spots_and_fibres,
        spots.MEANINGS | fibres.MEANINGS,
        spots.UNDEFINED | fibres.UNDEFINED,
        stains=[PROTEIN],
    ),
    "colocalisation": _of_each_pair(
        colocalisation.colocalisation_of_pairs, colocalisation.MEANINGS
    ),
    "compartments": Family(
        compartments.compartment_features,
        compartments.MEANINGS,
        compartments.UNDEFINED,
        needs=("blue",),
    ),  # fmt: skip
    "frequency": _of_each_stain(frequency.frequency_features, frequency.MEANINGS),
    "minimal": Family(minimal.minimal_features, minimal.MEANINGS, needs=("red", "green", "blue")),
}

# A small substitute for the other families; beside them, its features are nearly redundant.
_STANDS_IN = "minimal"


def chosen_families(families: Iterable[str] | None = None) -> list[str]:
    """Check the names of families, and return them as a list.

    Parameters
    ----------
    families : iterable of str, optional
        Names from `FAMILIES`; default: all except ``minimal``, whose features are nearly
        the same as some of the others.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a family is unknown or a duplicate, or the list is empty.
    """
    if families is None:
        return [name for name in FAMILIES if name != _STANDS_IN]
    if isinstance(families, str) or not isinstance(families, Iterable):
        raise InputError(
            f"families must be a list of names, such as ['texture'], not {families!r}", "families"
        )
    families = list(families)
    for name in families:
        if name not in FAMILIES:
            raise InputError(
                f"unknown family of features {name!r}; choose from {', '.join(FAMILIES)}",
                "families",
            )
        if families.count(name) > 1:
            raise InputError(f"duplicate family of features {name!r}", "families")
    if not families:
        raise InputError(
            f"no family of features was named; choose from {', '.join(FAMILIES)}", "families"
        )
    return families


def feature_columns(families: Iterable[str] | None = None) -> list[str]:
    """Return the names of the columns of `field_features`, without a field.

    Parameters
    ----------
    families : iterable of str, optional
        As `chosen_families`.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a family is unknown or a duplicate.

    Examples
    --------
    >>> feature_columns(["colocalisation"])[:2]
    ['colocalisation_pearson_red__green', 'colocalisation_spearman_red__green']
    """
    return [name for family in chosen_families(families) for name in FAMILIES[family].meanings]


def columns_of_stains(families: Iterable[str] | None, stains: Iterable[str]) -> list[str]:
    """Return the names of the columns that can be measured with some of the stains.

    Parameters
    ----------
    families : iterable of str, optional
        As `feature_columns`.
    stains : iterable of str

    Returns
    -------
    list of str
        Excludes the columns of the other stains and of comparisons with them.

    Raises
    ------
    InputError
        If a family requires a stain that is not among them.

    Examples
    --------
    >>> len(columns_of_stains(["intensity"], ["red", "green", "blue"]))
    54
    """
    families, stains = chosen_families(families), list(stains)
    absent = [stain for stain in STAINS if stain not in stains]
    lacking = {
        name: [stain for stain in FAMILIES[name].needs if stain in absent] for name in families
    }
    for name in families:
        if lacking[name]:
            others = [family for family in families if not lacking[family]]
            remedy = f"choose the others: families=[{', '.join(others)}]"
            if not others:
                remedy = "choose other families"
            raise InputError(
                f"family {name} needs the {lacking[name][0]} stain, which the fields lack; "
                f"{remedy}",
                "families",
            )
    columns = feature_columns(families)
    return [
        column
        for column in columns
        if not any(stain in column.replace("__", "_").split("_") for stain in absent)
    ]


def undefined_columns(families: Iterable[str] | None = None) -> list[str]:
    """Return the names of the columns that are NaN for a field without the measured object.

    Parameters
    ----------
    families : iterable of str, optional
        As `feature_columns`.

    Returns
    -------
    list of str
        Their descriptions mention it, too; no other column can be NaN.

    Raises
    ------
    InputError
        If a family is unknown or a duplicate.

    Examples
    --------
    >>> undefined_columns(["spots"])[0]
    'spots_blob_size_s1__green'
    """
    return [
        column
        for family in chosen_families(families)
        for column in FAMILIES[family].meanings
        if column in FAMILIES[family].undefined
    ]


def describe_columns(names: Iterable[str]) -> dict[str, str]:
    """Return a one-line description of each column.

    Parameters
    ----------
    names : iterable of str
        Columns of `feature_columns`.

    Returns
    -------
    dict of str to str
        Column to description, in the order of `names`.

    Raises
    ------
    InputError
        If a name is not a hand-crafted column.

    Examples
    --------
    >>> describe_columns(["texture_contrast_d2__green"])
    {'texture_contrast_d2__green': 'GLCM contrast of green at distance 2 px (32 grey levels)'}
    """
    known = {name: line for family in FAMILIES.values() for name, line in family.meanings.items()}
    names = list(names)
    for name in names:
        if name not in known:
            raise InputError(f"unknown column {name!r}{_nearest(name, known)}")
    return {name: known[name] for name in names}


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
