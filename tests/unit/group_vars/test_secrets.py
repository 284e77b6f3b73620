"""Secrets that nodes share: generated once, or what the inventory gives."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SECRETS = (
    "metadata_db_password",
    "broker_password",
    "airflow_jwt_secret",
    "airflow_api_secret_key",
    "airflow_admin_password",
    "airflow_fernet_key",
    "airflow_workload_keys",
)
URLS = ("airflow_database_url", "airflow_broker_url")
HOSTS = {
    "all": {
        "children": {
            "airflow": {"children": {"scheduler": {"hosts": {"one": {}}}, "worker": {"hosts": {}}}},
            "metadata_db": {"hosts": {"one": {}}},
            "broker": {"hosts": {"one": {}}},
        }
    }
}


def ask(folder: Path, names: tuple[str, ...], **variables: object) -> dict[str, str]:
    """Return variables as a play of this checkout sees them."""
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps(HOSTS))
    play = folder / "play.yml"
    shown = "{{ {" + ", ".join(f"'{name}': {name}" for name in names) + "} | to_json }}"
    write = {"content": shown, "dest": str(folder / "shown.json"), "mode": "0600"}
    task = {"ansible.builtin.copy": write}
    play.write_text(
        json.dumps(
            [{"hosts": "one", "gather_facts": False, "connection": "local", "tasks": [task]}]
        )
    )
    (folder / "group_vars").unlink(missing_ok=True)
    (folder / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    extra = {"caspian_secrets_dir": str(folder / "secrets"), **variables}
    program = Path(sys.executable).with_name("ansible-playbook")
    subprocess.run(
        [program, "-i", inventory, play, "--extra-vars", json.dumps(extra)],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads((folder / "shown.json").read_text()))


def test_generated_once_and_kept_to_the_controller_s_user(tmp_path: Path) -> None:
    first = ask(tmp_path, SECRETS)
    assert len(set(first.values())) == len(SECRETS)
    assert min(len(value) for value in first.values()) >= 24
    for key in ("airflow_fernet_key", "airflow_workload_keys"):
        assert len(base64.urlsafe_b64decode(first[key])) == 32
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(SECRETS)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert ask(tmp_path, SECRETS) == first


def test_given_ones_are_used_and_not_generated(tmp_path: Path) -> None:
    given = {name: f"given {name}" for name in SECRETS}
    assert ask(tmp_path, SECRETS, caspian_secrets=given) == given
    assert not (tmp_path / "secrets").exists()


OLD = [{"name": "airflow_results", "user": "airflow_results"}]


@pytest.mark.parametrize(
    ("given", "has_file", "kept"),
    [({}, False, []), ({}, True, OLD), ({"metadata_db_results_password": "x"}, False, OLD)],
)
def test_the_old_database_of_results_keeps_its_access_while_its_password_is_kept(
    tmp_path: Path, given: dict[str, str], has_file: bool, kept: list[dict[str, str]]
) -> None:
    if has_file:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/metadata_db_results_password").write_text("x")
    (shown,) = ask(tmp_path, ("metadata_db_kept_databases",), caspian_secrets=given).values()
    assert shown == kept


def test_urls_quote_what_a_password_may_hold(tmp_path: Path) -> None:
    odd = dict.fromkeys(SECRETS, "p/@:%#?& é")
    assert ask(tmp_path, URLS, caspian_secrets=odd) == {
        "airflow_database_url": "postgresql+psycopg2://airflow:p%2F%40%3A%25%23%3F%26%20%C3%A9@one:5432/airflow"
        "?sslmode=require&channel_binding=require",
        "airflow_broker_url": "redis://:p%2F%40%3A%25%23%3F%26%20%C3%A9@one:6379/0",
    }


@pytest.mark.parametrize("name", URLS)
def test_an_outside_url_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    outside = name.replace("airflow_", "airflow_external_", 1)
    assert ask(tmp_path, (name,), **{outside: "scheme://else"}) == {name: "scheme://else"}


@pytest.mark.parametrize(
    ("given", "host"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "[2001:db8::1]")]
)
def test_urls_have_ipv6_addresses_in_brackets(tmp_path: Path, given: str, host: str) -> None:
    secrets = dict.fromkeys(SECRETS, "secret")
    urls = ask(tmp_path, (*URLS, "airflow_api_url"), caspian_secrets=secrets, caspian_address=given)
    assert {name: url.split("//")[1].rpartition("@")[2] for name, url in urls.items()} == {
        "airflow_api_url": f"{host}:8080",
        "airflow_broker_url": f"{host}:6379/0",
        "airflow_database_url": f"{host}:5432/airflow?sslmode=require&channel_binding=require",
    }


def test_a_database_that_need_not_have_tls_is_not_asked_for_it(tmp_path: Path) -> None:
    secrets = dict.fromkeys(SECRETS, "secret")
    (url,) = ask(
        tmp_path, URLS[:1], caspian_secrets=secrets, metadata_db_require_tls=False
    ).values()
    assert url == "postgresql+psycopg2://airflow:secret@one:5432/airflow"
