"""CredentialsBackend over a node's files, asked by Airflow's own callers."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.models import Connection as CoreConnection
from airflow.providers.postgres.hooks import postgres
from airflow.sdk import BaseHook
from airflow.sdk import Connection as TaskConnection
from airflow.sdk.configuration import clear_secrets_backends_cache, ensure_secrets_loaded
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.secrets import DEFAULT_SECRETS_SEARCH_PATH_WORKERS

from rax.airflow import secrets
from rax.airflow.secrets import ConnectionDeniedError, CredentialsBackend
from rax.errors import RaxError, StaleCredentialError

ROOT = Path(__file__).resolve().parents[2]
NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t-canary"
METADATA = {"port": 5432, "conn_type": "postgres", "database": "ebi", "sslmode": "require"}
CLASS = "rax.airflow.secrets.CredentialsBackend"


def record(**changes):
    fields = {
        "user": "etl",
        "pass": SECRET,
        "host": "db.example.com",
        "url": "",
        "description": "",
        "metadata": METADATA,
    }
    return fields | changes


def write(path, content, mode=0o600):
    new = path.with_name("new")
    new.touch(0o600)
    new.write_text(content if isinstance(content, str) else json.dumps(content))
    new.chmod(mode)
    new.rename(path)
    return path


@pytest.fixture
def file(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    return write(folder / f"{NAME}.json", record())


@pytest.fixture
def configured(monkeypatch):
    """Configure Airflow as the role does; return a function that does it with a mapping."""

    def configure(**connections):
        clear_secrets_backends_cache()
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", CLASS)
        kwargs = json.dumps({"connections": connections})
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", kwargs)

    configure()
    yield configure
    clear_secrets_backends_cache()


def by_the_server(conn_id):
    return CoreConnection.get_connection_from_secrets(conn_id)


def by_a_hook(conn_id):
    return BaseHook.get_connection(conn_id)


def by_an_async_hook(conn_id):
    return asyncio.run(BaseHook.aget_connection(conn_id))


callers = pytest.mark.parametrize("ask", [by_the_server, by_a_hook, by_an_async_hook])


@callers
@pytest.mark.usefixtures("file", "configured")
def test_a_connection_has_what_the_credential_has(ask):
    connection = ask(NAME)
    assert type(connection) is (CoreConnection if ask is by_the_server else TaskConnection)
    assert connection.conn_id == NAME
    assert connection.conn_type == "postgres"
    assert (connection.host, connection.port) == ("db.example.com", 5432)
    assert (connection.login, connection.password) == ("etl", SECRET)
    assert connection.schema == "ebi"
    assert connection.extra_dejson == {"sslmode": "require"}


# What a record's writer notes, or would like to reach.
NOTES = {
    "Owner": "Data team",
    "Recovery code": "774411-canary",
    "passfile": "/etc/airflow/other.json",
    "hostaddr": "192.0.2.1",
    "subject_template": "/etc/airflow/other.json",
    "html_content_template": "/etc/airflow/other.json",
    "disable_tls": "false",
    "timeout": "7",
}


@pytest.mark.usefixtures("configured")
def test_postgres_is_given_what_libpq_knows(file, monkeypatch):
    """The login of a record with notes works, and no note reaches libpq."""
    metadata = {**METADATA, **NOTES, "connect_timeout": "5", "extra.application_name": "etl"}
    write(file, record(metadata=metadata))
    given = {}
    monkeypatch.setattr("psycopg2.connect", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(
        "psycopg.connection.Connection.connect", lambda **arguments: given.update(arguments)
    )
    monkeypatch.setattr(postgres, "register_default_adapters", lambda _: None, raising=False)
    postgres.PostgresHook(NAME).get_conn()
    assert given == {
        "host": "db.example.com",
        "user": "etl",
        "password": SECRET,
        "dbname": "ebi",
        "port": 5432,
        "sslmode": "require",
        "connect_timeout": 5,
        "application_name": "etl",
    }


@pytest.mark.usefixtures("configured")
def test_mail_is_not_made_of_files(file):
    """A template is a file of the node; a text that says false is not taken for true."""
    write(file, record(metadata={**NOTES, "conn_type": "smtp"}))
    assert by_a_hook(NAME).extra_dejson == {"disable_tls": False, "timeout": 7}


@pytest.mark.usefixtures("configured")
def test_a_record_that_names_a_program(file):
    write(file, record(metadata={"conn_type": "ssh", "extra.host_proxy_cmd": "id >canary"}))
    with pytest.raises(
        ConnectionDeniedError, match=r"metadata\.extra\.host_proxy_cmd of"
    ) as caught:
        by_a_hook(NAME)
    assert "canary" not in str(caught.value)


@callers
@pytest.mark.usefixtures("file")
def test_a_mapped_id_is_made_of_its_source(ask, configured):
    configured(postgres_default=NAME)
    connection = ask("postgres_default")
    assert (connection.conn_id, connection.password) == ("postgres_default", SECRET)


@pytest.mark.usefixtures("file")
def test_a_mapped_id_hides_the_credential_of_its_name(configured):
    configured(**{NAME: "OTHER"})
    with pytest.raises(ConnectionDeniedError, match="no credential 'OTHER'"):
        by_a_hook(NAME)


@callers
@pytest.mark.usefixtures("configured")
def test_a_rotated_password_is_seen_by_the_next_look_up(ask, file):
    assert ask(NAME).password == SECRET
    write(file, record(**{"pass": "the new one"}))
    assert ask(NAME).password == "the new one"


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("password", ["p/@:%#?& é", "'\"\\", "пароль 🔑", "{x}", "${x}", " x "])
@callers
def test_odd_passwords_arrive_unchanged(file, configured, ask, password):
    configured()
    write(file, record(**{"pass": password}))
    assert ask(NAME).password == password


@callers
@pytest.mark.parametrize("conn_id", ["EBI-ETL-DEV-02", "ebi-etl-dev-01", "new"])
@pytest.mark.usefixtures("file", "configured")
def test_other_ids_are_looked_for_elsewhere(ask, conn_id, monkeypatch):
    with pytest.raises(AirflowNotFoundException, match=f"The conn_id `{conn_id}` isn't defined"):
        ask(conn_id)
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", "http://elsewhere")
    assert ask(conn_id).host == "elsewhere"


@pytest.mark.parametrize(
    "conn_id", ["", "../x", f"../credentials/{NAME}", f"{NAME}\n", "a b", ".x", "-x", "/etc/passwd"]
)
@pytest.mark.usefixtures("file")
def test_an_id_that_is_no_name_touches_no_file(conn_id, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a file was touched")

    backend = CredentialsBackend()
    for function in ("open", "stat", "listdir"):
        monkeypatch.setattr(os, function, refuse)
    assert backend.get_connection(conn_id) is None


def test_a_node_without_credentials_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "missing"))
    assert CredentialsBackend().get_connection(NAME) is None


def loose_mode(file, _):
    file.chmod(0o644)
    return f"{file}: has the mode 0644"


def not_json(file, _):
    write(file, f'{{"pass": "{SECRET}"')
    return f"{file}: is not JSON"


def no_type(file, _):
    write(file, record(metadata={"port": 5432}))
    return "conn_type"


def stale(_, monkeypatch):
    def refuse(name):
        raise StaleCredentialError(f"{name} was last confirmed 3 h ago")

    monkeypatch.setattr(secrets, "get_credentials", refuse)
    return f"{NAME} was last confirmed 3 h ago"


def unreadable(part, number=errno.EACCES):
    def make(_, monkeypatch):
        opened = os.open

        def refuse(path, *arguments, **keywords):
            if Path(path).name == part:
                raise OSError(number, os.strerror(number))
            return opened(path, *arguments, **keywords)

        monkeypatch.setattr(os, "open", refuse)
        return os.strerror(number)

    make.__name__ = f"unreadable_{part}_{errno.errorcode[number]}"
    return make


def not_for_airflow(_, monkeypatch):
    """Airflow's own error quotes the value."""
    fields = {"conn_type": "postgres", "port": SECRET}
    monkeypatch.setattr(secrets, "connection_fields", lambda _: fields)
    return "Airflow can make none of its credential (ValueError)"


@callers
@pytest.mark.parametrize(
    "spoil",
    [loose_mode, not_json, no_type, stale, unreadable(f"{NAME}.json"), unreadable("credentials"),
     unreadable("credentials", errno.EMFILE), not_for_airflow],
)  # fmt: skip
@pytest.mark.parametrize("mapped", [False, True])
def test_a_credential_that_cannot_be_used_stops_the_look_up(
    file, monkeypatch, configured, ask, spoil, mapped, caplog
):
    conn_id = "postgres_default" if mapped else NAME
    if mapped:
        configured(postgres_default=NAME)
    # What the look-up would fall through to.
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", "http://decoy")
    problem = spoil(file, monkeypatch)
    with pytest.raises(AirflowSecretsBackendAccessDenied) as caught:
        ask(conn_id)
    assert isinstance(caught.value, RaxError)
    assert str(caught.value).startswith(f"connection '{conn_id}': ")
    assert problem in str(caught.value)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert SECRET not in "".join(shown.format())
    assert SECRET not in caplog.text


@callers
@pytest.mark.usefixtures("file")
def test_a_mapped_source_that_is_missing_stops_the_look_up(ask, configured, monkeypatch):
    configured(postgres_default="EBI-ETL-DEV-02")
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", "http://decoy")
    expected = "^connection 'postgres_default': no credential 'EBI-ETL-DEV-02' in .*EBI-ETL-DEV-01"
    with pytest.raises(ConnectionDeniedError, match=expected):
        ask("postgres_default")


@pytest.mark.usefixtures("file")
def test_variables_settings_and_teams():
    backend = CredentialsBackend(connections={"x": NAME})
    assert backend.get_variable(NAME) is None
    assert backend.get_variable("x", team_name="a") is None
    assert backend.get_config(NAME) is None
    assert json.loads(backend.get_conn_value("x", team_name="a"))["password"] == SECRET
    assert backend.get_connection("x", team_name="a").password == SECRET


@pytest.mark.usefixtures("configured")
def test_tasks_have_the_backend_of_the_components(monkeypatch):
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", None, raising=False)
    first, *others = ensure_secrets_loaded(default_backends=DEFAULT_SECRETS_SEARCH_PATH_WORKERS)
    assert type(first) is CredentialsBackend
    assert len(others) == 2


@pytest.mark.usefixtures("file")
def test_an_empty_setting_in_the_environment_turns_it_off(monkeypatch, configured):
    """The unit of the API server has one: it must not hand this node's credentials to workers."""
    configured()
    assert by_the_server(NAME).password == SECRET
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "")
    clear_secrets_backends_cache()
    for ask in (by_the_server, by_a_hook):
        with pytest.raises(AirflowNotFoundException):
            ask(NAME)


@pytest.mark.parametrize(
    "connections", [[NAME], NAME, {"x": None}, {"x": {"source": NAME}}, {"x": 1}]
)
def test_a_mapping_of_something_else(connections):
    with pytest.raises(RaxError, match=r"^\[secrets\] backend_kwargs: connections has to be"):
        CredentialsBackend(connections=connections)


def run(*command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("spoiled", [False, True])
def test_a_person_s_command_on_a_scheduler(file, spoiled):
    """In a new process Airflow loads the backend while it is half imported itself."""
    if spoiled:
        file.chmod(0o644)
    decoy = {f"AIRFLOW_CONN_{NAME}": "http://decoy"}
    done = run("-m", "airflow", "connections", "get", NAME, "--output", "json", **decoy)
    if spoiled:
        assert done.returncode != 0
        assert f"connection '{NAME}': {file}: has the mode 0644" in done.stderr
        assert SECRET not in done.stdout + done.stderr
    else:
        # Airflow shows the password here: who may run this could read the file as well.
        (shown,) = json.loads(done.stdout)
        assert (shown["host"], shown["login"], shown["password"]) == (
            "db.example.com",
            "etl",
            SECRET,
        )


DAG = f"""
from airflow.sdk import DAG, BaseHook, task

with DAG("example"):

    @task
    def connect(conn_id):
        connection = BaseHook.get_connection(conn_id)
        # Backwards, so that it is not masked.
        print("got", connection.host, connection.password, connection.password[::-1])

    connect.override(task_id="own")("{NAME}")
    connect.override(task_id="other")("EBI-ETL-DEV-02")
"""


@pytest.mark.usefixtures("configured")
def test_tasks_on_a_worker(file, tmp_path):
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags/example.py").write_text(DAG)
    steps = [
        {"task": "own", "pass": "first-password", "mode": 0o600},
        {"task": "own", "pass": "second-password", "mode": 0o600},
        {"task": "own", "pass": "third-password", "mode": 0o644},
        {"task": "other", "pass": "fourth-password", "mode": 0o600},
    ]
    (home / "tasks.json").write_text(json.dumps(steps))
    done = run(
        str(Path(__file__).with_name("run_tasks.py")),
        str(home),
        AIRFLOW_HOME=str(home),
        **{f"AIRFLOW_CONN_{NAME}": "http://decoy"},
    )
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = json.loads((home / "results.json").read_text())

    assert (first["state"], second["state"]) == ("success", "success")
    assert f"got db.example.com *** {'first-password'[::-1]}" in first["log"]
    # A rotation between two tasks of a run.
    assert f"got db.example.com *** {'second-password'[::-1]}" in second["log"]

    assert third["state"] == "failed"
    assert f"connection '{NAME}': {file}: has the mode 0644, wider than 0640" in third["log"]
    assert "decoy" not in third["log"]

    assert fourth["state"] == "failed"
    assert "The conn_id `EBI-ETL-DEV-02` isn't defined" in fourth["log"]

    # What is no credential of this node is asked of the API server, and nothing else.
    assert [task["asked"] for task in (first, second, third)] == [[], [], []]
    assert fourth["asked"] == ["EBI-ETL-DEV-02"]
    for step in steps:
        assert step["pass"] not in done.stdout + done.stderr
