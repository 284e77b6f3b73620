"""A case's HTTP sources, as the code of a workflow reaches them."""

import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rax.credentials import connection_fields, get_credentials
from rax.testing._model import Answer, Given, HttpSource
from rax.testing._services import Services, _http_program

WEB, API = "SURVEY-WEB", "SURVEY-API"
ANSWERS = (
    Answer("GET", "/flights?year=2013&month=1", body=b"[1]", headers={"X-Page": "1"}),
    Answer("GET", "/flights?year=2013&month=2", 503, body=b"not yet"),
    Answer("GET", "/flights?year=2013&month=2", body=b"[2]"),
    Answer("POST", "/flights", 201),
    Answer("DELETE", "/flights/1", 204),
)


@pytest.fixture
def services(tmp_path, monkeypatch):
    web = tmp_path / "web"
    web.joinpath("sub").mkdir(parents=True)
    web.joinpath("flights.csv").write_bytes(b"a\n1\n")
    web.joinpath("sub/x y.txt").write_bytes(b"x")
    tmp_path.joinpath("outside").write_text("outside")
    web.joinpath("link").symlink_to(tmp_path / "outside")
    folder = tmp_path / "case"
    folder.mkdir()
    given = Given(
        http={
            WEB: HttpSource(folder=web),
            API: HttpSource(answers=ANSWERS),
            "DOWN": HttpSource(folder=web),
        },
        down=frozenset({"DOWN", "ELSEWHERE"}),
        credentials={API: {"metadata": {"header.X-Token": "t"}}},
    )
    with Services(given, folder, tmp_path, tmp_path) as services:
        monkeypatch.setenv("RAX_CREDENTIALS_DIR", services.environment["RAX_CREDENTIALS_DIR"])
        yield services


def ask(name, path, method="GET", body=None):
    url = f"{get_credentials(name)['url']}{path}"
    request = urllib.request.Request(url, body, method=method)  # noqa: S310 - of this test
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - of this test
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.usefixtures("services")
def test_a_folder_is_served_and_nothing_outside_of_it():
    assert ask(WEB, "/flights.csv?any=1") == (200, b"a\n1\n")
    assert ask(WEB, "/sub/x%20y.txt") == (200, b"x")
    assert ask(WEB, "/flights.csv", "HEAD") == (200, b"")
    for path in ("/", "/sub/", "/link", "/../outside", "/%2e%2e/outside", "/no"):
        assert ask(WEB, path) == (404, f"{WEB} has no file {path}\n".encode())
    assert ask(WEB, "/flights.csv", "POST", b"x")[0] == 404


def test_answers_are_given_in_their_order_and_anew_after_a_reset(services):
    for _run in range(2):
        assert ask(API, "/flights?month=1&year=2013") == (200, b"[1]")
        months = [ask(API, "/flights?year=2013&month=2") for _time in range(3)]
        assert months == [(503, b"not yet"), (200, b"[2]"), (200, b"[2]")]
        assert ask(API, "/flights", "POST", b"{}") == (201, b"")
        assert ask(API, "/flights/1", "DELETE") == (204, b"")
        before = get_credentials(API)["url"]
        services.reset()
        assert get_credentials(API)["url"] == before


def test_a_request_without_an_answer_is_told_which_there_are(services):
    code, text = ask(API, "/flights?year=2012&month=1")
    assert code == 404
    assert text.decode() == (
        f"{API} has no answer to GET /flights?year=2012&month=1, but to"
        " GET /flights?year=2013&month=1, GET /flights?year=2013&month=2, POST /flights,"
        " DELETE /flights/1\n"
    )
    log = services.work.parent.joinpath("http.log").read_text()
    assert '"GET /flights?year=2012&month=1 HTTP/1.1" 404' in log


@pytest.mark.usefixtures("services")
def test_one_connection_serves_many_requests():
    url = urlsplit(get_credentials(API)["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    found = []
    for body in (b"x" * 100_000, iter([b"chunk", b"s"]), None):
        connection.request("POST", "/flights", body, encode_chunked=True)
        answer = connection.getresponse()
        found.append((answer.status, answer.read()))
    connection.request("GET", "/flights?year=2013&month=1")
    answer = connection.getresponse()
    found.append((answer.status, answer.read(), answer.headers["X-Page"]))
    connection.close()
    assert found == [(201, b"")] * 3 + [(200, b"[1]", "1")]


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"Content-Length: 99999999999", b"413"),
        (b"Content-Length: x", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffffff", b"413"),
    ],
)
@pytest.mark.usefixtures("services")
def test_a_body_that_cannot_be_read_ends_the_connection(head, code):
    url = urlsplit(get_credentials(API)["url"])
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(b"POST /flights HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.split()[1] == code


@pytest.mark.usefixtures("services")
def test_the_connection_of_a_source_is_one_of_http():
    fields = connection_fields(get_credentials(API))
    assert (fields["conn_type"], fields["schema"], fields["host"]) == ("http", "http", "127.0.0.1")
    assert f"http://127.0.0.1:{fields['port']}" == get_credentials(API)["url"]
    assert fields["extra"] == {"X-Token": "t"}


@pytest.fixture
def secure(tmp_path, monkeypatch):
    folder = tmp_path / "secure"
    folder.mkdir()
    sources = {API: HttpSource(answers=ANSWERS, tls=True), WEB: HttpSource(folder=tmp_path)}
    given = Given(
        http={**sources, "DOWN": HttpSource(folder=tmp_path, tls=True)}, down=frozenset({"DOWN"})
    )
    with Services(given, folder, tmp_path, tmp_path) as services:
        monkeypatch.setenv("RAX_CREDENTIALS_DIR", services.environment["RAX_CREDENTIALS_DIR"])
        yield services


def test_a_source_by_tls_is_trusted_by_the_case_alone(secure, monkeypatch):
    url = get_credentials(API)["url"]
    port = urlsplit(url).port
    assert url == f"https://127.0.0.1:{port}"
    assert connection_fields(get_credentials(API))["schema"] == "https"
    assert get_credentials(WEB)["url"].startswith("http://")
    assert get_credentials("DOWN")["url"].startswith("https://")
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(API, "/flights?month=1&year=2013")
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    (authority,) = {secure.environment[name] for name in names}
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    # One that says nothing holds up nobody else.
    with socket.create_connection(("127.0.0.1", port), timeout=30):
        assert ask(API, "/flights?month=1&year=2013") == (200, b"[1]")
    trusting = ssl.create_default_context()
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    for host, is_named in (("127.0.0.1", True), ("localhost", True), ("example.com", False)):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            if is_named:
                trusting.wrap_socket(plain, server_hostname=host).close()
            else:
                with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
                    trusting.wrap_socket(plain, server_hostname=host)


@pytest.mark.parametrize("name", ["DOWN", "ELSEWHERE"])
@pytest.mark.usefixtures("services")
def test_what_is_down_refuses(name):
    credential = get_credentials(name)
    address = (credential["host"], credential["metadata"]["port"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=30)


def test_the_server_ends_with_the_case(services):
    process = services._services[1]._process
    services.__exit__(None, None, None)
    assert process.returncode is not None


def test_the_server_ends_when_its_case_is_killed(tmp_path):
    web = tmp_path / "web"
    web.mkdir()
    folder = tmp_path / "case"
    folder.mkdir()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            with Services(Given(http={WEB: HttpSource(web)}), folder, tmp_path, tmp_path) as case:
                os.write(writer, str(case._services[1]._process.pid).encode())
                os.kill(os.getpid(), 9)
        finally:
            os._exit(70)
    os.waitpid(child, 0)
    server = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    until = time.monotonic() + 30
    while _is_alive(server) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _is_alive(server)


def _is_alive(pid):
    try:
        # A zombie is dead; who inherits it may be slow to notice.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_equal_requests_are_one():
    request = _http_program.request_of
    assert request("get", "/a%20b?x=1&y=a+b") == request("GET", "/a b?y=a%20b&x=1")
    assert request("GET", "/a?x=1") != request("GET", "/a?x=1&x=1")
    assert request("GET", "/a?x=") != request("GET", "/a")
