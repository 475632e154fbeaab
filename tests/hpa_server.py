"""A server that stands for the one of the Human Protein Atlas, and misbehaves on demand."""

import functools
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from hpastack.fields import STAINS

TINTS = {"red": (0,), "green": (1,), "blue": (2,), "yellow": (0, 1)}


@functools.cache
def picture(stain):
    """Return a JPEG in the tint of a stain."""
    y, x = np.mgrid[:48, :48]
    pixels = np.zeros((48, 48, 3), np.uint8)
    for plane in TINTS[stain]:
        pixels[..., 2 - plane] = 60 + 2 * x + y + 10 * STAINS.index(stain)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


class HpaServer:
    """Serves every stain of every field at ``/<antibody>/<plate>_<well>_<field>_<stain>.jpg``.

    `script` has, for a path, what to do instead at its first, second, ... request: functions of
    this module that take the handler. `requests` are the (time, path, port of the client).
    """

    def __init__(self):
        self.script = {}
        self.requests = []
        self.agents = set()
        self.most_at_once = 0
        self.at_once = 0
        self.always = None
        self.lock = threading.Lock()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5
            disable_nagle_algorithm = True

            def do_GET(self):
                ours.answer(self)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, request, client_address):
                pass  # clients hang up on some answers

        self.server = Server(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.url = self.origin + "/{antibody}/{plate}_{well}_{field}_{stain}.jpg"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, handler):
        path = handler.path
        with self.lock:
            self.requests.append((time.monotonic(), path, handler.client_address[1]))
            self.agents.add(handler.headers["User-Agent"])
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            steps = self.script.get(path)
            step = steps.pop(0) if steps else self.always
        try:
            (step or image)(handler)
        finally:
            with self.lock:
                self.at_once -= 1

    @property
    def paths(self):
        return [path for _, path, _ in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def send(handler, status, body, headers=(), length=None):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def stain_of(handler):
    return handler.path.partition("?")[0].removesuffix(".jpg").rpartition("_")[2]


def image(handler):
    send(handler, 200, picture(stain_of(handler)), [("Content-Type", "image/jpeg")])


def slow(handler):
    time.sleep(0.05)
    image(handler)


def silent(handler):
    time.sleep(0.4)
    handler.close_connection = True


def status(code, *headers):
    return lambda handler: send(handler, code, b"<html>no</html>", headers)


def web_page(handler):
    send(handler, 200, b"\n<!DOCTYPE html><p>Sorry", [("Content-Type", "image/jpeg")])


def empty(handler):
    send(handler, 200, b"")


def wrong_colour(handler):
    stain = "blue" if stain_of(handler) != "blue" else "green"
    send(handler, 200, picture(stain))


def truncated(handler):
    body = picture(stain_of(handler))
    send(handler, 200, body[: len(body) // 2], length=len(body))
    handler.close_connection = True


def truncated_without_length(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(picture(stain_of(handler))[:400])
    handler.close_connection = True


def cut_by_length(handler):
    """Announce less than is sent: what is left would spoil the next answer."""
    body = picture(stain_of(handler))
    send(handler, 200, body, length=len(body) - 10)


def chunked(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    body = picture(stain_of(handler))
    for part in (body[:300], body[300:], b""):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))


def chunked_broken(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"fff\r\nabc")
    handler.close_connection = True


def huge(handler):
    send(handler, 200, b"", length=10**12)
    handler.close_connection = True


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    while True:  # until the client hangs up
        handler.wfile.write(b"\xff\xd8\xff" + bytes(2**16))


def endless_404(handler):
    handler.send_response(404)
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(bytes(2**16))


def dripping(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(b"\xff\xd8\xff")
        time.sleep(0.02)


def reset(handler):
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    # The files over the socket keep it open otherwise.
    handler.connection.close()
    handler.rfile.close()


def garbage(handler):
    handler.wfile.write(b"what is this\r\n\r\n")
    handler.close_connection = True


def rude(handler):
    """Answer with what would colour a terminal, and does not end soon."""
    handler.wfile.write(b"HTTP/1.1 404 \x1b[31mGone " + 9999 * b"a" + b"\r\n")
    handler.wfile.write(b"Content-Length: 0\r\n\r\n")


def then_closed(handler):
    """Answer well, and close the kept connection without a word."""
    image(handler)
    handler.close_connection = True


def redirect(location, code=302, body=b""):
    return lambda handler: send(handler, code, body, [("Location", location)])
