"""KeePass files as people have them: each is opened, or told what it is and what to do."""

import base64
import hashlib
import time

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import kdbx, kdbx_file
from kdbx_testing import PASSWORD, changed, format_3, format_4
from lxml import etree

DAMAGED = "the file is cut off or damaged"
WRONG = (
    "{} is wrong, or it takes something else besides (a key file, a YubiKey or another"
    " challenge-response, a Windows account), of which only a key file can be given here"
)
KEY = hashlib.sha256(b"a key").digest()


def xml_key(version, data, attribute=""):
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<KeyFile>\n\t<Meta>'
        f"<Version>{version}</Version></Meta>\n\t<Key><Data{attribute}>{data}</Data></Key>\n</KeyFile>\n"
    ).encode()


HASH = hashlib.sha256(KEY).digest()[:4].hex().upper()
BASE64 = base64.b64encode(KEY).decode()
HEX = f"\n\t\t\t{KEY.hex().upper()[:32]} {KEY.hex().upper()[32:]}\n\t\t"


def opened(content, password=PASSWORD, key=None):
    """Return the record of X, or why the file can't be opened."""
    try:
        database = kdbx.Database(kdbx_file.open_database(content, password, key))
    except kdbx_file.KdbxError as error:
        return str(error)
    (entry,) = [one for one in database.entries if one.raw("Title").text == "X"]
    return kdbx.record("X", entry, database)


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("kdf", ["argon2", "argon2id", "aeskdf"])
@pytest.mark.parametrize("cipher", ["aes256", "chacha20", "twofish"])
def test_format_4(cipher, kdf, minor):
    found = opened(format_4(cipher=cipher, kdf=kdf, minor=minor))
    assert (found["user"], found["pass"], found["host"]) == ("u", "s3cret", "h")
    assert found["metadata"] == {"pin": "774411", "team": "data"}
    assert found["protected"] == ["metadata.pin"]


@pytest.mark.parametrize("major", [2, 3])
@pytest.mark.parametrize("cipher", ["aes256", "twofish"])
def test_formats_before(major, cipher):
    assert opened(format_3(major=major, cipher=cipher))["pass"] == "s3cret"


def test_rounds_of_aes():
    """As many as are more than one step of ours."""
    assert opened(format_3(rounds=70_000))["pass"] == "s3cret"


@pytest.mark.parametrize(("key", "expected"), [
    (xml_key("1.00", BASE64), KEY),
    (b"\xef\xbb\xbf" + xml_key("1.0", f"\n {BASE64} \n"), KEY),
    (xml_key("2.0", HEX, f' Hash="{HASH}"'), KEY),
    (xml_key("2.0", HEX, f' Hash="{HASH.lower()}"'), KEY),
    (KEY, KEY),
    (KEY.hex().encode(), KEY),
    (KEY.hex().upper().encode(), KEY),
    # Any other file serves too, with all that is in it.
    (KEY.hex().encode() + b"\n", None),
    (b"any file", None),
    (b"<svg>a picture</svg>", None),
    (xml_key("2.0", HEX, ' Hash="00000000"'),
     "the key file is damaged: its checksum (Hash) is wrong"),
    (xml_key("2.0", HEX), "the key file is damaged: its checksum (Hash) is wrong"),
    (xml_key("2.0", "no hex", f' Hash="{HASH}"'), "the key file is damaged: its key can't be read"),
    (xml_key("1.0", "no base64!"), "the key file is damaged: its key can't be read"),
    (xml_key("1.0", ""), "the key file is damaged: it has no key"),
    (xml_key("3.0", HEX), "the key file has a version that is neither 1 nor 2"),
    (xml_key("2.0", HEX)[:-20], "the key file is cut off or damaged: its XML can't be read"),
    (b"", "the key file is empty"),
])  # fmt: skip
def test_key_file(key, expected):
    content = format_3(key=expected if expected == KEY else hashlib.sha256(key).digest())
    found = opened(content, key=key)
    assert found["pass"] == "s3cret" if expected in (KEY, None) else found == expected
    assert opened(content, key=b"another") == WRONG.format("the password or the key file")
    assert opened(content) == WRONG.format("the password")


@pytest.mark.parametrize("password", ["", None])
def test_key_file_and_no_password(password):
    """KeePass knows a password that is empty, and none."""
    content = format_4(password=password, key=KEY)
    assert opened(content, None, KEY)["pass"] == "s3cret"
    assert opened(content, None, b"x") == WRONG.format("the key file")


def test_an_expensive_database_of_keepass_opens():
    """KeePass asks for as many rounds as its own AES does in a second."""
    began = time.process_time()
    assert "is wrong" in opened(format_3(rounds=2_000_000))
    assert time.process_time() - began < 5, "a loop in Python takes 15 s"


@pytest.mark.parametrize(("settings", "message"), [
    ({"M": 1 << 50}, "its key derivation asks for 1 rounds of 1073741824 MiB, which takes too"),
    ({"I": 1 << 40}, "its key derivation asks for 1099511627776 rounds of 0 MiB, which takes"),
    ({"P": 0}, "its key derivation can't be done here"),
    ({"M": 0}, "its key derivation can't be done here"),
    ({"$UUID": bytes(16)}, "its key derivation is one of a plugin: choose Argon2"),
])  # fmt: skip
def test_key_derivation_that_is_refused(settings, message):
    """The header is read before anything has proved it."""
    assert opened(format_4(kdf_of=settings)).startswith(message)


def test_rounds_that_are_refused():
    found = opened(format_3(rounds=1 << 40))
    assert found == (
        "it asks for 1099511627776 rounds of AES, more than 536870912: choose Argon2 as its key"
        " derivation"
    )


def test_header_that_was_changed():
    """In format 3 nothing protects it but a hash in what is encrypted."""
    assert opened(format_3(header_hash="bm90IHRoZSBoYXNo")) == (
        "its header is damaged or was changed (HeaderHash)"
    )
    assert opened(format_3(header_hash=""))["pass"] == "s3cret", "as old programs leave it"
    content = bytearray(format_4())
    content[60] ^= 1
    assert isinstance(opened(bytes(content)), str)


@pytest.mark.parametrize("stream", [0, 1])
def test_values_that_are_protected_in_a_way_given_up(stream):
    assert "in a way that KeePass has given up" in opened(format_3(stream=stream))


def test_a_protected_value_that_cannot_be_read(capfd):
    """What it was encrypted to is nobody's password, and nothing is printed of it."""
    content = format_3(more=(
        '<String><Key>seed</Key><Value Protected="True">!no base64!</Value></String>'
    ))  # fmt: skip
    database = kdbx.Database(kdbx_file.open_database(content, PASSWORD, None))
    with pytest.raises(LookupError, match=r"^a protected field can't be read$"):
        kdbx.record("X", database.entries[0], database)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("make", [format_4, format_3])
def test_every_kind_of_cut(make):
    content = make()
    for length in {*range(8, 200, 7), *range(200, len(content), 97), len(content) - 1}:
        found = opened(content[:length])
        assert isinstance(found, str), length
        assert found.startswith(DAMAGED) or "is wrong" in found, found


def test_other_formats():
    assert opened(b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5\x00\x00\x05\x00" + bytes(200)) == (
        "the database has format 5.0; 2 to 4 can be read: save it in format 4"
    )


def test_what_keepass_hides():
    """Templates are no passwords; what is left out of searches has a path, and no name besides."""

    def fill(database):
        root = database.root_group
        templates, old = database.add_group(root, "Templates"), database.add_group(root, "Old")
        inner = database.add_group(old, "Inner")
        shown = database.add_group(old, "Shown")
        for group, title in ((templates, "Template"), (old, "Own"), (root, "Own"), (inner, "Deep"),
                             (shown, "Again")):  # fmt: skip
            database.add_entry(group, title, "u", f"of {group.name}", force_creation=True)
        database.add_entry(root, "Refers", "u", "{REF:P@T:Deep}")
        database.add_entry(root, "To template", "u", "{REF:P@T:Template}")
        meta = database.tree.find("Meta/EntryTemplatesGroup")
        meta.text = base64.b64encode(templates.uuid.bytes).decode()
        for group, text in ((old, "False"), (inner, "null"), (shown, "true")):
            etree.SubElement(group._element, "EnableSearching").text = text

    found = kdbx.Database(kdbx_file.open_database(changed(fill), PASSWORD, None))
    entries = {("/".join(one.group), one.raw("Title").text): one for one in found.entries}
    assert {place: one.searchable for place, one in entries.items()} == {
        ("", "X"): True, ("", "Own"): True, ("", "Refers"): True, ("", "To template"): True,
        ("Old", "Own"): False, ("Old/Inner", "Deep"): False, ("Old/Shown", "Again"): True,
    }  # fmt: skip
    assert kdbx.record("Refers", entries["", "Refers"], found)["pass"] == "of Inner"
    with pytest.raises(LookupError, match="can't be found"):
        kdbx.record("To template", entries["", "To template"], found)
    assert ["Templates"] not in found.groups


def test_templates_in_the_outermost_group():
    """Or in none: then nothing is hidden."""
    for uuid in (bytes(16), None):

        def choose(database, uuid=uuid):
            meta = database.tree.find("Meta/EntryTemplatesGroup")
            meta.text = base64.b64encode(uuid or database.root_group.uuid.bytes).decode()

        assert opened(changed(choose))["pass"] == "s3cret"
