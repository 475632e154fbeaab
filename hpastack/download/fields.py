"""Downloading fields, with a report and a table of the files that failed."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.download.addresses import HPA_URL, check_field_ids, check_template, stain_files
from hpastack.download.fetcher import Failure, Fetcher, Outcome
from hpastack.errors import InputError, counted
from hpastack.fields import STAINS
from hpastack.files import atomic_write
from hpastack.parallel import in_threads, progress_bar

#: Name of the table of failed files, in the folder of the images.
FAILED_TABLE = "failed.csv"

# The run ends if the first files up to this number all fail; and if this number of consecutive
# files fail because the network or the server is unavailable.
_MOST_FROM_START = 100
_MOST_IN_A_ROW = 20
# Files are written at once after download, so an older temporary file (in seconds) is a leftover.
_LEFTOVER_AGE = 60.0
_LEFTOVER = re.compile(rf"\..+_({'|'.join(STAINS)})\.jpg\.[0-9]+\.[0-9]+\.tmp")


class DownloadReport(NamedTuple):
    """Summary of a download.

    `n_complete` of `n_fields` fields have all requested stains; `n_fetched`
    files with `n_bytes` bytes were downloaded, `n_there` were already
    present, and `failures` lists the others.
    """

    n_fields: int
    n_complete: int
    n_fetched: int
    n_there: int
    n_bytes: int
    failures: list[Failure]


def download_fields(
    image_ids: Iterable[str],
    folder: str | os.PathLike[str],
    *,
    url: str = HPA_URL,
    stains: Sequence[str] = STAINS,
    jobs: int = 4,
    rate: float = 5.0,
    retries: int = 5,
    timeout: float = 30.0,
    backoff: float = 1.0,
    overwrite: bool = False,
    on_error: str = "skip",
    progress: bool = True,
) -> DownloadReport:
    """Download the stains of fields of the Human Protein Atlas.

    Files that are already present and complete are not requested. Each
    downloaded file is decoded and compared with the tint of its stain before
    it is renamed to its final path, so an interrupted download leaves complete
    files only, and the same call resumes it.

    Parameters
    ----------
    image_ids : iterable of str
        Ids ``<antibody>_<plate>_<well>_<field>``, without duplicates.
    folder : path-like
        Output folder; files are ``<antibody>/<plate>_<well>_<field>_<stain>.jpg`` in it.
    url : str
        Address template of a stain, with ``{antibody}``, ``{plate}``,
        ``{well}``, ``{field}`` and ``{stain}``. Default: the server of HPA.
    stains : sequence of str
        The stains to download. Default: all four.
    jobs : int, default=4
        Number of concurrent requests, over persistent connections.
    rate : float, default=5
        Maximum number of requests per second, of all jobs together.
    retries : int, default=5
        Number of retries after a temporary failure: no connection, timeout,
        interrupted body, HTTP 408, 425, 429 and 5xx.
    timeout : float, default=30
        Seconds without a byte after which a request fails.
    backoff : float, default=1
        Seconds before the first retry. The wait grows by a factor of 2 per
        retry, up to 60 s, and is shortened at random by up to a half. If the
        server names a time (``Retry-After``), no request is sent before it.
    overwrite : bool, default=False
        Whether to download files that are already present; a file is replaced
        when its successor is complete.
    on_error : {"skip", "raise"}, default="skip"
        Whether to continue with other files if one fails, or raise an error.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DownloadReport
        Its failures are also written to ``failed.csv`` in the folder. If there
        are none, the table of an earlier run is removed.

    Raises
    ------
    InputError
        If an id, a stain, the address or a number is not valid, or an id is
        duplicate; if the server cannot be reached, all files fail, or the
        server asks to wait for more than ten minutes; with
        ``on_error="raise"``, at the first file that fails.
    OSError
        If a file cannot be written.

    Notes
    -----
    At most five redirects are followed, and only over http and https. Proxies
    are read from the environment (``https_proxy``, ``no_proxy``).
    """
    image_ids = list(image_ids)
    check_field_ids(image_ids, "image_ids")
    check_template(url)
    _check_settings(stains, jobs, rate, retries, timeout, backoff, on_error)
    folder = Path(folder)
    _remove_leftovers(folder, {image_id.split("_")[0] for image_id in image_ids})
    tally = _Tally(len(image_ids))
    fetcher = Fetcher(jobs, rate, retries, timeout, backoff, overwrite)
    files = stain_files(image_ids, folder, url, stains)
    bar = progress_bar(
        total=len(image_ids) * len(stains), what="downloading", unit="file", show=progress
    )
    work = in_threads(fetcher.obtain, files, jobs=jobs, ahead=64 * jobs)
    try:
        with bar, closing(fetcher), closing(work) as outcomes:
            try:
                for future in outcomes:
                    tally.add(future.result())
                    bar.update()
                    if tally.failures:
                        bar.set_postfix_str(f"{len(tally.failures)} failed", refresh=False)
                        if on_error == "raise":
                            raise InputError(_describe(tally.failures[0]))
                    tally.check()
            except BaseException:
                fetcher.stop()  # otherwise the threads would finish all their retries first
                raise
    except InputError:
        if tally.failures:
            _write_failures(folder, tally.failures)
        raise
    _write_failures(folder, tally.failures)
    return tally.report()


class _Tally:
    """Running counts of the results, in order, which detect that no more files arrive."""

    def __init__(self, n_fields: int) -> None:
        self._n_fields = n_fields
        self._n_fetched = self._n_there = self._n_bytes = 0
        self._in_a_row = 0
        self.failures: list[Failure] = []

    def add(self, outcome: Outcome) -> None:
        if outcome.failure is not None:
            self.failures.append(outcome.failure)
            self._in_a_row = self._in_a_row + 1 if outcome.may_pass else 0
        elif outcome.n_bytes is None:
            self._n_there += 1
        else:
            self._n_fetched += 1
            self._n_bytes += outcome.n_bytes
            self._in_a_row = 0

    def check(self) -> None:
        if self._in_a_row >= _MOST_IN_A_ROW:
            raise InputError(
                f"{self._in_a_row} consecutive files failed, the last one "
                f"{_describe(self.failures[-1])}; run it again later; downloaded files are kept"
            )
        n_failed = len(self.failures)
        if n_failed >= _MOST_FROM_START and not self._n_fetched and not self._n_there:
            raise InputError(
                f"the first {counted(n_failed, 'file')} all failed, the last one "
                f"{_describe(self.failures[-1])}; check url; if it is correct, remove these fields",
                "url",
            )

    def report(self) -> DownloadReport:
        n_incomplete = len({failure.image_id for failure in self.failures})
        return DownloadReport(
            self._n_fields, self._n_fields - n_incomplete, self._n_fetched, self._n_there,
            self._n_bytes, self.failures,
        )  # fmt: skip


def _describe(failure: Failure) -> str:
    return f"{failure.url}: {failure.reason}"


def _write_failures(folder: Path, failures: list[Failure]) -> None:
    place = folder / FAILED_TABLE
    if not failures:
        place.unlink(missing_ok=True)
        return
    with atomic_write(place) as draft:
        pd.DataFrame(failures, columns=Failure._fields).to_csv(
            draft, index=False, lineterminator="\n"
        )


def _remove_leftovers(folder: Path, antibodies: set[str]) -> None:
    """Remove temporary files left by a killed run."""
    for antibody in antibodies:
        # Another run in the same folder may be removing them, too.
        with suppress(FileNotFoundError), os.scandir(folder / antibody) as entries:
            for entry in entries:
                if _LEFTOVER.fullmatch(entry.name) and (
                    time.time() - entry.stat().st_mtime > _LEFTOVER_AGE
                ):
                    os.unlink(entry.path)


def _check_settings(
    stains: Sequence[str],
    jobs: int,
    rate: float,
    retries: int,
    timeout: float,
    backoff: float,
    on_error: str,
) -> None:
    unknown = [stain for stain in stains if stain not in STAINS]
    if unknown or not stains or len(set(stains)) < len(stains):
        raise InputError(
            f"stains are {', '.join(stains)}; they must be one or more of {', '.join(STAINS)}, "
            "without duplicates",
            "stains",
        )
    if on_error not in ("skip", "raise"):
        raise InputError(f"on_error is {on_error!r}; it must be skip or raise", "on_error")
    for name, value, is_good, expected in (
        ("jobs", jobs, jobs >= 1, "at least 1"),
        ("rate", rate, 0 < rate < math.inf, "above 0"),
        ("retries", retries, retries >= 0, "at least 0"),
        ("timeout", timeout, 0 < timeout < math.inf, "above 0"),
        ("backoff", backoff, 0 <= backoff < math.inf, "at least 0"),
    ):
        if not is_good:
            raise InputError(f"{name} is {value}; it must be {expected}", name)
