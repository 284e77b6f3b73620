"""A credential as a URI and as the fields of an Airflow connection, without Airflow."""

import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rax.credentials import Credential, connection_fields
from rax.errors import MalformedCredentialError, RaxError

NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t-canary"


def credential(metadata=None, **changes):
    fields = {"user": "etl", "pass": SECRET, "host": "db", "url": "", "description": ""}
    return Credential(NAME, fields | {"metadata": metadata or {}} | changes)


@pytest.mark.parametrize(("metadata", "arguments", "expected"), [
    ({}, {}, "db"),
    ({"port": 5432, "database": "ebi"}, {}, "db:5432/ebi"),
    ({"port": "5432", "schema": "ebi"}, {}, "db:5432/ebi"),
    ({"database": "ebi", "schema": "public"}, {}, "db/ebi"),
    ({"database": "", "schema": "public"}, {}, "db/public"),
    ({"port": 5432, "database": "ebi"}, {"port": 6432, "database": "other"}, "db:6432/other"),
    ({"port": "", "database": "ebi"}, {"database": ""}, "db"),
    ({"database": 0}, {}, "db/0"),
    ({}, {"database": 0}, "db/0"),
    ({}, {"query": {}}, "db"),
    ({}, {"query": {"a b": "c d", "n": 1, "many": ["&", "="]}},
     "db?a%20b=c%20d&n=1&many=%26&many=%3D"),
    ({"database": "a/b c"}, {"query": {"x": "é"}}, "db/a%2Fb%20c?x=%C3%A9"),
])  # fmt: skip
def test_uri(metadata, arguments, expected):
    assert credential(metadata).uri("amqp", **arguments) == f"amqp://etl:{SECRET}@{expected}"


@pytest.mark.parametrize(("fields", "expected"), [
    ({"user": ""}, f"redis://:{SECRET}@db"),
    ({"pass": ""}, "redis://etl@db"),
    ({"user": "", "pass": ""}, "redis://db"),
    ({"host": "::1"}, f"redis://etl:{SECRET}@[::1]"),
    ({"host": "[fe80::1]"}, f"redis://etl:{SECRET}@[fe80::1]"),
    ({"host": "::ffff:10.0.0.1"}, f"redis://etl:{SECRET}@[::ffff:10.0.0.1]"),
    ({"host": "fe80::1%eth0"}, f"redis://etl:{SECRET}@[fe80::1%eth0]"),
    ({"host": "db1.example.org,db2.example.org"},
     f"redis://etl:{SECRET}@db1.example.org,db2.example.org"),
    ({"user": "DOMAIN\\e:t@l", "pass": "a/b?c#d%e +"},
     "redis://DOMAIN%5Ce%3At%40l:a%2Fb%3Fc%23d%25e%20%2B@db"),
])  # fmt: skip
def test_what_is_in_front_of_the_path(fields, expected):
    assert credential(**fields).uri("redis") == expected


@pytest.mark.parametrize(("scheme", "database", "expected"), [
    ("amqp", "/", "%2F"),
    ("amqp", "a/b", "a%2Fb"),
    ("https", "api/v1 beta", "api/v1%20beta"),
    ("postgresql", "my db/é;+", "my db/é;+"),
    ("postgresql+psycopg2", "ebi", "ebi"),
    ("mysql+pymysql", "a b", "a b"),
    ("MySQL", "a b", "a b"),
    ("trino", "hive/default", "hive/default"),
    ("snowflake", "ebi/public", "ebi/public"),
    ("mongodb+srv", "a b", "a%20b"),
])  # fmt: skip
def test_a_database_as_the_readers_of_a_scheme_have_it(scheme, database, expected):
    assert credential().uri(scheme, database=database) == f"{scheme}://etl:{SECRET}@db/{expected}"


@pytest.mark.parametrize(("scheme", "fields", "arguments", "error", "message"), [
    ("", {}, {}, RaxError, "'' is not the scheme of a URL"),
    ("postgresql://", {}, {}, RaxError, "'postgresql://' is not the scheme of a URL"),
    ("a b", {}, {}, RaxError, "'a b' is not the scheme"),
    (None, {}, {}, RaxError, "None is not the scheme"),
    ("http\n", {}, {}, RaxError, "is not the scheme"),
    ("http", {"host": "db:5432"}, {}, MalformedCredentialError, "a port belongs in metadata"),
    ("http", {"host": ""}, {}, MalformedCredentialError, f"host of {NAME} cannot be in a URL"),
    ("http", {"host": "db/x"}, {}, MalformedCredentialError, "has to be a name, with xn--"),
    ("http", {"host": "a@b"}, {}, MalformedCredentialError, f"host of {NAME}"),
    ("http", {"host": "bücher.example"}, {}, MalformedCredentialError, f"host of {NAME}"),
    ("http", {"host": "[::1"}, {}, MalformedCredentialError, f"host of {NAME}"),
    ("http", {"host": "db\n"}, {}, MalformedCredentialError, f"host of {NAME}"),
    ("http", {"metadata": {"port": "5432x"}}, {}, MalformedCredentialError,
     f"metadata.port of {NAME} is not a number from 1 to 65535"),
    ("http", {"metadata": {"port": 0}}, {}, MalformedCredentialError, "metadata.port"),
    ("http", {"metadata": {"port": True}}, {}, MalformedCredentialError, "metadata.port"),
    ("http", {"metadata": {"port": 5432.0}}, {}, MalformedCredentialError, "metadata.port"),
    ("http", {}, {"port": 65536}, RaxError, "65536 is not a port: give a number from 1 to 65535"),
    ("http", {}, {"port": 0}, RaxError, "0 is not a port"),
    ("mssql", {}, {"database": "a?b"}, MalformedCredentialError, "use sqlalchemy.URL.create()"),
    ("oracle", {}, {"database": "a%b"}, MalformedCredentialError, "use sqlalchemy.URL.create()"),
    ("mysql", {}, {"database": "a\nb"}, MalformedCredentialError, "use sqlalchemy.URL.create()"),
])  # fmt: skip
def test_what_cannot_be_in_a_url(scheme, fields, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        credential(**fields).uri(scheme, **arguments)
    assert type(caught.value) is error
    assert SECRET not in repr([frame.frame.f_locals for frame in caught.traceback[1:]])


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
AMQP = "amqp"


@given(
    user=TEXT,
    password=TEXT,
    database=TEXT,
    host=st.from_regex(r"[a-z0-9._-]+", fullmatch=True) | st.ip_addresses().map(str),
    port=st.none() | st.integers(1, 65535),
    query=st.dictionaries(TEXT.filter(bool), st.lists(TEXT, min_size=1)),
)
@example("", ":@/?#[]%", "/", "::1", None, {})
@example(":@/?#[]%", "", "/", "::1", None, {})
def test_any_credential_returns_from_its_url(user, password, database, host, port, query):
    one = credential(user=user, host=host, **{"pass": password})
    url = one.uri(AMQP, database=database, port=port, query=query)
    assert re.fullmatch(r"[!-~]+", url), "one word of ASCII, whatever is in it"
    parts = urlsplit(url)
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert (parts.hostname, parts.port) == (host, port)
    assert unquote(parts.path.removeprefix("/")) == database
    assert "/" not in parts.path[1:]
    assert parse_qs(parts.query, keep_blank_values=True) == query


@pytest.mark.parametrize(("url", "metadata", "argument", "expected"), [
    ("", {"conn_type": "mysql"}, None, {"conn_type": "mysql"}),
    ("", {"conn_type": "mysql"}, "sftp", {"conn_type": "sftp"}),
    ("", {"conn_type": "postgresql"}, None, {"conn_type": "postgres"}),
    ("", {"conn_type": "google-cloud-platform"}, None, {"conn_type": "google_cloud_platform"}),
    ("postgresql://db/ebi", {}, None, {"conn_type": "postgres"}),
    ("PostgreSQL+psycopg2://db/ebi", {}, None, {"conn_type": "postgres"}),
    ("mssql+pyodbc://db/ebi", {}, None, {"conn_type": "mssql"}),
    ("https://console.example.org/", {"conn_type": "oracle"}, None, {"conn_type": "oracle"}),
    ("https://api.example.org/", {}, None, {"conn_type": "http", "schema": "https"}),
    ("http://api.example.org/", {}, None, {"conn_type": "http", "schema": "http"}),
    ("https://api.example.org/", {}, "http", {"conn_type": "http", "schema": "https"}),
    ("", {"conn_type": "https"}, None, {"conn_type": "http", "schema": "https"}),
    ("https://api.example.org/", {"conn_type": "HTTP"}, None,
     {"conn_type": "http", "schema": "https"}),
    ("", {}, "http", {"conn_type": "http", "schema": None}),
    ("postgresql://db/ebi", {}, "http", {"conn_type": "http", "schema": None}),
    ("https://api.example.org/", {"schema": "http"}, None, {"conn_type": "http", "schema": "http"}),
    ("", {"database": "ebi", "schema": "public"}, "x", {"schema": "ebi"}),
    ("", {"schema": "public"}, "x", {"schema": "public", "extra": {}}),
    ("", {"port": "5432"}, "x", {"port": 5432}),
    ("", {}, "x", {"port": None, "schema": None, "extra": {}}),
    ("", {"sslmode": "require", "n": 1, "on": True, "deep": {"a": [1, {"b": 2}]}, "port": 1}, "x",
     {"extra": {}}),
    ("", {"extra.sslmode": "require", "extra.n": 1, "extra.on": True,
          "extra.deep": {"a": [1, {"b": 2}]}, "port": 1}, "x",
     {"extra": {"sslmode": "require", "n": 1, "on": True, "deep": {"a": [1, {"b": 2}]}}}),
])  # fmt: skip
def test_connection_fields(url, metadata, argument, expected):
    fields = connection_fields(credential(metadata, url=url), argument)
    assert [*fields] == ["conn_type", "host", "login", "password", "schema", "port", "extra"]
    assert (fields["host"], fields["login"], fields["password"]) == ("db", "etl", SECRET)
    assert fields | expected == fields
    assert json.loads(json.dumps(fields)) == fields


@pytest.mark.parametrize(
    ("url", "metadata"),
    [("", {}), ("db.example.org", {}), ("jdbc:oracle:thin:@//db", {}), ("", {"conn_type": ""})],
)
def test_a_connection_without_a_type(url, metadata):
    expected = f"{NAME} does not say which type of connection it is: set conn_type in its metadata"
    with pytest.raises(MalformedCredentialError, match=expected):
        connection_fields(credential(metadata, url=url))


def test_a_connection_with_a_port_that_is_none():
    with pytest.raises(MalformedCredentialError, match=f"metadata.port of {NAME} is not a number"):
        connection_fields(credential({"port": "http"}), "http")
