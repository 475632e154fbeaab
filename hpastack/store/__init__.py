"""The HDF5 store: one feature set, one row a field, one column a feature.

The format is written down in ``docs/formats.md``. A store is made from finished
blocks ("parts") that lie in ``NAME.h5.parts/`` while the work goes on, and is
published in one rename, so that a reader never sees half of one.
"""

from hpastack.store.exporting import EXPORTS, export_store
from hpastack.store.feature_columns import check_feature_columns
from hpastack.store.header import (
    CONTENTS,
    FORMAT,
    KINDS,
    MAX_MEMBERS,
    PREDICTIONS,
    STORAGES,
    VERSION,
    StoreHeader,
)
from hpastack.store.ingest import (
    check_coverage,
    numbers,
    prediction_matrix,
    read_table,
    stacked_members,
    table_digest,
)
from hpastack.store.prediction_values import (
    binarised,
    check_plausible,
    check_probabilities,
    is_binary,
)
from hpastack.store.reading import Store, is_current, open_store
from hpastack.store.summary import store_summary
from hpastack.store.verifying import StoreCheck, unfinished_rows, verify_store
from hpastack.store.writing import StoreWriter, write_store

__all__ = [
    "CONTENTS",
    "EXPORTS",
    "FORMAT",
    "KINDS",
    "MAX_MEMBERS",
    "PREDICTIONS",
    "STORAGES",
    "Store",
    "StoreCheck",
    "StoreHeader",
    "StoreWriter",
    "VERSION",
    "binarised",
    "check_coverage",
    "check_feature_columns",
    "check_plausible",
    "check_probabilities",
    "table_digest",
    "export_store",
    "is_binary",
    "is_current",
    "numbers",
    "open_store",
    "prediction_matrix",
    "read_table",
    "stacked_members",
    "store_summary",
    "unfinished_rows",
    "verify_store",
    "write_store",
]
