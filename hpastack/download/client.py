"""One request through urllib3: the whole body, or an error that says whether to try again."""

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
    """Another request would get the same answer."""


class TemporaryError(Exception):
    """Another request may succeed.

    `pause` is how many seconds the server wants to be left alone, if it says
    so; `answered` whether it answered at all.
    """

    def __init__(self, reason: str, pause: float | None = None, answered: bool = True) -> None:
        super().__init__(reason)
        self.pause = pause
        self.answered = answered


class Stopped(Exception):
    """The client was told to stop."""


class Body(NamedTuple):
    """What arrived; `framed` says whether the server told where it ends."""

    data: bytes
    framed: bool


class Client:
    """Gets files over connections that are kept; used by several threads at once.

    Parameters
    ----------
    before_request : callable
        Called before every request, redirected and repeated ones too.
    timeout : float
        Seconds without a byte after which a request has failed. A whole
        answer may take ten times as long.
    max_bytes : int
        A longer answer is rejected.
    stopped : Event
        Once set, nothing is requested any more.
    jobs : int, default=1
        Threads that use it: as many connections to a host are kept.
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
        # Not connections, which let go of a socket that the server will close after its answer.
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._own = threading.local()
        self._pool_classes = {
            "http": _watched(HTTPConnectionPool, self._watch),
            "https": _watched(HTTPSConnectionPool, self._watch),
        }

    def get(self, url: str) -> Body:
        """Request a file once, and follow redirects.

        Parameters
        ----------
        url : str
            Address over http or https.

        Returns
        -------
        Body

        Raises
        ------
        PermanentError
        TemporaryError
        Stopped
        InputError
            If the environment names a proxy that is none over http.
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
        """Cut the connections that other threads are using; to be called after `stopped` is set."""
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):  # closed already
                    # Not the method of a TLS socket, which would pull it from under its reader.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections; no thread may be using them."""
        # One by one: a pool is only closed once no error's traceback holds it any more.
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
            except ValueError as error:  # a host that none can have
                raise PermanentError(_printable(f"no valid address: {error}")) from error
            except HTTPError as error:
                if self._stopped.is_set():
                    raise Stopped from error
                # On a kept connection no failure: a server may close it at any moment, or have
                # sent more for the last answer than it had said.
                if self._own.is_new or not isinstance(error, ProtocolError):
                    raise TemporaryError(_describe(error), answered=False) from error

    def _body(self, response: BaseHTTPResponse) -> Body:
        expected = response.length_remaining
        if expected is not None and expected > self._max_bytes:
            raise PermanentError(f"{expected:,} bytes are announced, more than {self._max_bytes:,}")
        longest = 10 * self._timeout
        ends_at = time.monotonic() + longest
        data = bytearray()
        try:
            while chunk := response.read1(_CHUNK):
                data += chunk
                if self._stopped.is_set():
                    break
                if len(data) > self._max_bytes:
                    raise PermanentError(f"goes on after {self._max_bytes:,} bytes")
                if time.monotonic() > ends_at:
                    raise TemporaryError(f"not whole after {longest:g} s")
        except HTTPError as error:
            if not self._stopped.is_set():
                raise TemporaryError(_describe(error)) from error
        if self._stopped.is_set():
            raise Stopped
        # Not response.chunked, which holds for "gzip, chunked", too: that is not taken apart.
        is_chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        return Body(bytes(data), framed=expected is not None or is_chunked)

    def _pools_for(self, url: str) -> PoolManager:
        """Return the connections to a host: through the environment's proxy, or direct."""
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

    def _watch(self, connection: HTTPConnection) -> None:
        self._own.is_new = True
        if connection.sock is not None:
            with self._lock:
                self._sockets.add(connection.sock)
        if self._stopped.is_set():
            raise Stopped


def _watched(pool_class: Any, watch: Callable[[HTTPConnection], None]) -> Any:
    class Connection(pool_class.ConnectionCls):
        def connect(self) -> None:
            watch(self)
            super().connect()
            watch(self)  # it may have been too early to be cut

    return type("Pool", (pool_class,), {"ConnectionCls": Connection})


def _through(proxy: str, options: dict[str, Any], scheme: str) -> ProxyManager:
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        parts = Url()
    if parts.scheme != "http" or not parts.host:
        # Without its text, which may hold a password.
        raise InputError(f"{scheme}_proxy of the environment is no address http://host:port")
    headers = {}
    if parts.auth is not None:
        name, _, password = parts.auth.partition(":")
        login = f"{unquote(name)}:{unquote(password)}".encode()
        headers["Proxy-Authorization"] = f"Basic {b64encode(login).decode()}"
    return ProxyManager(parts.url, proxy_headers=headers, **options)


def _release(response: BaseHTTPResponse) -> None:
    """Keep the connection where all has been read or little is left; close it otherwise."""
    left = response.length_remaining
    if response.status != 200 and left is not None and left <= _CHUNK:
        response.drain_conn()
    response.close()
    response.release_conn()


def _location(response: BaseHTTPResponse) -> str:
    """Return the address that an answer other than 200 leads to, or raise what it means."""
    if location := response.get_redirect_location():
        return location
    reason = _printable(f"HTTP {response.status} {response.reason or ''}".strip())
    if response.status < 500 and response.status not in _TRY_AGAIN:
        raise PermanentError(reason)
    # Not by urllib3's Retry, which takes the 99th of November for a day in February.
    pause = retry_after(response.headers.get("Retry-After"), time.time())
    raise TemporaryError(reason, pause if response.status in (429, 503) else None)


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads, if it may be followed."""
    try:
        there = parse_url(urljoin(url, location.strip()))  # quotes what an address must not hold
        is_good = there.scheme in ("http", "https") and bool(there.host)
        is_good = is_good and there.auth is None and there.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise PermanentError(f"redirected to {location[:200]!r}, which is no web address")
    if there.scheme == "http" and urlsplit(url).scheme == "https":
        raise PermanentError(
            f"redirected from https to {there.url[:200]!r}, which anybody on the way can read"
        )
    return there.url


def _describe(error: BaseException) -> str:
    """Say in a few words what is behind an error of urllib3."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, Exception)), None)
    if inner is not None:
        return _describe(inner)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(error, IncompleteRead):
        return f"broken off after {error.partial:,} of {error.partial + error.expected:,} bytes"
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
