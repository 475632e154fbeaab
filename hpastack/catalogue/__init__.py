"""The catalogue: one table of all fields, from image folders, label tables and tables of paths.

`docs/formats.md` describes `data/catalogue.csv`. Rows are joined by image id; errors name it.
"""

from hpastack.catalogue.changes import DROPPED, LABELS, Change, changes_text, corrected_fields
from hpastack.catalogue.collecting import (
    DEFAULT_SOURCE,
    NOT_ASKED_FOR,
    Collection,
    collect_fields,
    combine_fields,
    list_fields,
)
from hpastack.catalogue.depths import Depths, scale_by_depth
from hpastack.catalogue.folders import LABEL_TABLES, TEST_TABLES
from hpastack.catalogue.groups import join_groups
from hpastack.catalogue.hpa import fill_groups
from hpastack.catalogue.scale import fill_pixel_sizes, parse_pixel_size
from hpastack.catalogue.spellings import join_spellings
from hpastack.catalogue.table import (
    COLUMNS,
    catalogue_digest,
    read_catalogue,
    test_fields,
    training_fields,
    write_catalogue,
)
from hpastack.catalogue.targets import correct_targets, read_targets

__all__ = [
    "COLUMNS",
    "Change",
    "Collection",
    "DEFAULT_SOURCE",
    "DROPPED",
    "Depths",
    "LABELS",
    "LABEL_TABLES",
    "NOT_ASKED_FOR",
    "TEST_TABLES",
    "catalogue_digest",
    "changes_text",
    "collect_fields",
    "combine_fields",
    "correct_targets",
    "corrected_fields",
    "fill_groups",
    "fill_pixel_sizes",
    "join_groups",
    "join_spellings",
    "list_fields",
    "parse_pixel_size",
    "read_catalogue",
    "read_targets",
    "scale_by_depth",
    "test_fields",
    "training_fields",
    "write_catalogue",
]
