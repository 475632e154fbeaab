"""One request, to a server that misbehaves."""

import http.server
import shutil
import ssl
import subprocess
import threading
import time

import hpa_server as answers
import pytest
from hpa_server import picture

import hpastack
from hpastack.download.client import Client, Passing, Refused, Stopped
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
    with pytest.raises(Refused):
        ask(answers.status(404))
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
    with pytest.raises(Passing, match="closed without an answer|reset") as caught:
        ask(answers.reset, answers.reset)
    assert not caught.value.answered
    assert len(hpa_server.requests) == 3


@pytest.mark.parametrize(
    "step, reason",
    [
        (answers.status(500), "HTTP 500"),
        (answers.status(408), "HTTP 408"),
        (answers.truncated, r"broken off after \d+ of \d+ bytes"),
        (answers.chunked_broken, "broken off"),
        (answers.silent, "no answer in time"),
        (answers.reset, "reset"),
        (answers.garbage, "BadStatusLine"),
    ],
)
def test_what_may_pass(ask, step, reason):
    with pytest.raises(Passing, match=reason):
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
        (answers.huge, "1,000,000,000,000 bytes are announced, more than 1,048,576"),
        (answers.endless, "goes on after 1,048,576 bytes"),
        (answers.redirect("file:///etc/passwd"), "redirected to 'file:///etc/passwd'"),
        (answers.redirect("ftp://127.0.0.1/x"), "no web address"),
        (answers.redirect("http://me:secret@127.0.0.1/x"), "no web address"),
        (answers.redirect("http://127.0.0.1:99999/x"), "no web address"),
        (answers.redirect("http://" + 80 * "a" + ".org/x"), "no valid address"),
    ],
)
def test_what_will_not_pass(ask, step, reason):
    with pytest.raises(Refused, match=reason):
        ask(step)
    assert ask().data == picture("green")


def test_a_body_that_drips_is_given_up(hpa_server):
    client = Client(lambda: None, 0.03, 2**20, threading.Event())
    hpa_server.always = answers.dripping
    with pytest.raises(Passing, match="not whole after 0.3 s"):
        client.get(hpa_server.origin + PATH)
    client.close()


def test_a_body_without_an_end_of_its_own_is_marked(ask):
    assert not ask(answers.truncated_without_length).framed


@pytest.mark.parametrize("header, seconds", [("7", 7), ("soon", None)])
@pytest.mark.parametrize("code", [429, 503])
def test_the_server_says_how_long_to_wait(ask, code, header, seconds):
    with pytest.raises(Passing) as caught:
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
    with pytest.raises(Refused, match="more than 5 times"):
        client.get(hpa_server.origin + "/loop")
    assert len(n_turns) == len(hpa_server.paths) == 9
    client.close()


def test_after_leftover_bytes_the_next_answer_is_whole(hpa_server, client):
    url = hpa_server.origin + PATH
    hpa_server.script[PATH] = [answers.cut_by_length]
    assert client.get(url).data == picture("green")[:-10]
    # The ten bytes are taken for the next answer, which is asked for once more.
    assert client.get(url).data == picture("green")


def test_stopping_ends_what_is_under_way(hpa_server):
    stopped = threading.Event()
    client = Client(lambda: None, 30, 2**20, stopped)
    hold = threading.Event()
    hpa_server.always = lambda handler: hold.wait(20)
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


def test_a_proxy_of_the_environment_is_asked(hpa_server, client, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", hpa_server.origin.replace("//", "//me:secret@"))
    assert client.get("http://images.invalid/57/1_A1_1_red.jpg?x=1").data
    assert hpa_server.paths == ["http://images.invalid/57/1_A1_1_red.jpg?x=1"]
    monkeypatch.setenv("http_proxy", "socks5://me:secret@127.0.0.1:1080")
    with pytest.raises(InputError, match="http_proxy of the environment") as caught:
        client.get("http://images.invalid/x")
    assert "secret" not in str(caught.value)


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


def test_certificates_are_verified(certificate, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/down":
                answers.redirect("http://localhost/x")(self)
            else:
                answers.image(self)

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request, client_address):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = Server(("127.0.0.1", 0), Handler)
    # The handshake in the thread of the request: one that fails must not end the server.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    origin = f"https://localhost:{server.server_port}"
    try:
        strict = Client(lambda: None, 2, 2**20, threading.Event())
        with pytest.raises(Passing, match="certificate is not trusted"):
            strict.get(origin + "/a_red.jpg")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        trusting = Client(lambda: None, 2, 2**20, threading.Event())
        assert trusting.get(origin + "/a_red.jpg").data == picture("red")
        with pytest.raises(Passing, match="not trusted"):
            trusting.get(origin.replace("localhost", "127.0.0.1") + "/a_red.jpg")
        with pytest.raises(Refused, match="redirected from https to 'http://localhost/x'"):
            trusting.get(origin + "/down")
        strict.close()
        trusting.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
