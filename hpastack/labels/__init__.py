"""Location names, label ids, indicator matrices and submissions."""

from hpastack.labels.locations import (
    Locations,
    UnknownName,
    label_ids,
    numbered_label,
    read_locations,
)
from hpastack.labels.submission import replace_labels, write_submission
from hpastack.labels.vocabulary import HPA_2018, Vocabulary

__all__ = [
    "HPA_2018",
    "Locations",
    "UnknownName",
    "Vocabulary",
    "label_ids",
    "numbered_label",
    "read_locations",
    "replace_labels",
    "write_submission",
]
