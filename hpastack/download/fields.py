"""Downloading fields: what came, what was there, and a table of what could not be had."""

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

#: Name of the table of what could not be had, in the folder of the images.
FAILED_TABLE = "failed.csv"

# The run ends when so many files have failed from the start, with nothing to show for it; and
# whenever so many have failed one after another because the network or the server is gone.
_MOST_FROM_START = 100
_MOST_IN_A_ROW = 20
# Files are written in one go, once they have come: what is older is nobody's work in progress.
_LEFTOVER_AGE = 60.0
_LEFTOVER = re.compile(rf"\..+_({'|'.join(STAINS)})\.jpg\.[0-9]+\.[0-9]+\.tmp")


class DownloadReport(NamedTuple):
    """What a download came to.

    `n_complete` of `n_fields` fields have all stains that were asked for;
    `n_fetched` files with `n_bytes` bytes came now, `n_there` were there
    already, and `failures` lists the others.
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

    A file that is there and whole is not asked for. What arrives is decoded
    and compared with the tint of its stain before it gets its name, so a
    download that was stopped leaves whole files only, and the same call goes
    on from them.

    Parameters
    ----------
    image_ids : iterable of str
        ``<antibody>_<plate>_<well>_<field>``, each once.
    folder : path-like
        Files are ``<antibody>/<plate>_<well>_<field>_<stain>.jpg`` in it.
    url : str
        Address of a stain, with ``{antibody}``, ``{plate}``, ``{well}``,
        ``{field}`` and ``{stain}``. Default: where HPA publishes them.
    stains : sequence of str
        Those wanted. Default: all four.
    jobs : int, default=4
        Files asked for at the same time, over connections that are kept.
    rate : float, default=5
        Most requests a second, of all jobs together.
    retries : int, default=5
        How often a file is asked for again after a failure that may pass: no
        connection, no answer in time, a body broken off, HTTP 408, 425, 429
        and 5xx.
    timeout : float, default=30
        Seconds without a byte after which a request has failed.
    backoff : float, default=1
        Seconds before the first retry; doubled with each, at most 60, less a
        random part of up to a half. Where the server names a time
        (``Retry-After``), nothing at all is asked before it.
    overwrite : bool, default=False
        Ask for what is there, too; a file is replaced when its successor is
        whole.
    on_error : {"skip", "raise"}, default="skip"
        Go on with the other files when one cannot be had, or stop.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DownloadReport
        Its failures are also written to ``failed.csv`` in the folder; without
        any, such a table of an earlier run is removed.

    Raises
    ------
    InputError
        If an id, a stain, the address or a number is none, or an id is
        doubled; if the server cannot be reached, has nothing but failures to
        give, or asks to be left alone for more than ten minutes; with
        ``on_error="raise"``, at the first file that cannot be had.
    OSError
        If a file cannot be written.

    Notes
    -----
    Redirects are followed five times at most, and only over http and https.
    Proxies are those of the environment (``https_proxy``, ``no_proxy``).
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
                fetcher.stop()  # or the threads would be waited for, retries and all
                raise
    except InputError:
        if tally.failures:
            _write_failures(folder, tally.failures)
        raise
    _write_failures(folder, tally.failures)
    return tally.report()


class _Tally:
    """Counts what came of the files, in their order, and notices when nothing comes any more."""

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
                f"{self._in_a_row} files failed one after another, the last one "
                f"{_describe(self.failures[-1])}; run it again later, what has come is kept"
            )
        n_failed = len(self.failures)
        if n_failed >= _MOST_FROM_START and not self._n_fetched and not self._n_there:
            raise InputError(
                f"the first {counted(n_failed, 'file')} all failed, the last one "
                f"{_describe(self.failures[-1])}; is --url right? If it is, leave these fields out"
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
    """Remove what a killed run has left half-written."""
    for antibody in antibodies:
        # Another run of the same folder may be removing it, too.
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
        raise InputError(f"stains are {', '.join(stains)}; some of {', '.join(STAINS)}, each once")
    if on_error not in ("skip", "raise"):
        raise InputError(f"on_error is {on_error!r}; it is skip or raise")
    for name, value, is_good, expected in (
        ("jobs", jobs, jobs >= 1, "at least 1"),
        ("rate", rate, 0 < rate < math.inf, "above 0"),
        ("retries", retries, retries >= 0, "at least 0"),
        ("timeout", timeout, 0 < timeout < math.inf, "above 0"),
        ("backoff", backoff, 0 <= backoff < math.inf, "at least 0"),
    ):
        if not is_good:
            raise InputError(f"{name} is {value}; it must be {expected}")
