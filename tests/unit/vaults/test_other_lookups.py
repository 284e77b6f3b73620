"""Lookups of other collections as vaults: what a mapping makes of their results."""

import base64
import json
import os
import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter.vaults import FilterModule, vault_records

from tests.forks import run_ansible

ROOT = Path(__file__).resolve().parents[3]
MAPPING = {"user": "user", "pass": "pass", "host": "host"}
PLAIN = {"name": "X", "url": "", "description": "", "metadata": {}}
PLAIN |= {"protected": None, "expires_at": None}


def one(result, mapping):
    (record,) = vault_records([result], ["X"], mapping)
    return record


KV2 = {
    "secret": {"username": "etl", "password": "s3cret", "host": "db1:5432", "env": "prod"},
    "data": {"data": {"username": "etl"}, "metadata": {"version": 3}},
    "metadata": {"version": 3, "custom_metadata": {"team": "data"}},
}


@pytest.mark.parametrize(
    ("result", "mapping", "expected"),
    [
        pytest.param(
            {"user": "etl", "pass": "s3cret {{ x }}", "host": "db1"},
            MAPPING,
            {"user": "etl", "pass": "s3cret {{ x }}", "host": "db1"},
            id="the same names",
        ),
        pytest.param(
            KV2,
            {
                "user": "secret.username",
                "pass": "secret.password",
                "host": "secret.host",
                "metadata": "secret",
            },
            {
                "user": "etl",
                "pass": "s3cret",
                "host": "db1",
                "metadata": {"env": "prod", "port": 5432},
            },
            id="hashi_vault, the password is no metadata",
        ),
        pytest.param(
            KV2,
            {
                "user": "secret.username",
                "pass": "secret.password",
                "host": "secret.host",
                "metadata": {
                    "env": "secret.env",
                    "team": "metadata.custom_metadata.team",
                    "owner": "secret.owner",
                },
            },
            {
                "user": "etl",
                "pass": "s3cret",
                "host": "db1",
                "metadata": {"env": "prod", "team": "data", "port": 5432},
            },
            id="metadata by key",
        ),
        pytest.param(
            {"a.b": [{"c": "u"}, {"c": "p"}], "url": "https://db1:1/", "text": "d"},
            {
                "user": ["a.b", "0", "c"],
                "pass": ["a.b", "1", "c"],
                "host": "host",
                "url": "url",
                "description": "text",
            },
            {
                "user": "u",
                "pass": "p",
                "host": "db1",
                "url": "https://db1:1/",
                "description": "d",
                "metadata": {"port": 1},
            },
            id="lists, and the host of the URL",
        ),
        pytest.param(
            '{"user": "u", "pass": "s3\\tcret\\/", "host": "h"}',
            MAPPING,
            {"user": "u", "pass": "s3\tcret/", "host": "h"},
            id="JSON",
        ),
        pytest.param(
            "user: no\npass: 0123\nhost: h\nport: 1433\nssl: true\nversion: 1.10\n",
            {**MAPPING, "metadata": {"port": "port", "ssl": "ssl", "version": "version"}},
            {
                "user": "no",
                "pass": "0123",
                "host": "h",
                "metadata": {"port": 1433, "ssl": True, "version": "1.10"},
            },
            id="YAML",
        ),
        pytest.param(
            "user: 17\npass: 12345\nhost: h\n",
            MAPPING,
            {"user": "17", "pass": "12345", "host": "h"},
            id="YAML of digits",
        ),
        pytest.param(
            [{"user": "u", "pass": "p", "host": "h"}],
            MAPPING,
            {"user": "u", "pass": "p", "host": "h"},
            id="asked for this name alone",
        ),
    ],
)
def test_record(result, mapping, expected):
    assert one(result, mapping) == {**PLAIN, **expected}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([], "the lookup returned nothing for this name"),
        (None, "the lookup returned nothing for this name"),
        ([None], "the lookup returned nothing for this name"),
        (["s3cret", "s3cret"], "the lookup returned 2 results for this name"),
        (5, "the lookup's result is neither a mapping nor a text that holds one"),
        ("", "the lookup's result is neither a mapping nor a text that holds one"),
        ("s3cret", "the lookup's result is neither a mapping nor a text that holds one"),
        ("[s3cret]", "the lookup's result is neither a mapping nor a text that holds one"),
        ("s3cret: {", "the lookup's result is neither a mapping nor a text that holds one"),
        ("[" * 2000, "the lookup's result is neither a mapping nor a text that holds one"),
        (
            {},
            "the lookup's result has no data.user (for user), data.pass (for pass), host (for"
            " host), or it is empty",
        ),
        (
            {"data": {"user": "u", "pass": ""}, "host": "h"},
            "the lookup's result has no data.pass (for pass), or it is empty",
        ),
        (
            {"data": {"user": "u", "pass": None}, "host": "h"},
            "the lookup's result has no data.pass (for pass), or it is empty",
        ),
        (
            {"data": "s3cret", "host": "h"},
            "the lookup's result has no data.user (for user), data.pass (for pass), or it is empty",
        ),
        (
            {"data": {"user": "u", "pass": ["s3cret"]}, "host": "h"},
            "data.pass (for pass) is not a text",
        ),
        ({"data": {"user": True, "pass": "s3cret"}}, "data.user (for user) is not a text"),
        (
            {"data": {"user": "u", "pass": "s3cret"}, "host": "h", "extra": "s3cret"},
            "extra (for metadata) is not a mapping",
        ),
    ],
)
def test_result_that_is_not_delivered(result, message):
    mapping = {"user": "data.user", "pass": "data.pass", "host": "host", "metadata": "extra"}
    assert one(result, mapping) == {"name": "X", "error": message}


def test_others_are_delivered():
    good = {"user": "u", "pass": "p", "host": "h"}
    records = vault_records([good, None, [good]], ["A", "B", "C"], MAPPING)
    assert [record.get("pass") or record["error"] for record in records] == [
        "p",
        "the lookup returned nothing for this name",
        "p",
    ]
    assert [record["name"] for record in records] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("results", "names", "mapping", "message"),
    [
        ("s3cret", ["X"], MAPPING, "the results are not a list"),
        ([], "X", MAPPING, "the names are not a list"),
        (
            ["s3cret", "s3cret"],
            ["X"],
            MAPPING,
            "2 results for 1 names; the lookup has to return one for each name, in their order",
        ),
        ([], [], "s3cret", "the mapping is not a mapping of fields to paths"),
        ([], [], {}, "the mapping needs user, pass, and host or url"),
        ([], [], {"user": "u", "pass": "p"}, "the mapping needs user, pass, and host or url"),
        (
            [],
            [],
            {**MAPPING, "password": "x", "port": "y"},
            "the mapping has unknown fields: password, port"
            " (known: user, pass, host, url, description, metadata, protected)",
        ),
        *(
            (
                [],
                [],
                {**MAPPING, **wrong},
                f"the path of {field} is not a text like data.password or a list of keys",
            )
            for wrong, field in [
                ({"user": ""}, "user"),
                ({"user": "a..b"}, "user"),
                ({"user": []}, "user"),
                ({"user": [1]}, "user"),
                ({"user": {"a": "b"}}, "user"),
                ({"user": None}, "user"),
                ({"metadata": {"env": ""}}, "metadata.env"),
            ]
        ),
    ],
)
def test_wrong_use(results, names, mapping, message):
    with pytest.raises(AnsibleFilterError) as raised:
        vault_records(results, names, mapping)
    assert str(raised.value) == f"vault_records: {message}"


def test_names():
    assert FilterModule().filters() == {"vault_records": vault_records}


VARIABLES = {
    "etl": {"login": {"user": "etl", "secret": "s3cret {{ x }}"}, "address": "db1:5432"},
    "half": {"login": {"user": "etl"}, "address": "db1"},
}


class Plays:
    """Playbooks that ask a lookup of ansible-core."""

    def __init__(self, place):
        self.place = place
        (place / "vault-password").write_text("of the file\n")
        self.file("ebi.yml", "user: ebi\npass: 0123\nhost: db2\nteam: north\n", encrypted=True)
        self.file("plain.json", '{"user": "plain", "pass": "p", "host": "h"}')

    def file(self, name, text, *, encrypted=False):
        (self.place / name).write_text(text)
        if encrypted:
            self._run("ansible-vault", "encrypt", self.place / name)
            assert text.split()[1] not in (self.place / name).read_text()

    def run(self, tasks, variables):
        """Return what the tasks `show`."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            # A text of a playbook is a template, and a vault's is not.
            "vars": json.loads(json.dumps(variables).replace("{{ x }}", "{{ '{{ x }}' }}")),
            "tasks": tasks,
        }
        (self.place / "play.json").write_text(json.dumps([play]))
        done = self._run("ansible-playbook", "--inventory", "localhost,", self.place / "play.json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        return [json.loads(base64.b64decode(text)) for text in re.findall("@(.+)@", done.stdout)]

    def _run(self, program, *arguments):
        return run_ansible(
            program,
            *arguments,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.place),
                "PYTHONDONTWRITEBYTECODE": "1",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_VAULT_PASSWORD_FILE": str(self.place / "vault-password"),
            },
        )


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    return Plays(tmp_path_factory.mktemp("plays"))


def show(expression):
    """Return a task that prints the JSON text of an expression in a way that leaves it whole."""
    return {"ansible.builtin.debug": {"msg": f"{{{{ '@' ~ ({expression}) | b64encode ~ '@' }}}}"}}


# What docs/credentials.md shows for any playbook.
QUERY = "query(vault, *names, **options) | caspian.airflow.vault_records(names, mapping)"
LOGIN = {
    "user": "login.user",
    "pass": "login.secret",
    "host": "address",
    "metadata": {"by": "login.user"},
}
TEXTS = {**MAPPING, "metadata": {"team": "team"}}


def test_filter_in_a_playbook(plays):
    """A lookup whose results are mappings, and one whose results are texts."""
    names = [str(plays.place / name) for name in ("ebi.yml", "plain.json")]
    kinds = {
        "mappings": {"vault": "ansible.builtin.vars", "names": ["etl", "half"], "mapping": LOGIN},
        "texts": {"vault": "ansible.builtin.unvault", "names": names, "mapping": TEXTS},
    }
    tasks = [{**show(f"{QUERY} | to_json"), "vars": used} for used in kinds.values()]
    found = dict(zip(kinds, plays.run(tasks, {**VARIABLES, "options": {}}), strict=True))
    assert found == {
        "mappings": [
            {
                **PLAIN,
                "name": "etl",
                "user": "etl",
                "pass": "s3cret {{ x }}",
                "host": "db1",
                "metadata": {"by": "etl", "port": 5432},
            },
            {
                "name": "half",
                "error": "the lookup's result has no login.secret (for pass), or it is empty",
            },
        ],
        "texts": [
            {
                **PLAIN,
                "name": names[0],
                "user": "ebi",
                "pass": "0123",
                "host": "db2",
                "metadata": {"team": "north"},
            },
            {**PLAIN, "name": names[1], "user": "plain", "pass": "p", "host": "h"},
        ],
    }


def fetch(vault, sources, mapping, **options):
    """Return a task that fetches what the role `credentials` would deliver."""
    return {
        "caspian.airflow.credentials_fetch": {
            "sources": [{**source, "hosts": ["all"]} for source in sources],
            "vault": vault,
            "vault_mapping": mapping,
        },
        "vars": {"credentials_vault_options": options},
        "register": "answer",
    }


def test_role(plays):
    """A name that a lookup has nothing of, or fails for, does not take the others with it."""
    mappings = [{"name": name} for name in ("etl", "half", "nowhere")]
    texts = [
        {"name": name, "record": f"{plays.place}/{file}"}
        for name, file in (("EBI", "ebi.yml"), ("GONE", "gone.yml"), ("PLAIN", "plain.json"))
    ]
    tasks = [
        fetch("ansible.builtin.vars", mappings, LOGIN, default={}),
        show("answer.fetched"),
        fetch("ansible.builtin.unvault", texts, TEXTS),
        show("answer.fetched"),
    ]
    of_mappings, of_texts = plays.run(tasks, VARIABLES)
    assert of_mappings["credentials"] == {
        "etl": {
            "user": "etl",
            "pass": "s3cret {{ x }}",
            "host": "db1",
            "url": "",
            "description": "",
            "metadata": {"by": "etl", "port": 5432},
        }
    }
    assert {*of_mappings["problems"]} == {"half", "nowhere"}
    passwords = {name: found["pass"] for name, found in of_texts["credentials"].items()}
    assert passwords == {"EBI": "0123", "PLAIN": "p"}
    assert {*of_texts["problems"]} == {"GONE"}
