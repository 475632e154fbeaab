"""Downloading images of the Human Protein Atlas: what a list of ids asks for, and no more."""

from hpastack.download.addresses import HPA_URL, read_field_ids, stain_files
from hpastack.download.fetcher import Failure
from hpastack.download.fields import FAILED_TABLE, DownloadReport, download_fields

__all__ = [
    "FAILED_TABLE",
    "HPA_URL",
    "DownloadReport",
    "Failure",
    "download_fields",
    "read_field_ids",
    "stain_files",
]
