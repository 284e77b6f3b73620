"""A record is checked for form before it takes the place of a good one, whatever vault it is of."""

import json
import struct

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter.vaults import vault_records
from ansible_collections.caspian.airflow.plugins.module_utils import credential_format
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    psafe3,
    records,
    refresh_report,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.credential_sources import (
    for_host,
    parse,
    resolve,
)

ESC = "\x1b]0;s3cr3t\x07"
GOOD = {"name": "A", "user": "u", "pass": "p", "host": "h", "url": "", "description": ""}


def delivered(**changes):
    return resolve([{**GOOD, "metadata": {}, **changes}], parse(["A"]))


@pytest.mark.parametrize(("changes", "message"), [
    ({"user": f"etl{ESC}"}, "user has a control character, such as a line break, in it"),
    ({"host": "db\nevil"}, "host has a control character, such as a line break, in it"),
    ({"url": "https://h/\r\nX: y"}, "url has a control character, such as a line break, in it"),
    ({"user": "a\u2028b"}, "user has a control character, such as a line break, in it"),
    ({"user": "a\x9b2Jb"}, "user has a control character, such as a line break, in it"),
    ({"metadata": {f"k{ESC}": "v"}}, "metadata has a key that is empty, has a control character"),
    ({"metadata": {"": "v"}}, "metadata has a key that is empty, has a control character"),
    ({"metadata": {"k" * 300: "v"}}, "metadata has a key that is empty, has a control character"),
    ({"metadata": {"n": 10**30}}, "metadata.n is not a text, number or truth value"),
    ({"metadata": {"n": float("nan")}}, "metadata.n is not a text, number or truth value"),
    ({"metadata": {"n": ["s3cr3t"]}}, "metadata.n is not a text, number or truth value"),
    # rax refuses such a file, and it would have taken the place of a good one.
    ({"pass": "s3cr3t\ud800"}, "it has half a character in it"),
    ({"metadata": {"k": "s3cr3t\udfff"}}, "it has half a character in it"),
    ({"metadata": {"k\udfff": "s3cr3t"}}, "it has half a character in it"),
    ({"description": "s3cr3t" * 200_000}, "it takes more than 1048576 bytes"),
    ({"metadata": {f"k{n}": "s3cr3t" * 20 for n in range(10_000)}}, "it takes more than 1048576"),
    ({"protected": "all"}, "protected is not a list of names"),
    ({"protected": [1]}, "protected is not a list of names"),
])  # fmt: skip
def test_record_that_is_refused(changes, message):
    """It is an error of that name, which says nothing of a value and prints nothing of it."""
    found = delivered(**changes)
    assert found["credentials"] == {}
    assert found["problems"]["A"].startswith(message)
    assert "s3cr3t" not in found["problems"]["A"]
    assert found["problems"]["A"].isprintable()


def test_record_that_comes_twice():
    """A second one of the same name does not take the first one's place."""
    found = resolve([{**GOOD}, {**GOOD, "pass": "other"}], parse(["A"]))
    assert found["credentials"] == {}
    assert found["problems"] == {"A": "the vault lookup returned several records of this name"}


def test_notes_that_take_long():
    """A line is read as YAML: a record of millions would hold up all others."""
    with pytest.raises(LookupError, match="notes have more than 65536 characters"):
        records.parse_metadata("a: 1\n" * 1_000_000)


def test_reason_of_another_lookup_steers_no_terminal():
    assert delivered(error=f"no such thing {ESC}")["problems"] == {
        "A": r"no such thing \x1b]0;s3cr3t\x07"
    }


@pytest.mark.parametrize("field", ["user", "host", "url"])
def test_module_refuses_what_the_controller_would(field):
    bad = {"user": "u", "pass": "p", "host": "h", field: f"x{ESC}"}
    message = f"{field} has a control character, such as a line break, in it"
    assert credential_format.content_problem(bad) == message
    bad = {"user": "u", "pass": "p", "host": "h", f"x{ESC}": "y"}
    assert ESC not in str(credential_format.content_problem(bad))


@pytest.mark.parametrize("protected", [["metadata.k"], ["description", "url"], []])
def test_mark_travels_into_the_file(protected):
    """Once: the same record makes the same bytes."""
    found = delivered(metadata={"k": "v"}, protected=[*protected, "metadata.gone"])
    credential = for_host(found, ["airflow"])["credentials"]["A"]
    assert credential["protected"] == sorted(protected)
    assert credential_format.content_problem(credential) is None
    content = credential_format.encode(credential)
    assert credential_format.encode(credential_format.decode(content)) == content
    assert json.loads(content)["protected"] == sorted(protected)


@pytest.mark.parametrize("protected", ["metadata.k", ["metadata.gone"], [1], None])
def test_module_refuses_a_mark_of_nothing(protected):
    bad = {"user": "u", "pass": "p", "host": "h", "metadata": {"k": "v"}, "protected": protected}
    assert str(credential_format.content_problem(bad)).startswith("protected ")


def test_file_from_before_the_mark_stays_as_it_is():
    """It is a good file, so that it is kept while the vault has no good record."""
    old = {"user": "u", "pass": "p", "host": "h", "metadata": {"k": "v"}}
    assert credential_format.content_problem(old) is None
    assert "protected" not in json.loads(credential_format.encode(old))


MAPPING = {"user": "u", "pass": "p", "host": "h", "metadata": "m"}
RESULT = {"u": "u", "p": "p", "h": "h", "m": {"pin": "774411", "team": "x"}}


@pytest.mark.parametrize(("mapping", "protected"), [
    ({}, None),
    ({"protected": []}, []),
    ({"protected": ["metadata.pin", "metadata.gone"]}, ["metadata.pin"]),
])  # fmt: skip
def test_lookup_that_knows_no_mark(mapping, protected):
    """All of its metadata counts as protected unless the mapping says what is."""
    (record,) = vault_records([RESULT], ["A"], {**MAPPING, **mapping})
    assert record["protected"] == protected
    credential = resolve([record], parse(["A"]))["credentials"]["A"]
    assert credential.get("protected") == protected


@pytest.mark.parametrize("protected", ["metadata.pin", {"a": "b"}, [1], 1])
def test_mapping_that_marks_nothing(protected):
    with pytest.raises(AnsibleFilterError, match="protected is not a list of fields"):
        vault_records([RESULT], ["A"], {**MAPPING, "protected": protected})


def test_expired_record_is_in_the_report():
    found = delivered(expires_at="2020-01-01T00:00:00Z")
    assert [*found["credentials"]] == ["A"]
    assert found["warnings"] == {"A": "it has expired in the vault, at 2020-01-01T00:00:00Z"}
    assert delivered(expires_at="9999-01-01T00:00:00Z")["warnings"] == {}
    variables = {"__credentials_fetched": {"records_warned_of": found["warnings"]}}
    report = refresh_report.report({"w": variables}, ["w"], vault="kdbx")
    assert report["warnings"] == found["warnings"]


# Fields of the format: title, password, expiry time.
TITLE, PASSWORD, EXPIRY = 0x03, 0x06, 0x0A


def entry(expiry):
    return psafe3.Entry({TITLE: b"A", PASSWORD: b"p", EXPIRY: expiry})


@pytest.mark.parametrize(("expiry", "expires_at"), [
    (b"", None),
    (struct.pack("<I", 0), None),
    (struct.pack("<I", 1_577_836_800), "2020-01-01T00:00:00Z"),
    # As later versions may write it, beyond the year 2106.
    (struct.pack("<Q", 1_577_836_800), "2020-01-01T00:00:00Z"),
])  # fmt: skip
def test_expiry_of_password_safe(expiry, expires_at):
    assert psafe3.record("A", entry(expiry), {})["expires_at"] == expires_at


def test_expiry_of_password_safe_that_cannot_be_read():
    with pytest.raises(LookupError, match="it expires, and the time can't be read"):
        psafe3.record("A", entry(b"\xff" * 8), {})


def test_alias_expires_with_its_base():
    base = entry(struct.pack("<I", 1_577_836_800))
    alias = psafe3.Entry({TITLE: b"B", PASSWORD: b"[[" + b"00" * 16 + b"]]"})
    assert psafe3.record("B", alias, {bytes(16): [base]})["expires_at"] == "2020-01-01T00:00:00Z"
