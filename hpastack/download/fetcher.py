"""Getting one file to its place: asked for again where that may help, checked, then named."""

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

#: A file with more bytes is refused; HPA's have a few million at most.
MAX_BYTES = 2**26

# A server that asks to be left alone for longer is done for this run; in seconds.
_LONGEST_PAUSE = 600.0
_JPEG_MAGIC = b"\xff\xd8\xff"


class Failure(NamedTuple):
    """A file that could not be had: whose, where it was asked for, and what came of it."""

    image_id: str
    stain: str
    url: str
    reason: str


class Outcome(NamedTuple):
    """What came of a file: its bytes, or None where none were asked for; or a failure.

    `may_pass` says that the failure is one of the network or of the server,
    and none of this file.
    """

    n_bytes: int | None = None
    failure: Failure | None = None
    may_pass: bool = False


class Fetcher:
    """Gets files to their places; used by several threads at once.

    Parameters
    ----------
    jobs : int
        Threads that will use it.
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
        # Before anything has answered: each thread has tried again, or the only one a few times.
        self._most_unanswered = max(4, 2 * jobs)
        self._verdict: str | None = None

    def obtain(self, file: StainFile) -> Outcome:
        """Get a file to its place, unless it is there and whole.

        Parameters
        ----------
        file : StainFile

        Returns
        -------
        Outcome

        Raises
        ------
        InputError
            If there is no point in asking for any other file.
        Stopped
            After `stop`.
        OSError
            If the file cannot be written.
        """
        # Its frame is enough: what stands under this name was decoded before it got it.
        if not self._overwrite and _is_whole(file.path):
            return Outcome()
        try:
            return self._fetch(file)
        except Stopped:
            if self._verdict is not None:
                raise InputError(self._verdict) from None
            raise

    def stop(self) -> None:
        """End what is under way in other threads, soon."""
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
                    self._leave_alone(error.pause, file.url, reason)
        reason += f" (asked {self._retries + 1} times)" if self._retries else ""
        return Outcome(failure=_failure(file, reason), may_pass=True)

    def _note(self, answered: bool, url: str = "", reason: str = "") -> None:
        with self._lock:
            self._answered = self._answered or answered
            self._unanswered += not answered
            is_hopeless = not self._answered and self._unanswered >= self._most_unanswered
        if is_hopeless:
            self._give_up(f"{_origin(url)} cannot be reached: {reason}; is --url right?")

    def _leave_alone(self, seconds: float, url: str, reason: str) -> None:
        if seconds > _LONGEST_PAUSE:
            self._give_up(
                f"{_origin(url)} asks to be left alone for {seconds:,.0f} s ({reason}); "
                "run it again then, what has come is kept"
            )
        self._pace.pause(seconds)

    def _give_up(self, verdict: str) -> NoReturn:
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
    """Check what came and give it its name."""
    try:
        if not body.data.startswith(_JPEG_MAGIC):
            raise InputError(f"no JPEG image, but {_describe(body.data)}")
        with atomic_write(file.path) as draft:
            draft.write_bytes(body.data)
            try:
                read_stain(draft, file.stain)
            except InputError as error:
                raise InputError(str(error).removeprefix(f"{draft}: ")) from None
            flush(draft)
    except InputError as error:
        # Where nothing told its end, it may have been cut short on the way.
        raise (PermanentError if body.framed else TemporaryError)(str(error)) from error


def _describe(data: bytes) -> str:
    if not data:
        return "nothing"
    start = data[:256].lstrip().lower()
    return "a web page" if start.startswith((b"<!doctype html", b"<html")) else "something else"


def _failure(file: StainFile, reason: str) -> Failure:
    return Failure(file.image_id, file.stain, file.url, " ".join(reason.split()))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
