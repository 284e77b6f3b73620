"""Records of Password Safe files, which loxodo has written."""

import contextlib
import doctest
import functools
import hashlib
import hmac
import io
import json
import os
import struct
import uuid
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import psafe3
from hypothesis import given, settings
from hypothesis import strategies as st
from loxodo_curses import vault as loxodo
from loxodo_curses.twofish.twofish_cbc import TwofishCBC
from loxodo_curses.twofish.twofish_ecb import TwofishECB

from tests.lookup_calls import call_lookup

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "máster {{ password }}"
DAMAGED = "the password is right, but the file is damaged or was changed: "
START = 152
INITIAL = range(START - 16, START)


def number(digit):
    return uuid.UUID(hex=f"0011223344556677889900aabbccdd{digit:02x}")


def entry(title, user="u", password="p", *, group=None, own=None, **fields):  # noqa: S107 - a test's
    """Return an entry; `own` is the last digit of its UUID."""
    record = loxodo.Record.create()
    if own is not None:
        # As it lies in the file, which is how aliases quote it.
        record.uuid = uuid.UUID(bytes_le=number(own).bytes)
    values = {"title": title, "user": user, "passwd": password, "group": group, **fields}
    for name, value in values.items():
        if value is not None:
            setattr(record, name, value)
    return record


def field(record, kind, value):
    """Give an entry a field that loxodo doesn't know, or one that is not text."""
    record.raw_fields[kind] = loxodo.Field(kind, value)
    return record


def write(*entries, password=PASSWORD, iterations=2048):
    """Return the file that loxodo writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loxodo.Vault, "write_iter", iterations)
        vault = loxodo.Vault(password.encode())
        vault.header.add_raw_field(loxodo.Field(0x00, b"\x10\x03"))
        # Names of empty groups, of which the header may have many.
        vault.header.raw_fields[(0x11, 1)] = loxodo.Field(0x11, b"Empty")
        vault.header.raw_fields[(0x11, 2)] = loxodo.Field(0x11, b"Empty.Too")
        vault.records.extend(entries)
        stream = io.BytesIO()
        vault.write_to_stream(stream, password.encode())
    return stream.getvalue()


def rewrite(content, change):
    """Change the plain text of a file's fields, and give it the right HMAC.

    `change` gets the list of (type, data) and may return what it likes.
    """
    cipher, code_key = keys(content)
    cipher.state = content[136:START]
    stream = io.BytesIO(content[START:])
    fields = []
    while read := loxodo._read_field_tlv(stream, cipher):
        fields.append((read.raw_type, read.raw_value))
    plain = b""
    code = hmac.new(code_key, digestmod=hashlib.sha256)
    for kind, data in change(fields):
        block = struct.pack("<LB", len(data), kind) + data
        plain += block + bytes(-len(block) % 16)
        code.update(data)
    cipher.state = content[136:START]
    return content[:START] + cipher.encrypt(plain) + b"PWS3-EOFPWS3-EOF" + code.digest()


@functools.cache
def keys(content):
    """Return the cipher of a file's fields and the key of its HMAC."""
    stretched = loxodo._stretch_password(PASSWORD.encode(), content[4:36], 2048)
    unwrap = TwofishECB(stretched)
    cipher = TwofishCBC(unwrap.decrypt(content[72:104]), content[136:START])
    return cipher, unwrap.decrypt(content[104:136])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vaults")


@pytest.fixture(scope="module")
def content():
    base, shortcut = number(1).hex, number(2).hex
    return write(
        entry(
            "EBI-ETL-DEV-01",
            "etl",
            "s3cret {{ x }}",
            url="postgresql://db1:5432/ebi",
            notes="The nightly load env=prod\r\nteam: Data, North\r\nsecond line",
        ),
        entry("Own", " u ", " p\n", notes="host=db2:1433 account=00123\nflag: true"),
        entry("Port", url="https://db1:1/", notes="port: 99"),
        field(entry("Mail", notes="email=own@x.org"), 0x14, b"other@x.org"),
        field(entry("Post"), 0x14, b"etl@x.org"),
        entry("Empty", None, None),
        entry(None, "u", "untitled"),
        entry("Unknown fields", **{}),
        entry("Ünicode – 試", "ü", "試" * 11, group="Grüppe"),
        entry("Slash/ed", password="slashed"),
        entry("Root", password="root"),
        entry("Root", password="not root", group="Production.ETL"),
        entry("Twice", password="shallow", group="Production"),
        entry("Twice", password="deep", group="Production.ETL"),
        entry("Same", "one", "first", group="Production"),
        entry("Same", "two", "second", group="Production"),
        entry("Dots", password="dotted", group=r"db1\.example\.org.ETL"),
        entry("Base", "base-user", "base-pass", own=1, url="https://base/", notes="env=base"),
        entry("Alias", "own-user", f"[[{base}]]", url="https://own/", notes="env=own"),
        entry("Shouted alias", password=f"[[{base.upper()}]]"),
        entry("Shortcut", "own-user", f"[~{base}~]", own=2, url="https://own/", notes="env=own"),
        entry("Dangling alias", password=f"[[{number(3).hex}]]"),
        entry("Dangling shortcut", password=f"[~{number(3).hex}~]"),
        entry("Chained", password=f"[[{shortcut}]]"),
        entry("Circle", password=f"[[{number(4).hex}]]", own=4),
        entry("Double", own=5),
        entry("Double too", own=5),
        entry("Of a double", password=f"[[{number(5).hex}]]"),
        entry("Brackets", password="[[not an alias]]"),
        field(entry("Latin"), 0x05, "sécret".encode("latin-1")),
        field(entry("Other", password="latin"), 0x03, b"L\xe4tin"),
        field(entry("Future"), 0xDF, os.urandom(40)),
    )


@pytest.fixture(scope="module")
def vault(folder, content):
    path = folder / "vault.psafe3"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def password_file(folder):
    path = folder / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def look_up(vault, password_file):
    def look_up(*calls, env=None):
        """Run calls (terms, options, variables) in one process, with the vault as the default."""
        answers, logged = call_lookup(
            "caspian.airflow.psafe3", *calls, env=env,
            path=str(vault), password_file=str(password_file),
        )  # fmt: skip
        assert PASSWORD not in logged + json.dumps(answers, ensure_ascii=False)
        return answers

    return look_up


def read(content, password=PASSWORD, **options):
    return psafe3.read(content, password, **options)


def record(entries, title):
    (found,) = (entry for entry in entries if entry.title == title)
    return psafe3.record(title, found, psafe3.by_uuid(entries))


def test_examples():
    failed, tried = doctest.testmod(psafe3)
    assert tried
    assert not failed


@pytest.mark.parametrize(
    ("title", "changes"),
    [
        pytest.param(
            "EBI-ETL-DEV-01",
            {
                "user": "etl",
                "pass": "s3cret {{ x }}",
                "host": "db1",
                "url": "postgresql://db1:5432/ebi",
                "description": "The nightly load\nsecond line",
                "metadata": {"env": "prod", "team": "Data, North", "port": 5432},
            },
            id="notes",
        ),
        pytest.param(
            "Own",
            {
                "user": " u ",
                "pass": " p\n",
                "host": "db2",
                "metadata": {"account": "00123", "flag": True, "port": 1433},
            },
            id="host in the notes",
        ),
        pytest.param(
            "Port",
            {"host": "db1", "url": "https://db1:1/", "metadata": {"port": 99}},
            id="port in the notes",
        ),
        pytest.param("Mail", {"metadata": {"email": "own@x.org"}}, id="email of the notes"),
        pytest.param("Post", {"metadata": {"email": "etl@x.org"}}, id="email"),
        pytest.param("Empty", {"user": "", "pass": ""}, id="only a title"),
        pytest.param("Ünicode – 試", {"user": "ü", "pass": "試" * 11}, id="unicode"),
        pytest.param("Future", {}, id="unknown field"),
        pytest.param("Brackets", {"pass": "[[not an alias]]"}, id="looks like an alias"),
        pytest.param(
            "Alias",
            {
                "user": "own-user",
                "pass": "base-pass",
                "host": "own",
                "url": "https://own/",
                "metadata": {"env": "own"},
            },
            id="alias",
        ),
        pytest.param("Shouted alias", {"pass": "base-pass"}, id="alias in capitals"),
        pytest.param(
            "Shortcut",
            {
                "user": "base-user",
                "pass": "base-pass",
                "host": "base",
                "url": "https://base/",
                "metadata": {"env": "base"},
            },
            id="shortcut",
        ),
    ],
)
def test_record(content, title, changes):
    plain = {"user": "u", "pass": "p", "host": "", "url": "", "description": "", "metadata": {}}
    plain |= {"protected": [], "expires_at": None}
    assert record(read(content), title) == {"name": title, **plain, **changes}


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("Dangling alias", "it is an alias, and no entry has the UUID of its base"),
        ("Dangling shortcut", "it is a shortcut, and no entry has the UUID of its base"),
        ("Chained", "it is an alias of an entry that is itself an alias or shortcut"),
        ("Circle", "it is an alias of an entry that is itself an alias or shortcut"),
        ("Of a double", "it is an alias, and several entries have the UUID of its base"),
        ("Latin", "its field notes is not UTF-8 text"),
    ],
)
def test_entry_that_must_not_be_delivered(content, title, message):
    with pytest.raises(LookupError) as raised:
        record(read(content), title)
    assert raised.value.args == (message,)


@pytest.mark.parametrize(
    ("group", "parts"),
    [
        ("", []),
        ("One", ["One"]),
        ("One.Two.Three", ["One", "Two", "Three"]),
        (r"One\.Two.Three", ["One.Two", "Three"]),
        (r"One\\.Two", ["One\\", "Two"]),
        (r"CORP\etl.Two", [r"CORP\etl", "Two"]),
        ("One..Two", ["One", "", "Two"]),
        ("One\\", ["One\\"]),
    ],
)
def test_split_group(group, parts):
    assert psafe3.split_group(group) == parts


def test_entry_shows_nothing(content):
    assert {str(entry) for entry in read(content)} == {"<Entry>"}


@pytest.mark.parametrize("iterations", [2048, 262_144])
def test_iterations(iterations):
    content = write(entry("X"), iterations=iterations)
    assert [found.title for found in read(content, max_iterations=iterations)] == ["X"]


def test_empty_file():
    assert read(write()) == []


def too_many(content):
    return content[:36] + struct.pack("<I", 0xFFFFFFFF) + content[40:]


def too_few(content):
    return content[:36] + struct.pack("<I", 2047) + content[40:]


def bad_code(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def bad_data(content):
    """Other data with the HMAC of the old."""
    other = rewrite(content, lambda fields: [(0x00, b"\x0e\x03"), *fields[1:]])
    return other[:-32] + content[-32:]


def foreign_keys(content):
    """The keys of another file: the password opens them, the fields they don't."""
    return content[:72] + bytes(80) + content[START:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda _: b"",
            "not a Password Safe V3 file, but empty, as a copy that was interrupted leaves it:"
            " bring it here again",
            id="empty",
        ),
        pytest.param(
            lambda _: b"s3cret garbage" * 100,
            "not a Password Safe V3 file, but a text, and no vault",
            id="other",
        ),
        pytest.param(lambda content: content[:4], "the file is truncated", id="tag alone"),
        pytest.param(lambda content: content[:START], "the file is truncated", id="start alone"),
        pytest.param(lambda content: content[:-33], "the file is truncated", id="end marker"),
        pytest.param(lambda content: content[:-32], "the file is truncated", id="no HMAC"),
        pytest.param(lambda content: content[:-1], "the file is truncated", id="half a HMAC"),
        pytest.param(
            lambda content: content[:-48] + content[-32:], "the file is truncated", id="no marker"
        ),
        pytest.param(
            lambda content: content + b"\n", f"{DAMAGED}there is more after its end", id="more"
        ),
        pytest.param(
            too_many,
            "the file asks for 4294967295 rounds of key stretching, more than the 4194304 of the"
            " option `max_iterations`: raise it if you trust the file",
            id="hours of work",
        ),
        pytest.param(
            too_few,
            "the file has 2047 rounds of key stretching, where the format asks for 2048 or more:"
            " save it with a current Password Safe",
            id="no work",
        ),
        pytest.param(bad_code, f"{DAMAGED}its integrity code (HMAC) is wrong", id="HMAC"),
        pytest.param(bad_data, f"{DAMAGED}its integrity code (HMAC) is wrong", id="data"),
        pytest.param(
            lambda content: rewrite(content, lambda fields: fields[:-1]),
            f"{DAMAGED}its last entry has no end",
            id="no end of entry",
        ),
        pytest.param(
            lambda content: rewrite(
                content,
                lambda fields: [pair for i, pair in enumerate(fields) if i != len(fields) - 8],
            ),
            f"{DAMAGED}an entry has two fields of the type UUID",
            id="two entries made one",
        ),
        pytest.param(
            lambda content: rewrite(content, lambda fields: [*fields[:-1], (0xFF, b"x")]),
            f"{DAMAGED}a field has an impossible length",
            id="end of entry with data",
        ),
    ],
)
def test_file_that_is_refused(change, message):
    content = write(entry("X"), entry("Y"))
    with pytest.raises(psafe3.Psafe3Error) as raised:
        read(change(content))
    assert str(raised.value) == message


@pytest.mark.parametrize("change", [bad_code, bad_data, foreign_keys])
def test_damaged_file_is_not_a_wrong_password(content, change):
    with pytest.raises(psafe3.Psafe3Error, match=f"^{DAMAGED}"):
        read(change(content))


def test_wrong_password_is_not_a_damaged_file(content):
    with pytest.raises(psafe3.Psafe3Error, match=r"^the password is wrong$"):
        read(content, "wrong")


def test_rewriting_is_neutral(content):
    """The helper of the tests above changes nothing by itself."""
    assert rewrite(content, lambda fields: fields)[-32:] == content[-32:]


SMALL = write(
    entry("Ünicode", "user", "s3cret-" * 5, group="A.B", notes="s3cret=s3cret and more"), entry("Y")
)
KNOWN = (
    "the file is truncated",
    "not a Password Safe V3 file",
    "the password is wrong",
    "the file asks for ",
    "the file has ",
    DAMAGED,
)


def test_every_truncation():
    for length in range(len(SMALL)):
        with pytest.raises(psafe3.Psafe3Error) as raised:
            read(SMALL[:length])
        assert str(raised.value).startswith(KNOWN[:2] + KNOWN[5:]), length


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sets(st.integers(0, len(SMALL) * 8 - 1), min_size=1, max_size=4))
def test_flipped_bits(bits):
    content = bytearray(SMALL)
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    # A bit of the initialisation vector is one of the first block, where some are mere padding.
    if all(bit // 8 in INITIAL for bit in bits):
        with contextlib.suppress(psafe3.Psafe3Error):
            assert [vars(found) for found in read(bytes(content))] == [
                vars(found) for found in read(SMALL)
            ]
    else:
        refused(bytes(content))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(START, len(SMALL)), st.binary(max_size=64), st.integers(0, 64))
def test_replaced_bytes(at, data, removed):
    content = SMALL[:at] + data + SMALL[at + removed :]
    if content != SMALL:
        refused(content)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.one_of(
            st.just((0xFF, b"")),
            st.tuples(st.sampled_from([1, 2, 3, 5, 6, 13, 20, 99]), st.binary(max_size=40)),
        ),
        max_size=12,
    )
)
def test_any_fields_of_a_file_that_is_intact(fields):
    """Whoever knows the password can write what he likes; a reader must not stumble over it."""
    entries, problems = [], []
    try:
        entries = read(rewrite(SMALL, lambda _: fields))
    except psafe3.Psafe3Error as error:
        problems.append(str(error))
    bases = psafe3.by_uuid(entries)
    for found in entries:
        assert all(isinstance(part, str) for part in found.group)
        try:
            psafe3.record("X", found, bases)
        except LookupError as error:
            problems.append(error.args[0])
    assert all(problem.startswith((DAMAGED, "its field ", "it is ")) for problem in problems)


def refused(content):
    with pytest.raises(psafe3.Psafe3Error) as raised:
        read(content, max_iterations=10_000)
    assert str(raised.value).startswith(KNOWN)
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_lookup(look_up):
    names = ["EBI-ETL-DEV-01", "Alias", "Own", "Alias"]
    (answer,) = look_up([names])
    assert [found["name"] for found in answer["result"]] == names
    assert [found["pass"] for found in answer["result"]] == [
        "s3cret {{ x }}",
        "base-pass",
        " p\n",
        "base-pass",
    ]


def test_paths(look_up):
    names = {
        "Production/Twice": "shallow",
        "Production/ETL/Twice": "deep",
        "/Production/ETL/Twice": "deep",
        "/Root": "root",
        "Slash/ed": "slashed",
        "Grüppe/Ünicode – 試": "試" * 11,
        "db1.example.org/ETL/Dots": "dotted",
        "Production/Same [two]": "second",
        "Same [one]": "first",
        "L\ufffdtin": "latin",
    }
    whole, below, nowhere = look_up(
        [[*names]],
        [["ETL/Twice", "Root", "/Twice"], {"group": "Production"}],
        [["Twice"], {"group": "Producton"}],
    )
    assert {found["name"]: found["pass"] for found in whole["result"]} == names
    assert [found["pass"] for found in below["result"]] == ["deep", "not root", "shallow"]
    assert nowhere["error"].endswith("vault.psafe3: there is no group 'Producton'.")


UNDELIVERABLE = {
    "Nowhere": "no entry has this title or path",
    "ebi-etl-dev-01": "no entry has this title or path",
    "": "no entry has this title or path",
    "Twice": (
        "2 entries have this name, give the path of one: /Production/ETL/Twice, /Production/Twice"
    ),
    "Production/Same": (
        "2 entries have this name, give the path of one:"
        " /Production/Same [one], /Production/Same [two]"
    ),
    "Chained": "it is an alias of an entry that is itself an alias or shortcut",
}


def test_names_that_fail(vault, look_up):
    failing, reported = look_up(
        [["Own", *UNDELIVERABLE]], [["Own", *UNDELIVERABLE], {"missing": "report"}]
    )
    reasons = "; ".join(f"{name}: {reason}" for name, reason in UNDELIVERABLE.items())
    assert failing["error"] == f"{vault}: {reasons}"
    assert reported["result"][0]["pass"] == " p\n"
    assert reported["result"][1:] == [
        {"name": name, "error": reason} for name, reason in UNDELIVERABLE.items()
    ]


def test_options_from_variables_environment_and_arguments(vault, look_up):
    none = {"path": None, "password_file": None}
    variables = {
        "folder": str(vault.parent),
        "caspian_psafe3_path": "{{ folder }}/vault.psafe3",
        "caspian_vault_password_file": "{{ folder }}/password",
        "caspian_psafe3_group": "Production",
    }
    (answer,) = look_up([["ETL/Twice"], none, variables])
    assert answer["result"][0]["pass"] == "deep"
    env = {
        "CASPIAN_PSAFE3_PATH": str(vault),
        "CASPIAN_VAULT_PASSWORD": PASSWORD,
        "CASPIAN_PSAFE3_MAX_ITERATIONS": "2047",
    }
    limited, enough = look_up([["Own"], none], [["Own"], {**none, "max_iterations": 2048}], env=env)
    assert limited["error"].startswith(
        f"{vault}: the file asks for 2048 rounds of key stretching, more than the 2047 of"
    )
    assert enough["result"][0]["user"] == " u "


def test_messages(folder, vault, content, look_up):
    damaged = folder / "damaged.psafe3"
    damaged.write_bytes(bad_data(content))
    wrong = folder / "wrong"
    wrong.write_text("s3cret-wrong")
    wrong.chmod(0o600)
    table = [
        ({"path": "/none"}, "/none: there is no such file on the controller."),
        ({"path": str(folder)}, f"{folder}: there is no such file on the controller."),
        ({"path": str(wrong)}, f"{wrong}: not a Password Safe V3 file, but a text, and no vault."),
        ({"path": str(damaged)}, f"{damaged}: {DAMAGED}its integrity code (HMAC) is wrong."),
        ({"password_file": str(wrong)}, f"{vault}: the password is wrong."),
        (
            {"password_file": None},
            f"{vault}: no password is given: set `password_file` or CASPIAN_VAULT_PASSWORD_FILE.",
        ),
    ]
    answers = look_up(*([["Own"], options] for options, _ in table))
    assert [answer.get("error") for answer in answers] == [message for _, message in table]


def test_read_once(vault, tmp_path, look_up):
    """Many names, one opening of the file."""
    log = tmp_path / "opened"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def audit(event, arguments):\n"
        f"    if event == 'open' and str(arguments[0]) == {str(vault)!r}:\n"
        "        log.write('opened\\n'); log.flush()\n"
        f"log = open({str(log)!r}, 'a')\n"
        "sys.addaudithook(audit)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT / "collections")])
    look_up([["Own", "Port", "EBI-ETL-DEV-01"]], env={"PYTHONPATH": path})
    assert log.read_text() == "opened\n"
