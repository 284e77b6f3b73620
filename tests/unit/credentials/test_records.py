"""What a vault's fields become."""

import doctest

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import plain_yaml, records


def test_examples():
    for module in (records, plain_yaml):
        failed, tried = doctest.testmod(module)
        assert tried
        assert not failed


@pytest.mark.parametrize(
    ("description", "name", "text", "metadata"),
    [
        ("EBI-01", "EBI-01", "", {}),
        ("", "", "", {}),
        ("  EBI-01  the nightly load ", "EBI-01", "the nightly load", {}),
        ("EBI-01\tthe load", "EBI-01", "the load", {}),
        ("EBI-01 env=prod port=1433", "EBI-01", "", {"env": "prod", "port": "1433"}),
        ("EBI-01 the env=prod load", "EBI-01", "the load", {"env": "prod"}),
        ("EBI-01 team=\"Data, North\" a='b c'", "EBI-01", "", {"team": "Data, North", "a": "b c"}),
        ('EBI-01 team="half quoted', "EBI-01", "quoted", {"team": '"half'}),
        ("EBI-01 https://x.org/?a=b a== =c d=", "EBI-01", "https://x.org/?a=b =c d=", {"a": "="}),
        (
            "EBI-01\nenv: prod\nport: 1433\nssl: true",
            "EBI-01",
            "",
            {"env": "prod", "port": 1433, "ssl": True},
        ),
        # Text, unless everybody reads it as something else.
        ("E\na: 1.5\nb: " + "9" * 5000, "E", "", {"a": 1.5, "b": "9" * 5000}),
        ("E\na: --- x ---\nb: %x\nc: ...", "E", "", {"a": "--- x ---", "b": "%x", "c": "..."}),
        ("E\na: !!int 5\nb: #fff\nc: <<", "E", "", {"a": "!!int 5", "b": "#fff", "c": "<<"}),
        (
            "E\na: 1.10\nb: 0123\nc: no\nd: 2024-01-01\ne: null",
            "E",
            "",
            {"a": "1.10", "b": "0123", "c": "no", "d": "2024-01-01", "e": "null"},
        ),
        ("E\na: '1433'\nb: \"true\"\nc: -5", "E", "", {"a": "1433", "b": "true", "c": -5}),
        ("E\nport: 1433 # of production", "E", "", {"port": 1433}),
        # What is no scalar, or no YAML, stays as it is written.
        (
            "E\na: [1, 2]\nb: {c: d}\nc: @home\nd:",
            "E",
            "",
            {"a": "[1, 2]", "b": "{c: d}", "c": "@home", "d": ""},
        ),
        (
            "E\nfirst line\nenv: prod\n\nsecond a=b line",
            "E",
            "first line\nsecond line",
            {"env": "prod", "a": "b"},
        ),
        ("E\nhttp://x.org and 12:30", "E", "http://x.org and 12:30", {}),
        ("E a=1\na: 2", "E", "", {"a": 2}),
    ],
)
def test_parse_description(description, name, text, metadata):
    assert records.parse_description(description) == (name, text, metadata)
    found = records.parse_description(description).metadata
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in metadata.items()
    }


@pytest.mark.parametrize(
    "value",
    [
        "[" * 1000,
        "&a [*a",
        "\x00",
        "!!python/name:os.system",
        "!!bool x",
        "!!timestamp x",
    ],
    ids=repr,
)
def test_parse_description_of_what_no_parser_takes(value):
    assert records.parse_description(f"E\na: {value}").metadata == {"a": value}
    with pytest.raises(ValueError, match=r"^not YAML that can be read$"):
        plain_yaml.load(value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("db1", ("db1", None)),
        ("db1:1433", ("db1", 1433)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[fe80::1]:5432", ("fe80::1", 5432)),
        ("[fe80::1]", ("[fe80::1]", None)),
        ("fe80::1", ("fe80::1", None)),
        ("db1:0", ("db1:0", None)),
        ("db1:65536", ("db1:65536", None)),
        ("db1:port", ("db1:port", None)),
        ("db1:", ("db1:", None)),
        (r"db1\instance", (r"db1\instance", None)),
        ("", ("", None)),
    ],
)
def test_split_host(host, expected):
    assert records.split_host(host) == expected


@pytest.mark.parametrize(
    ("given", "host", "metadata"),
    [
        ({"host": "db1"}, "db1", {}),
        ({"host": " db1:1433 "}, "db1", {"port": 1433}),
        ({"host": "db1:1433", "metadata": {"port": 99}}, "db1", {"port": 99}),
        ({"host": "db1:1433", "metadata": {"port": "99"}}, "db1", {"port": 99}),
        ({"host": "db1", "metadata": {"port": "x"}}, "db1", {"port": "x"}),
        ({"host": "db1", "metadata": {"port": "9" * 5000}}, "db1", {"port": "9" * 5000}),
        ({"url": "postgresql://u@db2:5432/x"}, "db2", {"port": 5432}),
        ({"url": "db2:5432"}, "db2", {"port": 5432}),
        ({"url": "db2"}, "db2", {}),
        ({"url": "https://[fe80::1]:1/"}, "fe80::1", {"port": 1}),
        ({"url": "https://[oops"}, "", {}),
        ({"url": "https://db2:port/"}, "", {}),
        ({"host": "db1", "url": "https://db2:5432/"}, "db1", {}),
        ({"host": "db2", "url": "https://db2:5432/"}, "db2", {"port": 5432}),
        ({"host": None, "url": None}, "", {}),
    ],
)
def test_record_host_and_port(given, host, metadata):
    record = records.record("X", user="u", password="p", **given)
    assert (record["host"], record["metadata"]) == (host, metadata)


def test_record_keeps_user_and_password_as_they_are():
    record = records.record("X", user=" u ", password=" {{ p }}\n", host="h")
    assert (record["user"], record["pass"]) == (" u ", " {{ p }}\n")


def record(**changes):
    return {"name": "X", "user": "u", "pass": "p", "host": "h", "url": "", "description": "d",
            "metadata": {"env": "prod"}, **changes}  # fmt: skip


def test_credential():
    assert records.credential(record(host="h:1433")) == {
        "user": "u",
        "host": "h",
        "pass": "p",
        "url": "",
        "description": "d",
        "metadata": {"env": "prod", "port": 1433},
    }


def test_credential_of_the_least_record():
    assert records.credential({"name": "X", "user": "u", "pass": "p", "url": "https://h/"}) == {
        "user": "u",
        "host": "h",
        "pass": "p",
        "url": "https://h/",
        "description": "",
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (record(**{"pass": ""}), "pass missing or empty"),
        (record(**{"pass": None}), "pass missing or empty"),
        (record(**{"pass": " \n"}), "pass missing or empty"),
        (record(user="", host=""), "user and host missing or empty"),
        ({"name": "X"}, "user and host and pass missing or empty"),
        (record(**{"pass": ["s3cret"]}), "pass is not a text"),
        (record(user=5), "user is not a text"),
        (record(metadata="s3cret"), "metadata is not a mapping"),
        (record(metadata={"a": ["s3cret"]}), "metadata.a is not a text, number or truth value"),
        ({"name": "X", "error": "no entry has this title"}, "no entry has this title"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_credential_that_must_not_be_delivered(given, message):
    with pytest.raises(ValueError, match=r".") as raised:
        records.credential(given)
    assert str(raised.value) == message
