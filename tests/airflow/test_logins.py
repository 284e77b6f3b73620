"""Refused log-ins are limited, in the real API server with FAB's accounts."""

import importlib.metadata
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from airflow import plugins_manager, settings

from rax.airflow import logins
from rax.airflow.logins import Attempts, LoginLimit, LoginsPlugin

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "roles/airflow/templates/webserver_config.py.j2"
PASSWORD, WRONG = "right horse", "wrong horse"
LIMIT = 5


@pytest.fixture(scope="module")
def api(_metadata_database, tmp_path_factory):
    """Return the API server's application, as the role configures it, with the account admin."""
    folder = tmp_path_factory.mktemp("api")
    config = folder / "webserver_config.py"
    config.write_text(TEMPLATE.read_text().replace("{{ ansible_managed }}", ""))
    with pytest.MonkeyPatch.context() as patch:
        manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", manager)
        patch.setenv("AIRFLOW__FAB__CONFIG_FILE", str(config))
        patch.setenv("AIRFLOW__API__SECRET_KEY", "k" * 32)
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "j" * 64)
        patch.setenv("RUNTIME_DIRECTORY", str(folder))
        # The package is not installed here; a test below has its entry point.
        plugins = ([], LoginsPlugin.fastapi_root_middlewares)
        patch.setattr(plugins_manager, "get_fastapi_plugins", lambda: plugins)
        from airflow.api_fastapi.app import create_app, purge_cached_app
        from airflow.providers.fab.auth_manager.models.db import FABDBManager

        with settings.Session() as session:
            FABDBManager(session).initdb()
        app = create_app()
        flask = app.state.auth_manager.flask_app
        with flask.app_context():
            accounts = flask.appbuilder.sm
            accounts.add_user(
                "admin", "A", "B", "a@b", accounts.find_role("Admin"), password=PASSWORD
            )
        yield app, folder / "logins.db"
        purge_cached_app()


@pytest.fixture
def client(api):
    """Return what asks the API server from an address."""
    from starlette.testclient import TestClient

    app, database = api
    yield lambda address="10.0.0.1": TestClient(
        app, client=(address, 50000), follow_redirects=False
    )
    import sqlite3

    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM attempt")


def ask_token(client, password=WRONG, path="/auth/token"):
    return client.post(path, json={"username": "admin", "password": password})


def fill_form(client, password=WRONG):
    page = client.get("/auth/login/")
    (token,) = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    answer = {"username": "admin", "password": password, "csrf_token": token}
    return client.post("/auth/login/", data=answer)


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/cli"])
def test_the_api_refuses_after_so_many_wrong_passwords(client, path):
    here = client()
    assert [ask_token(here, path=path).status_code for _ in range(LIMIT)] == [401] * LIMIT
    refused = ask_token(here, PASSWORD, path)
    assert refused.status_code == 429
    seconds = int(refused.headers["retry-after"])
    assert 0 < seconds <= 41
    assert refused.json() == {
        "detail": f"Too many log-ins from here were refused. Try again in {seconds} seconds."
    }
    # Others are not refused for it, nor is anything but a log-in.
    assert ask_token(client("10.0.0.2"), PASSWORD, path).status_code == 201
    assert here.get("/api/v2/version").status_code == 200


def test_the_form_refuses_with_a_page(client):
    here = client()
    for _ in range(LIMIT):
        answer = fill_form(here)
        assert (answer.status_code, answer.headers["location"]) == (302, "/auth/login/")
    refused = fill_form(here, PASSWORD)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "text/html; charset=utf-8"
    seconds = refused.headers["retry-after"]
    assert f"Try again in {seconds} seconds." in refused.text
    assert '<a href="/auth/login/">' in refused.text
    # It is one count: whoever guesses has no second one for the API.
    assert ask_token(here, PASSWORD).status_code == 429


def test_log_ins_that_succeed_are_not_limited(client):
    """Programs ask for a token for each of their calls, and an office has one address."""
    here = client()
    for _ in range(LIMIT - 1):
        ask_token(here)
    assert {ask_token(here, PASSWORD).status_code for _ in range(2 * LIMIT)} == {201}
    for _ in range(LIMIT):
        answer = fill_form(client(), PASSWORD)
        assert answer.status_code == 302
        assert "/login" not in answer.headers["location"]


def test_attempts_in_parallel_are_no_way_around(client):
    here = client()
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: ask_token(here).status_code, range(20)))
    assert sorted(codes) == [401] * LIMIT + [429] * (20 - LIMIT)


def test_a_network_of_ipv6_is_one_source(client):
    for number in range(LIMIT):
        ask_token(client(f"2001:db8::{number}"))
    assert ask_token(client("2001:db8::ffff:1")).status_code == 429
    assert ask_token(client("2001:db8:0:1::1")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/auth//token",
        "//auth/token",
        "/auth/%2e/token",
        "/auth/token/",
        "/AUTH/token",
    ],
)
def test_no_other_path_leads_to_a_log_in(client, path):
    """Such a path is answered without a look at the password, or leads to the one that counts."""
    assert ask_token(client(), PASSWORD, path).status_code in (307, 308, 404, 405)


def test_processes_share_the_count(tmp_path):
    one, other = (Attempts(tmp_path / "a.db", "2 per 40 second") for _ in range(2))
    first, wait = one.begin("a", 100)
    assert (first > 0, wait) == (True, 0)
    assert other.begin("a", 101)[1] == 0
    assert one.begin("a", 102) == (0, 39)
    assert other.begin("b", 102)[1] == 0
    one.forget(first)
    assert other.begin("a", 103)[1] == 0


def test_waiting_helps_and_asking_meanwhile_does_not_harm(tmp_path):
    attempts = Attempts(tmp_path / "a.db", "2 per 40 second")
    assert [attempts.begin("a", at)[1] for at in (0, 10, 20, 39, 40.5, 41)] == [0, 0, 21, 2, 0, 10]


def test_several_limits_at_once(tmp_path):
    attempts = Attempts(tmp_path / "a.db", "1 per 10 second; 3 per hour")
    assert [attempts.begin("a", at)[1] for at in (0, 5, 11, 22, 33)] == [0, 6, 0, 0, 3568]


def test_a_clock_that_is_put_back_refuses_nobody_for_long(tmp_path):
    attempts = Attempts(tmp_path / "a.db", "1 per 10 second")
    assert attempts.begin("a", 1_000_000) == (1, 0)
    assert attempts.begin("a", 10)[1] == 0


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_RATE_LIMITED", "False")
    assert LoginLimit(None)._attempts is None


def test_a_url_with_a_path_of_its_own():
    scope = {"type": "http", "method": "POST", "path": "/air/auth/token", "root_path": "/air"}
    assert logins._is_login(scope)
    assert not logins._is_login(scope | {"path": "/auth/tokens"})
    assert not logins._is_login(scope | {"method": "GET"})
    assert not logins._is_login({"type": "lifespan"})


def test_airflow_finds_it_by_its_entry_point():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    value = declared["airflow.plugins"]["caspian_logins"]
    point = importlib.metadata.EntryPoint("caspian_logins", value, "airflow.plugins")
    assert point.load() is LoginsPlugin
