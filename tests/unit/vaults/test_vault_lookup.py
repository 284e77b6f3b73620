"""What all vault lookups have in common, with a vault that answers from nowhere."""

from pathlib import Path

import pytest

from tests.lookup_calls import call_lookup

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = '''
DOCUMENTATION = """
name: nowhere
short_description: A vault
description: A vault.
options:
  _terms:
    description: Names.
    required: true
  token:
    description: Another secret.
    vars: [{name: nowhere_token}]
  token_file:
    description: Its file.
    type: path
extends_documentation_fragment: [caspian.airflow.vault]
"""

from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookup import VaultLookup


class LookupModule(VaultLookup):
    def place(self):
        return "https://nowhere"

    def fetch(self, names):
        return {
            name: LookupError(f"{name} has gone")
            if name.startswith("gone")
            else {"name": name, "pass": self.secret("password"), "token": self.secret("token"),
                  "asked": names}
            for name in names
        }
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lookup")
    (folder / "nowhere.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def look_up(folder):
    def look_up(*calls, env=None):
        """Run calls (terms, options, variables) in one process."""
        env = {"ANSIBLE_LOOKUP_PLUGINS": str(folder), **(env or {})}
        answers, logged = call_lookup("nowhere", *calls, env=env)
        assert "s3cret" not in logged
        return answers

    return look_up


@pytest.fixture
def secret_file(folder):
    def secret_file(content, mode=0o600):
        path = folder / f"secret{len(list(folder.iterdir()))}"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    return secret_file


def test_names(look_up):
    """Each name is asked for once, and every term has its record."""
    repeated, nested, none, missing = look_up(
        [["B", "A", "B"]],
        [["A", ["B", ["C"]]]],
        [[]],
        [["B", "gone2", "A", "gone1", "gone2"], {"missing": "report"}],
    )
    assert [record["name"] for record in repeated["result"]] == ["B", "A", "B"]
    assert repeated["result"][0]["asked"] == ["B", "A"]
    assert [record["name"] for record in nested["result"]] == ["A", "B", "C"]
    assert none == {"result": []}
    assert [record.get("error") for record in missing["result"]] == [
        None,
        "gone2 has gone",
        None,
        "gone1 has gone",
        "gone2 has gone",
    ]
    assert missing["result"][1] == {"name": "gone2", "error": "gone2 has gone"}


def test_names_that_fail(look_up):
    missing, number, unknown = look_up(
        [["B", "gone2", "A", "gone1", "gone2"]], [["A", 5]], [["A"], {"missing": "ignore"}]
    )
    assert missing["error"] == "https://nowhere: gone2: gone2 has gone; gone1: gone1 has gone"
    assert number["error"] == (
        "A name to look up is not a text but int; a name that looks like a number needs quotes."
    )
    assert "ignore" in unknown["error"]


def test_secrets(look_up, secret_file):
    answers = look_up(
        [["A"]],
        [["A"], {"password": "s3cret", "token": "other"}],
        [["A"], {"password_file": secret_file(b" s3cret \n\n"), "token": ""}],
        [["A"], {"password_file": secret_file(b"s3cret\r\n", 0o640), "password": ""}],
        [["A"], {"password": 12345}],
        [["A"], {}, {"caspian_vault_password": "{{ a }}{{ b }}", "a": "s3", "b": "cret"}],
        [["A"], {}, {"nowhere_token": "s3cret"}],
    )
    assert [(record["pass"], record["token"]) for (record,) in map(result, answers)] == [
        (None, None),
        ("s3cret", "other"),
        (" s3cret \n", None),
        ("s3cret", None),
        ("12345", None),
        ("s3cret", None),
        (None, "s3cret"),
    ]


def test_secrets_of_the_environment(look_up, secret_file):
    (answer,) = look_up([["A"]], env={"CASPIAN_VAULT_PASSWORD": "s3cret"})
    assert result(answer)[0]["pass"] == "s3cret"
    (answer,) = look_up([["A"]], env={"CASPIAN_VAULT_PASSWORD_FILE": secret_file(b"s3cret")})
    assert result(answer)[0]["pass"] == "s3cret"
    # As Python has the byte FF of an environment.
    (answer,) = look_up([["A"]], env={"CASPIAN_VAULT_PASSWORD": "s3cret\udcff"})
    assert answer == {"error": "The password is not UTF-8 text."}


def test_secrets_that_are_refused(folder, look_up, secret_file):
    empty, loose = secret_file(b"\n"), secret_file(b"s3cret", 0o604)
    binary, fine = secret_file(b"s3cret\xff"), secret_file(b"s3cret")
    table = [
        ({"password_file": empty}, f"{empty}: the password file is empty."),
        ({"password_file": loose}, f"{loose}: others may use the password file: chmod 600 it."),
        ({"password_file": binary}, f"{binary}: the password file is not UTF-8 text."),
        (
            {"password_file": f"{folder}/none"},
            f"{folder}/none: the password file: No such file or directory.",
        ),
        ({"password_file": str(folder)}, f"{folder}: the password file: Is a directory."),
        (
            {"password_file": fine, "password": "s3cret"},
            "Both a password and a password file are given: keep one.",
        ),
        (
            {"token_file": fine, "token": "s3cret"},
            "Both a token and a token file are given: keep one.",
        ),
        ({"password": ["s3cret"]}, "The password is not a text."),
        ({"token": {"a": "s3cret"}}, "The token is not a text."),
    ]
    answers = look_up(
        *([["A"], options] for options, _ in table),
        [["A"], {}, {"caspian_vault_password": "{{ ['s3cret'] }}"}],
        [["A"], {}, {"nowhere_token": "{{ ['s3cret'] }}"}],
    )
    assert [answer.get("error") for answer in answers] == [
        *(message for _, message in table),
        "The password is not a text.",
        "The token is not a text.",
    ]


def result(answer):
    return answer["result"]
