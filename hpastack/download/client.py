"""One request over a connection that is kept: what comes back is whole, or says what is wrong."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from hpastack import __version__
from hpastack.download.pacing import retry_after
from hpastack.download.proxies import Proxy, proxy_for

USER_AGENT = f"hpastack/{__version__} (python -m pipelines.download)"
MAX_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_ASK_AGAIN = (408, 425, 429)  # and every 5xx
_PORTS = {"http": 80, "https": 443}
_CHUNK = 2**16
# Hosts that one thread stays connected to: the one asked, and one it leads to.
_MAX_ORIGINS = 2


class Refused(Exception):
    """Asking again would bring the same answer."""


class Passing(Exception):
    """Asking again may help.

    `pause` is how long the server asks to be left alone, in seconds, if it
    says so; `answered` whether anything came back at all.
    """

    def __init__(self, reason: str, pause: float | None = None, answered: bool = True):
        super().__init__(reason)
        self.pause = pause
        self.answered = answered


class Stopped(Exception):
    """The client was told to stop."""


class Body(NamedTuple):
    """What came; `framed` says whether the server told where it ends."""

    data: bytes
    framed: bool


class Client:
    """Asks for files, each thread over connections of its own.

    Parameters
    ----------
    before_request : callable
        Called before every request, redirected and repeated ones too.
    timeout : float
        Seconds without a byte after which a request has failed. A whole
        answer may take ten times as long.
    max_bytes : int
        A longer answer is refused.
    stopped : Event
        Once set, nothing is asked for any more.
    """

    def __init__(
        self,
        before_request: Callable[[], None],
        timeout: float,
        max_bytes: int,
        stopped: threading.Event,
    ):
        self._before_request = before_request
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = ssl.create_default_context()
        self._own = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()
        self._stopped = stopped

    def get(self, url: str) -> Body:
        """Ask for a file once, and follow where the server leads.

        Parameters
        ----------
        url : str
            Address over http or https.

        Returns
        -------
        Body

        Raises
        ------
        Refused
        Passing
        Stopped
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._ask(url)
            if isinstance(answer, Body):
                return answer
            url = _led_to(url, answer)
        raise Refused(f"redirected more than {MAX_REDIRECTS} times")

    def hang_up(self) -> None:
        """Cut the connections that other threads are using; to be called after `stopped` is set."""
        with self._lock:
            for connection in self._open:
                if (sock := connection.sock) is not None:
                    with suppress(OSError):  # closed already
                        # Not the method of a TLS socket, which would pull it from under its reader.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections; no thread may be using them."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()

    def _ask(self, url: str) -> Body | str:
        """Send one request; return what came, or the address it leads to."""
        connection, response = self._send(url)
        is_free = False
        body = None
        try:
            if response.status == 200:
                body = self._body(response)
            elif response.length is not None and response.length <= _CHUNK:
                response.read()  # to its end, so that the connection can be kept
            is_free = response.isclosed() and not response.will_close
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._stopped.is_set():
                raise Stopped from error
            raise Passing(_what_happened(error)) from error
        finally:
            response.close()
            if not is_free:
                self._drop(connection)
        return _led_elsewhere(response) if body is None else body

    def _send(self, url: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        is_new = False
        while True:
            connection, target, headers, was_kept = self._connection(url, is_new)
            try:
                self._before_request()
                connection.request("GET", target, headers=headers)
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._drop(connection)
                if self._stopped.is_set():
                    raise Stopped from error
                # On a kept connection no failure: a server may close it at any moment, or have
                # sent more for the last answer than it had said.
                is_stale = isinstance(error, (ConnectionError, http.client.BadStatusLine))
                if not (was_kept and is_stale):
                    raise Passing(_what_happened(error), answered=False) from error
                is_new = True
            except ValueError as error:  # a host that none can have
                self._drop(connection)
                raise Refused(f"no valid address: {error}") from error
            except BaseException:
                self._drop(connection)
                raise

    def _body(self, response: http.client.HTTPResponse) -> Body:
        expected = response.length
        if expected is not None and expected > self._max_bytes:
            raise Refused(f"{expected:,} bytes are announced, more than {self._max_bytes:,}")
        longest = 10 * self._timeout
        ends_at = time.monotonic() + longest
        data = bytearray()
        while chunk := response.read1(_CHUNK):
            data += chunk
            if self._stopped.is_set():
                raise Stopped
            if len(data) > self._max_bytes:
                raise Refused(f"goes on after {self._max_bytes:,} bytes")
            if time.monotonic() > ends_at:
                raise Passing(f"not whole after {longest:g} s")
        if self._stopped.is_set():
            raise Stopped
        if expected is not None and len(data) != expected:
            raise Passing(f"broken off after {len(data):,} of {expected:,} bytes")
        response.read()  # nothing is left, and with that the connection is free again
        return Body(bytes(data), framed=expected is not None or bool(response.chunked))

    def _connection(
        self, url: str, is_new: bool
    ) -> tuple[http.client.HTTPConnection, str, dict[str, str], bool]:
        """Return the thread's connection, what to ask for over it, and whether it was kept."""
        if self._stopped.is_set():
            raise Stopped
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        proxy = proxy_for(parts.scheme, host)
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        headers = {"User-Agent": USER_AGENT, "Accept": "image/jpeg"}
        if proxy and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
            headers |= proxy.headers
        origin = (parts.scheme, host, port)
        kept = self._own.__dict__.setdefault("connections", {})
        connection = kept.pop(origin, None)
        was_kept = connection is not None and connection.sock is not None and not is_new
        if not was_kept:
            while len(kept) >= _MAX_ORIGINS:
                self._drop(kept.pop(next(iter(kept))))
            connection = self._connect(parts.scheme, host, port, proxy)
            with self._lock:
                self._open.add(connection)
        kept[origin] = connection
        return connection, target, headers, was_kept

    def _connect(
        self, scheme: str, host: str, port: int, proxy: Proxy | None
    ) -> http.client.HTTPConnection:
        at, at_port = (proxy.host, proxy.port) if proxy else (host, port)
        if scheme == "http":
            return http.client.HTTPConnection(at, at_port, timeout=self._timeout)
        connection = http.client.HTTPSConnection(
            at, at_port, timeout=self._timeout, context=self._tls
        )
        if proxy:
            connection.set_tunnel(host, port, headers=proxy.headers)
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        with self._lock:
            self._open.discard(connection)


def _led_elsewhere(response: http.client.HTTPResponse) -> str:
    """Return the address that an answer other than 200 leads to, or raise what it means."""
    status, location = response.status, response.getheader("Location")
    if status in _REDIRECTS and location:
        return location
    reason = _printable(f"HTTP {status} {response.reason}".strip())
    if status >= 500 or status in _ASK_AGAIN:
        pause = retry_after(response.getheader("Retry-After"), time.time())
        raise Passing(reason, pause if status in (429, 503) else None)
    raise Refused(reason)


def _led_to(url: str, location: str) -> str:
    """Return where a redirect leads, if it may be followed."""
    try:
        # As browsers do: what no address may hold is written in its place.
        there = urljoin(url, quote(location.strip(), safe="%/:=&?~#+!$,;'@()*[]"))
        parts = urlsplit(there)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise Refused(f"redirected to {location[:200]!r}, which is no web address")
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise Refused(
            f"redirected from https to {there[:200]!r}, which anybody on the way can read"
        )
    return there


def _what_happened(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "broken off"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return _printable(f"{type(error).__name__} {error}".strip())


def _printable(text: str) -> str:
    # What a server says ends on a terminal and in a table.
    return "".join(mark if mark.isprintable() else "?" for mark in text[:200])
