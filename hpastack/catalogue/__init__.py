"""The catalogue: one table of all fields, from folders, label tables and plain tables.

`data/catalogue.csv` is described in `docs/formats.md`. Rows join by image id;
a missing, doubled or unknown id is an error that names it.
"""

from hpastack.catalogue.collecting import (
    DEFAULT_SOURCE,
    Collection,
    collect_fields,
    combine_fields,
    list_fields,
)
from hpastack.catalogue.folders import LABEL_TABLES, TEST_TABLE
from hpastack.catalogue.groups import join_groups
from hpastack.catalogue.table import COLUMNS, catalogue_digest, read_catalogue, write_catalogue
from hpastack.catalogue.targets import correct_targets, read_targets
from hpastack.files import publish_text

__all__ = [
    "COLUMNS",
    "DEFAULT_SOURCE",
    "LABEL_TABLES",
    "TEST_TABLE",
    "Collection",
    "catalogue_digest",
    "collect_fields",
    "combine_fields",
    "correct_targets",
    "join_groups",
    "list_fields",
    "publish_text",
    "read_catalogue",
    "read_targets",
    "write_catalogue",
]
