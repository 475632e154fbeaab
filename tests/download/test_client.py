"""One request, to a server that misbehaves."""

import base64
import http.server
import select
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from contextlib import closing, contextmanager

import hpa_server as answers
import pytest
from hpa_server import picture

import hpastack
from hpastack.download.client import Client, PermanentError, Stopped, TemporaryError
from hpastack.errors import InputError

PATH = "/57/12_F11_1_green.jpg"


@pytest.fixture
def client():
    with_limits = Client(lambda: None, 0.2, 2**20, threading.Event())
    yield with_limits
    with_limits.close()


@pytest.fixture
def ask(hpa_server, client):
    """What asks for the green stain after the server was told what to do."""

    def get(*steps):
        hpa_server.script[PATH] = list(steps)
        return client.get(hpa_server.origin + PATH)

    return get


def test_connections_are_kept(hpa_server, ask):
    for _ in range(3):
        assert ask().data == picture("green")
    assert ask(answers.chunked).data == picture("green")
    with pytest.raises(PermanentError):
        ask(answers.status(404))
    assert ask(answers.redirect(PATH, body=b"<p>over there")).data == picture("green")
    assert ask().framed
    assert len({port for _, _, port in hpa_server.requests}) == 1
    (agent,) = hpa_server.agents
    assert agent.startswith(f"hpastack/{hpastack.__version__} ")


def test_a_kept_connection_that_was_closed_is_made_anew(hpa_server, ask):
    for _ in range(3):
        assert ask(answers.then_closed).data == picture("green")
        time.sleep(0.02)
    assert len({port for _, _, port in hpa_server.requests}) == 3


def test_but_a_server_that_closes_every_one_has_failed(hpa_server, ask):
    ask()
    with pytest.raises(TemporaryError, match="closed without a response|reset") as caught:
        ask(answers.reset, answers.reset)
    assert not caught.value.answered
    assert len(hpa_server.requests) == 3


@pytest.mark.parametrize(
    "step, reason",
    [
        (answers.status(500), "HTTP 500"),
        (answers.status(408), "HTTP 408"),
        (answers.truncated, r"interrupted after \d+ of \d+ bytes"),
        (answers.chunked_broken, "interrupted"),
        (answers.silent, "timed out"),
        (answers.reset, "reset"),
        (answers.garbage, "BadStatusLine"),
    ],
)
def test_what_may_pass(ask, step, reason):
    with pytest.raises(TemporaryError, match=reason):
        ask(step)
    assert ask().data == picture("green")


@pytest.mark.parametrize(
    "step, reason",
    [
        (answers.status(404), "HTTP 404"),
        (answers.status(403), "HTTP 403"),
        (answers.status(410), "HTTP 410"),
        (answers.status(204), "HTTP 204"),
        (answers.status(302), "HTTP 302"),
        (answers.rude, r"^HTTP 404 \?\[31mGone a*$"),
        (answers.endless_404, "HTTP 404"),
        (answers.huge, "1,000,000,000,000 bytes announced, more than 1,048,576"),
        (answers.endless, "more than 1,048,576 bytes"),
        (answers.redirect("file:///etc/passwd"), "redirected to 'file:///etc/passwd'"),
        (answers.redirect("ftp://127.0.0.1/x"), "not a web address"),
        (answers.redirect("http://me:secret@127.0.0.1/x"), "not a web address"),
        (answers.redirect("http://127.0.0.1:99999/x"), "not a web address"),
        (answers.redirect("http://" + 80 * "a" + ".org/x"), "not a valid address"),
    ],
)
def test_what_will_not_pass(ask, step, reason):
    with pytest.raises(PermanentError, match=reason):
        ask(step)
    assert ask().data == picture("green")


def test_a_body_that_drips_is_given_up(hpa_server):
    client = Client(lambda: None, 0.03, 2**20, threading.Event())
    hpa_server.always = answers.dripping
    with pytest.raises(TemporaryError, match="incomplete after 0.3 s"):
        client.get(hpa_server.origin + PATH)
    client.close()


def test_a_body_without_an_end_of_its_own_is_marked(ask):
    assert not ask(answers.truncated_without_length).framed

    def in_a_coding_that_is_not_taken_apart(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "gzip, chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(picture("green")[:400])

    assert not ask(in_a_coding_that_is_not_taken_apart).framed


def test_an_error_counts_even_if_its_body_is_cut_short(ask):
    def busy(handler):
        answers.send(handler, 503, b"so", [("Retry-After", "7")], length=9)
        handler.close_connection = True

    with pytest.raises(TemporaryError, match="HTTP 503") as caught:
        ask(busy)
    assert caught.value.pause == 7


def test_a_body_is_taken_as_it_comes(ask):
    def said_to_be_packed(handler):
        answers.send(handler, 200, picture("green"), [("Content-Encoding", "gzip")])

    assert ask(said_to_be_packed).data == picture("green")


@pytest.mark.parametrize("header, seconds", [("7", 7), ("soon", None)])
@pytest.mark.parametrize("code", [429, 503])
def test_the_server_says_how_long_to_wait(ask, code, header, seconds):
    with pytest.raises(TemporaryError) as caught:
        ask(answers.status(code, ("Retry-After", header)))
    assert caught.value.pause == seconds


def test_redirects_are_followed_with_a_limit_and_each_is_a_request(hpa_server):
    n_turns = []
    client = Client(lambda: n_turns.append(1), 1, 2**20, threading.Event())
    # Relative, with what an address must not hold, and absolute to another name of the host.
    port = hpa_server.server.server_port
    hpa_server.script["/a"] = [answers.redirect("b c_green.jpg", 308)]
    hpa_server.script["/b%20c_green.jpg"] = [
        answers.redirect(f"http://localhost:{port}/d_green.jpg", 301)
    ]
    assert client.get(hpa_server.origin + "/a#part").data == picture("green")
    assert hpa_server.paths == ["/a", "/b%20c_green.jpg", "/d_green.jpg"]
    assert len(n_turns) == 3
    hpa_server.always = answers.redirect("/loop")
    with pytest.raises(PermanentError, match="more than 5 times"):
        client.get(hpa_server.origin + "/loop")
    assert len(n_turns) == len(hpa_server.paths) == 9
    client.close()


def test_after_leftover_bytes_the_next_answer_is_whole(hpa_server, client):
    url = hpa_server.origin + PATH
    hpa_server.script[PATH] = [answers.cut_by_length]
    assert client.get(url).data == picture("green")[:-10]
    # The ten bytes are taken for the next answer, which is asked for once more.
    assert client.get(url).data == picture("green")


@pytest.mark.parametrize("is_answered", [False, True])
def test_stopping_ends_what_is_under_way(hpa_server, is_answered):
    stopped = threading.Event()
    client = Client(lambda: None, 30, 2**20, stopped)
    hold = threading.Event()

    def answer(handler):
        if is_answered:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"\xff\xd8\xff")
        hold.wait(20)

    hpa_server.always = answer
    outcome = []

    def get():
        try:
            client.get(hpa_server.origin + PATH)
        except Stopped:
            outcome.append("stopped")

    thread = threading.Thread(target=get)
    thread.start()
    while not hpa_server.requests:
        time.sleep(0.005)
    time.sleep(0.1)  # until the first bytes have been read
    start = time.monotonic()
    stopped.set()
    client.hang_up()
    thread.join()
    client.close()
    assert outcome == ["stopped"]
    assert time.monotonic() - start < 10
    hold.set()
    with pytest.raises(Stopped):
        client.get(hpa_server.origin + PATH)


def test_stopped_before_it_is_connected_it_requests_nothing(hpa_server):
    stopped = threading.Event()
    client = Client(stopped.set, 30, 2**20, stopped)
    with pytest.raises(Stopped):
        client.get(hpa_server.origin + PATH)
    client.close()
    assert hpa_server.requests == []


def test_a_proxy_of_the_environment_is_asked(hpa_server, client, monkeypatch):
    logins = []

    def note_login(handler):
        logins.append(handler.headers["Proxy-Authorization"])
        answers.image(handler)

    hpa_server.always = note_login
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", hpa_server.origin.replace("//", "//me:s%C3%A9cr%40t@"))
    assert client.get("http://images.invalid/57/1_A1_1_red.jpg?x=1#part").data
    monkeypatch.setenv("http_proxy", hpa_server.origin.replace("//", "//me@"))
    assert client.get("http://images.invalid/57/1_A1_3_red.jpg").data
    monkeypatch.setenv("http_proxy", hpa_server.origin.removeprefix("http://"))
    assert client.get("http://images.invalid/57/1_A1_2_red.jpg").data
    assert hpa_server.paths == [
        "http://images.invalid/57/1_A1_1_red.jpg?x=1",
        "http://images.invalid/57/1_A1_3_red.jpg",
        "http://images.invalid/57/1_A1_2_red.jpg",
    ]
    login, no_password = (base64.b64encode(t.encode()).decode() for t in ("me:s\u00e9cr@t", "me:"))
    assert logins == [f"Basic {login}", f"Basic {no_password}", None]


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:1080", "me:secret@:80", "http://"])
def test_a_proxy_that_is_none_over_http_is_an_error_without_its_password(
    client, monkeypatch, proxy
):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(InputError, match="environment variable http_proxy is not") as caught:
        client.get("http://images.invalid/x")
    assert "secret" not in str(caught.value)


def test_a_host_of_no_proxy_is_reached_without_and_where_it_leads_with_the_proxy(
    hpa_server, ask, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask().data == picture("green")
    with pytest.raises(TemporaryError, match="refused"):
        ask(answers.redirect("http://images.invalid/57/1_A1_1_red.jpg"))
    assert hpa_server.paths == [PATH, PATH]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody has signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-out", folder / "cert.pem", "-keyout", folder / "key.pem",
         *names],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


class QuietServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        pass


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tls_origin(certificate):
    """A server of stains over TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/down":
                answers.redirect("http://localhost/x")(self)
            else:
                answers.image(self)

        def log_message(self, *args):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = QuietServer(("127.0.0.1", 0), Handler)
    # The handshake in the thread of the request: one that fails must not end the server.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    with serving(server):
        yield f"https://localhost:{server.server_port}"


def test_certificates_are_verified(certificate, tls_origin, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    strict = Client(lambda: None, 2, 2**20, threading.Event())
    with closing(strict), pytest.raises(TemporaryError, match="certificate not trusted"):
        strict.get(tls_origin + "/a_red.jpg")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with closing(Client(lambda: None, 2, 2**20, threading.Event())) as trusting:
        assert trusting.get(tls_origin + "/a_red.jpg").data == picture("red")
        with pytest.raises(TemporaryError, match="not trusted"):
            trusting.get(tls_origin.replace("localhost", "127.0.0.1") + "/a_red.jpg")
        with pytest.raises(PermanentError, match="redirected from https to 'http://localhost/x'"):
            trusting.get(tls_origin + "/down")


def test_a_proxy_leads_through_to_a_server_over_tls(certificate, tls_origin, monkeypatch):
    connects = []
    host = tls_origin.removeprefix("https://")

    class Tunnel(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            connects.append((self.path, self.headers["Proxy-Authorization"]))
            if len(connects) == 1:
                self.send_response_only(407)
                self.end_headers()
                return
            self.send_response_only(200)
            self.end_headers()
            port = int(host.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as server:
                ends = {self.connection: server, server: self.connection}
                while True:
                    for end in select.select(list(ends), [], [])[0]:
                        if not (data := end.recv(2**16)):
                            return
                        ends[end].sendall(data)

    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    client = Client(lambda: None, 2, 2**20, threading.Event())
    with serving(QuietServer(("127.0.0.1", 0), Tunnel)) as proxy, closing(client):
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.server_port}")
        with pytest.raises(TemporaryError, match="407"):
            client.get(tls_origin + "/a_red.jpg")
        assert client.get(tls_origin + "/a_red.jpg").data == picture("red")
    login = base64.b64encode(b"me:secret").decode()
    assert connects == [(host, f"Basic {login}")] * 2
