# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions to databases that spare a run without changes the modules and Airflow itself."""

import base64
import hashlib
import hmac
import importlib.util
import io
import json
import socket
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from werkzeug.security import generate_password_hash

ROLES = Path(__file__).resolve().parents[2] / "roles"


def program(path):
    """Return a program of a role as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROLES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


current = program("airflow/files/database_is_current.py")
state = program("metadata_db/files/tell_state.py")
AIRFLOW = Path(importlib.util.find_spec("airflow").origin).parent
HEADS = [["d2"], ["f1"]]


class Server:
    """A connection and its cursor, which answers with what a test says, in order."""

    def __init__(self, *answers):
        self.answers = [*answers]
        self.asked = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    cursor = __enter__

    def execute(self, statement, values=()):
        self.asked.append((statement, values))

    def fetchall(self):
        return self.answers.pop(0)


@pytest.mark.parametrize("folder", ["migrations", "providers/fab/migrations"])
def test_heads_are_those_of_alembic(folder):
    settings = Config()
    settings.set_main_option("script_location", str(AIRFLOW / folder))
    heads = sorted(ScriptDirectory.from_config(settings).get_heads())
    assert current.heads(AIRFLOW / folder / "versions") == heads
    assert len(heads) == 1


A_AND_B = ('revision = "a"', 'revision = "b"')


@pytest.mark.parametrize(
    ("migrations", "heads"),
    [
        ([], []),
        (['revision = "a1"\ndown_revision = None\n'], ["a1"]),
        (["revision = 'a1'", "revision = 'b2'\ndown_revision = 'a1'"], ["b2"]),
        (['revision: str = "a1"', 'revision: str = "b2"\ndown_revision: X = "a1"'], ["b2"]),
        ([*A_AND_B, 'revision = "c"\ndown_revision = (\n"a",\n"b")'], ["c"]),
        ([*A_AND_B, 'revision = "c"\ndown_revision = "a"'], ["b", "c"]),
    ],
)  # fmt: skip
def test_heads(tmp_path, migrations, heads):
    for number, text in enumerate(migrations):
        tmp_path.joinpath(f"{number}.py").write_text(text)
    assert current.heads(tmp_path) == heads


GOOD = generate_password_hash("right")


@pytest.mark.parametrize(
    ("schema", "login", "users", "found"),
    [
        ([("d2",)], [("f1",)], [(True, GOOD)], True),
        ([("old",)], [("f1",)], [(True, GOOD)], False),
        ([], [("f1",)], [(True, GOOD)], False),
        ([("d2",), ("x",)], [("f1",)], [(True, GOOD)], False),
        ([("d2",)], [("f0",)], [(True, GOOD)], False),
        ([("d2",)], [("f1",)], [], False),
        ([("d2",)], [("f1",)], [(True, GOOD), (True, GOOD)], False),
        ([("d2",)], [("f1",)], [(False, GOOD)], False),
        ([("d2",)], [("f1",)], [(None, GOOD)], False),
        ([("d2",)], [("f1",)], [(True, generate_password_hash("wrong"))], False),
    ],
)
def test_a_database_is_current(monkeypatch, schema, login, users, found):
    server = Server(schema, login, users)
    monkeypatch.setattr(current, "heads", lambda folder: HEADS["fab" in str(folder)])
    urls = []
    monkeypatch.setattr(current.psycopg2, "connect", lambda url, **_: urls.append(url) or server)
    admin = {"username": "Admin", "password": "right"}
    assert (
        current.is_current("postgresql+psycopg2://u:p@h:5432/d?sslmode=require", admin, AIRFLOW)
        is found
    )
    assert urls == ["postgresql://u:p@h:5432/d?sslmode=require"]
    assert server.asked[-1][1] == ("Admin",)


def test_an_airflow_without_migrations_is_asked_itself(monkeypatch):
    monkeypatch.setattr(current, "heads", lambda _folder: [])
    monkeypatch.setattr(
        current.psycopg2, "connect", lambda *_, **_more: Server([], [], [(True, GOOD)])
    )
    assert not current.is_current(
        "postgresql://h/d", {"username": "a", "password": "right"}, AIRFLOW
    )


def secret(password, salt=b"salt", rounds=4096):
    """Return what PostgreSQL keeps of a password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, b"server key")]
    return f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}"


# Of RFC 7677.
PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


@pytest.mark.parametrize(
    ("kept", "password", "found"),
    [
        (PENCIL, "pencil", True),
        (PENCIL, "Pencil", False),
        (secret("a%b:c"), "a%b:c", True),
        (secret("x", rounds=10), "x", True),
        ("md5c4ca4238a0b923820dcc509a6f75849b", "1", False),
        ("pencil", "pencil", False),
        ("", "", False),
        (None, "", False),
    ],
)
def test_a_password_and_what_is_kept_of_it(kept, password, found):
    assert state.is_password_of(kept, password) is found


WANTED = {
    "port": 5432,
    "databases": [{"name": "airflow", "user": "owner", "password": "right"},
                  {"name": "results", "user": "other", "password": "word"}],
    "addresses": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "databases", "lines"),
    [
        ([], [], []),
        ([("owner", secret("right")), ("other", secret("old"))], [("airflow", "owner", True)],
         ["roles owner", "databases airflow", "closed airflow"]),
        ([("other", secret("word"))], [("airflow", "postgres", True), ("results", "other", False)],
         ["roles other", "closed airflow", "databases results"]),
    ],
)  # fmt: skip
def test_the_state_of_a_server(roles, databases, lines):
    assert state.tell(WANTED, Server(roles, databases)) == lines


def test_a_server_is_asked_for_roles_databases_and_addresses(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        wanted = WANTED | {"port": port, "addresses": ["127.0.0.1", "127.0.0.2", "no.such.invalid"]}
        server = Server([("owner", secret("right"))], [])
        given = {}
        monkeypatch.setattr(state.psycopg2, "connect", lambda **how: given.update(how) or server)
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
        state.main()
    assert capsys.readouterr().out == "roles owner\naddresses 127.0.0.1\n"
    assert (given["dbname"], given["port"]) == ("postgres", port)
    assert "right" not in json.dumps(server.asked)
