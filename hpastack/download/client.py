"""Requests through urllib3: the complete body, or an error that is permanent or temporary."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError
from urllib3.util import Url, parse_url

from hpastack import __version__
from hpastack.download.pacing import retry_after
from hpastack.errors import InputError

USER_AGENT = f"hpastack/{__version__} (python -m pipelines.download)"
MAX_REDIRECTS = 5

_TRY_AGAIN = (408, 425, 429)  # and every 5xx
_CHUNK = 2**16


class PermanentError(Exception):
    """A failure that another request would not change."""


class TemporaryError(Exception):
    """A failure after which another request may succeed.

    `pause` is the number of seconds that the server asks to wait, if any;
    `answered` is whether the server responded at all.
    """

    def __init__(self, reason: str, pause: float | None = None, answered: bool = True) -> None:
        super().__init__(reason)
        self.pause = pause
        self.answered = answered


class Stopped(Exception):
    """The client has been stopped."""


class Body(NamedTuple):
    """The body of a response; `framed` is whether the server marked its end."""

    data: bytes
    framed: bool


class Client:
    """HTTP client with persistent connections, shared by several threads.

    Parameters
    ----------
    before_request : callable
        Called before every request, including redirects and retries.
    timeout : float
        Seconds without a byte after which a request fails. A complete
        response may take ten times as long.
    max_bytes : int
        Longer responses are rejected.
    stopped : Event
        Once set, no further requests are sent.
    jobs : int, default=1
        Number of threads, and of connections kept per host.
    """

    def __init__(
        self,
        before_request: Callable[[], None],
        timeout: float,
        max_bytes: int,
        stopped: threading.Event,
        jobs: int = 1,
    ) -> None:
        self._before_request = before_request
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._stopped = stopped
        self._jobs = jobs
        self._tls = ssl.create_default_context()
        self._pools: dict[str | None, PoolManager] = {}  # by proxy
        # Sockets rather than connections, which drop a socket that the server closes after its
        # response.
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._own = threading.local()
        self._pool_classes = {
            "http": _observed(HTTPConnectionPool, self._observe),
            "https": _observed(HTTPSConnectionPool, self._observe),
        }

    def get(self, url: str) -> Body:
        """Request a file once, following redirects.

        Parameters
        ----------
        url : str
            An http or https address.

        Returns
        -------
        Body

        Raises
        ------
        PermanentError
        TemporaryError
        Stopped
        InputError
            If the environment names a proxy that is not an HTTP proxy.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(urldefrag(url).url)
            try:
                if response.status == 200:
                    return self._body(response)
                url = _redirected(url, _location(response))
            finally:
                _release(response)
        raise PermanentError(f"redirected more than {MAX_REDIRECTS} times")

    def hang_up(self) -> None:
        """Shut down the connections used by other threads; call after `stopped` is set."""
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):  # already closed
                    # Not the method of the TLS socket, which would break a concurrent read.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections; no thread may be using them."""
        # One by one, because a pool is closed only when no traceback refers to it.
        for sock in list(self._sockets):
            sock.close()
        self._pools.clear()

    def _send(self, url: str) -> BaseHTTPResponse:
        while True:
            if self._stopped.is_set():
                raise Stopped
            pools = self._pools_for(url)
            self._before_request()
            self._own.is_new = False
            try:
                return pools.urlopen(
                    "GET", url, redirect=False, retries=False, preload_content=False,
                    decode_content=False, timeout=self._timeout,
                    headers={"User-Agent": USER_AGENT, "Accept": "image/jpeg"},
                )  # fmt: skip
            except ValueError as error:  # an invalid host name
                raise PermanentError(_printable(f"not a valid address: {error}")) from error
            except HTTPError as error:
                if self._stopped.is_set():
                    raise Stopped from error
                # Not a failure on a reused connection: the server may close it at any time, or
                # have sent more than announced for the previous response.
                if self._own.is_new or not isinstance(error, ProtocolError):
                    raise TemporaryError(_describe(error), answered=False) from error

    def _body(self, response: BaseHTTPResponse) -> Body:
        expected = response.length_remaining
        if expected is not None and expected > self._max_bytes:
            raise PermanentError(f"{expected:,} bytes announced, more than {self._max_bytes:,}")
        longest = 10 * self._timeout
        ends_at = time.monotonic() + longest
        data = bytearray()
        try:
            while chunk := response.read1(_CHUNK):
                data += chunk
                if self._stopped.is_set():
                    break
                if len(data) > self._max_bytes:
                    raise PermanentError(f"more than {self._max_bytes:,} bytes")
                if time.monotonic() > ends_at:
                    raise TemporaryError(f"incomplete after {longest:g} s")
        except HTTPError as error:
            if not self._stopped.is_set():
                raise TemporaryError(_describe(error)) from error
        if self._stopped.is_set():
            raise Stopped
        # Not response.chunked, which is also true for "gzip, chunked", which is not decoded here.
        is_chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        return Body(bytes(data), framed=expected is not None or is_chunked)

    def _pools_for(self, url: str) -> PoolManager:
        """Return the pools for a host: through the proxy in the environment, or direct."""
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme) or None
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = None
        with self._lock:
            if proxy not in self._pools:
                options: dict[str, Any] = {"maxsize": self._jobs, "ssl_context": self._tls}
                pools = _through(proxy, options, parts.scheme) if proxy else PoolManager(**options)
                pools.pool_classes_by_scheme = self._pool_classes
                self._pools[proxy] = pools
            return self._pools[proxy]

    def _observe(self, connection: HTTPConnection) -> None:
        self._own.is_new = True
        if connection.sock is not None:
            with self._lock:
                self._sockets.add(connection.sock)
        if self._stopped.is_set():
            raise Stopped


def _observed(pool_class: Any, observe: Callable[[HTTPConnection], None]) -> Any:
    class Connection(pool_class.ConnectionCls):
        def connect(self) -> None:
            observe(self)
            super().connect()
            observe(self)  # hang_up may have come before the socket existed

    return type("Pool", (pool_class,), {"ConnectionCls": Connection})


def _through(proxy: str, options: dict[str, Any], scheme: str) -> ProxyManager:
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        parts = Url()
    if parts.scheme != "http" or not parts.host:
        # Without its text, which may contain a password.
        raise InputError(f"environment variable {scheme}_proxy is not of the form http://host:port")
    headers = {}
    if parts.auth is not None:
        name, _, password = parts.auth.partition(":")
        login = f"{unquote(name)}:{unquote(password)}".encode()
        headers["Proxy-Authorization"] = f"Basic {b64encode(login).decode()}"
    return ProxyManager(parts.url, proxy_headers=headers, **options)


def _release(response: BaseHTTPResponse) -> None:
    """Keep the connection if the response is read or nearly read; otherwise close it."""
    remaining = response.length_remaining
    if response.status != 200 and remaining is not None and remaining <= _CHUNK:
        response.drain_conn()
    response.close()
    response.release_conn()


def _location(response: BaseHTTPResponse) -> str:
    """Return the redirect address of a response other than 200, or raise an error."""
    if location := response.get_redirect_location():
        return location
    reason = _printable(f"HTTP {response.status} {response.reason or ''}".strip())
    if response.status < 500 and response.status not in _TRY_AGAIN:
        raise PermanentError(reason)
    # Not with urllib3's Retry, which reads the 99th of November as a day in February.
    pause = retry_after(response.headers.get("Retry-After"), time.time())
    raise TemporaryError(reason, pause if response.status in (429, 503) else None)


def _redirected(url: str, location: str) -> str:
    """Return the address of a redirect, if it may be followed."""
    try:
        target = parse_url(urljoin(url, location.strip()))  # quotes invalid characters
        is_good = target.scheme in ("http", "https") and bool(target.host)
        is_good = is_good and target.auth is None and target.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise PermanentError(f"redirected to {location[:200]!r}, which is not a web address")
    if target.scheme == "http" and urlsplit(url).scheme == "https":
        raise PermanentError(
            f"redirected from https to {target.url[:200]!r}, which is not encrypted"
        )
    return target.url


def _describe(error: BaseException) -> str:
    """Return a short description of the cause of an error from urllib3."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, Exception)), None)
    if inner is not None:
        return _describe(inner)
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, http.client.RemoteDisconnected):
        return "connection closed without a response"
    if isinstance(error, IncompleteRead):
        return f"interrupted after {error.partial:,} of {error.partial + error.expected:,} bytes"
    if isinstance(error, http.client.IncompleteRead):
        return "interrupted"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return _printable(f"{type(error).__name__} {error}".strip())


def _printable(text: str) -> str:
    # Text from a server is shown on a terminal and written to a table.
    return "".join(mark if mark.isprintable() else "?" for mark in text[:200])
