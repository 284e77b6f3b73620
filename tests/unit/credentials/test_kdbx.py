"""Records of KeePass databases."""

import json
import os
import subprocess
import sys

import pytest
from credential_testing import HERE, environment
from pykeepass import PyKeePass, create_database

PASSWORD = "máster {{ password }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vaults")


@pytest.fixture(scope="module")
def make_vault(folder):
    """Make empty databases whose key derivation takes no time."""
    blank = folder / "blank.kdbx"
    database = create_database(blank, password="blank")
    parameters = database.kdbx.header.value.dynamic_header.kdf_parameters.data.dict
    parameters.I.value = 1
    parameters.M.value = 8 * 1024
    parameters.P.value = 1
    database.save()

    def make_vault(path, password=PASSWORD, keyfile=None):
        database = PyKeePass(blank, password="blank")
        database.filename, database.password, database.keyfile = path, password, keyfile
        return database

    return make_vault


@pytest.fixture(scope="module")
def vault(folder, make_vault):
    path = folder / "vault.kdbx"
    database = make_vault(path)
    root = database.root_group
    database.add_entry(
        root,
        "EBI-ETL-DEV-01",
        "etl",
        "s3cret {{ x }}",
        url="postgresql://db1:5432/ebi",
        notes="a note\nb",
    )
    entry = database.add_entry(root, "Own", " u ", " p\n", url="https://web.example.org/x")
    entry.set_custom_property("host", "db2:1433")
    entry.set_custom_property("account", "00123", protect=True)
    entry.set_custom_property("flag", "true")
    entry = database.add_entry(root, "Port", "u", "p", url="https://db1:1/")
    entry.set_custom_property("port", "99")
    database.add_entry(root, "Empty", "", "")
    database.add_entry(root, "Slash/ed", "u", "slashed", url="h")

    group = database.add_group(root, "Production")
    sub = database.add_group(group, "ETL")
    shared = database.add_entry(sub, "Twice", "u", "deep", url="h")
    database.add_entry(group, "Twice", "u", "shallow", url="h")
    database.add_entry(root, "Root", "u", "root", url="h")
    database.add_entry(sub, "Root", "u", "not root", url="h")

    database.add_entry(root, "Reference", shared.ref("username"), shared.ref("password"), url="h")
    database.add_entry(root, "Dangling", "u", "{REF:P@I:%s}" % ("0" * 32), url="h")
    database.add_entry(root, "Circle", "u", "{REF:P@T:Circle}", url="h")

    old = database.add_entry(root, "Rotated", "u", "old-s3cret", url="h")
    old.save_history()
    old.password = "new"
    database.trash_entry(database.add_entry(root, "Thrown away", "u", "p", url="h"))
    database.trash_group(database.add_group(root, "Thrown"))
    database.save()
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
        given = [
            (terms, variables, {"path": str(vault), "password_file": str(password_file), **options})
            for terms, options, variables in ((*call, {}, {})[:3] for call in calls)
        ]
        done = subprocess.run(
            [sys.executable, HERE / "run_lookup.py", "caspian.airflow.kdbx"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            env=environment() | (env or {}),
        )
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stderr
        assert PASSWORD not in done.stderr + done.stdout
        return json.loads(done.stdout)

    return look_up


def records(answer):
    return {record["name"]: record for record in answer["result"]}


def test_records(look_up):
    names = ["EBI-ETL-DEV-01", "Own", "Port", "Empty", "Rotated", "Reference", "Slash/ed"]
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
    }
    assert found["Own"] == {
        "name": "Own",
        "user": " u ",
        "pass": " p\n",
        "host": "db2",
        "url": "https://web.example.org/x",
        "description": "",
        "metadata": {"port": 1433, "account": "00123", "flag": "true"},
    }
    assert found["Port"]["metadata"] == {"port": 99}
    assert {found["Empty"][key] for key in ("user", "pass", "host", "url", "description")} == {""}
    assert found["Rotated"]["pass"] == "new"
    assert (found["Reference"]["user"], found["Reference"]["pass"]) == ("u", "deep")
    assert found["Slash/ed"]["pass"] == "slashed"


def test_paths(look_up):
    whole, below = look_up(
        [["Production/Twice", "Production/ETL/Twice", "/Production/ETL/Twice", "/Root"]],
        [["ETL/Twice", "Root"], {"group": "Production"}],
    )
    assert [record["pass"] for record in whole["result"]] == ["shallow", "deep", "deep", "root"]
    assert [record["pass"] for record in below["result"]] == ["deep", "not root"]


AMBIGUOUS = (
    "2 entries have this name, give the path of one: /Production/ETL/Twice, /Production/Twice"
)
UNDELIVERABLE = [
    ("Nowhere", "no entry has this title or path"),
    ("ebi-etl-dev-01", "no entry has this title or path"),
    ("Thrown away", "no entry has this title or path"),
    ("Twice", AMBIGUOUS),
    ("Dangling", "a field refers to an entry that can't be found"),
    ("Circle", "a field refers to an entry that can't be found"),
]


def test_missing_fail(vault, look_up):
    answers = look_up(*([["Own", name]] for name, _ in UNDELIVERABLE))
    assert [answer["error"] for answer in answers] == [
        f"{vault}: {name}: {reason}" for name, reason in UNDELIVERABLE
    ]


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
    key = folder / "vault.key"
    key.write_bytes(os.urandom(64))
    both, alone = folder / "both.kdbx", folder / "alone.kdbx"
    for path, password in ((both, PASSWORD), (alone, None)):
        database = make_vault(path, password, str(key))
        database.add_entry(database.root_group, "X", "u", "p", url="h")
        database.save()
    first, second, wrong = look_up(
        [["X"], {"path": str(both), "key_file": str(key)}],
        [["X"], {"path": str(alone), "key_file": str(key), "password_file": None}],
        [["X"], {"path": str(both)}],
    )
    assert first["result"][0]["pass"] == "p"
    assert second["result"][0]["pass"] == "p"
    assert wrong["error"] == f"{both}: the password or the key file is wrong."


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
        ({"path": str(garbage)}, f"{garbage}: not a KeePass database, or a damaged one"),
        ({"path": str(damaged)}, f"{damaged}: not a KeePass database, or a damaged one"),
        ({"password_file": str(wrong)}, f"{vault}: the password or the key file is wrong."),
        (
            {"password_file": str(loose)},
            f"{loose}: others may use the password file: chmod 600 it.",
        ),
        ({"password_file": str(binary)}, f"{binary}: the password file is not UTF-8 text."),
        ({"password_file": "/none"}, "/none: the password file: No such file or directory."),
        ({"password_file": None}, f"{vault}: neither a password nor a key file is given"),
        ({"password": "s3cret"}, "Both a password and a password file are given: keep one."),
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
