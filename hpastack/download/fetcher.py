"""Fetching one file: requested with retries, checked, then renamed to its final path."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

from hpastack.download.addresses import StainFile
from hpastack.download.client import Body, Client, PermanentError, Stopped, TemporaryError
from hpastack.download.pacing import Pace, growing_wait
from hpastack.errors import InputError
from hpastack.fields import STAINS, field_shape, read_stain
from hpastack.files import atomic_write, flush

#: Maximum file size in bytes; HPA's files have a few million at most.
MAX_BYTES = 2**26

# Maximum number of seconds to wait at a server's request; if it asks for more, the run ends.
_LONGEST_PAUSE = 600.0
_JPEG_MAGIC = b"\xff\xd8\xff"


class Failure(NamedTuple):
    """A file that could not be downloaded, with its field, stain, address and the reason."""

    image_id: str
    stain: str
    url: str
    reason: str


class Outcome(NamedTuple):
    """Result for a file: its size in bytes (None if already present), or a failure.

    `may_pass` is whether the failure is due to the network or the server
    rather than this file.
    """

    n_bytes: int | None = None
    failure: Failure | None = None
    may_pass: bool = False


class Fetcher:
    """Downloader of single files, shared by several threads.

    Parameters
    ----------
    jobs : int
        Number of threads.
    rate, retries, timeout, backoff, overwrite
        As for `hpastack.download_fields`.
    """

    def __init__(
        self,
        jobs: int,
        rate: float,
        retries: int,
        timeout: float,
        backoff: float,
        overwrite: bool,
    ) -> None:
        self._retries = retries
        self._backoff = backoff
        self._overwrite = overwrite
        self._stopped = threading.Event()
        self._pace = Pace(rate, wait=self._wait)
        self._client = Client(self._pace.take_turn, timeout, MAX_BYTES, self._stopped, jobs)
        self._lock = threading.Lock()
        self._answered = False
        self._unanswered = 0
        # Before the first response: each thread has retried once, or a single thread a few times.
        self._most_unanswered = max(4, 2 * jobs)
        self._verdict: InputError | None = None

    def obtain(self, file: StainFile) -> Outcome:
        """Download a file, unless a complete one is already present.

        Parameters
        ----------
        file : StainFile

        Returns
        -------
        Outcome

        Raises
        ------
        InputError
            If requesting further files is pointless.
        Stopped
            After `stop`.
        OSError
            If the file cannot be written.
        """
        # Checking the header suffices: a file with this name was decoded before it was renamed.
        if not self._overwrite and _is_whole(file.path):
            return Outcome()
        try:
            return self._fetch(file)
        except Stopped:
            if self._verdict is not None:
                raise InputError(str(self._verdict), *self._verdict.parameters) from None
            raise

    def stop(self) -> None:
        """Interrupt the downloads running in other threads."""
        self._stopped.set()
        self._client.hang_up()

    def close(self) -> None:
        """Close all connections; no thread may be using them."""
        self._client.close()

    def _fetch(self, file: StainFile) -> Outcome:
        reason = ""
        for attempt in range(self._retries + 1):
            if attempt:
                self._wait(growing_wait(attempt - 1, self._backoff))
            try:
                body = self._client.get(file.url)
                self._note(answered=True)
                _keep(body, file)
                return Outcome(n_bytes=len(body.data))
            except PermanentError as error:
                self._note(answered=True)
                return Outcome(failure=_failure(file, str(error)))
            except TemporaryError as error:
                reason = str(error)
                self._note(error.answered, file.url, reason)
                if error.pause is not None:
                    self._pause(error.pause, file.url, reason)
        reason += f" (requested {self._retries + 1} times)" if self._retries else ""
        return Outcome(failure=_failure(file, reason), may_pass=True)

    def _note(self, answered: bool, url: str = "", reason: str = "") -> None:
        with self._lock:
            self._answered = self._answered or answered
            self._unanswered += not answered
            is_hopeless = not self._answered and self._unanswered >= self._most_unanswered
        if is_hopeless:
            self._give_up(
                InputError(f"{_origin(url)} cannot be reached: {reason}; check url", "url")
            )

    def _pause(self, seconds: float, url: str, reason: str) -> None:
        if seconds > _LONGEST_PAUSE:
            self._give_up(
                InputError(
                    f"{_origin(url)} asks to wait for {seconds:,.0f} s ({reason}); run it again "
                    "after that; downloaded files are kept"
                )
            )
        self._pace.pause(seconds)

    def _give_up(self, verdict: InputError) -> NoReturn:
        with self._lock:
            self._verdict = self._verdict or verdict
        self.stop()
        raise Stopped

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped


def _is_whole(path: Path) -> bool:
    try:
        field_shape({STAINS[0]: path})
    except InputError:
        return False
    return True


def _keep(body: Body, file: StainFile) -> None:
    """Check a downloaded file and rename it to its final path."""
    try:
        if not body.data.startswith(_JPEG_MAGIC):
            raise InputError(f"not a JPEG image but {_describe(body.data)}")
        with atomic_write(file.path) as draft:
            draft.write_bytes(body.data)
            try:
                read_stain(draft, file.stain)
            except InputError as error:
                raise InputError(str(error).removeprefix(f"{draft}: ")) from None
            flush(draft)
    except InputError as error:
        # Without a marked end, the body may have been truncated in transit.
        raise (PermanentError if body.framed else TemporaryError)(str(error)) from error


def _describe(data: bytes) -> str:
    if not data:
        return "an empty file"
    start = data[:256].lstrip().lower()
    return "a web page" if start.startswith((b"<!doctype html", b"<html")) else "something else"


def _failure(file: StainFile, reason: str) -> Failure:
    return Failure(file.image_id, file.stain, file.url, " ".join(reason.split()))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
