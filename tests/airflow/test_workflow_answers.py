"""Whether a database answers, asked through Airflow's hook for it."""

import json
import socket

import pytest
from airflow.sdk import Connection

from rax.errors import CheckError, WorkflowError
from rax.workflow import answers

SECRET = "s3cr3t-canary"


@pytest.fixture
def credential(tmp_path, monkeypatch):
    """Return a function that makes the credential EBI-01."""
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))

    def make(**metadata):
        fields = {"user": "etl", "pass": SECRET, "host": "127.0.0.1", "url": "", "description": ""}
        file = tmp_path / "EBI-01.json"
        file.touch(0o600)
        file.write_text(json.dumps({**fields, "metadata": metadata}))

    return make


@pytest.fixture
def hook(monkeypatch):
    """Return what the hook says, and the connections that it was asked of."""
    said, asked = [(True, "Connection successfully tested")], []

    def test_connection(connection):
        asked.append((connection.conn_type, connection.host, connection.password))
        return said[0]

    monkeypatch.setattr(Connection, "test_connection", test_connection)
    return said, asked


@pytest.mark.parametrize(
    ("metadata", "options"),
    [({"conn_type": "postgres"}, {}), ({}, {"conn_type": "postgres"})],
)
def test_a_database_is_asked(credential, hook, metadata, options):
    # Its driver knows which port it has.
    credential(**metadata)
    answers("EBI-01", **options)
    assert hook[1] == [("postgres", "127.0.0.1", SECRET)]


def test_a_database_that_refuses_the_account(credential, hook):
    credential(conn_type="postgres", port=5432)
    hook[0][0] = (False, f"FATAL: no entry for etl with {SECRET}\nDETAIL: pg_hba.conf")
    with pytest.raises(CheckError) as caught:
        answers("EBI-01")
    assert str(caught.value) == (
        "EBI-01 at 127.0.0.1:5432 does not answer: FATAL: no entry for etl with ***"
    )


def test_a_database_that_is_down(credential):
    with socket.socket() as bound:  # Not listened on: nobody else gets the port.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        credential(conn_type="postgres", port=port)
        with pytest.raises(
            CheckError, match=f"^EBI-01 at 127.0.0.1:{port} does not answer: "
        ) as caught:
            answers("EBI-01")
    assert "refused" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_database_that_says_nothing(credential):
    with socket.create_server(("127.0.0.1", 0)) as server:
        credential(conn_type="postgres", port=server.getsockname()[1])
        with pytest.raises(CheckError, match=r" does not answer: nothing within 0.2 s$"):
            answers("EBI-01", limit=0.2)


@pytest.mark.parametrize("conn_type", ["http", "no_such_type", None])
def test_anything_else_is_connected_to(credential, hook, conn_type):
    with socket.create_server(("127.0.0.1", 0)) as server:
        credential(port=server.getsockname()[1], **({"conn_type": conn_type} if conn_type else {}))
        answers("EBI-01")
    assert hook[1] == []


def test_a_type_that_airflow_does_not_have(credential):
    credential(port=1)
    with pytest.raises(WorkflowError) as caught:
        answers("EBI-01", conn_type="no_such_type")
    assert str(caught.value) == (
        "Airflow has no hook for connections of the type 'no_such_type' here"
    )
