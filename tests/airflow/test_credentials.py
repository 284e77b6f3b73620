"""Credentials where Airflow and the readers of URLs are: masked logs, connections, quoting."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import httpx
import kombu
import psycopg2.extensions
import pytest
import redis
import redis.connection
from airflow.sdk import Connection
from kombu.utils.url import url_to_parts
from sqlalchemy.engine import make_url

from rax.credentials import Credential, connection_fields, get_credentials

ROOT = Path(__file__).parents[2]
NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t/canary"


def fields(**changes):
    empty = {"user": "etl", "pass": SECRET, "host": "db.example.com", "url": "", "description": ""}
    return empty | {"metadata": {}} | changes


@pytest.fixture
def file(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    file = folder / f"{NAME}.json"
    file.touch(0o600)
    metadata = {"extra.api_token": "tok3n-canary", "port": 5432, "database": "ebi"}
    file.write_text(json.dumps(fields(url="ftp://a:f7p%21canary@b/", metadata=metadata)))
    return file


# In a task


DAG = f"""
import multiprocessing
import os

from airflow.sdk import DAG, task
from rax.credentials import get_credentials

def show(credential):
    print("password", credential["pass"], "backwards", credential["pass"][::-1])
    print("in a mapping", dict(credential))
    print("uri", credential.uri("postgresql"))
    print("token", credential["metadata"]["extra.api_token"], "url", credential["url"])

def shown_by_a_child():
    show(get_credentials("{NAME}"))

with DAG("example"):

    @task
    def prints():
        show(get_credentials("{NAME}"))

    @task
    def logs_and_fails():
        import logging
        credential = get_credentials("{NAME}")
        logging.getLogger("mine").warning("logged %s", credential["pass"])
        raise ValueError("cannot connect to " + credential.uri("http"))

    @task
    def prints_in_a_child():
        get_credentials("{NAME}")
        child = multiprocessing.get_context("fork").Process(target=shown_by_a_child)
        child.start()
        child.join()
        show(get_credentials("{NAME}"))

    @task
    async def prints_in_a_coroutine():
        show(get_credentials("{NAME}"))

    prints()
    logs_and_fails()
    prints_in_a_child()
    prints_in_a_coroutine()
"""


@pytest.mark.usefixtures("file")
def test_a_task_that_prints_a_secret_has_stars_in_its_log(tmp_path):
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags/example.py").write_text(DAG)
    tasks = ["prints", "logs_and_fails", "prints_in_a_child", "prints_in_a_coroutine", "prints"]
    # One supervisor after the other in one process, and a rotation between them.
    steps = [
        {"task": task, "pass": f"{number}st/canary", "mode": 0o600}
        for number, task in enumerate(tasks)
    ]
    (home / "tasks.json").write_text(json.dumps(steps))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_tasks.py")), str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((home / "results.json").read_text())
    assert [result["state"] for result in results] == [
        "success", "failed", "success", "success", "success",
    ]  # fmt: skip
    for step, result in zip(steps, results, strict=True):
        log = result["log"]
        backwards = step["pass"][::-1]
        if step["task"] == "logs_and_fails":
            assert "logged ***" in log
            assert "cannot connect to http://etl:***@db.example.com" in log
        else:
            times = 2 if step["task"] == "prints_in_a_child" else 1
            assert log.count(f"password *** backwards {backwards}") == times
            assert log.count("uri postgresql://etl:***@db.example.com:5432/ebi") == times
            assert log.count("token *** url ftp://a:***@b/") == times
            assert log.count("'pass': '***'") == times
        for secret in (step["pass"], step["pass"].replace("/", "%2F"), "tok3n-canary", "canary@b"):
            assert secret not in log + done.stdout + done.stderr


@pytest.mark.usefixtures("file")
def test_the_masker_of_this_process_knows_what_was_read_before_airflow_was_imported():
    program = f"""
import sys
from rax.credentials import get_credentials
get_credentials("{NAME}")
assert not [name for name in sys.modules if name.partition(".")[0] == "airflow"]
from airflow.sdk._shared.secrets_masker import redact
from airflow._shared.secrets_masker import redact as core_redact
secret = get_credentials("{NAME}")["pass"]
print(redact(f"<{{secret}}>"), core_redact(f"<{{secret}}>"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "<***> <***>\n"


# Connections


@pytest.mark.usefixtures("file")
def test_connection():
    connection = get_credentials(NAME).connection("postgres")
    assert isinstance(connection, Connection)
    assert connection == Connection(
        conn_id=NAME,
        conn_type="postgres",
        host="db.example.com",
        login="etl",
        password=SECRET,
        schema="ebi",
        port=5432,
        extra='{"api_token": "tok3n-canary"}',
    )
    assert connection.extra_dejson == {"api_token": "tok3n-canary"}


def test_connection_without_extras_and_port():
    connection = Credential(NAME, fields(url="postgresql://db")).connection()
    assert (connection.conn_type, connection.extra, connection.port) == ("postgres", None, None)


@pytest.mark.parametrize(
    "metadata",
    [
        {"conn_type": "google-cloud-platform", "project": "p"},
        {"conn_type": "postgresql", "port": "5432", "sslmode": "verify-full", "n": 1, "on": True},
        {"conn_type": "mysql", "schema": "a/b?c", "deep": {"a": [1, {"b": "é"}]}},
    ],
)
def test_fields_are_those_that_airflow_reads(metadata):
    """From JSON, as of a secrets backend, and through the URI that Airflow makes of it."""
    credential = Credential(NAME, fields(metadata=metadata))
    connection = credential.connection()
    read = Connection.from_json(json.dumps(connection_fields(credential)), conn_id=NAME)
    assert read.to_dict() == connection.to_dict()
    again = Connection(conn_id=NAME, uri=connection.get_uri()).to_dict()
    assert again | {"schema": again["schema"] or None} == connection.to_dict()


# URIs, as those who use them read them

# Each ASCII character alone and beside each other one; others, and long mixtures of all.
ASCII = [chr(number) for number in range(1, 128)]
WIDE = ["ß", "é", "\u0301", "字", "🔑", "\x85", "\u2028", "\ufffd"]
mixed = random.Random(0)  # noqa: S311 - which ones does not matter
TEXTS = [
    *ASCII,
    *("".join(pair) for pair in itertools.product(ASCII[31:], repeat=2)),
    *WIDE,
    *("".join(mixed.choices(ASCII + WIDE, k=40)) for _ in range(500)),
]


def uri(scheme, text, database=None, **changes):
    """Return a URI whose user and password are this text, and whose database may be another."""
    one = Credential(NAME, fields(**{"user": text, "pass": text, "host": "db"} | changes))
    return one.uri(scheme, database=database, port=5432)


def test_sqlalchemy_reads_what_was_meant():
    for text in TEXTS:
        url = make_url(uri("postgresql+psycopg2", text, "ebi"))
        found = (url.username, url.password, url.host, url.port, url.database)
        assert found == (text, text, "db", 5432, "ebi")


def test_sqlalchemy_reads_the_database():
    readable = [text for text in TEXTS if text.isprintable() and not {*"?%#@"} & {*text}]
    assert len(readable) > 5000
    for text in readable:
        url = make_url(uri("postgresql", SECRET, text))
        assert (url.password, url.database) == (SECRET, text)


def test_sqlalchemy_reads_hosts_and_queries():
    for host in ("::1", "fe80::1", "10.0.0.1", "db.example.org"):
        assert make_url(uri("postgresql", SECRET, "ebi", host=host)).host == host
    one = Credential(NAME, fields())
    query = {"sslmode": "verify-full", "options": "-c search_path=a,b", "x": ["a&b", "c=d?/é%"]}
    found = make_url(one.uri("postgresql", query=query)).query
    assert dict(found) == query | {"x": tuple(query["x"])}


def test_libpq_reads_what_was_meant():
    for text in TEXTS:
        found = psycopg2.extensions.parse_dsn(uri("postgresql", text, "ebi"))
        assert (found["user"], found["password"]) == (text, text)
        assert (found["host"], found["port"], found["dbname"]) == ("db", "5432", "ebi")


def test_kombu_reads_what_was_meant():
    for text in TEXTS:
        found = url_to_parts(uri("amqp", text, text))
        assert (found.username, found.password, found.path) == (text, text, text)
        assert (found.scheme, found.hostname, found.port) == ("amqp", "db", 5432)


@pytest.mark.parametrize(
    ("database", "expected"), [(None, "/"), ("", "/"), ("/", "/"), ("/a", "/a"), ("a/b", "a/b")]
)
def test_kombu_reads_the_virtual_host(database, expected):
    connection = kombu.Connection(uri("amqp", SECRET, database))
    assert (connection.virtual_host or "/", connection.password) == (expected, SECRET)
    assert kombu.Connection(uri("amqp", SECRET, host="::1")).hostname == "::1"


def test_redis_reads_what_was_meant():
    for text in TEXTS:
        found = redis.connection.parse_url(uri("rediss", text, 7))
        assert (found["username"], found["password"], found["db"]) == (text, text, 7)
    found = redis.connection.parse_url(uri("redis", SECRET, 0, user=""))
    assert found == {"password": SECRET, "host": "db", "port": 5432, "db": 0}


def test_httpx_reads_what_was_meant():
    for text in TEXTS:
        url = httpx.URL(uri("https", text, "api/v1 é"))
        assert (url.username, url.password) == (text, text)
        assert (url.host, url.port, url.path) == ("db", 5432, "/api/v1 é")
