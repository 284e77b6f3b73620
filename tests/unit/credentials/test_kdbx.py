"""Records of KeePass databases, which KeePassXC has written."""

import base64
import json
import os
import shutil
import subprocess
import uuid
from xml.sax.saxutils import escape

import pytest
from credential_testing import environment
from pykeepass import PyKeePass, create_database

from tests.lookup_calls import call_lookup

PASSWORD = "máster {{ password }}"
SHARED = uuid.UUID(int=7)


def keepassxc(command, *arguments, answers=(PASSWORD,)):
    """Run a command of keepassxc-cli, which asks for passwords."""
    program = shutil.which("keepassxc-cli")
    if program is None:
        pytest.fail("keepassxc-cli is missing: apt-get install keepassxc, as scripts/test does.")
    done = subprocess.run(
        [program, command, "--quiet", *map(str, arguments)],
        input="".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr


def entry(title, user="", password="", *, url="", notes="", number=None, **attributes):
    """Return an entry as KeePass's XML has it; a protected attribute's name ends with an `_`."""
    fields = {"UserName": user, "Password": password, "URL": url, "Notes": notes, **attributes}
    if title is not None:
        fields["Title"] = title
    strings = "".join(
        f"<String><Key>{key.rstrip('_')}</Key>"
        f'<Value ProtectInMemory="{key.endswith("_")}">{escape(value)}</Value></String>'
        for key, value in fields.items()
    )
    return f"<Entry>{_uuid(number)}{strings}</Entry>"


def group(name, *content):
    return f"<Group>{_uuid()}<Name>{escape(name)}</Name>{''.join(content)}</Group>"


def _uuid(number=None):
    number = number or uuid.uuid4()
    return f"<UUID>{base64.b64encode(number.bytes).decode()}</UUID>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vaults")


@pytest.fixture(scope="module")
def make_vault(folder):
    """Make databases whose key derivation takes no time.

    keepassxc-cli can't ask for less than a million rounds, which take pykeepass seconds. So the
    content gets into a blank database with a cheap one, which keepassxc-cli writes anew.
    """

    blank = folder / "blank.kdbx"
    database = create_database(blank, password="blank")
    parameters = database.kdbx.header.value.dynamic_header.kdf_parameters.data.dict
    parameters.I.value = 1
    parameters.M.value = 8 * 1024
    parameters.P.value = 1
    database.save()

    def make_vault(path, *content, password=PASSWORD, key=None):
        xml, full = folder / "content.xml", folder / "content.kdbx"
        xml.write_text(f"<KeePassFile><Root>{group('Root', *content)}</Root></KeePassFile>")
        full.unlink(missing_ok=True)
        keepassxc("import", "-p", xml, full, answers=["x", "x"])
        database = PyKeePass(blank, password="blank")
        database.filename, database.password, database.keyfile = path, password, key
        database.save()
        options = [] if key is None else ["-k", key]
        options += ["--no-password"] if password is None else []
        answers = [*([] if password is None else [password]), "x"]
        keepassxc("merge", *options, path, full, answers=answers)
        return path

    return make_vault


@pytest.fixture(scope="module")
def vault(folder, make_vault):
    path = make_vault(
        folder / "vault.kdbx",
        entry(
            "EBI-ETL-DEV-01",
            "etl",
            "s3cret {{ x }}",
            url="postgresql://db1:5432/ebi",
            notes="a note\nb",
        ),
        entry("Own", " u ", " p\n", url="https://web.example.org/x", host="db2:1433",
              account_="00123", flag="true"),
        entry("Port", "u", "p", url="https://db1:1/", port="99"),
        entry("Empty"),
        entry(None, "u", "untitled", url="h"),
        entry("Slash/ed", "u", "slashed", url="h"),
        entry("Root", "u", "root", url="h"),
        entry("Reference", f"{{REF:U@I:{SHARED.hex}}}", f"{{REF:P@I:{SHARED.hex}}}", url="h"),
        entry("Dangling", "u", f"{{REF:P@I:{'0' * 32}}}", url="h"),
        entry("Circle", "u", "{REF:P@T:Circle}", url="h"),
        entry("Growing circle", "u", "{REF:P@T:Growing circle}" * 2, url="h"),
        entry("Two steps", "u", "<{REF:P@T:Reference}|{REF:U@U:etl}>", url="h"),
        entry("Quoted reference", "u", """{REF:P@T:'a"b'}""", url="h"),
        entry("Quoted attribute", "u", "p", url="h", **{"""'a"b'""": "x"}),
        entry("Rotated", "u", "old-s3cret", url="h"),
        entry("Thrown away", "u", "p", url="h"),
        group(
            "Production",
            entry("Twice", "u", "shallow", url="h"),
            entry("Same", "one", "first", url="h"),
            entry("Same", "two", "second", url="h"),
            group(
                "ETL",
                entry("Twice", "u", "deep", url="h", number=SHARED),
                entry("Root", "u", "not root", url="h"),
            ),
        ),
        group("Thrown", entry("Thrown along", "u", "p", url="h")),
    )  # fmt: skip
    keepassxc("edit", "-p", path, "Rotated", answers=[PASSWORD, "new"])
    keepassxc("rm", path, "Thrown away")
    keepassxc("rmdir", path, "Thrown")
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
            "caspian.airflow.kdbx", *calls, env=env,
            path=str(vault), password_file=str(password_file),
        )  # fmt: skip
        assert "s3cret" not in logged
        assert PASSWORD not in logged + json.dumps(answers, ensure_ascii=False)
        return answers

    return look_up


def records(answer):
    return {record["name"]: record for record in answer["result"]}


def test_records(look_up):
    names = [
        "EBI-ETL-DEV-01",
        "Own",
        "Port",
        "Empty",
        "Rotated",
        "Reference",
        "Two steps",
        "Slash/ed",
    ]
    (answer,) = look_up([names])
    assert [record["name"] for record in answer["result"]] == names
    found = records(answer)
    assert found["EBI-ETL-DEV-01"] == {
        "name": "EBI-ETL-DEV-01",
        "user": "etl",
        "pass": "s3cret {{ x }}",
        "host": "db1",
        "url": "postgresql://db1:5432/ebi",
        "description": "a note\nb",
        "metadata": {"port": 5432},
        "protected": [],
        "expires_at": None,
    }
    assert found["Own"] == {
        "name": "Own",
        "user": " u ",
        "pass": " p\n",
        "host": "db2",
        "url": "https://web.example.org/x",
        "description": "",
        "metadata": {"port": 1433, "account": "00123", "flag": "true"},
        "protected": ["metadata.account"],
        "expires_at": None,
    }
    assert found["Port"]["metadata"] == {"port": 99}
    assert {found["Empty"][key] for key in ("user", "pass", "host", "url", "description")} == {""}
    assert found["Rotated"]["pass"] == "new"
    assert (found["Reference"]["user"], found["Reference"]["pass"]) == ("u", "deep")
    assert found["Two steps"]["pass"] == "<deep|etl>"
    assert found["Slash/ed"]["pass"] == "slashed"


def test_paths(look_up):
    whole, below = look_up(
        [["Production/Twice", "Production/ETL/Twice", "/Production/ETL/Twice", "/Root"]],
        [["ETL/Twice", "Root", "Same [two]"], {"group": "Production"}],
    )
    assert [record["pass"] for record in whole["result"]] == ["shallow", "deep", "deep", "root"]
    assert [record["pass"] for record in below["result"]] == ["deep", "not root", "second"]


AMBIGUOUS = (
    "2 entries have this name, give the path of one: /Production/ETL/Twice, /Production/Twice"
)
UNDELIVERABLE = [
    ("Nowhere", "no entry has this title or path"),
    ("ebi-etl-dev-01", "no entry has this title or path"),
    ("Thrown away", "no entry has this title or path"),
    ("Thrown along", "no entry has this title or path"),
    ("Twice", AMBIGUOUS),
    (
        "Production/Same",
        "2 entries have this name, give the path of one:"
        " /Production/Same [one], /Production/Same [two]",
    ),
    ("Dangling", "a field refers to an entry that can't be found"),
    ("Circle", "a field refers to an entry that can't be found"),
    ("Growing circle", "a field refers to an entry that can't be found"),
    ("Quoted reference", "a field refers to an entry that can't be found"),
    ("Quoted attribute", "an attribute has a name that can't be read"),
]


def test_missing_fail(vault, look_up):
    names = ["Own", *(name for name, _ in UNDELIVERABLE)]
    whole, one = look_up([names], [["Own", "Twice"]])
    reasons = "; ".join(f"{name}: {reason}" for name, reason in UNDELIVERABLE)
    assert whole["error"] == f"{vault}: {reasons}"
    assert one["error"] == f"{vault}: Twice: {AMBIGUOUS}"


def test_missing_report(look_up):
    names = ["Own", *(name for name, _ in UNDELIVERABLE)]
    (answer,) = look_up([names, {"missing": "report"}])
    assert [record["name"] for record in answer["result"]] == names
    assert answer["result"][1:] == [
        {"name": name, "error": reason} for name, reason in UNDELIVERABLE
    ]


def test_options_from_variables_environment_and_arguments(vault, password_file, look_up):
    none = {"path": None, "password_file": None}
    variables = {
        "folder": str(vault.parent),
        "caspian_kdbx_path": "{{ folder }}/vault.kdbx",
        "caspian_vault_password_file": "{{ folder }}/password",
        "caspian_kdbx_group": "Production",
    }
    (answer,) = look_up([["ETL/Twice"], none, variables])
    assert answer["result"][0]["pass"] == "deep"
    env = {"CASPIAN_KDBX_PATH": str(vault), "CASPIAN_VAULT_PASSWORD": PASSWORD}
    (answer,) = look_up([["Own"], none], env=env)
    assert answer["result"][0]["user"] == " u "
    env = {"CASPIAN_VAULT_PASSWORD_FILE": str(password_file)}
    (answer,) = look_up([["Own"], {"password_file": None}], env=env)
    assert answer["result"][0]["user"] == " u "


def test_key_file(folder, make_vault, look_up):
    key, random = folder / "vault.keyx", folder / "random.key"
    # KeePassXC writes the key file too, in the XML of today.
    keepassxc("db-create", "--set-key-file", key, folder / "unused.kdbx", answers=[])
    assert b"<Version>2.0</Version>" in key.read_bytes()
    random.write_bytes(os.urandom(64))
    content = entry("X", "u", "p", url="h")
    both = make_vault(folder / "both.kdbx", content, key=key)
    alone = make_vault(folder / "alone.kdbx", content, key=random, password=None)
    first, second, *wrong = look_up(
        [["X"], {"path": str(both), "key_file": str(key)}],
        [["X"], {"path": str(alone), "key_file": str(random), "password_file": None}],
        [["X"], {"path": str(both)}],
        [["X"], {"path": str(both), "key_file": str(random)}],
    )
    assert first["result"][0]["pass"] == "p"
    assert second["result"][0]["pass"] == "p"
    assert [f"{both}: the password is wrong, or" in one["error"] for one in wrong] == [True, False]
    assert f"{both}: the password or the key file is wrong, or it takes" in wrong[1]["error"]


def test_database_of_keepassxc_alone(folder, look_up):
    """The key derivation that keepassxc-cli has by itself, and entries that it adds."""
    path = folder / "own.kdbx"
    keepassxc("db-create", "-p", path, answers=[PASSWORD, PASSWORD])
    keepassxc("mkdir", path, "Production")
    entry = ["-u", "etl", "--url", "https://db1:5432/", "--notes", "a note", "-p"]
    keepassxc("add", *entry, path, "Production/X", answers=[PASSWORD, "s3cret"])
    (answer,) = look_up([["Production/X"], {"path": str(path)}])
    assert answer["result"] == [
        {
            "name": "Production/X",
            "user": "etl",
            "pass": "s3cret",
            "host": "db1",
            "url": "https://db1:5432/",
            "description": "a note",
            "metadata": {"port": 5432},
            "protected": [],
            "expires_at": None,
        }
    ]


def test_messages(folder, vault, look_up):
    loose = folder / "loose"
    loose.write_text(PASSWORD)
    loose.chmod(0o604)
    wrong = folder / "wrong"
    wrong.write_text("s3cret-wrong")
    wrong.chmod(0o600)
    binary = folder / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    blank = folder / "blank"
    blank.write_text("\n")
    blank.chmod(0o600)
    garbage = folder / "garbage.kdbx"
    garbage.write_text("s3cret garbage" * 100)
    damaged = folder / "damaged.kdbx"
    damaged.write_bytes(vault.read_bytes()[:-200])
    table = [
        (
            {"path": f"{folder}/none.kdbx"},
            f"{folder}/none.kdbx: there is no such file on the controller.",
        ),
        ({"path": str(folder)}, f"{folder}: there is no such file on the controller."),
        ({"path": str(garbage)}, f"{garbage}: not a KeePass database, but a text, and no vault."),
        ({"path": str(damaged)}, f"{damaged}: the file is cut off or damaged."),
        ({"password_file": str(wrong)}, f"{vault}: the password is wrong, or it takes something"),
        (
            {"password_file": str(loose)},
            f"{loose}: others may use the password file: chmod 600 it.",
        ),
        ({"password_file": str(binary)}, f"{binary}: the password file is not UTF-8 text."),
        ({"password_file": "/none"}, "/none: the password file: No such file or directory."),
        ({"password_file": None}, f"{vault}: neither a password nor a key file is given"),
        ({"password_file": str(blank)}, f"{blank}: the password file is empty."),
        ({"password": "s3cret"}, "Both a password and a password file are given: keep one."),
        ({"password": ["s3cret"]}, "The password is not a text."),
        ({"key_file": "/none"}, "/none: there is no such file on the controller."),
        ({"group": "Producton"}, f"{vault}: there is no group 'Producton'."),
        ({"missing": "ignore"}, "ignore"),
    ]
    answers = look_up(*([["Own"], options] for options, _ in table))
    for answer, (options, message) in zip(answers, table, strict=True):
        assert message in answer.get("error", ""), options
        assert "s3cret" not in answer["error"]


def test_opened_once(vault, tmp_path, look_up):
    """Many names, one opening of the file."""
    log = tmp_path / "opened"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def audit(event, arguments):\n"
        f"    if event == 'open' and str(arguments[0]) == {str(vault)!r}:\n"
        f"        log.write('opened\\n'); log.flush()\n"
        f"log = open({str(log)!r}, 'a')\n"
        "sys.addaudithook(audit)\n"
    )
    env = environment()
    path = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    look_up([["Own", "Port", "EBI-ETL-DEV-01"]], env={"PYTHONPATH": path})
    assert log.read_text() == "opened\n"
