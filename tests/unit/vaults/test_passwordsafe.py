"""Records of Rackspace PasswordSafe, and the server that stands in for it."""

import json
import re
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http import VaultClient
from vault_testing import ROOT, Proxy, environment

from tests.fakes.passwordsafe import PasswordSafe

LOOKUP = "caspian.airflow.passwordsafe"
PASSWORD = "login-s3cret {{ x }} ä"


def credential(identifier, description, **fields):
    return {
        "id": identifier,
        "project_id": 101,
        "user_id": 7,
        "category": "Service Accounts",
        "description": description,
        "hostname": "db.example.org",
        "username": "etl",
        "password": f"s3cret-{identifier}",
        "url": "",
        "prerequisites": "",
        "version": 1,
        **fields,
    }


CREDENTIALS = [
    credential(
        1,
        "EBI-ETL-DEV-01 env=dev The nightly load\nteam: data\nretries: 3",
        hostname="db1.example.org:1433",
        url="https://db1.example.org/x",
    ),
    credential(2, "EBI-ETL-DEV-01x"),
    credential(3, "  EBI-BLANK\tx"),
    credential(4, "EBI-JSON", password='{"password": "s3cret {{ y }}"}'),
    credential(5, "EBI-PORT port=99", hostname="[fe80::1]:5432"),
    credential(6, "EBI-URL", hostname=None, url="postgresql://db2:5432/x"),
    credential(7, "TWICE first"),
    credential(8, "TWICE second"),
    credential(9, "twice lower"),
    credential(10, None),
    credential(11, ""),
    credential(12, 12),
    credential(13, "EBI-NUMBER", password=13),
    credential(14, "EBI-LIST", hostname=["db"]),
    {"id": 15, "project_id": 101, "description": "EBI-BARE"},
    {"project_id": 101, "description": "EBI-NO-ID", "password": "s3cret-none"},
    credential(21, "OTHER", project_id=102),
    credential(22, "SHARED", project_id=102),
    credential(23, "SHARED", project_id=103),
    *(credential(1000 + number, f"MANY-{number:03}", project_id=104) for number in range(110)),
]
DATA = {
    "users": {"svc": PASSWORD},
    "projects": [
        {"id": 101, "name": "EBI development", "description": ""},
        {"id": 102, "name": "Other", "description": ""},
        {"id": 103, "name": "Same", "description": ""},
        {"id": 104, "name": "Many", "description": ""},
        {"id": 105, "name": "Empty", "description": ""},
        {"id": 106, "name": "Same", "description": ""},
        *({"id": number, "name": f"P{number}", "description": ""} for number in range(200, 230)),
    ],
    "credentials": CREDENTIALS,
}


@pytest.fixture(scope="module")
def server():
    with PasswordSafe(DATA) as fake:
        yield fake


@pytest.fixture
def fake(server):
    server.forget()
    yield server
    server.data = DATA
    server.data_changed()


@pytest.fixture(scope="module")
def password_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("login") / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def settings(fake, password_file):
    return {
        "url": fake.url,
        "identity_url": fake.url,
        "user": "svc",
        "password_file": str(password_file),
        "projects": [101],
        "ca_path": str(fake.ca_path),
    }


@pytest.fixture
def look_up(fake, lookups, settings):
    def look_up(terms, variables=None, env=None, **options):
        """Run the lookup with the fake as the default, and find no secret in what it says."""
        given = {**settings, **options}
        given = {name: value for name, value in given.items() if value is not None}
        answer = lookups(LOOKUP, terms, given, variables, env)
        shown = answer["said"] + answer.get("error", "")
        for secret in (PASSWORD, "s3cret", *fake.tokens()):
            assert secret not in shown
        return answer

    return look_up


@pytest.fixture
def client(fake):
    with VaultClient(fake.url, ca_path=str(fake.ca_path), retries=0) as client:
        yield client


def body(**changes):
    login = {"username": "svc", "password": PASSWORD}
    domain = {"RAX-AUTH:domain": {"name": "Rackspace"}}
    return {"auth": {**domain, "passwordCredentials": login, **changes}}


def paths(fake):
    return [request["path"] for request in fake.requests]


def pages(project, number):
    return [f"/projects/{project}/credentials.json?page={page}" for page in range(1, number + 1)]


# Records.


def test_records(look_up):
    names = ["EBI-ETL-DEV-01", "EBI-BLANK", "EBI-JSON", "EBI-PORT", "EBI-URL", "EBI-BLANK"]
    found = look_up(names)["result"]
    assert [record["name"] for record in found] == names
    assert found[0] == {
        "name": "EBI-ETL-DEV-01",
        "user": "etl",
        "pass": "s3cret-1",
        "host": "db1.example.org",
        "url": "https://db1.example.org/x",
        "description": "The nightly load",
        "metadata": {"env": "dev", "team": "data", "retries": 3, "port": 1433},
        "protected": [],
        "expires_at": None,
    }
    assert (found[1]["pass"], found[1]["description"]) == ("s3cret-3", "x")
    assert found[2]["pass"] == '{"password": "s3cret {{ y }}"}'
    assert (found[3]["host"], found[3]["metadata"]) == ("fe80::1", {"port": 99})
    assert (found[4]["host"], found[4]["metadata"]) == ("db2", {"port": 5432})


@pytest.mark.parametrize("name", ["EBI-BARE", "EBI-NO-ID"])
def test_records_that_lack_fields(name, look_up):
    """What a credential lacks is empty; whoever uses the record refuses it."""
    (record,) = look_up([name])["result"]
    assert {record[key] for key in ("user", "host", "url", "description")} == {""}
    assert record["pass"] in ("", "s3cret-none")
    assert record["metadata"] == {}


NOTHING = "no credential's description begins with this name"
UNDELIVERABLE = [
    pytest.param("Nowhere", NOTHING, id="missing"),
    pytest.param("ebi-etl-dev-01", NOTHING, id="other case"),
    pytest.param("EBI-ETL", NOTHING, id="part of a word"),
    pytest.param("EBI-BLANK x", NOTHING, id="two words"),
    pytest.param("12", NOTHING, id="description is a number"),
    pytest.param("", NOTHING, id="empty"),
    pytest.param(
        "TWICE",
        "2 credentials have this name: 7 in project 101, 8 in project 101",
        id="duplicate names",
    ),
    pytest.param(
        "SHARED",
        "2 credentials have this name: 22 in project 102, 23 in project 103",
        id="duplicate names in two projects",
    ),
    pytest.param("EBI-NUMBER", "its password is not a text", id="password is a number"),
    pytest.param("EBI-LIST", "its hostname is not a text", id="host is a list"),
]


@pytest.mark.parametrize(("name", "reason"), UNDELIVERABLE)
def test_names_that_fail(name, reason, fake, look_up):
    projects = [101, 102, 103]
    answer = look_up(["OTHER", name, "EBI-BLANK"], projects=projects)
    assert answer["error"] == f"{fake.url}: {name}: {reason}"
    first, second, third = look_up(
        ["OTHER", name, "EBI-BLANK"], projects=projects, missing="report"
    )["result"]
    assert (first["pass"], third["pass"]) == ("s3cret-21", "s3cret-3")
    assert second == {"name": name, "error": reason}


# Requests.


def test_requests_for_many_names(fake, look_up):
    """One token, and each page of the project once."""
    names = [f"MANY-{number:03}" for number in range(110)]
    found = look_up(names, projects=[104])["result"]
    assert [record["pass"] for record in found] == [f"s3cret-{1000 + n}" for n in range(110)]
    assert paths(fake) == ["/v2.0/tokens", *pages(104, 6)]
    assert {request["status"] for request in fake.requests} == {200}


def test_connections_are_kept(fake, look_up):
    look_up(["MANY-001"], projects=[104])
    # One to the identity service and one to the vault.
    assert fake.connections == 2


def test_a_whole_page_is_not_the_last(fake, look_up):
    fake.data = {**DATA, "page_size": 55}
    look_up(["MANY-109"], projects=[104])
    assert paths(fake) == ["/v2.0/tokens", *pages(104, 3)]


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        pytest.param({"projects": [102, 103]}, [102, 103], id="ids"),
        pytest.param({"projects": "102, Other,103"}, [102, 103], id="one text"),
        pytest.param({"projects": ["Other", 102, "102"]}, [102], id="one project named twice"),
        pytest.param({"projects": ["P229", "Other"]}, [229, 102], id="names"),
        pytest.param({"projects": None, "project": 102}, [102], id="project"),
        pytest.param({"projects": None, "project": "Other"}, [102], id="project by name"),
    ],
)
def test_projects(given, listed, fake, look_up):
    answer = look_up(["OTHER"], **given, missing="report")
    assert "result" in answer, answer["error"]
    seen = [path for path in paths(fake) if path.endswith("credentials.json?page=1")]
    assert seen == [f"/projects/{project}/credentials.json?page=1" for project in listed]
    # The list of projects is asked once, and only for names.
    names = [path for path in paths(fake) if path == "/projects.json?page=1"]
    assert len(names) == ("Other" in str(given))


@pytest.mark.parametrize(
    ("projects", "message"),
    [
        pytest.param(
            ["Same"],
            "2 projects have the name 'Same', give the id of one: 103, 106.",
            id="two of a name",
        ),
        pytest.param(
            ["101", "other"],
            "The user sees no project with the name 'other': correct `projects`, or give the"
            " project's id.",
            id="none",
        ),
        pytest.param(
            [999],
            "GET {host} /projects/999/credentials.json: HTTP 404 Not Found: is `url` or the"
            " project's id wrong?",
            id="no such id",
        ),
    ],
)
def test_projects_that_fail(projects, message, fake, look_up):
    answer = look_up(["OTHER"], projects=projects)
    assert answer["error"] == message.format(host=fake.url.removeprefix("https://"))


def test_an_empty_project(fake, look_up):
    answer = look_up(["OTHER"], projects=[105])
    assert answer["error"] == f"{fake.url}: OTHER: {NOTHING}"
    assert paths(fake) == ["/v2.0/tokens", *pages(105, 1)]


def test_no_names(fake, look_up):
    assert look_up([])["result"] == []
    assert not fake.requests


# Faults.

LIST = "GET {host} /projects/101/credentials.json: "
TOKEN = "POST {host} /v2.0/tokens: "
LATE = "would pass the time limit of 120 s for the whole lookup"


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        pytest.param(
            {"kind": "hang"}, LIST + "no answer within 0.2 s (tried 2 times)", 3, id="hang"
        ),
        pytest.param(
            {"kind": "slow", "seconds": 60},
            LIST + "no answer within 0.2 s (tried 2 times)",
            None,
            id="too slow",
        ),
        pytest.param(
            {"kind": "reset"},
            LIST + "the connection broke (tried 2 times)",
            3,
            id="connection reset",
        ),
        pytest.param(
            {"kind": "status", "status": 401},
            LIST + "HTTP 401 Unauthorized: the vault refuses the token, and a new one as well",
            4,
            id="401 always",
        ),
        pytest.param(
            {"kind": "status", "status": 403},
            LIST + "HTTP 403 Forbidden: the user may not see the project",
            2,
            id="403",
        ),
        pytest.param(
            {"kind": "status", "status": 404},
            LIST + "HTTP 404 Not Found: is `url` or the project's id wrong?",
            2,
            id="404",
        ),
        pytest.param(
            {"kind": "status", "status": 429, "retry_after": 1},
            LIST + "HTTP 429 Too Many Requests (tried 2 times)",
            3,
            id="429 always",
        ),
        pytest.param(
            {"kind": "status", "status": 429, "retry_after": 121},
            LIST + f"HTTP 429 Too Many Requests, and another attempt in 121 s {LATE}",
            2,
            id="429 for too long",
        ),
        pytest.param(
            {"kind": "status", "status": 500},
            LIST + "HTTP 500 Internal Server Error (tried 2 times)",
            3,
            id="500 always",
        ),
        pytest.param(
            {"kind": "truncated"},
            LIST + "the reply is not JSON, or only a part of it (its content type is"
            " application/vnd.passwordsafe.project+json): is the URL right?",
            2,
            id="truncated JSON",
        ),
        pytest.param(
            {"kind": "cut"}, LIST + "the connection broke (tried 2 times)", 3, id="cut reply"
        ),
        pytest.param(
            {"kind": "content_type"},
            LIST + "the reply is not JSON, or only a part of it (its content type is text/html):"
            " is the URL right?",
            2,
            id="wrong content type",
        ),
        pytest.param(
            {"kind": "status", "status": 302, "location": "https://other.example/login?s3cret"},
            LIST + "HTTP 302 Found: redirects are not followed, correct the URL",
            2,
            id="redirect to another host",
        ),
        pytest.param(
            {"kind": "endless_pages"},
            LIST + "the listing has more than 20 pages, so it may have no"
            " end. If it is that long, raise `max_pages`.",
            21,
            id="endless pages",
        ),
    ],
)
def test_faults_of_the_vault(fault, message, requests, fake, look_up):
    fake.faults = [{"match": "credentials", **fault}]
    answer = look_up(["EBI-BLANK"], timeout=0.2, retries=1, max_pages=20)
    assert answer["error"] == message.format(host=fake.url.removeprefix("https://"))
    if requests:
        assert len(fake.requests) == requests


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        pytest.param(
            {"kind": "status", "status": 401},
            TOKEN + "HTTP 401 Unauthorized: the user, the password or the domain is wrong",
            1,
            id="401",
        ),
        pytest.param(
            {"kind": "status", "status": 403},
            TOKEN + "HTTP 403 Forbidden: the user may not log in",
            1,
            id="403",
        ),
        pytest.param(
            {"kind": "status", "status": 404},
            TOKEN + "HTTP 404 Not Found: is `identity_url` right?",
            1,
            id="404",
        ),
        pytest.param(
            {"kind": "status", "status": 503},
            TOKEN + "HTTP 503 Service Unavailable (tried 2 times)",
            2,
            id="503 always",
        ),
        pytest.param(
            {"kind": "truncated"},
            TOKEN + "the reply is not JSON, or only a part of it (its content type is"
            " application/json): is the URL right?",
            1,
            id="truncated JSON",
        ),
        pytest.param(
            {"kind": "reset"}, TOKEN + "the connection broke (tried 2 times)", 2, id="reset"
        ),
    ],
)
def test_faults_of_the_identity_service(fault, message, requests, fake, look_up):
    fake.faults = [{"match": "tokens", **fault}]
    answer = look_up(["EBI-BLANK"], retries=1)
    assert answer["error"] == message.format(host=fake.url.removeprefix("https://"))
    assert paths(fake) == ["/v2.0/tokens"] * requests


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [],
        None,
        {"access": []},
        {"access": {"token": {"id": None}}},
        {"access": {"token": {"id": ""}}},
        {"access": {"token": {"id": 5}}},
    ],
    ids=json.dumps,
)
def test_a_reply_without_a_token(reply, fake, look_up):
    fake.faults = [{"match": "tokens", "kind": "value", "value": reply}]
    assert look_up(["X"])["error"] == (
        f"POST localhost:{fake.port} /v2.0/tokens: the reply has no token in it: is `identity_url`"
        " right?"
    )


@pytest.mark.parametrize(
    "reply",
    [{}, "s3cret", [{"s3cret": 1}], ["s3cret"], [{"credential": "s3cret"}], None, {"error": 1}],
    ids=json.dumps,
)
def test_a_page_of_another_shape(reply, fake, look_up):
    fake.faults = [{"match": "page=2", "kind": "value", "value": reply}]
    assert look_up(["MANY-001"], projects=[104])["error"] == (
        f"GET localhost:{fake.port} /projects/104/credentials.json: page 2 is not a list of"
        " credentials: is `url` right?"
    )


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "slow", "seconds": 0.05}, id="slow"),
        pytest.param({"kind": "hang", "times": 1}, id="hang"),
        pytest.param({"kind": "reset", "times": 1}, id="connection reset"),
        pytest.param({"kind": "cut", "times": 1}, id="cut reply"),
        pytest.param({"kind": "status", "status": 401, "times": 1}, id="401 once"),
        pytest.param({"kind": "status", "status": 500, "times": 1}, id="500 then good"),
        pytest.param({"kind": "status", "status": 503, "times": 2}, id="503 twice"),
        pytest.param({"kind": "repeated_pages"}, id="repeated pages"),
        pytest.param({"kind": "last_page_repeated"}, id="last page repeated"),
    ],
)
def test_faults_that_do_no_harm(fault, fake, look_up):
    fake.faults = [{"match": "credentials", **fault}]
    answer = look_up(["MANY-001", "MANY-020"], projects=[104], timeout=0.5)
    assert [record["pass"] for record in answer["result"]] == ["s3cret-1001", "s3cret-1020"]


def test_duplicate_names_everywhere(fake, look_up):
    fake.faults = [{"kind": "duplicate_names"}]
    answer = look_up(["EBI-BLANK"])
    assert answer["error"] == (
        f"{fake.url}: EBI-BLANK: 2 credentials have this name: 3 in project 101, 1000003 in"
        " project 101"
    )


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_retry_after(date, fake, look_up):
    wanted = formatdate(time.time() + 3600, usegmt=True) if date else "3600"
    fault = {"kind": "status", "status": 429, "retry_after": wanted, "times": 1}
    fake.faults = [{"match": "credentials", **fault}]
    answer = look_up(["EBI-BLANK"], total_timeout=7200)
    assert answer["result"][0]["pass"] == "s3cret-3"
    (pause,) = answer["pauses"]
    assert 3000 <= pause <= 3600


def test_the_time_limit_is_for_the_whole_lookup(fake, look_up):
    fake.faults = [{"kind": "status", "status": 503, "retry_after": 40}]
    answer = look_up(["EBI-BLANK"], retries=100, total_timeout=100)
    assert "would pass the time limit of 100 s for the whole lookup" in answer["error"]
    assert answer["pauses"] == [40, 40]
    # Both services share it.
    fake.forget()
    fake.faults = [
        {"match": "tokens", "kind": "status", "status": 503, "retry_after": 60, "times": 1},
        {"match": "credentials", "kind": "status", "status": 503, "retry_after": 60},
    ]
    answer = look_up(["EBI-BLANK"], retries=100, total_timeout=100)
    assert "credentials.json: HTTP 503" in answer["error"]
    assert answer["pauses"] == [60]


# The token.


def test_a_token_that_expires(fake, look_up):
    """The page that was refused is asked for again, with another token."""
    fake.faults = [{"match": "page=3", "kind": "expired", "times": 1}]
    found = look_up(["MANY-000", "MANY-109"], projects=[104])["result"]
    assert [record["pass"] for record in found] == ["s3cret-1000", "s3cret-1109"]
    wanted = pages(104, 6)
    assert paths(fake) == ["/v2.0/tokens", *wanted[:3], "/v2.0/tokens", *wanted[2:]]
    assert [r["status"] for r in fake.requests if "page=3" in r["path"]] == [401, 200]


def test_a_token_is_renewed_once_a_lookup(fake, look_up):
    fake.faults = [{"match": "page=[24]", "kind": "expired", "times": 2}]
    answer = look_up(["MANY-000"], projects=[104])
    assert "the vault refuses the token, and a new one as well" in answer["error"]
    assert paths(fake).count("/v2.0/tokens") == 2


def test_a_token_with_status_203(fake, client, look_up):
    """As identity services of this kind may give it."""
    reply = client.request("POST", "v2.0/tokens", json=body()).json()
    fake.faults = [{"match": "tokens", "kind": "value", "value": reply, "status": 203}]
    assert look_up(["EBI-BLANK"])["result"][0]["pass"] == "s3cret-3"


@pytest.mark.parametrize(
    "options",
    [{"user": "nobody"}, {"domain": "Elsewhere"}, {"password_file": None, "password": "s3cret"}],
    ids="+".join,
)
def test_a_login_that_is_refused(options, fake, look_up):
    answer = look_up(["EBI-BLANK"], **options)
    assert "HTTP 401 Unauthorized: the user, the password or the domain is wrong" in answer["error"]
    assert paths(fake) == ["/v2.0/tokens"]


def test_another_domain(fake, look_up):
    fake.data = {**DATA, "domain": "Elsewhere"}
    assert look_up(["EBI-BLANK"], domain="Elsewhere")["result"][0]["pass"] == "s3cret-3"


# Trust and ways.


def test_the_certificate_of_another_host(fake, look_up):
    with PasswordSafe(DATA, names=("other.example",)) as other:
        answer = look_up(["X"], identity_url=other.url, ca_path=str(other.ca_path))
        assert "certificate is not trusted: Hostname mismatch" in answer["error"]
        assert not other.requests
        assert not fake.requests


def test_an_unknown_ca(fake, look_up):
    answer = look_up(["X"], ca_path=None)
    assert "certificate is not trusted: unable to get local issuer" in answer["error"]
    assert not fake.requests


@pytest.mark.parametrize("option", ["url", "identity_url"])
def test_plain_http_is_refused(option, fake, look_up):
    answer = look_up(["X"], **{option: "http://localhost:1/x"})
    assert "http://localhost:1/x: the vault's URL must begin with https://" in answer["error"]
    assert not fake.requests


def test_through_a_proxy(fake, look_up):
    with Proxy(login="user:s3cret") as proxy:
        answer = look_up(["EBI-BLANK"], proxy=f"http://user:s3cret@{proxy.host}")
        assert answer["result"][0]["pass"] == "s3cret-3"
        assert proxy.asked == [f"CONNECT localhost:{fake.port}"] * 2


# Settings.


def test_settings_from_variables(fake, look_up, password_file):
    none = dict.fromkeys(["url", "identity_url", "user", "password_file", "projects", "ca_path"])
    variables = {
        "place": fake.url,
        "caspian_passwordsafe_url": "{{ place }}",
        "caspian_passwordsafe_identity_url": "{{ place }}/",
        "caspian_passwordsafe_user": "{{ 'svc' }}",
        "caspian_passwordsafe_projects": ["{{ 100 + 1 }}", "Other"],
        "caspian_vault_password_file": str(password_file),
        "caspian_vault_ca_path": str(fake.ca_path),
        "caspian_vault_timeout": "{{ 5 }}",
    }
    found = look_up(["EBI-BLANK", "OTHER"], variables, **none)
    assert [record["pass"] for record in found["result"]] == ["s3cret-3", "s3cret-21"]


def test_settings_from_the_environment(fake, look_up):
    none = dict.fromkeys(["url", "identity_url", "user", "password_file", "projects", "ca_path"])
    env = {
        "CASPIAN_PASSWORDSAFE_URL": fake.url,
        "CASPIAN_PASSWORDSAFE_IDENTITY_URL": fake.url,
        "CASPIAN_PASSWORDSAFE_USER": "svc",
        "CASPIAN_PASSWORDSAFE_PROJECTS": "101,Other",
        "CASPIAN_VAULT_PASSWORD": PASSWORD,
        "CASPIAN_VAULT_CA_PATH": str(fake.ca_path),
    }
    found = look_up(["EBI-BLANK", "OTHER"], env=env, **none)
    assert [record["pass"] for record in found["result"]] == ["s3cret-3", "s3cret-21"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"url": None}, "url", id="no url"),
        pytest.param({"identity_url": None}, "identity_url", id="no identity_url"),
        pytest.param({"user": None}, "user", id="no user"),
        pytest.param({"projects": None}, "projects", id="no projects"),
        pytest.param({"projects": []}, "No project is given: set `projects`.", id="empty projects"),
        pytest.param(
            {"password_file": None},
            "{url}: no password is given: set `password_file` or CASPIAN_VAULT_PASSWORD_FILE.",
            id="no password",
        ),
        pytest.param({"password": "s3cret"}, "Both a password and a password file", id="both"),
        pytest.param(
            {"url": "https://user:s3cret@localhost/x"},
            "https://localhost/x: a vault's URL holds no user",
            id="user in url",
        ),
        pytest.param({"proxy": "user:s3cret@x"}, "The proxy is not a URL like", id="proxy"),
        pytest.param({"timeout": 0}, "timeout and total_timeout must be more than 0", id="timeout"),
        pytest.param({"ca_path": "/none"}, "/none: the file of CA certificates", id="ca_path"),
        pytest.param({"missing": "ignore"}, "ignore", id="missing"),
    ],
)
def test_messages_about_settings(options, message, fake, look_up):
    answer = look_up(["EBI-BLANK"], **options)
    assert message.format(url=fake.url) in answer["error"]
    assert not fake.requests


# In a playbook, several forks at once.


def test_in_a_playbook(fake, settings, tmp_path):
    """Four hosts in four forks; what they say at -vvvvv holds no secret but with no_log off."""
    shared = ("password_file", "ca_path")
    variables = {
        f"caspian_{'vault' if name in shared else 'passwordsafe'}_{name}": value
        for name, value in settings.items()
    }
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "connection": "local",
                    "gather_facts": False,
                    "vars": {
                        **variables,
                        "source": "{{ lookup('caspian.airflow.passwordsafe', 'EBI-ETL-DEV-01') }}",
                    },
                    "tasks": [
                        {
                            "name": "Use it",
                            "ansible.builtin.assert": {
                                "that": [
                                    "source.user == 'etl'",
                                    "source['pass'] is match('s3cret-1$')",
                                    "source.metadata.port == 1433",
                                ]
                            },
                            "no_log": True,
                        },
                        {
                            "name": "Fail",
                            "ansible.builtin.debug": {
                                "msg": "{{ query('caspian.airflow.passwordsafe', 'TWICE') }}"
                            },
                            "ignore_errors": True,
                        },
                    ],
                }
            ]
        )
    )
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", "a,b,c,d,", "--forks", "4", "--diff", "-vvvvv", playbook],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment() | {"HOME": str(tmp_path)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert len(re.findall(r"ok=2 .* failed=0 .* ignored=1", said)) == 4
    assert "TWICE: 2 credentials have this name: 7 in project 101, 8 in project 101" in said
    assert len({r["connection"] for r in fake.requests}) >= 4
    for secret in ("login-s3cret", 's3cret-1"', "s3cret-7", *fake.tokens()):
        assert secret not in said


# The server that stands in.


def status(client, method, path, **options):
    return client.request(method, path, accept=range(600), **options).status


def test_the_fake_gives_what_the_contract_has(client):
    access = client.request("POST", "v2.0/tokens", json=body()).json()["access"]
    headers = {"X-Auth-Token": access["token"]["id"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", access["token"]["expires"])
    listed = client.request("GET", "projects.json", query={"page": 1}, headers=headers)
    assert listed.headers["Content-Type"].startswith("application/vnd.passwordsafe.project+json")
    assert listed.json()[0] == {"project": DATA["projects"][0]}
    assert len(listed.json()) == 25
    for path in ("projects/101/credentials/1", "credentials/1/search"):
        assert client.request("GET", path, headers=headers).json() == {"credential": CREDENTIALS[0]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(("GET", "/"), 404, id="unknown path"),
        pytest.param(("GET", "/projects"), 404, id="path without .json"),
        pytest.param(("GET", "/projects/x/credentials.json"), 404, id="project id"),
        pytest.param(("GET", "/v2.0/tokens"), 405, id="method of tokens"),
        pytest.param(("POST", "/projects.json", {"json": {}}), 405, id="method of projects"),
        pytest.param(("POST", "/v2.0/tokens", {"form": {}}), 415, id="form"),
        pytest.param(("POST", "/v2.0/tokens", {"json": {}}), 400, id="empty body"),
        pytest.param(("POST", "/v2.0/tokens", {"json": {"auth": 1}}), 400, id="odd body"),
        pytest.param(("POST", "/v2.0/tokens", {"json": body(more=1)}), 400, id="key too many"),
        pytest.param(
            ("POST", "/v2.0/tokens", {"json": body(passwordCredentials={"username": "svc"})}),
            400,
            id="key too few",
        ),
        pytest.param(
            ("POST", "/v2.0/tokens", {"json": body(), "query": {"a": 1}}), 400, id="query of tokens"
        ),
        pytest.param(
            ("POST", "/v2.0/tokens", {"json": body(), "headers": {"Accept": "text/html"}}),
            406,
            id="accepts HTML",
        ),
        pytest.param(("GET", "/projects.json", {"query": {"page": 1}}), 401, id="no token"),
        pytest.param(
            ("GET", "/projects.json", {"query": {"page": 1}, "headers": {"X-Auth-Token": "x"}}),
            401,
            id="unknown token",
        ),
    ],
)
def test_the_fake_refuses(request_, expected, client):
    method, path, options = (*request_, {})[:3]
    assert status(client, method, path, **options) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/projects.json", 400),
        ("/projects.json?page=0", 400),
        ("/projects.json?page=x", 400),
        ("/projects.json?page=1&per_page=100", 400),
        ("/projects/999/credentials.json?page=1", 404),
        ("/projects/101/credentials/21", 404),
        ("/credentials/999/search", 404),
        ("/credentials/1/search?page=1", 400),
        ("/projects/105/credentials.json?page=7", 200),
    ],
)
def test_the_fake_refuses_those_with_a_token(path, expected, client, fake):
    token = client.request("POST", "v2.0/tokens", json=body()).json()["access"]["token"]["id"]
    assert status(client, "GET", path, headers={"X-Auth-Token": token}) == expected
    fake.expire_tokens()
    assert status(client, "GET", path, headers={"X-Auth-Token": token}) == 401


def test_the_fake_as_a_program(tmp_path, password_file, lookups):
    """It is asked by the lookup; its data and faults change while it runs."""
    (tmp_path / "vault.json").write_text(json.dumps(DATA))
    program = subprocess.Popen(
        [sys.executable, ROOT / "tests/fakes/passwordsafe.py", "--directory", tmp_path],
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = program.stdout.readline().strip()
        assert (tmp_path / "url").read_text().strip() == url
        options = {
            "url": url,
            "identity_url": url,
            "user": "svc",
            "password_file": str(password_file),
            "project": "Other",
            "ca_path": str(tmp_path / "ca.pem"),
            "retries": 0,
        }
        assert lookups(LOOKUP, ["OTHER"], options)["result"][0]["pass"] == "s3cret-21"
        changed = {**DATA, "credentials": [credential(9, "OTHER", project_id=102)]}
        (tmp_path / "vault.json").write_text(json.dumps(changed))
        assert lookups(LOOKUP, ["OTHER"], options)["result"][0]["pass"] == "s3cret-9"
        (tmp_path / "faults.json").write_text('[{"kind": "status", "status": 503, "times": 1}]')
        assert "HTTP 503" in lookups(LOOKUP, ["OTHER"], options)["error"]
        assert "result" in lookups(LOOKUP, ["OTHER"], options)
    finally:
        program.kill()
        program.communicate()
    noted = (tmp_path / "requests.jsonl").read_text()
    assert json.loads(noted.splitlines()[0]) == {
        "method": "POST",
        "path": "/v2.0/tokens",
        "status": 200,
        "connection": 1,
    }
    assert "s3cret" not in noted
