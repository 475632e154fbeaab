"""Design of a synthetic data set: wells, plates, cell lines, labels, near-duplicates."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpastack.errors import InputError, counted
from hpastack.labels import HPA_2018
from hpastack.synthetic.cells import CELL_LINES
from hpastack.synthetic.fields import draw_field

#: Number of fields with each label, in the order of the vocabulary, among the
#: 31,072 training fields of the 2018 competition.
LABEL_COUNTS = (
    12885, 1254, 3621, 1561, 1858, 2513, 1008, 2822, 53, 45, 28, 1093, 688, 537,
    1066, 21, 530, 210, 902, 1482, 172, 3777, 802, 2965, 322, 8228, 328, 11,
)  # fmt: skip

#: Number of those fields with one, two, ... five labels.
LABELS_PER_FIELD = (15126, 12485, 3160, 299, 2)

# Lift of two labels in those fields: observed over expected co-occurrence, for the
# pairs that deviate from the usual value. Clipped at 25: beyond that, the two labels
# could not be distinguished in a small data set.
_USUAL_LIFT = 0.76
_LIFTS = {
    (0, 2): 1.16, (0, 1): 1.15, (0, 16): 1.30, (0, 4): 0.13, (0, 6): 0.21, (0, 25): 1.06,
    (1, 3): 0.30, (2, 3): 0.02, (2, 4): 0.22, (2, 5): 0.20, (2, 8): 1.78, (2, 12): 0.31,
    (2, 13): 0.22, (2, 15): 4.09, (2, 18): 0.17, (2, 19): 0.32, (3, 4): 0.25, (3, 5): 0.11,
    (3, 7): 0.28, (3, 21): 0.18, (4, 5): 0.03, (4, 6): 0.03, (4, 19): 0.18, (5, 6): 0.17,
    (5, 15): 4.71, (5, 18): 0.18, (5, 19): 0.23, (5, 23): 0.19, (6, 7): 0.26, (6, 9): 7.54,
    (6, 10): 12.1, (6, 21): 0.25, (6, 23): 0.05, (7, 11): 0.05, (7, 14): 0.14, (7, 18): 0.11,
    (7, 19): 0.16, (7, 23): 0.03, (9, 10): 25.0, (11, 21): 0.17, (11, 23): 0.05, (12, 21): 1.58,
    (13, 21): 1.70, (14, 16): 5.61, (14, 17): 6.38, (14, 23): 0.03, (15, 16): 25.0,
    (16, 17): 21.5, (17, 18): 8.04, (18, 23): 0.17, (21, 22): 1.28, (21, 23): 0.19,
    (23, 25): 0.25, (1, 25): 0.79, (21, 25): 0.92, (18, 25): 1.08, (16, 25): 1.07,
}  # fmt: skip

_WELLS_PER_PLATE = 24
_PLATE_COLUMNS = 12


@dataclass(frozen=True)
class SyntheticDataset:
    """Design of a data set whose fields are drawn on request.

    Attributes
    ----------
    design : DataFrame
        One row per field, indexed by `image_id`; see `synthetic_dataset`.
    size : int
        Side of the fields, in pixels.
    options : dict
        Arguments of `synthetic_dataset`.
    """

    design: pd.DataFrame
    size: int
    options: dict[str, Any]

    def field(self, image_id: str) -> np.ndarray:
        """Draw one field.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        ndarray of float32, shape (4, size, size)
            From `draw_field`.

        Raises
        ------
        InputError
            If the design has no such field.
        """
        return draw_field(**self.drawing(image_id))

    def drawing(self, image_id: str) -> dict[str, Any]:
        """Return the arguments with which `draw_field` draws a field.

        Workers need only these, not the whole design.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        dict

        Raises
        ------
        InputError
            If the design has no such field.
        """
        if image_id not in self.design.index:
            raise InputError(f"no field {image_id!r} in this synthetic data set", "image_id")
        own = self.design.loc[image_id].to_dict()
        copied = own["duplicate_of"]
        scene = self.design.loc[copied].to_dict() if copied else own
        return {
            "targets": scene["target"],
            "size": self.size,
            "seed": int(scene["seed"]),
            "cell_line": scene["cell_line"],
            "well_seed": int(scene["well_seed"]),
            "plate_seed": int(scene["plate_seed"]),
            "copy_seed": int(own["seed"]) if copied else None,
        }

    def fields(self, image_ids: Iterable[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Draw several fields, one at a time.

        Parameters
        ----------
        image_ids : iterable of str, optional
            Default: all fields, in the order of the design.

        Yields
        ------
        image_id : str
        field : ndarray of float32, shape (4, size, size)
        """
        for image_id in self.design.index if image_ids is None else image_ids:
            yield image_id, self.field(image_id)


def synthetic_dataset(
    n_train: int,
    n_test: int,
    *,
    size: int = 256,
    seed: int = 0,
    tail: float = 1.0,
    min_train_wells: int = 0,
    min_test_wells: int = 0,
    duplicates: float = 0.04,
    cell_line_shift: float = 0.3,
    fields_per_well: tuple[int, int] = (2, 6),
) -> SyntheticDataset:
    """Design a labelled data set with the pitfalls of a real one.

    The fields of a well have the same labels, cell line and appearance, and are
    in the same split. Some fields of each split are near-duplicates of a
    training field (shifted, noisier, slightly brighter); they are assigned to
    other wells and plates, so that only the images reveal them. The
    proportions of the cell lines differ between train and test.

    Parameters
    ----------
    n_train, n_test : int
        Numbers of fields; `n_train` is at least 1.
    size : int, default=256
        Side of the fields, in pixels.
    seed : int, default=0
        The same seed and options give the same design and the same images.
    tail : float, default=1.0
        Imbalance of the labels: the exponent of their real frequencies, from 0
        (all equal) to 1 (the real long tail).
    min_train_wells, min_test_wells : int, default=0
        Minimum number of wells of train and of test in which each label occurs.
        With 0, most rare labels do not occur in a small data set with the real
        tail.
    duplicates : float, default=0.04
        Fraction of near-duplicates in each split, at most 0.5.
    cell_line_shift : float, default=0.3
        With 0, the proportions of the cell lines are the same in test as in
        train; with 1 they are reversed, so that the most common in train is the
        rarest in test.
    fields_per_well : (int, int), default=(2, 6)
        Minimum and maximum number of fields of a well (the last well of a split
        may have fewer).

    Returns
    -------
    SyntheticDataset
        Its `design` has one row per field, train before test, sorted by
        `image_id` within each, with the columns `split`, `target`, `well`,
        `plate`, `cell_line`, `duplicate_of` (the `image_id` copied, or empty) and
        the seeds `seed`, `well_seed` and `plate_seed`.

    Raises
    ------
    InputError
        If an argument is out of range, or there are too few wells for
        `min_train_wells` or `min_test_wells`.

    Notes
    -----
    The numbers of labels per field, the frequencies of the labels and the
    strongest positive and negative associations between labels follow the
    training labels of the 2018 Human Protein Atlas competition
    (:doi:`10.1038/s41592-019-0658-6`).

    Examples
    --------
    >>> dataset = synthetic_dataset(12, 4, size=64)
    >>> dataset.design["split"].value_counts().to_dict()
    {'train': 12, 'test': 4}
    >>> dataset.field(dataset.design.index[0]).shape
    (4, 64, 64)
    """
    options: dict[str, Any] = {
        "n_train": n_train, "n_test": n_test, "size": size, "seed": seed, "tail": tail,
        "min_train_wells": min_train_wells, "min_test_wells": min_test_wells,
        "duplicates": duplicates, "cell_line_shift": cell_line_shift,
        "fields_per_well": list(fields_per_well),
    }  # fmt: skip
    _check(**options)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    sampler = _LabelSampler(tail)

    splits = []
    for split, n_fields, min_wells in (
        ("train", n_train, min_train_wells), ("test", n_test, min_test_wells),
    ):  # fmt: skip
        n_originals = n_fields - int(round(duplicates * n_fields))
        sizes, label_sets = _wells(rng, sampler, n_originals, fields_per_well)
        _spread_labels(rng, sampler, label_sets, min_wells, split)
        wells = pd.DataFrame(
            {
                "n_fields": sizes,
                "target": [" ".join(map(str, sorted(labels))) for labels in label_sets],
            }
        ).astype({"target": object})
        wells["cell_line"] = rng.choice(
            list(CELL_LINES), len(wells), p=_line_mix(cell_line_shift if split == "test" else 0)
        )
        splits.append(wells.assign(split=split))
    wells = pd.concat(splits, ignore_index=True)
    wells = _file_on_plates(rng, wells, first_plate=1)
    wells["well_seed"] = _seeds(rng, len(wells))
    plate_seeds = dict(zip(wells["plate"].unique(), _seeds(rng, wells["plate"].nunique())))
    wells["plate_seed"] = wells["plate"].map(plate_seeds)
    fields = wells.loc[wells.index.repeat(wells["n_fields"])].reset_index(drop=True)
    fields["image_id"] = _image_ids(rng, len(fields))
    fields["duplicate_of"] = ""

    originals = fields[fields["split"] == "train"]
    copied = []
    for split, n_fields in (("train", n_train), ("test", n_test)):
        chosen = rng.choice(len(originals), int(round(duplicates * n_fields)))
        copied.append(originals.iloc[chosen].assign(split=split))
    copies = pd.concat(copied, ignore_index=True)
    if len(copies):
        copies["duplicate_of"] = copies["image_id"]
        copies["image_id"] = _image_ids(rng, len(copies))
        copies = _file_on_plates(rng, copies, first_plate=1 + wells["plate"].nunique())
        fields = pd.concat([fields, copies], ignore_index=True)
    fields["seed"] = _seeds(rng, len(fields))

    fields = fields.sort_values(["split", "image_id"], ascending=[False, True])
    columns = [
        "split", "target", "well", "plate", "cell_line", "duplicate_of",
        "seed", "well_seed", "plate_seed",
    ]  # fmt: skip
    return SyntheticDataset(fields.set_index("image_id")[columns], size, options)


def _check(
    *, n_train: int, n_test: int, size: int, seed: int, tail: float, min_train_wells: int,
    min_test_wells: int, duplicates: float, cell_line_shift: float,
    fields_per_well: tuple[int, int],
) -> None:  # fmt: skip
    for name, value, lowest in (
        ("n_train", n_train, 1), ("n_test", n_test, 0), ("size", size, 32), ("seed", seed, 0),
        ("min_train_wells", min_train_wells, 0), ("min_test_wells", min_test_wells, 0),
    ):  # fmt: skip
        if value < lowest:
            raise InputError(f"{name} is {value}; it must be at least {lowest}", name)
    for name, share, highest in (
        ("tail", tail, 1), ("duplicates", duplicates, 0.5), ("cell_line_shift", cell_line_shift, 1),
    ):  # fmt: skip
        if not 0 <= share <= highest:
            raise InputError(f"{name} is {share}; it must be from 0 to {highest}", name)
    fewest, most = fields_per_well
    if not 1 <= fewest <= most:
        raise InputError(
            f"fields_per_well is {fewest} to {most}; the minimum must be at least 1 and not above "
            "the maximum",
            "fields_per_well",
        )


def _seeds(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    return rng.integers(0, 2**63, count)


def _image_ids(rng: np.random.Generator, count: int) -> list[str]:
    return [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(count)]


def _line_mix(shift: float) -> NDArray[np.float64]:
    """Proportions of the cell lines; as in real data, most fields are of a few of them."""
    mix = 1 / np.arange(1, len(CELL_LINES) + 1)
    mix = mix / mix.sum()
    return (1 - shift) * mix + shift * mix[::-1]


def _file_on_plates(
    rng: np.random.Generator, wells: pd.DataFrame, first_plate: int
) -> pd.DataFrame:
    """Assign each row to a well of a plate; a plate has a single cell line."""
    plates = np.empty(len(wells), object)
    names = np.empty(len(wells), object)
    plate = first_plate
    for line in CELL_LINES:
        rows = rng.permutation(np.flatnonzero(wells["cell_line"] == line))
        for start in range(0, len(rows), _WELLS_PER_PLATE):
            for place, row in enumerate(rows[start : start + _WELLS_PER_PLATE]):
                across, down = place % _PLATE_COLUMNS + 1, "ABCDEFGH"[place // _PLATE_COLUMNS]
                plates[row], names[row] = f"P{plate:03d}", f"P{plate:03d}_{down}{across}"
            plate += 1
    return wells.assign(plate=plates, well=names)


def _wells(
    rng: np.random.Generator,
    sampler: _LabelSampler,
    n_fields: int,
    fields_per_well: tuple[int, int],
) -> tuple[list[int], list[list[int]]]:
    """Return the number of fields and the labels (a list of ids) of each well."""
    sizes: list[int] = []
    while sum(sizes) < n_fields:
        sizes.append(int(rng.integers(*fields_per_well, endpoint=True)))
    if sizes:
        sizes[-1] -= sum(sizes) - n_fields
    return sizes, [sampler.draw(rng) for _ in sizes]


def _spread_labels(
    rng: np.random.Generator, sampler: _LabelSampler, sets: list[list[int]], least: int, split: str
) -> None:
    """Resample the labels of some wells until every label occurs in at least `least` wells."""
    count = np.zeros(len(HPA_2018), int)
    for labels in sets:
        count[labels] += 1
    # Two labels per well keep the numbers of labels approximately unchanged.
    if len(sets) * 2 < least * len(count):
        needed = -(-least * len(count) // 2)
        raise InputError(
            f"{counted(len(sets), f'well of {split} is', f'wells of {split} are')} too few for "
            f"each label to occur in {least}; increase n_{split} to get {needed} wells, or "
            f"decrease min_{split}_wells",
            f"n_{split}", f"min_{split}_wells",
        )  # fmt: skip
    for label in np.argsort(count, kind="stable"):
        while count[label] < least:
            spare = [
                well for well, labels in enumerate(sets)
                if label not in labels and (count[labels] > least).all()
            ]  # fmt: skip
            if spare:
                well = spare[rng.integers(len(spare))]
                count[sets[well]] -= 1
                sets[well] = sampler.draw(rng, first=label)
                count[sets[well]] += 1
            else:
                free = [well for well, labels in enumerate(sets) if label not in labels]
                fewest = min(len(sets[well]) for well in free)
                free = [well for well in free if len(sets[well]) == fewest]
                well = free[rng.integers(len(free))]
                sets[well] = [*sets[well], int(label)]
                count[label] += 1


class _LabelSampler:
    """Sampler of label sets: the number of labels, then each label given the previous ones."""

    def __init__(self, tail: float) -> None:
        n_labels = len(HPA_2018)
        self.lift = np.full((n_labels, n_labels), _USUAL_LIFT)
        for (first, second), lift in _LIFTS.items():
            self.lift[first, second] = self.lift[second, first] = lift
        np.fill_diagonal(self.lift, 0)
        self.sizes = np.array(LABELS_PER_FIELD) / sum(LABELS_PER_FIELD)
        mean_size = self.sizes @ np.arange(1, len(self.sizes) + 1)
        frequencies = np.array(LABEL_COUNTS, float) ** tail
        frequencies *= mean_size / frequencies.sum()
        # The associations change the frequency of a label; its weight compensates for this.
        self.weight = frequencies / frequencies.sum()
        for _ in range(100):
            self.weight *= np.sqrt(frequencies / self._expected())
            self.weight /= self.weight.sum()

    def _expected(self) -> np.ndarray:
        """Return the expected occurrences of each label; labels after the third count as third."""
        first = self.weight
        second = first[:, None] * _shares(self.weight * self.lift)
        third = second[:, :, None] * _shares(
            self.weight * self.lift[:, None, :] * self.lift[None, :, :]
        )
        two_or_more, three_or_more = self.sizes[1:].sum(), self.sizes[2:].sum()
        beyond = self.sizes[3:] @ np.arange(1, len(self.sizes) - 2)
        return (
            first + two_or_more * second.sum(axis=0)
            + (three_or_more + beyond) * third.sum(axis=(0, 1))
        )  # fmt: skip

    def draw(self, rng: np.random.Generator, first: int | None = None) -> list[int]:
        """Sample the labels of a well, as a list of ids that includes `first` if it is not None."""
        size = 1 + rng.choice(len(self.sizes), p=self.sizes)
        chosen = [] if first is None else [int(first)]
        while len(chosen) < size:
            chances = self.weight * self.lift[chosen].prod(axis=0)
            chosen.append(int(rng.choice(len(chances), p=chances / chances.sum())))
        return chosen


def _shares(values: np.ndarray) -> np.ndarray:
    total = values.sum(axis=-1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)
