"""What KeePass has in a database is delivered as KeePass has it, or is an error of that name."""

import base64
import copy
import datetime
import shutil
import uuid
from pathlib import Path

import pytest
from pykeepass import PyKeePass, create_database

from tests.lookup_calls import call_lookup

ROOT = Path(__file__).resolve().parents[2]
NOT_FOUND = "a field refers to an entry that can't be found"
ALONE = "a field has a placeholder that KeePass alone can fill"
SHARED = uuid.UUID(int=7)


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """Return an empty database whose key derivation takes no time."""
    path = tmp_path_factory.mktemp("blank") / "blank.kdbx"
    database = create_database(str(path), password="vault")
    parameters = database.kdbx.header.value.dynamic_header.kdf_parameters.data.dict
    parameters.I.value, parameters.M.value, parameters.P.value = 1, 8 * 1024, 1
    database.save()
    return path


def look_up(path, names, **options):
    """Return the record, or the reason why there is none, of each name; and what was printed."""
    options = {"path": str(path), "password": "vault", "missing": "report", **options}
    (answer,), logged = call_lookup("caspian.airflow.kdbx", [names, options])
    found = {one["name"]: one.get("error") or one for one in answer["result"]}
    return found, " ".join(logged.split())


class Vault:
    """A database, to which entries are added."""

    def __init__(self, blank, path):
        self.path = path
        shutil.copy(blank, path)
        self.database = PyKeePass(path, password="vault")

    def add(self, title, password="p", user="u", *, group=None, url="", notes="", **attributes):  # noqa: S107 - a test's password is none
        """Add an entry; a protected attribute's name ends with an `_`."""
        group = group or self.database.root_group
        entry = self.database.add_entry(
            group, title, user, password, url=url, notes=notes, force_creation=True
        )
        for name, value in attributes.items():
            entry.set_custom_property(name.rstrip("_"), value, protect=name.endswith("_"))
        return entry

    def look_up(self, *names, **options):
        self.database.save()
        return look_up(self.path, names, **options)


@pytest.fixture
def vault(blank, tmp_path):
    return Vault(blank, tmp_path / "vault.kdbx")


@pytest.fixture(scope="module")
def references(blank, tmp_path_factory):
    """Return what becomes of each reference."""
    vault = Vault(blank, tmp_path_factory.mktemp("references") / "vault.kdbx")
    base = {"url": "base-url", "notes": "base-notes", "Extra": "more"}
    vault.add("Base", "base-password", "base-user", **base).uuid = SHARED
    vault.add("Twice", "one", "same-user")
    vault.add("Twice", "two", "same-user")
    vault.add("Older twin", "wrong")
    vault.add("Twin", "right")
    vault.add("Two words", "right")
    vault.add("words Two and more", "wrong")
    vault.add("Braces", "{abc}x{y}{ENTER}{}{{USER}}{REF:%TEMP%")
    vault.add("Chain 0", "deep")
    for number in range(1, 14):
        vault.add(f"Chain {number}", f"{{REF:P@T:Chain {number - 1}}}")
    vault.add("A circle", "{REF:P@T:B circle}")
    vault.add("B circle", "{S:own}", own="{REF:P@T:A circle}")
    for number in range(30):
        vault.add(f"Growth {number:02}", f"{{REF:P@T:Growth {number + 1:02}}}" * 2)
    for number, text in enumerate(REFERENCES):
        vault.add(f"Case {number}", text, "case-user", url="case-url", notes="case-notes",
                  own="{USERNAME}", a="1", A="2")  # fmt: skip
    names = [f"Case {number}" for number in range(len(REFERENCES))]
    names += ["Braces", "Chain 11", "Chain 12", "Chain 13", "A circle", "B circle", "Growth 00"]
    found, _ = vault.look_up(*names)
    return {name: one if isinstance(one, str) else one["pass"] for name, one in found.items()}


REFERENCES = {
    "{REF:P@T:Base}": "base-password",
    "{ref:p@t:base}": "base-password",
    "{Ref:u@I:" + SHARED.hex + "}": "base-user",
    "{REF:A@U:base-user}": "base-url",
    "{REF:N@A:base-url}": "base-notes",
    "{REF:T@N:base-notes}": "Base",
    "{REF:I@P:base-password}": SHARED.hex.upper(),
    "{ref:p@o:more}": "base-password",
    "<{REF:T@T:Base}|{REF:U@T:Base}>": "<Base|base-user>",
    "{USERNAME}/{title}": None,
    "{url} {Notes}": "case-url case-notes",
    "{S:own}": "case-user",
    "{s:OWN}!": "case-user!",
    # What is not certain.
    "{REF:P@T:Twice}": "refers to what 2 entries have: refer to one by its UUID, {REF:P@I:…}",
    "{REF:P@U:same-user}": "refers to what 2 entries have",
    "{REF:P@T:Twin}": "refers to what 2 entries have",
    "{REF:P@T:Bas}": NOT_FOUND,
    "{REF:P@T:nothing}": NOT_FOUND,
    "{REF:P@I:" + SHARED.hex[:8] + "}": NOT_FOUND,
    "{REF:P@I:" + str(SHARED) + "}": NOT_FOUND,
    '{REF:P@T:x" or "1"="1}': NOT_FOUND,
    "{REF:P@T:Base -nothing}": NOT_FOUND,
    "{S:nothing}": "refers to an attribute that can't be found",
    "{S:Password}": "refers to an attribute that can't be found",
    "{S:a}": "refers to an attribute that can't be found",
    "{S:}": "refers to an attribute that can't be found",
    # What cannot be a reference, and is none of a password's characters either.
    "{REF:O@T:Base}": "a reference that can't be read",
    "{REF:X@T:Base}": "a reference that can't be read",
    "{REF:P@X:Base}": "a reference that can't be read",
    "{REF:}": "a reference that can't be read",
    "{PASSWORD}": NOT_FOUND,
    # What KeePass fills, and nobody else.
    "{URL:HOST}": ALONE,
    "{url:rmvscm}": ALONE,
    "{GROUP}{DB_PATH}": ALONE,
    "{T-CONV:/x/Upper/}": ALONE,
    "{CMD:/id/}": ALONE,
    "{C:comment}x": ALONE,
    "{DT_SIMPLE}": ALONE,
    "{TIMEOTP}": ALONE,
    "{NEWPASSWORD:/x/}": ALONE,
}


@pytest.mark.parametrize(("text", "expected"), REFERENCES.items())
def test_reference(references, text, expected):
    number = [*REFERENCES].index(text)
    found = references[f"Case {number}"]
    if expected is None:
        expected = f"case-user/Case {number}"
    assert expected in found
    assert "{" not in found.replace("{REF:P@I:…}", "")


def test_braces_that_are_no_placeholders(references):
    """A password may look like one."""
    assert references["Braces"] == "{abc}x{y}{ENTER}{}{{USER}}{REF:%TEMP%"


def test_references_as_deep_as_keepass_follows_them(references):
    assert references["Chain 11"] == "deep"
    assert references["Chain 12"] == "its references are more than 11 deep"
    assert references["Chain 13"] == "its references are more than 11 deep"


def test_circles_and_growth_end(references):
    assert references["A circle"] == references["B circle"] == NOT_FOUND
    assert references["Growth 00"] == "its references are more than 11 deep"


def test_growth_is_bounded(vault):
    """Each entry has the next one thirty times."""
    for number in range(6):
        vault.add(f"G{number}", f"{{REF:P@T:G{number + 1}}}" * 30 if number < 5 else "x" * 30)
    found, _ = vault.look_up("G0")
    assert found["G0"] == "a field is too long with its references followed"


def test_references_are_counted(vault):
    """Each is a search of the whole database, which all other names would wait for."""
    vault.add("Base", "x")
    vault.add("Many", notes="{REF:P@T:Base}" * 1001)
    vault.add("Few", notes="{REF:P@T:Base}" * 1000)
    found, _ = vault.look_up("Many", "Few")
    assert found["Many"] == "it has more than 1000 references"
    assert found["Few"]["description"] == "x" * 1000


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("name", ["Recycle Bin", None])
@pytest.mark.parametrize("first", [True, False])
def test_recycle_bin(vault, enabled, name, first):
    """No entry in it is found, by its name or by a reference, whatever the bin is called."""
    vault.add("Thrown", "thrown-away")
    vault.add("Alive", "old-password")
    thrown = [*vault.database.entries]
    vault.add("Alive", "new-password")
    vault.add("By title", "{REF:P@T:Thrown}")
    vault.add("By UUID", "{REF:P@I:" + thrown[0].uuid.hex + "}")
    vault.add("By password", "{REF:P@P:thrown-away}")
    vault.add("Living", "{REF:P@T:Alive}")
    for entry in thrown:
        vault.database.trash_entry(entry)
    bin_group = vault.database.recyclebin_group
    bin_group._element.find("Name").text = name
    if first:
        bin_group.parentgroup._element.insert(0, bin_group._element)
    vault.database._xpath("/KeePassFile/Meta/RecycleBinEnabled", first=True).text = str(enabled)
    found, _ = vault.look_up("Thrown", "Alive", "By title", "By UUID", "By password", "Living")
    assert found["Thrown"] == "no entry has this title or path"
    assert found["Alive"]["pass"] == found["Living"]["pass"] == "new-password"
    assert {found[f"By {what}"] for what in ("title", "UUID", "password")} == {NOT_FOUND}


def test_reasons_steer_no_terminal(vault):
    """They name entries, which are called as their writers like; XML holds no ESC, but CSI."""
    for name in ("A\x9b2J", "B\u202e", "B\u202e"):
        group = vault.database.add_group(vault.database.root_group, name)
        vault.add("Twice", user="u\x9b2J", group=group)
    found, _ = vault.look_up("Twice")
    assert "A\\x9b2J" in found["Twice"]
    assert found["Twice"].isprintable()


def test_former_versions(vault):
    entry = vault.add("Rotated", "former-password", "former-user")
    entry.save_history()
    entry.password, entry.username = "new", "new-user"
    vault.add("By user", "{REF:P@U:former-user}")
    vault.add("By title", "{REF:P@T:Rotated}")
    found, _ = vault.look_up("Rotated", "By user", "By title")
    assert found["Rotated"]["pass"] == found["By title"]["pass"] == "new"
    assert found["By user"] == NOT_FOUND


def test_names_are_no_xpath(vault):
    """An attribute's name does not choose another field."""
    entry = vault.add("Own", "s3cret-canary")
    own = copy.deepcopy(entry._element.find("String"))
    own.find("Key").text, own.find("Value").text = 'a" or "b"="b', "own"
    entry._element.append(own)
    found, _ = vault.look_up("Own")
    assert found["Own"] == "an attribute has a name that can't be read"


def test_field_that_is_there_twice(vault):
    entry = vault.add("Own", "first")
    twin = vault.add("Twin", "second")
    entry._element.append(twin._element.findall("String")[2])
    found, _ = vault.look_up("Own")
    assert found["Own"] == "a field is there twice"


def test_protection_travels(vault):
    """From attributes, and through references into other fields."""
    vault.add("Pin", "s3cret", own_="774411", plain="x")
    vault.add("Notes", notes="the password is {REF:P@T:Pin}", url="https://{PASSWORD}@h/",
              seed="{S:inner}", inner_="774411", host="{S:inner}")  # fmt: skip
    standard = vault.add("Standard", user="u", url="https://h/", notes="n")
    for string in standard._element.findall("String"):
        string.find("Value").set("Protected", "True")
    found, _ = vault.look_up("Pin", "Notes", "Standard")
    assert found["Pin"]["protected"] == ["metadata.own"]
    assert found["Notes"]["protected"] == [
        "description", "host", "metadata.inner", "metadata.seed", "url",
    ]  # fmt: skip
    assert found["Standard"]["protected"] == ["description", "host", "url", "user"]


def test_protection_of_the_whole_database(vault):
    vault.add("Notes", notes="n", url="h")
    protection = vault.database._xpath("/KeePassFile/Meta/MemoryProtection", first=True)
    protection.find("ProtectNotes").text = "True"
    found, _ = vault.look_up("Notes")
    assert found["Notes"]["protected"] == ["description"]


def expire(entry, text, expires="True"):
    entry._element.find("Times/Expires").text = expires
    entry._element.find("Times/ExpiryTime").text = text


def in_kdbx4(time):
    seconds = int((time - datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)).total_seconds())
    return base64.b64encode(seconds.to_bytes(8, "little")).decode()


def test_expired(vault):
    """Delivered with a warning, or refused; an hour of another time zone is no other hour."""
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    east = datetime.timezone(datetime.timedelta(hours=12))
    zulu = (now - hour).replace(tzinfo=None).isoformat(timespec="seconds")
    times = {
        "Past": (in_kdbx4(now - hour), True),
        "Future": (in_kdbx4(now + hour), False),
        "Past Z": (f"{zulu}Z", True),
        "Past naive": (zulu, True),
        "Past east": ((now - hour).astimezone(east).isoformat(), True),
        "Future east": ((now + hour).astimezone(east).isoformat(), False),
        "Year 1": (in_kdbx4(datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)), True),
    }
    for name, (text, _) in times.items():
        expire(vault.add(name), text)
    expire(vault.add("Never"), in_kdbx4(now - hour), "False")
    vault.add("Refers", "{REF:P@T:Past naive}")
    no_times = ("", "soon", "AAAA", "/////////w8=", "0001-01-01T00:00:00+14:00")
    for number, text in enumerate(no_times):
        expire(vault.add(f"Unreadable {number}"), text)
    unreadable = [f"Unreadable {number}" for number in range(5)]
    names = [*times, "Never", "Refers", *unreadable]
    past = {name for name, (_, is_past) in times.items() if is_past} | {"Refers"}

    found, said = vault.look_up(*names)
    assert {found[name] for name in unreadable} == {"it expires, and the time can't be read"}
    assert all(found[name]["pass"] for name in {*names} - {*unreadable})
    assert {name for name in names if f"{name}: it has expired in the vault, at " in said} == past
    assert found["Past"]["expires_at"] == f"{zulu}Z"
    assert found["Refers"]["expires_at"] == f"{zulu}Z"
    assert found["Never"]["expires_at"] is None

    found, said = vault.look_up(*names, expired="refuse")
    refused = {name for name, one in found.items() if isinstance(one, str)} - {*unreadable}
    assert refused == past
    assert found["Past"] == f"it has expired in the vault, at {zulu}Z"
    assert "expired" not in said
