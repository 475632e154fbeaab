"""Reading and writing files: atomic writes, and errors that name every problem."""

from hpastack.files.differences import differing_settings
from hpastack.files.hdf5 import UNTRUSTED, filters, fixed_strings, plain_dataset
from hpastack.files.notebook_server import any_backend
from hpastack.files.opening import is_parquet, read_lines
from hpastack.files.provenance import digest_of, package_versions, sha256
from hpastack.files.publishing import (
    atomic_write,
    disk_guard,
    flush,
    flush_folder,
    publish_text,
    put_in_place,
    refuse_existing,
    remove,
)  # fmt: skip
from hpastack.files.tables import (
    ID_NAMES,
    check_ids,
    check_unique,
    has_column,
    named_column,
    read_id_table,
    read_parquet,
    read_text_table,
    take_rows,
)

__all__ = [
    "ID_NAMES",
    "UNTRUSTED",
    "any_backend",
    "atomic_write",
    "check_ids",
    "check_unique",
    "differing_settings",
    "digest_of",
    "disk_guard",
    "filters",
    "fixed_strings",
    "flush",
    "flush_folder",
    "has_column",
    "is_parquet",
    "named_column",
    "package_versions",
    "plain_dataset",
    "publish_text",
    "put_in_place",
    "read_id_table",
    "read_lines",
    "read_parquet",
    "read_text_table",
    "refuse_existing",
    "remove",
    "sha256",
    "take_rows",
]
