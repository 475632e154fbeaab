"""Downloading images of the Human Protein Atlas: only the files for a list of ids."""

from hpastack.download.addresses import HPA_URL, check_template, read_field_ids, stain_files
from hpastack.download.fetcher import Failure
from hpastack.download.fields import FAILED_TABLE, DownloadReport, download_fields

__all__ = [
    "DownloadReport",
    "FAILED_TABLE",
    "Failure",
    "HPA_URL",
    "check_template",
    "download_fields",
    "read_field_ids",
    "stain_files",
]
