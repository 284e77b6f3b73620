"""The fake of BeyondTrust Password Safe, checked by the vendor's own client and by hand."""

import json
import secrets
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
import requests
from secrets_safe_library import exceptions
from secrets_safe_library.authentication import Authentication
from secrets_safe_library.managed_account import ManagedAccount
from secrets_safe_library.requests import Request
from secrets_safe_library.secrets_safe import SecretsSafe

from tests.fakes.beyondtrust import BASE, BeyondTrust, secret_id

CLIENT_ID = str(uuid.uuid4())
CLIENT_SECRET = secrets.token_hex(20)
KEY = secrets.token_hex(64)
DATA = {
    "clients": {CLIENT_ID: CLIENT_SECRET},
    "keys": {KEY: {"svc-airflow": "runas password", "svc-free": None}},
    "secrets": [
        {
            "Title": "EBI-ETL-DEV-01",
            "FolderPath": "Team/ETL",
            "Username": "etl",
            "Password": "first password",
            "Description": "The nightly load",
            "Urls": ["postgresql://db1:5432/ebi"],
        },
        {"Title": "Text", "FolderPath": "Team/ETL", "SecretType": "Text", "Text": "a long text"},
        {
            "Title": "File",
            "FolderPath": "Team/ETL",
            "SecretType": "File",
            "FileName": "x.pem",
            "Content": "the file's content",
        },
        {"Title": "Elsewhere", "FolderPath": "Team", "Username": "u", "Password": "p"},
    ],
    "accounts": [
        {"SystemName": "db1", "AccountName": "etl", "Password": "account password"},
        {"SystemName": "db1", "AccountName": "admin", "Password": "p", "Unapproved": True},
        {"SystemName": "db2", "AccountName": "etl", "Password": "p", "Forbidden": True},
        {
            "SystemName": "db2",
            "AccountName": "dba",
            "DomainName": "CORP",
            "Password": "of a domain",
        },
    ],
}


@pytest.fixture
def fake():
    with BeyondTrust(DATA) as fake:
        yield fake


def vendors_client(url, ca_path, **given):
    session = requests.Session()
    # The environment's CA bundle would go before the one that is given.
    session.trust_env = False
    return Authentication(req=session, api_url=url, verify_ca=str(ca_path), **given)


@pytest.fixture
def connect(fake):
    """Return what gives the vendor's client, not signed in yet."""

    def connect(**given):
        if "api_key" not in given:
            given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **given}
        return vendors_client(fake.api, fake.ca_path, **given)

    return connect


@pytest.fixture
def client(connect):
    client = connect()
    assert client.get_api_access().status_code == 200
    yield client
    client._req.close()


class TestVendorsClient:
    """What secrets_safe_library does is what the fake serves."""

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param({}, id="oauth"),
            pytest.param(
                {"api_key": f"{KEY}; runas=svc-airflow; pwd=[runas password];"},
                id="key-and-password",
            ),
            pytest.param({"api_key": f"{KEY};runas=svc-free;"}, id="key"),
        ],
    )
    def test_signs_in_and_out(self, fake, connect, given):
        client = connect(**given)
        answer = client.get_api_access()
        assert answer.status_code == 200
        assert answer.json()["UserName"] in {CLIENT_ID, "svc-airflow", "svc-free"}
        assert len(fake.sessions) == fake.signed_in == 1
        assert SecretsSafe(client).get_secret("Team/Elsewhere") == "p"
        assert client.sign_app_out()
        assert fake.sessions == {}

    def test_keeps_the_cookies_of_a_load_balancer(self, fake, connect):
        fake.data = {**DATA, "balanced": True}
        assert connect().get_api_access().status_code == 200

    def test_is_refused_with_a_wrong_client_secret(self, fake, connect):
        with pytest.raises(exceptions.AuthenticationFailure, match="invalid_client"):
            connect(client_secret="x" * 40).get_api_access()
        assert fake.signed_in == 0

    @pytest.mark.parametrize(
        "api_key",
        [
            pytest.param(f"{secrets.token_hex(64)};runas=svc-free;", id="key"),
            pytest.param(f"{KEY};runas=nobody;", id="user"),
            pytest.param(f"{KEY}; runas=svc-airflow;", id="no-password"),
            pytest.param(f"{KEY}; runas=svc-airflow; pwd=[wrong];", id="password"),
            pytest.param(KEY, id="no-user"),
        ],
    )
    def test_is_refused_with_a_wrong_key(self, fake, connect, api_key):
        assert connect(api_key=api_key).get_api_access().status_code == 401
        assert fake.signed_in == 0

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            pytest.param("Team/ETL/EBI-ETL-DEV-01", "first password", id="credential"),
            pytest.param("Team/ETL/Text", "a long text", id="text"),
            pytest.param("Team/ETL/File", "the file's content", id="file"),
        ],
    )
    @pytest.mark.parametrize("version", [None, "3.0", "3.1", "3.2"])
    def test_gets_a_secret_by_path(self, connect, version, path, value):
        client = connect(api_version=version)
        client.get_api_access()
        assert SecretsSafe(client).get_secret(path) == value

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_gets_a_folder(self, fake, client, wrapped):
        fake.data = {**DATA, "wrapped": wrapped}
        found = SecretsSafe(client).get_all_secrets_by_folder_path("Team/ETL")
        assert {path: value for path, value in found.items() if not path.endswith("-metadata")} == {
            "Team/ETL/EBI-ETL-DEV-01": "first password",
            "Team/ETL/Text": "a long text",
            "Team/ETL/File": "the file's content",
        }
        assert found["Team/ETL/EBI-ETL-DEV-01-metadata"]["Urls"][0]["Url"] == (
            "postgresql://db1:5432/ebi"
        )

    def test_gets_pages(self, client):
        pages = [
            SecretsSafe(client).list_secrets(path="Team/ETL", separator="/", limit=2, offset=offset)
            for offset in (0, 2, 4)
        ]
        assert [[secret["Title"] for secret in page] for page in pages] == [
            ["EBI-ETL-DEV-01", "Text"],
            ["File"],
            [],
        ]

    def test_gets_secrets_by_id(self, client):
        safe = SecretsSafe(client)
        assert safe.get_secret_by_id(secret_id(0))["Password"] == "first password"
        assert safe.get_text_secret_by_id(secret_id(1))["Text"] == "a long text"
        assert safe.get_file_secret_metadata(secret_id(2))["FileName"] == "x.pem"
        with pytest.raises(exceptions.LookupError, match="404"):
            safe.get_text_secret_by_id(secret_id(0))

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            pytest.param("db1/etl", "account password", id="local"),
            pytest.param("db2/corp\\DBA", "of a domain", id="domain"),
        ],
    )
    def test_gets_a_managed_account(self, fake, client, path, value):
        assert ManagedAccount(client).get_secret(path) == value
        (release,) = fake.releases
        assert not release.is_open

    def test_gets_one_account_or_a_list(self, client):
        accounts = ManagedAccount(client)
        one = accounts.get_managed_accounts(system_name="db1", account_name="etl")
        assert (one["SystemName"], one["AccountName"]) == ("db1", "etl")
        several = accounts.get_managed_accounts(account_name="etl")
        assert [account["SystemName"] for account in several] == ["db1", "db2"]
        page = accounts.get_managed_accounts(limit=2, offset=3)
        assert [account["AccountName"] for account in page] == ["dba"]
        with pytest.raises(exceptions.LookupError, match="404"):
            accounts.get_managed_accounts(system_name="db3", account_name="etl")

    def test_leaves_a_request_open_that_is_not_approved(self, fake, client):
        """The fake tells, which is what the lookup's tests rely on."""
        with pytest.raises(exceptions.LookupError, match="4034"):
            ManagedAccount(client).get_secret("db1/admin")
        (release,) = fake.open_releases()
        assert release.account["AccountName"] == "admin"
        # The vendor's client signs out on any failure.
        assert fake.sessions == {}

    def test_conflicts(self, fake, client):
        releases = Request(client)
        account = ManagedAccount(client).get_managed_accounts(system_name="db1", account_name="etl")
        ids = {"system_id": account["SystemId"], "account_id": account["AccountId"]}
        first, status = releases.post_request(**ids, duration_minutes=5, reason="tests")
        assert status == 201
        assert releases.post_request(**ids, duration_minutes=5, conflict_option="reuse") == (
            first,
            200,
        )
        second, status = releases.post_request(**ids, duration_minutes=5, conflict_option="renew")
        assert status == 201
        assert [request["RequestID"] for request in releases.get_requests()] == [second]
        releases.put_request_checkin(second, reason="done")
        assert fake.open_releases() == []
        releases.post_request(**ids, duration_minutes=5)
        with pytest.raises(exceptions.CreationError, match="409"):
            releases.post_request(**ids, duration_minutes=5)

    def test_may_not_request_every_account(self, fake, client):
        with pytest.raises(exceptions.CreationError, match="4031"):
            ManagedAccount(client).get_secret("db2/etl")
        assert fake.releases == []


@pytest.fixture
def ask(fake):
    """Make a request by hand; return its status and body."""
    context = ssl.create_default_context(cafile=fake.ca_path)

    def ask(method, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310 - always https
            fake.api + path, body, named, method=method
        )
        try:
            with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310 - as above
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    return ask


@pytest.fixture
def cookie(ask):
    _, _, headers = ask(
        "POST", "/Auth/SignAppin", Authorization=f"PS-Auth key={KEY}; runas=svc-free;"
    )
    return headers["Set-Cookie"].partition(";")[0]


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
GOOD = f"client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&grant_type=client_credentials"


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        pytest.param("GET", "/Auth/connect/token", None, FORM, 405, id="token-by-GET"),
        pytest.param("POST", "/Auth/connect/token", GOOD, JSON, 415, id="token-not-a-form"),
        pytest.param("POST", "/Auth/connect/token", GOOD + "&x=1", FORM, 400, id="token-more"),
        pytest.param(
            "POST",
            "/Auth/connect/token",
            GOOD.replace("client_credentials", "password"),
            FORM,
            400,
            id="token-grant",
        ),
        pytest.param("GET", "/secrets-safe/secret", None, JSON, 404, id="path"),
        pytest.param("POST", "/secrets-safe/secrets", "{}", JSON, 405, id="method"),
        pytest.param("GET", "/secrets-safe/secrets?folder=x", None, JSON, 400, id="parameter"),
        pytest.param("GET", "/secrets-safe/secrets?limit=0", None, JSON, 400, id="limit"),
        pytest.param("GET", "/secrets-safe/secrets?offset=-1", None, JSON, 400, id="offset"),
        pytest.param("GET", "/secrets-safe/secrets?separator=ab", None, JSON, 400, id="separator"),
        pytest.param("GET", "/secrets-safe/secrets?version=4.0", None, JSON, 400, id="version"),
        pytest.param("GET", "/ManagedAccounts?name=x", None, JSON, 400, id="account-parameter"),
        pytest.param("POST", "/Requests", "{}", FORM, 415, id="request-not-JSON"),
        pytest.param("POST", "/Requests", "{", JSON, 400, id="request-half"),
        pytest.param("POST", "/Requests", '{"Duration": 1}', JSON, 400, id="request-field"),
        pytest.param(
            "POST",
            "/Requests",
            '{"SystemID": 1, "AccountID": 1, "DurationMinutes": 5}',
            JSON,
            404,
            id="request-account",
        ),
        pytest.param("GET", "/Credentials/1", None, JSON, 404, id="no-request"),
        pytest.param("PUT", "/Requests/1/checkin", "{}", JSON, 404, id="no-check-in"),
    ],
)
def test_is_strict(ask, cookie, method, path, body, content_type, status):
    data = body.encode() if body is not None else None
    assert ask(method, path, data, Cookie=cookie, Content_Type=content_type)[0] == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/Auth/Signout"),
        ("GET", "/secrets-safe/secrets"),
        ("GET", "/ManagedAccounts"),
        ("GET", "/Requests"),
        ("GET", "/Credentials/1"),
    ],
)
def test_needs_a_session(fake, ask, cookie, method, path):
    _, token, _ = ask("POST", "/Auth/connect/token", GOOD.encode(), Content_Type=FORM)
    bearer = f"Bearer {json.loads(token)['access_token']}"
    assert ask(method, path)[0] == 401
    # A token alone is none, nor is another user's cookie.
    assert ask(method, path, Authorization=bearer)[0] == 401
    assert ask(method, path, Authorization=bearer, Cookie=cookie)[0] == 401
    fake.expire()
    assert ask(method, path, Cookie=cookie)[0] == 401


def test_runs_as_a_program(tmp_path):
    vault = tmp_path / "vault.json"
    vault.write_text(json.dumps(DATA))
    program = Path(sys.modules[BeyondTrust.__module__].__file__)
    with subprocess.Popen(
        [sys.executable, program, "--directory", tmp_path], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (tmp_path / "url").exists():
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.02)
            client = vendors_client(
                (tmp_path / "url").read_text().strip() + BASE,
                tmp_path / "ca.pem",
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
            )
            client.get_api_access()
            assert SecretsSafe(client).get_secret("Team/Elsewhere") == "p"
            vault.write_text(json.dumps({**DATA, "secrets": []}))
            with pytest.raises(exceptions.LookupError, match="Secret was not found"):
                SecretsSafe(client).get_secret("Team/Elsewhere")
            assert client.sign_app_out()
        finally:
            process.terminate()
    log = (tmp_path / "requests.jsonl").read_text()
    assert [json.loads(line)["status"] for line in log.splitlines()] == [200] * 5
    assert CLIENT_SECRET not in log
