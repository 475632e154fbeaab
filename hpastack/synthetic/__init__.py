"""Synthetic labelled fields: the data set of the demo and of the tests.

The module draws four-stain fields of cells with any combination of the 28
labels of the HPA 2018 vocabulary, and designs data sets with the pitfalls of
real ones: wells, near-duplicates, cell lines, a long tail of labels.
"""

from hpastack.synthetic.cells import CELL_LINES
from hpastack.synthetic.dataset import (
    LABEL_COUNTS,
    LABELS_PER_FIELD,
    SyntheticDataset,
    synthetic_dataset,
)
from hpastack.synthetic.fields import draw_field
from hpastack.synthetic.patterns import PATTERNS
from hpastack.synthetic.writing import check_folder, write_dataset

__all__ = [
    "CELL_LINES",
    "LABELS_PER_FIELD",
    "LABEL_COUNTS",
    "PATTERNS",
    "SyntheticDataset",
    "check_folder",
    "draw_field",
    "synthetic_dataset",
    "write_dataset",
]
