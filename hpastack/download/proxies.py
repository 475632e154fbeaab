"""The proxies that the environment names, as ``http_proxy``, ``https_proxy`` and ``no_proxy``."""

from __future__ import annotations

import base64
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from hpastack.errors import InputError


class Proxy(NamedTuple):
    """Where a proxy listens, and the headers that it wants."""

    host: str
    port: int
    headers: dict[str, str]


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """Return the proxy through which a host is to be reached.

    Parameters
    ----------
    scheme : {"http", "https"}
    host : str

    Returns
    -------
    Proxy or None
        None: the host is reached without.

    Raises
    ------
    InputError
        If it is no proxy over http.
    """
    text = urllib.request.getproxies().get(scheme)
    if not text or urllib.request.proxy_bypass(host):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        name, port = parts.hostname, parts.port or 80
    except ValueError:
        name = None
    if name is None or parts.scheme != "http":
        # Without its text, which may hold a password.
        raise InputError(f"{scheme}_proxy of the environment is no address http://host:port")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    return Proxy(name, port, headers)
