"""The true bit depth of 16-bit files: found for each source and recorded in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from hpastack.fields import STAINS
from hpastack.fields.checking import scaled_content
from hpastack.fields.levels import FULL_BITS, StainLevels, find_depth, level_warnings
from hpastack.fields.paths import BITS


class Depths(NamedTuple):
    """A catalogue with the bit depths of its fields, and messages and warnings for each source."""

    catalogue: pd.DataFrame
    messages: list[str]
    warnings: list[str]


def scale_by_depth(
    catalogue: pd.DataFrame,
    levels: Mapping[str, Mapping[str, StainLevels]],
    bits: int | None = None,
) -> Depths:
    """Find how many bits the 16-bit files of each source use, and faults in the stains.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``source`` and ``content``.
    levels : mapping of str to mapping of str to StainLevels
        The grey levels of each stain, for each field.
    bits : int, optional
        As for `hpastack.fields.levels.find_depth`, for all sources.

    Returns
    -------
    Depths
        If any field uses fewer than 16 bits, the catalogue has the column
        ``bits``, and the contents of these fields are different, since the
        same files give different pixel values.

    Raises
    ------
    InputError
        If more than a few pixels of a file have a value that `bits` cannot hold.
    """
    messages, warnings = [], []
    field_bits = pd.Series(FULL_BITS, catalogue.index)
    for source, ids in catalogue.groupby("source", sort=False).groups.items():
        fields = [levels[image_id] for image_id in ids]
        depth = find_depth((file for field in fields for file in field.values()), bits)
        if depth is not None:
            top = (1 << depth.bits) - 1
            messages.append(
                f"{source}: values of 16-bit files use {depth.bits} bits ({depth.reason}; the "
                f"maximum is {depth.highest}); they are divided by {top}"
            )
            if depth.stray:
                warnings.append(f"{source}: {depth.stray}")
            deep = [any(file.n_bits == FULL_BITS for file in field.values()) for field in fields]
            field_bits[ids[deep]] = depth.bits
        for stain in STAINS:
            files = [field[stain] for field in fields if stain in field]
            if not files:
                continue
            fault = level_warnings(files, FULL_BITS if depth is None else depth.bits)
            if fault:
                warnings.append(f"{source}: the {stain} stain {fault}")
    if (field_bits == FULL_BITS).all():
        return Depths(catalogue, messages, warnings)
    catalogue = catalogue.copy()
    catalogue.insert(list(catalogue).index("content") + 1, BITS, field_bits)
    catalogue["content"] = [
        scaled_content(content, n_bits) for content, n_bits in zip(catalogue["content"], field_bits)
    ]
    return Depths(catalogue, messages, warnings)
