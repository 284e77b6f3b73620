"""A case's databases of SQLite, as the code of a workflow reaches them."""

import sqlite3

import pytest

from rax.credentials import connection_fields, get_credentials
from rax.errors import ServiceError
from rax.testing._model import Change, Given, Place, Query, TaskKey
from rax.testing._outputs import Captured
from rax.testing._services import Services, _tables

NAME = "SURVEY-LITE"
PLACE = Place("tests/flows/survey.flow.yaml", 3)
ALL = Query(NAME, "SELECT * FROM t; ")
BEFORE = """\
-- What is there; before a run.
CREATE TABLE t (a, "b,c");
INSERT INTO t VALUES (2, 'x;y'), (NULL, '');
INSERT INTO t VALUES (10, x'00ff'); INSERT INTO t VALUES (1.5, 'say "no"
twice');
"""
# As COPY … CSV HEADER of PostgreSQL writes the same.
FILLED = b'a,"b,c"\n,""\n1.5,"say ""no""\ntwice"\n10,\\x00ff\n2,x;y\n'


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    folder.joinpath("before.sql").write_text(BEFORE)
    return folder


@pytest.fixture
def start(tmp_path, root, monkeypatch):
    def make(given):
        folder = tmp_path / "case"
        folder.mkdir()
        services = Services(given, folder, root, tmp_path)
        monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder / "credentials"))
        return services

    return make


def test_a_database_is_filled_and_comes_back(start, root):
    with start(Given(sqlite={NAME: (root / "before.sql",)})) as services:
        assert services.table(ALL) == Captured(FILLED)
        credential = get_credentials(NAME)
        fields = connection_fields(credential)
        assert fields["conn_type"] == "sqlite"
        assert credential["url"] == f"sqlite:///{fields['host']}"
        with sqlite3.connect(fields["host"]) as connection:
            connection.execute("DELETE FROM t WHERE a > 1")
        connection.close()
        assert services.table(ALL).content == b'a,"b,c"\n,""\n'
        services.reset()
        assert services.table(ALL) == Captured(FILLED)
        services.change(Change(PLACE, TaskKey("x"), {NAME: "DELETE FROM t; DELETE FROM t;"}))
        assert services.table(ALL).content == b'a,"b,c"\n'
        assert services.kept() == (f"sqlite3 {fields['host']}",)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT * FROM no", "no such table: no"),
        ("DELETE FROM t", "attempt to write a readonly database"),
        ("SELECT 1; SELECT 2", "You can only execute one statement at a time."),
        ("-- nothing", "the query gives no table"),
        ("SELECT hex(zeroblob(600000)) FROM t", "the query gives more than 1 MiB"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n",
            "the query takes more than 0 s",
        ),
    ],
)
def test_a_query_that_gives_no_table_says_why(start, root, monkeypatch, query, error):
    monkeypatch.setattr(_tables, "MAX_TABLE_BYTES", 2**20)
    monkeypatch.setattr(_tables, "TOO_LARGE", "the query gives more than 1 MiB")
    with start(Given(sqlite={NAME: (root / "before.sql",)})) as services:
        # The clock is looked at after some work only, which the others never do.
        monkeypatch.setattr(_tables, "MAX_QUERY_SECONDS", 0)
        assert services.table(Query(NAME, query)) == Captured(error=error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SELECT 1;\n\nSELECT * FROM\n no;\n", "bad.sql:3: no such table: no"),
        (b"SELECT 1; SELEC 2;", 'bad.sql:1: near "SELEC": syntax error'),
        (b"SELECT 'x;\n", 'bad.sql:1: unrecognized token: "\'x;"'),
        (b"SELECT '\xff';\n", "bad.sql is not UTF-8"),
        (None, "bad.sql: No such file or directory"),
    ],
)
def test_a_file_of_sql_that_fails_is_named_with_its_line(start, root, content, message):
    if content is not None:
        root.joinpath("bad.sql").write_bytes(content)
    services = start(Given(sqlite={NAME: (root / "bad.sql",)}))
    with pytest.raises(ServiceError) as raised, services:
        pass
    assert str(raised.value) == message


def test_a_change_is_made_whole_or_names_its_place(start, root):
    with start(Given(sqlite={NAME: (root / "before.sql",)})) as services:
        with pytest.raises(ServiceError) as raised:
            services.change(Change(PLACE, TaskKey("x"), {NAME: "DELETE FROM t; DELETE FROM no"}))
        assert str(raised.value) == f"{PLACE}: no such table: no"
        assert services.table(ALL) == Captured(FILLED)


def test_what_is_down_cannot_even_be_made(start, root):
    given = Given(sqlite={NAME: (root / "before.sql",)}, down=frozenset({NAME}))
    with start(given) as services:
        path = get_credentials(NAME)["host"]
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            sqlite3.connect(path)
        assert services.table(ALL).error == f"{NAME} is down"
