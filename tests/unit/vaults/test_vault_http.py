"""The client of the vaults that are asked over HTTPS."""

import socket
import ssl
import subprocess
import time
from email.utils import formatdate

import pytest
import trustme
from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import vault_http
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import (
    VaultClient,
    VaultHTTPError,
)
from vault_testing import Proxy, told_by

from tests.fakes.faults import Answer, Fake

SECRET = "s3cret"


class Echo(Fake):
    """Answers with what it was asked, or with the `reply` it was given."""

    reply = None

    def answer(self, request):
        if self.reply:
            return self.reply
        return Answer(
            {
                "method": request.method,
                "target": request.target,
                "type": request.headers.get("Content-Type"),
                "accept": request.headers.get("Accept"),
                "token": request.headers.get("X-Auth-Token"),
                "body": request.body.decode(),
            }
        )


@pytest.fixture(scope="module")
def server():
    with Echo() as fake:
        yield fake


@pytest.fixture
def fake(server):
    server.forget()
    server.reply = None
    return server


class Clock:
    """The time, which pauses and the test move."""

    def __init__(self):
        self.pauses = []
        self.moved = 0

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.moved += seconds

    def monotonic(self):
        return time.monotonic() + self.moved

    def time(self):
        return time.time() + self.moved


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(vault_http, "time", clock)
    return clock


@pytest.fixture
def make_client(fake):
    clients = []

    def make_client(url=None, **options):
        client = VaultClient(url or fake.url, **{"ca_path": str(fake.ca_path), **options})
        clients.append(client)
        return client

    yield make_client
    for client in clients:
        client.close()


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        # Bound, but nobody listens; nobody else can.
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def failure(function, *arguments, **options):
    """Return the error of a request that fails, and find no secret in it."""
    with pytest.raises(AnsibleError) as caught:
        function(*arguments, **options)
    assert SECRET not in told_by(caught.value)
    return caught.value


def ask(client, **options):
    """Ask with a secret in everything that may hold one."""
    given = {"headers": {"X-Auth-Token": SECRET}, "json": {"password": SECRET}, **options}
    return client.request("POST", "/some/path", query={"q": SECRET}, **given)


def place(fake):
    return f"POST localhost:{fake.port} /some/path: "


# What is sent.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"method": "GET", "path": "/a/b.json"},
            {"method": "GET", "target": "/base/a/b.json", "type": None, "body": ""},
            id="plain",
        ),
        pytest.param(
            {"method": "GET", "path": "a", "query": {"x": "ä &=", "page": 2}},
            {"target": "/base/a?x=%C3%A4+%26%3D&page=2"},
            id="query",
        ),
        pytest.param(
            {"method": "POST", "path": "a", "json": {"pass": "ä"}},
            {"type": "application/json", "body": '{"pass": "\\u00e4"}'},
            id="json",
        ),
        pytest.param(
            {"method": "POST", "path": "a", "json": []},
            {"type": "application/json", "body": "[]"},
            id="empty json",
        ),
        pytest.param(
            {"method": "POST", "path": "a", "form": {"a": "b c&", "d": "ä"}},
            {"type": "application/x-www-form-urlencoded", "body": "a=b+c%26&d=%C3%A4"},
            id="form",
        ),
        pytest.param(
            {"method": "PUT", "path": "a", "headers": {"X-Auth-Token": "t"}},
            {"method": "PUT", "token": "t", "accept": "application/json"},
            id="headers",
        ),
        pytest.param(
            {"method": "GET", "path": "a", "headers": {"Accept": "text/plain"}},
            {"accept": "text/plain", "token": "client's"},
            id="headers of the client",
        ),
    ],
)
def test_requests(options, expected, fake, make_client):
    client = make_client(f"{fake.url}/base/", headers={"X-Auth-Token": "client's"})
    seen = client.request(**options).json()
    assert {key: seen[key] for key in expected} == expected


def test_connections_are_kept(fake, make_client):
    client = make_client()
    fake.faults = [
        {"kind": "status", "status": 404, "match": "missing"},
        {"kind": "status", "status": 204, "match": "empty"},
    ]
    for number in range(4):
        client.request("GET", f"{number}")
        client.request("PUT", "empty", accept=(204,))
        client.request("GET", "missing", accept=(404,))
        failure(client.request, "GET", "missing")
    assert len(fake.requests) == 16
    assert fake.connections == 1


def test_a_client_closes_its_connections(fake):
    with VaultClient(fake.url, ca_path=str(fake.ca_path)) as client:
        client.request("GET", "a")
        client.request("GET", "a")
        client.close()
        client.request("GET", "a")
    assert fake.connections == 2


# Replies.


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/vnd.passwordsafe.project+json",
        "application/json; charset=utf-8",
        "text/plain",
        "",
    ],
)
def test_json_of_any_content_type(content_type, fake, make_client):
    fake.reply = Answer({"a": ["ü"]}, content_type=content_type)
    assert make_client().request("GET", "a").json() == {"a": ["ü"]}


@pytest.mark.parametrize(
    ("text", "content_type", "named"),
    [
        pytest.param("<html>s3cret", "text/html; charset=utf-8", "text/html", id="html"),
        pytest.param('{"pass": "s3cret', "application/json", "application/json", id="truncated"),
        pytest.param("", "application/json", "application/json", id="empty"),
        pytest.param('{"s3cret": "\udcff"}', "a/b", "a/b", id="not UTF-8"),
        pytest.param("[" * 200_000, "a/b", "a/b", id="too deep"),
        pytest.param("s3cret", "s3cret s3cret/x", "not given", id="odd content type"),
    ],
)
def test_replies_that_are_not_json(text, content_type, named, fake, make_client):
    fake.reply = Answer(content_type=content_type, text="")
    fake.reply.body = text.encode(errors="surrogateescape")
    error = failure(ask(make_client()).json)
    assert isinstance(error, VaultHTTPError)
    assert error.status == 200
    assert str(error) == (
        f"{place(fake)}the reply is not JSON, or only a part of it (its content type is {named}):"
        " is the URL right?"
    )


def test_replies_have_a_largest_size(fake, make_client, monkeypatch):
    monkeypatch.setattr(vault_http, "MAX_BODY_BYTES", 1 << 20)
    fake.reply = Answer("x" * (1 << 20))
    client = make_client()
    assert str(failure(ask, client)) == f"{place(fake)}the reply is larger than 1 MiB"
    fake.reply = None
    assert client.request("GET", "a").status == 200


# Faults, and what is tried again.

ONCE_MORE = " (tried 2 times)"
TRANSIENT = [
    pytest.param({"kind": "hang"}, "no answer within 0.2 s", None, id="hang"),
    pytest.param({"kind": "slow", "seconds": 60}, "no answer within 0.2 s", None, id="slow"),
    pytest.param({"kind": "reset"}, "the connection broke", None, id="reset"),
    pytest.param({"kind": "cut"}, "the connection broke", None, id="cut"),
    *(
        pytest.param(
            {"kind": "status", "status": status}, f"HTTP {status} {phrase}", status, id=f"{status}"
        )
        for status, phrase in (
            (429, "Too Many Requests"),
            (500, "Internal Server Error"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
            (504, "Gateway Timeout"),
        )
    ),
]
LASTING = [
    pytest.param({"kind": "status", "status": status}, f"HTTP {status} {phrase}", id=str(status))
    for status, phrase in (
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (501, "Not Implemented"),
    )
] + [
    pytest.param({"kind": "status", "status": 204}, "HTTP 204 No Content", id="not accepted"),
    pytest.param({"kind": "status", "status": 599}, "HTTP 599", id="no standard status"),
]


@pytest.mark.parametrize(("fault", "problem", "status"), TRANSIENT)
def test_transient_faults_always(fault, problem, status, fake, make_client, clock):
    fake.faults = [fault]
    error = failure(ask, make_client(timeout=0.2, retries=1))
    assert (str(error), error.status) == (place(fake) + problem + ONCE_MORE, status)
    assert len(clock.pauses) == 1


@pytest.mark.parametrize("fault", [case.values[0] for case in TRANSIENT], ids=str)
def test_transient_faults_once(fault, fake, make_client, clock):
    fake.faults = [{**fault, "times": 1}]
    assert ask(make_client(timeout=0.2, retries=1)).status == 200
    assert len(clock.pauses) == 1


@pytest.mark.parametrize(("fault", "problem", "status"), TRANSIENT)
def test_what_must_not_be_repeated(fault, problem, status, fake, make_client, clock):
    fake.faults = [{**fault, "times": 1}]
    error = failure(ask, make_client(timeout=0.2), retry=False)
    assert (str(error), error.status) == (place(fake) + problem, status)
    assert not clock.pauses


@pytest.mark.parametrize(("fault", "problem"), LASTING)
def test_lasting_faults(fault, problem, fake, make_client, clock):
    fake.faults = [fault]
    error = failure(ask, make_client())
    assert (str(error), error.status) == (place(fake) + problem, fault["status"])
    assert len(fake.requests) == 1
    assert not clock.pauses


@pytest.mark.parametrize("retry", [True, False])
def test_what_was_never_sent_is_always_repeated(retry, make_client, free_port, clock):
    client = make_client(f"https://localhost:{free_port}", retries=2)
    error = failure(ask, client, retry=retry)
    assert str(error) == (
        f"POST localhost:{free_port} /some/path: no connection: Connection refused (tried 3 times)"
    )
    assert len(clock.pauses) == 2


def test_a_name_that_does_not_exist(make_client):
    error = failure(ask, make_client("https://vault.invalid", retries=0))
    assert str(error) == "POST vault.invalid /some/path: the host's name can't be resolved"


def test_pauses_grow(fake, make_client, clock):
    fake.faults = [{"kind": "status", "status": 503}]
    failure(ask, make_client(retries=8))
    longest = [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert len(clock.pauses) == len(longest)
    for pause, most in zip(clock.pauses, longest, strict=True):
        assert most / 2 <= pause <= most


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        pytest.param("7", 7, 7, id="seconds"),
        pytest.param("0", 0, 0.25, id="no seconds"),
        pytest.param(3600, 3000, 3600, id="date"),
        pytest.param(-3600, 0, 0.25, id="date gone by"),
        pytest.param("soon", 0, 0.25, id="neither"),
        pytest.param("-5", 0, 0.25, id="negative"),
        pytest.param("Wed, 99 Foo 2026 99:99:99 GMT", 0, 0.25, id="no date"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(value, least, most, status, fake, make_client, clock):
    if isinstance(value, int):
        value = formatdate(time.time() + value, usegmt=True)
    fake.faults = [{"kind": "status", "status": status, "retry_after": value, "times": 1}]
    assert ask(make_client(total_timeout=7200)).status == 200
    (pause,) = clock.pauses
    assert least <= pause <= most


def test_retry_after_by_the_clock_of_the_server(fake, make_client, clock):
    """A controller whose clock is an hour behind does not wait for an hour."""
    clock.time = lambda: time.time() - 3600
    until = formatdate(time.time() + 30, usegmt=True)
    fake.faults = [{"kind": "status", "status": 503, "retry_after": until, "times": 1}]
    ask(make_client())
    assert clock.pauses[0] <= 30


# The time limit.


def test_a_pause_past_the_limit_is_not_begun(fake, make_client, clock):
    fake.faults = [{"kind": "status", "status": 429, "retry_after": 600}]
    error = failure(ask, make_client())
    assert error.status == 429
    assert str(error) == (
        f"{place(fake)}HTTP 429 Too Many Requests, and another attempt in 600 s would pass the time"
        " limit of 120 s for the whole lookup"
    )
    assert not clock.pauses


def test_the_limit_ends_retries(fake, make_client, clock):
    fake.faults = [{"kind": "status", "status": 500}]
    error = failure(ask, make_client(retries=1000, total_timeout=30))
    assert "HTTP 500 Internal Server Error (tried" in str(error)
    assert "would pass the time limit of 30 s for the whole lookup" in str(error)
    assert 20 < sum(clock.pauses) < 30


def test_the_limit_is_for_all_requests(fake, make_client, clock):
    client = make_client(total_timeout=30)
    ask(client)
    clock.moved = 31
    late = "the time limit of 30 s for the whole lookup is reached"
    assert str(failure(ask, client)) == place(fake) + late
    assert ask(client, grace=5).status == 200
    clock.moved = 36
    assert str(failure(ask, client, grace=5)) == place(fake) + late
    assert len(fake.requests) == 2


def test_the_limit_shortens_the_time_out(fake, make_client):
    fake.faults = [{"kind": "hang"}]
    error = failure(ask, make_client(timeout=60, total_timeout=0.2, retries=0))
    assert "no answer within 0." in str(error)


def test_the_limit_ends_a_reply_that_trickles(fake, make_client):
    fake.faults = [{"kind": "trickle", "seconds": 0.05}]
    error = failure(ask, make_client(timeout=5, total_timeout=0.3))
    assert str(error) == (
        f"{place(fake)}the reply is too slow: the time limit of 0.3 s for the whole lookup is"
        " reached"
    )


# Trust.


def test_the_certificate_of_another_host(make_client, clock):
    with Echo(names=("other.example",)) as other:
        error = failure(ask, make_client(other.url, ca_path=str(other.ca_path)))
        assert "the server's certificate is not trusted: Hostname mismatch" in str(error)
        assert not other.requests
    assert not clock.pauses


@pytest.mark.parametrize("ca", [pytest.param(None, id="system"), pytest.param("other", id="other")])
def test_an_unknown_ca(ca, fake, make_client, tmp_path, clock):
    if ca:
        ca = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(ca)
    error = failure(ask, make_client(ca_path=ca))
    assert str(error) == (
        f"{place(fake)}the server's certificate is not trusted: unable to get local issuer"
        " certificate; a CA of your own is named by ca_path"
    )
    assert not fake.requests
    assert not clock.pauses


def test_a_directory_of_cas(fake, make_client, tmp_path):
    (tmp_path / "mine.pem").write_bytes(fake.ca_path.read_bytes())
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    assert ask(make_client(ca_path=str(tmp_path))).status == 200


def test_a_server_that_never_says_hello(make_client):
    """The connection is made by the system, and nobody takes it up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = failure(ask, make_client(f"https://localhost:{port}", timeout=0.2, retries=0))
    assert str(error) == f"POST localhost:{port} /some/path: no answer within 0.2 s"


def test_a_server_without_tls(make_client):
    with Proxy() as plain:
        error = failure(ask, make_client(f"https://{plain.host}", retries=0))
    assert str(error) == f"POST {plain.host} /some/path: TLS failed, or the connection broke"


def test_old_tls_is_refused(fake):
    context = vault_http._trust(str(fake.ca_path))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"ca_path": "/none.pem"},
            "/none.pem: the file of CA certificates: No such file or directory.",
            id="no CA file",
        ),
        pytest.param(
            {"ca_path": __file__},
            f"{__file__}: the file of CA certificates: there is no certificate in PEM form in it.",
            id="CA file without a certificate",
        ),
        pytest.param(
            {"url": "http://localhost/x"},
            "http://localhost/x: the vault's URL must begin with https://, else its secrets would"
            " travel in the clear.",
            id="http",
        ),
        pytest.param(
            {"url": "https://user:s3cret@localhost:1/x"},
            "https://localhost:1/x: a vault's URL holds no user, password, query or fragment;"
            " there are options for user and password.",
            id="user and password",
        ),
        pytest.param(
            {"url": "https://localhost/x?token=s3cret"},
            "https://localhost/x: a vault's URL holds no user, password, query or fragment; there"
            " are options for user and password.",
            id="query",
        ),
        *(
            pytest.param(
                {"url": url},
                "A vault's URL is not one like https://vault.example.org/path.",
                id=url,
            )
            for url in (
                "localhost",
                "https://",
                "https://h:s3cret",
                "https://[s3cret",
                "https:///x",
            )
        ),
        *(
            pytest.param(
                {"proxy": proxy},
                "The proxy is not a URL like http://proxy.example.org:3128 or"
                " http://USER:PASSWORD@proxy.example.org:3128.",
                id=proxy,
            )
            for proxy in ("proxy:3128", "socks5://u:s3cret@h:1", "http://u:s3cret@", "http://h:x")
        ),
        *(
            pytest.param(
                option,
                "timeout and total_timeout must be more than 0 seconds, and retries 0 or more.",
                id=str(option),
            )
            for option in ({"timeout": 0}, {"total_timeout": -1}, {"retries": -1})
        ),
    ],
)
def test_settings(options, message, make_client):
    assert str(failure(make_client, **options)) == message


@pytest.mark.parametrize(
    "location",
    ["https://{other}/some/path", "/elsewhere", "http://localhost/", "//{other}/x?a=s3cret"],
)
def test_redirects_are_not_followed(location, fake, make_client):
    with Echo() as other:
        location = location.format(other=other.url.removeprefix("https://"))
        fake.faults = [{"kind": "status", "status": 302, "location": location}]
        error = failure(ask, make_client())
        assert str(error) == (
            f"{place(fake)}HTTP 302 Found: redirects are not followed, correct the URL"
        )
        assert not other.requests
        assert not other.connections
    assert len(fake.requests) == 1


def test_what_can_not_be_sent(fake, make_client):
    error = failure(ask, make_client(), headers={"X-Auth-Token": f"{SECRET}\r\nHost: x"})
    assert str(error) == f"{place(fake)}the request or its reply is not valid HTTP (ValueError)"
    error = failure(ask, make_client(), headers={"X-Auth-Token": f"{SECRET}\u2028"})
    assert "the request or its reply is not valid HTTP (UnicodeEncodeError)" in str(error)


# Proxies.


def test_through_a_proxy(fake, make_client):
    with Proxy(login="user:s3cret@ä") as proxy:
        client = make_client(proxy=f"http://user:s3cret%40%C3%A4@{proxy.host}")
        ask(client)
        ask(client)
        assert proxy.asked == [f"CONNECT localhost:{fake.port}"]
    assert len(fake.requests) == 2


def test_a_proxy_that_wants_another_login(fake, make_client, clock):
    with Proxy(login="user:other") as proxy:
        error = failure(ask, make_client(proxy=f"http://user:s3cret@{proxy.host}"))
        assert str(error) == (
            f"{place(fake)}the proxy {proxy.host} refuses the connection (HTTP 407 Proxy"
            " Authentication Required)"
        )
    assert not fake.requests
    assert not clock.pauses


def test_a_proxy_that_fails(fake, make_client):
    with Proxy() as proxy:
        proxy.refuse = 502
        error = failure(ask, make_client(proxy=f"http://{proxy.host}", retries=1), retry=False)
        assert str(error) == (
            f"{place(fake)}the proxy {proxy.host} refuses the connection (HTTP 502 Bad Gateway)"
            " (tried 2 times)"
        )
        assert len(proxy.asked) == 2


def test_a_proxy_that_is_not_there(fake, make_client, free_port):
    proxy = f"127.0.0.1:{free_port}"
    error = failure(ask, make_client(proxy=f"http://user:s3cret@{proxy}", retries=0))
    assert str(error) == f"{place(fake)}no connection to the proxy {proxy}"


def test_the_environments_proxy_is_not_used(make_client, monkeypatch, free_port):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port}")
    assert ask(make_client()).status == 200


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:s3cret@h:1/a/?q=s3cret#s3cret", "https://h:1/a"),
        ("https://h", "https://h"),
        ("https://[s3cret", "(not a URL)"),
    ],
)
def test_origin(url, expected):
    assert vault_http.origin(url) == expected
