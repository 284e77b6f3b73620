"""A case's databases, by the real PostgreSQL, as the code of a workflow reaches them."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg2
import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import BaseHook
from airflow.sdk.configuration import clear_secrets_backends_cache

from rax.config import get_config
from rax.credentials import get_credentials, list_credentials
from rax.errors import CommandError, ServiceError
from rax.testing._model import Change, Given, HttpSource, Place, Query, TaskKey
from rax.testing._outputs import Captured
from rax.testing._services import Services, _account, _binaries, _children
from rax.testing._services._template import Template
from rax.testing._staging import Databases

NAME = "EBI-ETL-DEV-01"
SECOND = "ARCHIVE"
PLACE = Place("tests/flows/flights.flow.yaml", 7)
FLIGHTS = Query(NAME, "SELECT * FROM flights -- all")
BEFORE = """\
CREATE TABLE flights (year int, note text, at timestamptz);
COPY flights FROM stdin (FORMAT csv);
2013,"a,b",2013-01-01 05:00+02
2012,"",
9,,
\\.
"""
FILLED = b'year,note,at\n2012,"",\n2013,"a,b",2013-01-01 03:00:00+00\n9,,\n'


@pytest.fixture(scope="module")
def shared():
    """What the cases of a server share: among it, the empty cluster."""
    # Not below pytest's own folder, which no other account may enter.
    with tempfile.TemporaryDirectory(prefix="rax-services-") as folder:
        yield Path(folder)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "repository"
    folder.joinpath("tests/flows").mkdir(parents=True)
    folder.joinpath("tests/flows/before.sql").write_text(BEFORE)
    return folder


@pytest.fixture
def sql(root):
    return root / "tests/flows/before.sql"


@pytest.fixture
def start(shared, root):
    """Return a function that makes services in a folder of their own."""

    def make(given, **options):
        folder = Path(tempfile.mkdtemp(dir=shared))
        return Services(given, folder, root, shared, **options)

    return make


def connect(name, **changes):
    credential = get_credentials(name)
    values = {
        "host": credential["host"],
        "port": credential["metadata"]["port"],
        "dbname": credential["metadata"]["database"],
        "user": credential["user"],
        "password": credential["pass"],
    }
    return psycopg2.connect(**values | changes)


@pytest.fixture
def inside(monkeypatch):
    """Return a function by which this process sees what a run sees."""

    def enter(services):
        for name, value in services.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "rax.airflow.secrets.CredentialsBackend")
        clear_secrets_backends_cache()

    yield enter
    clear_secrets_backends_cache()


def test_a_case_finds_its_databases_and_all_comes_back(start, sql, inside):
    given = Given(
        postgres={NAME: (sql,), SECOND: ()},
        configs={"ebi": {"months": [1]}},
        credentials={
            SECOND: {"user": 'odd "user', "pass": "given", "metadata": {"database": "a=b 'c"}}
        },
        variables={"colour": "red"},
        connections={"by_uri": "http://example.com"},
        files={"in.sql": sql},
    )
    with start(given) as services:
        inside(services)
        assert list_credentials() == [SECOND, NAME]
        assert get_config("ebi") == {"months": (1,)}
        assert services.environment["AIRFLOW_VAR_COLOUR"] == "red"
        assert services.environment["AIRFLOW_CONN_BY_URI"] == "http://example.com"
        assert services.table(FLIGHTS) == Captured(FILLED)
        # Two credentials lead to two databases, each by its own role.
        with connect(SECOND) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE own AS SELECT current_user, current_setting('TimeZone')")
        assert services.table(Query(SECOND, "TABLE own;")).content == (
            b'current_user,current_setting\n"odd ""user",UTC\n'
        )
        assert get_credentials(SECOND)["pass"] == "given"
        hook = PostgresHook(postgres_conn_id=NAME)
        assert hook.get_records("SELECT count(*) FROM flights") == [(3,)]
        hook.run("DELETE FROM flights WHERE year = 9")
        assert services.table(FLIGHTS).content == FILLED.removesuffix(b"9,,\n")
        services.work.joinpath("left").touch()
        services.reset()
        assert services.table(FLIGHTS) == Captured(FILLED)
        assert services.table(Query(SECOND, "TABLE own")).error == 'relation "own" does not exist'
        # By the port and the password that it had before.
        assert hook.get_records("SELECT count(*) FROM flights") == [(3,)]
        assert [path.name for path in services.work.iterdir()] == ["in.sql"]


def test_each_service_is_a_connection_of_airflow(start, sql, root, inside):
    given = Given(sqlite={"LITE": ()}, http={"WEB": HttpSource(root)}, down=frozenset({"SHUT"}))
    with start(given) as services:
        inside(services)
        lite = BaseHook.get_connection("LITE")
        assert lite.conn_type == "sqlite"
        with sqlite3.connect(lite.host) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()
        assert services.table(Query("LITE", "SELECT * FROM t")).content == b"a\n"
        web = BaseHook.get_connection("WEB")
        assert (web.conn_type, web.schema) == ("http", "http")
        url = f"{web.schema}://{web.host}:{web.port}/{sql.relative_to(root)}"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - of the case
            assert answer.read().decode() == BEFORE
        # Whatever else this machine or a node has.
        with pytest.raises(AirflowNotFoundException):
            BaseHook.get_connection("OTHER")


def test_a_wrong_password_is_refused_as_in_production(start, inside):
    with start(Given(postgres={NAME: ()})) as services:
        inside(services)
        for password in ("wrong", ""):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                connect(NAME, password=password)
        with pytest.raises(psycopg2.OperationalError, match="password"):
            connect(NAME, user="rax_flow", password="")
        with connect(NAME) as connection, connection.cursor() as cursor:
            for statement in ("CREATE ROLE other", "COPY (SELECT 1) TO PROGRAM 'true'"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)
                connection.rollback()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT * FROM fligths", 'relation "fligths" does not exist'),
        ("DELETE FROM t RETURNING *", "cannot execute DELETE in a read-only transaction"),
        ("SELECT 1) TO PROGRAM 'id'; --", 'syntax error at or near ")"'),
        ("SELECT repeat('x', 1000000) FROM generate_series(1, 20)", "gives more than 16 MiB"),
        ("SELECT 1/0", "division by zero"),
        ("", "syntax error"),
    ],
)
def test_a_query_that_gives_no_table_says_why_in_a_line(server_of_queries, query, error):
    found = server_of_queries.table(Query(NAME, query))
    assert found.content is None
    assert error in found.error
    assert "\n" not in found.error


@pytest.fixture(scope="module")
def server_of_queries(shared):
    folder = shared / "queries"
    folder.mkdir()
    file = shared / "t.sql"
    file.write_text("CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n")
    with Services(Given(postgres={NAME: (file,)}), folder, shared, shared) as services:
        yield services


def test_what_somebody_else_has_open_is_not_waited_for_long(server_of_queries, monkeypatch):
    services = server_of_queries
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", services.environment["RAX_CREDENTIALS_DIR"])
    connection = connect(NAME)
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE t")
    assert services.table(Query(NAME, "TABLE t")).error == (
        "canceling statement due to lock timeout"
    )
    connection.close()
    assert services.table(Query(NAME, "TABLE t")).content == b"a\n1\n"


def test_a_database_of_a_cluster_is_read_as_those_of_a_case_are(server_of_queries, monkeypatch):
    services = server_of_queries
    folder = Path(services.environment["RAX_CREDENTIALS_DIR"])
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    databases = Databases([NAME])
    for sql in (
        "TABLE t; -- all",
        "SELECT timestamptz '2013-01-01 05:00+02', interval '1 day 2 hours', '\\x01'::bytea",
        "SELECT * FROM no",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "WITH gone AS (DELETE FROM t RETURNING a) SELECT * FROM gone",
    ):
        assert databases.table(Query(NAME, sql)) == services.table(Query(NAME, sql)), sql
    file = folder / f"{NAME}.json"
    file.write_text(file.read_text().replace('"pass": "', '"pass": "x'))
    error = Databases([NAME]).table(Query(NAME, "TABLE t")).error
    assert "password authentication failed" in error
    with pytest.raises(CommandError, match="the credential NO-DB-01 is not here"):
        Databases(["NO-DB-01"])


def test_a_change_is_committed_or_names_its_place(server_of_queries):
    services = server_of_queries

    def change(statement):
        services.change(Change(PLACE, TaskKey("load"), {NAME: statement}))

    change("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")
    with pytest.raises(ServiceError) as raised:
        change("DELETE FROM t; DELETE FROM no")
    assert str(raised.value) == f'{PLACE}: relation "no" does not exist'
    assert services.table(Query(NAME, "TABLE t")).content == b"a\n1\n2\n3\n"
    change("DELETE FROM t WHERE a > 1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "CREATE TABLE a (b int);\n\nSELECT * FROM no;\n",
            'tests/flows/bad.sql:3: ERROR: relation "no" does not exist',
        ),
        ("SELECT 1;\nSELECT 'x;\n", "tests/flows/bad.sql:2: ERROR: unterminated quoted string"),
        (
            "CREATE TABLE a (b int);\nCOPY a FROM stdin;\n1\nx\n\\.\n",
            'integer: "x" CONTEXT: COPY a, line 2, column b: "x"',
        ),
        ("CREATE ROLE other;\n", "tests/flows/bad.sql:1: ERROR: permission denied"),
        (None, "tests/flows/bad.sql: "),
    ],
)
def test_a_file_of_sql_that_fails_is_named_with_its_line(start, root, content, message):
    file = root / "tests/flows/bad.sql"
    if content is not None:
        file.write_text(content)
    services = start(Given(postgres={NAME: (file,)}))
    with pytest.raises(ServiceError) as raised, services:
        pass
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not services.work.parent.joinpath("postgresql").exists()


def test_a_file_of_sql_may_do_what_only_a_superuser_may(start, root):
    file = root / "tests/flows/as_superuser.sql"
    root.joinpath("tests/flows/rows.csv").write_text("5\n")
    file.write_text(
        "CREATE TABLE t (a int);\n\\copy t from 'rows.csv'\nRESET SESSION AUTHORIZATION;\n"
        'CREATE ROLE reader;\nALTER DATABASE "ARCHIVE" SET search_path = public;\n'
    )
    with start(Given(postgres={SECOND: (file,)})) as services:
        services.reset()
        assert services.table(Query(SECOND, "TABLE t")).content == b"a\n5\n"


def test_two_credentials_may_share_a_database(start, sql, root, inside):
    grant = root / "grant.sql"
    grant.write_text("RESET SESSION AUTHORIZATION;\nGRANT SELECT ON flights TO reader;\n")
    given = Given(
        postgres={NAME: (sql,), SECOND: (grant,)},
        credentials={
            NAME: {"metadata": {"database": "ebi"}},
            SECOND: {"user": "reader", "metadata": {"schema": "ebi"}},
        },
    )
    with start(given) as services:
        inside(services)
        assert services.table(Query(SECOND, "TABLE flights")) == Captured(FILLED)
        with (
            connect(SECOND) as connection,
            connection.cursor() as cursor,
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
        ):
            cursor.execute("DELETE FROM flights")


def test_what_is_down_is_known_and_refuses(start, sql, inside):
    given = Given(postgres={NAME: (sql,), SECOND: ()}, down=frozenset({NAME}))
    with start(given) as services:
        inside(services)
        assert services.table(Query(SECOND, "SELECT 1 AS a")).content == b"a\n1\n"
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            connect(NAME)
        port = get_credentials(NAME)["metadata"]["port"]
        assert port != get_credentials(SECOND)["metadata"]["port"]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        assert services.table(FLIGHTS).error == f"{NAME} is down"
        with pytest.raises(ServiceError, match=f"{PLACE}: {NAME} is down"):
            services.change(Change(PLACE, TaskKey("x"), {NAME: "SELECT 1"}))
        assert services.table(Query("NO", "x")).error == "NO is no database of this case"


def test_two_cases_at_once_do_not_meet(start, sql, inside):
    given = Given(postgres={NAME: (sql,)})
    with start(given) as one, start(given) as two:
        inside(one)
        first = get_credentials(NAME)
        with connect(NAME) as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM flights")
        inside(two)
        second = get_credentials(NAME)
        assert first["pass"] != second["pass"]
        assert first["metadata"]["port"] != second["metadata"]["port"]
        assert one.table(FLIGHTS).content == b"year,note,at\n"
        assert two.table(FLIGHTS) == Captured(FILLED)


def in_a_child(work, uid=None):
    """Run a function in a fork, as another account, and return the code that it has ended with."""
    child = os.fork()
    if not child:
        code = 70
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="this is an ordinary account already")
def test_an_ordinary_account_needs_no_other():
    account = pwd.getpwnam("nobody").pw_uid
    base = Path(tempfile.mkdtemp(prefix="rax-services-"))
    os.chown(base, account, account)
    sql_for_all = base / "before.sql"
    sql_for_all.write_text(BEFORE)
    sql_for_all.chmod(0o644)

    def work():
        folder = base / "case"
        folder.mkdir()
        given = Given(postgres={NAME: (sql_for_all,)})
        with Services(given, folder, base, base) as services:
            os.environ["RAX_CREDENTIALS_DIR"] = services.environment["RAX_CREDENTIALS_DIR"]
            connect(NAME).close()
            found = services.table(FLIGHTS)
            owner = folder.joinpath("postgresql").stat().st_uid
        return int((found, owner) != (Captured(FILLED), account))

    try:
        assert in_a_child(work, account) == 0
    finally:
        shutil.rmtree(base)


def test_an_account_without_a_name_is_told_to_have_one(start, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    services = start(Given(postgres={NAME: ()}))
    with pytest.raises(ServiceError) as raised, services:
        pass
    assert str(raised.value) == (
        "this account, the user id 2147483641, has no name, and PostgreSQL wants one: add it to"
        " /etc/passwd"
    )


def segments_of(creator):
    """Return the segments of shared memory that a process has made, as this process sees them."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [line for line in lines if int(line.split()[4]) == creator]


def postmaster_of(services):
    file = services.work.parent / "postgresql/data/postmaster.pid"
    return int(file.read_text().split()[0])


def test_a_killed_case_leaves_nothing(start, sql):
    services = start(Given(postgres={NAME: (sql,)}))
    note = services.work.parent.with_suffix(".pid")

    def work():
        with services:
            note.write_text(str(postmaster_of(services)))
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(work) == -signal.SIGKILL
    folder = services.work.parent / "postgresql"
    postmaster = folder.joinpath("data/postmaster.pid")
    until = time.monotonic() + 30
    while postmaster.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not postmaster.exists()
    # It removes that file last, and its socket before.
    assert not [*folder.glob(".s.PGSQL*")]
    assert segments_of(int(note.read_text())) == []


def unshares():
    """Say whether the kernel gives this account a namespace for shared memory."""
    return in_a_child(lambda: int(ctypes.CDLL(None).unshare(_children._CLONE_NEWIPC) != 0)) == 0


@pytest.mark.skipif(not unshares(), reason="the kernel gives this account no namespaces")
def test_a_killed_server_leaves_no_shared_memory(start):
    with start(Given(postgres={NAME: ()})) as services:
        postmaster = postmaster_of(services)
        os.killpg(postmaster, signal.SIGKILL)
        assert "connection to server" in services.table(Query(NAME, "SELECT 1")).error
        services.reset()
        assert services.table(Query(NAME, "SELECT 1 AS a")).content == b"a\n1\n"
    assert segments_of(postmaster) == []


def test_keep_leaves_the_databases_up(start, sql):
    with start(Given(postgres={NAME: (sql,)}), keep=True) as services:
        (line,) = services.kept()
    folder = services.work.parent / "postgresql"
    postmaster = postmaster_of(services)
    try:
        assert f"host={folder}" in line
        assert services.table(FLIGHTS) == Captured(FILLED)
    finally:
        os.kill(postmaster, signal.SIGQUIT)
        os.waitpid(postmaster, 0)


def test_without_postgresql_the_message_says_what_to_install(start, monkeypatch):
    monkeypatch.setattr(_binaries, "_PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    services = start(Given(postgres={NAME: ()}))
    with pytest.raises(ServiceError, match=r"apt-get install postgresql, brew install"), services:
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another account")
def test_a_folder_that_the_account_cannot_enter_is_named(tmp_path, root):
    closed = tmp_path / "closed"
    folder = closed / "shared" / "case"
    folder.mkdir(parents=True)
    closed.chmod(0o700)
    services = Services(Given(postgres={NAME: ()}), folder, root, folder.parent)
    with pytest.raises(ServiceError) as raised, services:
        pass
    assert str(raised.value) == (
        "PostgreSQL runs as nobody, since it refuses root, and that account cannot enter"
        f" {closed}: set TMPDIR to a folder that all may enter, such as /tmp"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another account")
def test_root_without_another_account_is_told_to_be_one(start, monkeypatch):
    monkeypatch.setattr(_account, "_NAME", "no-such-account")
    services = start(Given(postgres={NAME: ()}))
    with pytest.raises(ServiceError, match="there is no account no-such-account"), services:
        pass


def test_a_full_disk_is_named(shared):
    template = Template(_binaries.find_binaries(), shared, None)
    with pytest.raises(ServiceError) as raised:
        template._run("cp", "/etc/hostname", "/dev/full")
    assert str(raised.value) == (
        f"cp found no room left below {shared.parent}: set TMPDIR to a folder with more"
    )
