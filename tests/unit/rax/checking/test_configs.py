"""Configs: what get_config() refuses, secrets, dataclasses; and names that code has as literals."""

import sys
import types

import pytest

from rax import config
from rax.checking import _files
from rax.errors import RaxError

LIB = """\
from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Target:
    table: str
    schema: str = "public"


@dataclass
class Config:
    source: str
    target: Target
    months: tuple[int, ...] = ()
    day: datetime.date | None = None
    mode: Literal["all", "new"] = "all"
    odd: Unknown = None
    extra: dict[str, "Target"] = field(default_factory=dict)
    KIND: ClassVar[str] = "x"
"""
DAG = """\
from rax.config import get_config

from lib import genes

CONFIG = get_config("genes.daily", genes.Config)
"""
GOOD = "source: EBI-ETL-DEV-01\ntarget:\n  table: flights\n"
BASE = {"lib/genes.py": LIB, "dags/genes.py": DAG, "ruff.toml": "exclude = ['*']"}
RAX = "from rax.config import get_config\nfrom rax.credentials import get_credentials\n\n"


def found(repository, **options):
    findings = _files.check(repository.project(**options)).findings
    return [(one.file, one.line, one.rule) for one in sorted(findings)]


def at(line, rule, file="configs/genes/daily.yaml"):
    return (file, line, rule)


@pytest.mark.parametrize(("content", "expected"), [
    (GOOD, []),
    (GOOD + "months: [1]\nday: '2026-01-31'\nmode: new\nodd: [7]\n", []),
    (GOOD + "extra:\n  a: {table: t}\n", []),
    # What the strict loader refuses.
    ("source: [\n", [at(2, "config")]),
    (GOOD + "months: NO\nday: 22:30\n", [at(4, "config"), at(5, "config")]),
    (GOOD + "source: A\n", [at(4, "config")]),
    ("", [at(0, "config")]),
    ("- a\n", [at(0, "config")]),
    (b"a: \xff\n", [at(1, "config")]),
    ("a: !!python/object/apply:os.system [id]\n", [at(1, "config")]),
    # A bomb of aliases, and one of brackets.
    ("".join(f"k{n}: &k{n} [{','.join([f'*k{n - 1}'] * 9) if n else 1}]\n" for n in range(9)),
     [at(0, "config")]),
    ("a: " + "[" * 100_000 + "\n", [at(1, "config")]),
    (b"a: " + b"x" * 5_000_000, [at(0, "unreadable")]),
    # What a dataclass refuses.
    (GOOD.replace("table:", "tabel:"), [at(3, "config-schema")]),
    (GOOD.replace("  table: flights\n", "  schema: x\n"), [at(2, "config-schema")]),
    ("target: {table: flights}\n", [at(0, "config-schema")]),
    (GOOD + "months: [1, x]\n", [at(4, "config-schema")]),
    (GOOD + "day: '2026-02-30'\n", [at(4, "config-schema")]),
    (GOOD + "mode: old\n", [at(4, "config-schema")]),
    (GOOD + "extra:\n  a: {tabel: t}\n", [at(5, "config-schema")]),
    (GOOD + "KIND: y\n", [at(4, "config-schema")]),
    (GOOD + "a: 1\nb: 2\n", [at(4, "config-schema"), at(5, "config-schema")]),
    # Secrets, and what belongs to a credential.
    (GOOD + "password: hunter2\n", [at(4, "config-secret")]),
    (GOOD + "odd:\n  url: https://etl:hunter2@db.example.org/\n", [at(5, "config-secret")]),
    (GOOD + "odd:\n- dsn: host=db password=hunter2\n", [at(5, "config-secret")]),
    (GOOD + "odd: {host: db.example.org, user: etl, password: x}\n", [at(4, "config-secret")]),
    (GOOD + "odd: {host: db.example.org, user: etl}\n", [at(4, "config-connection")]),
    (GOOD + "odd:\n  a:\n  - {server: db.example.org, login: etl}\n", [at(6, "config-connection")]),
    (GOOD + "odd: &x\n  token: abcdefgh1\nextra: {a: {<<: *x, table: t}}\n",
     [at(5, "config-secret"), at(5, "config-secret")]),
    # What nearly is.
    (GOOD + "odd: {password: EBI-ETL-DEV-01, url: https://example.org/, host: db}\n", []),
    (GOOD + "odd: {host: DB-01, user: '{{ var.value.x }}'}\n", []),
    (GOOD + "odd: [{host: a.example.org}, {user: etl}]\n", []),
])  # fmt: skip
def test_a_config(repository, content, expected):
    assert found(repository.write(BASE | {"configs/genes/daily.yaml": content})) == expected


def test_no_secret_is_shown(repository):
    content = GOOD + "password: hunter2\nodd: {token: hunter2222}\nurl: 'http://a:hunter2@b/'\n"
    repository.write(BASE | {"configs/genes/daily.yaml": content})
    findings = _files.check(repository.project()).findings
    assert len(findings) == 3
    assert "hunter2" not in str(findings)


def test_what_is_said(repository):
    content = GOOD.replace("table:", "tabel:") + "months: x\npassword: y\n"
    repository.write(BASE | {"configs/genes/daily.yaml": content})
    assert [one.problem for one in sorted(_files.check(repository.project()).findings)] == [
        "does not fit Config: target.tabel is unknown: did you mean table?",
        "does not fit Config: months is of type str, where tuple[int, ...] is expected",
        "password looks like a secret, and a config must not have one",
    ]


@pytest.mark.parametrize(("lib", "call", "fits"), [
    # What can be told.
    ("@dataclass\nclass C:\n    a: int\n", "genes.C", False),
    ("import dataclasses\n\n\n@dataclasses.dataclass()\nclass C:\n    a: int\n", "genes.C", False),
    ("@dataclass\nclass C:\n    x: int | None = 1\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: int = 1\n", "genes.C", False),
    ("@dataclass\nclass C:\n    a: int\n", "C", True),
    # What only a run can.
    ("class C:\n    a: int\n", "genes.C", True),
    ("@dataclass\nclass C(dict):\n    a: int\n", "genes.C", True),
    ("@dataclass\nclass C:\n    a: int = field(init=False)\n", "genes.C", True),
    ("@dataclass\nclass C:\n    a: InitVar[int]\n", "genes.C", True),
    ("@dataclass\n@other\nclass C:\n    a: int\n", "genes.C", True),
    ("@dataclass\nclass C:\n    a: int\n\n\nclass C:\n    pass\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: 'C | None'\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: 'not a type'\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: int[1:2]\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: f(1)[2] | 7\n", "genes.C", True),
    ("@dataclass\nclass C:\n    x: complex\n", "genes.C", True),
    ("", "genes.C", True),
    ("@dataclass\nclass C:\n    a: int\n", "genes.C if 1 else 2", True),
    ("@dataclass\nclass C:\n    a: int\n", "nothing.C", True),
    ("@dataclass\nclass C:\n    a: int\n", "7", True),
])  # fmt: skip
def test_a_dataclass_that_can_be_told(repository, lib, call, fits):
    """The config has x alone, so that whatever asks for a does not fit."""
    repository.write({
        "lib/genes.py": f"from dataclasses import InitVar, dataclass, field\n\n\n{lib}",
        "dags/g.py": DAG.replace("genes.Config", call),
        "configs/genes/daily.yaml": "x: null\n",
        "ruff.toml": "exclude = ['*']",
    })  # fmt: skip
    assert (found(repository) == []) is fits


@pytest.mark.parametrize(("text", "expected"), [
    ("get_config('genes.daily')\n", []),
    ("get_config('genes.dayly')\n", [4]),
    ("get_config('genes')\n", [4]),
    ("get_config('genes.other')\n", [4]),
    ("get_config('../x')\n", [4]),
    ("get_config('')\n", [4]),
    ("get_config(name='x')\n", [4]),
    ("def f():\n    get_config('x')\n", [5]),
    ("get_config(\n    'x',\n)\n", [4]),
    # What is put together at run time, and what is another function.
    ("get_config('genes.' + x)\n", []),
    ("get_config(f'genes.{x}')\n", []),
    ("get_config()\n", []),
    ("other.get_config('x')\n", []),
    ("'get_config(1)'\n", []),
])  # fmt: skip
def test_names_of_configs(repository, text, expected):
    repository.write({
        "dags/a.py": RAX + text,
        "tests/test_a.py": RAX + text,
        "lib/genes_test.py": RAX + text,
        "configs/genes/daily.yaml": "a: 1\n",
        "configs/genes/other.yml": "a: 1\n",
        "ruff.toml": "exclude = ['*']",
    })  # fmt: skip
    name = [("configs/genes/other.yml", 0, "config-name")]
    assert found(repository) == name + [("dags/a.py", line, "config-missing") for line in expected]


@pytest.mark.parametrize("text", [
    "import rax.config\nrax.config.get_config('x')\n",
    "from rax import config\nconfig.get_config('x')\n",
    "import rax.config as c\nc.get_config('x')\n",
    "from rax.config import get_config as g\ng('x')\n",
])  # fmt: skip
def test_however_it_is_imported(repository, text):
    repository.write({"dags/a.py": text, "ruff.toml": "exclude = ['*']"})
    assert found(repository) == [("dags/a.py", 2, "config-missing")]


def test_what_is_advised_for_a_missing_config(repository):
    calls = "get_config('genes.dayly')\nget_config('genes.other')\nget_config('x.y')\n"
    repository.write({"dags/a.py": RAX + calls, "configs/genes/daily.yaml": "a: 1\n",
                      "configs/genes/other.yml": "a: 1\n",
                      "ruff.toml": "exclude = ['*']"})  # fmt: skip
    findings = sorted(_files.check(repository.project()).findings)[1:]
    assert [(one.problem, one.advice) for one in findings] == [
        ("there is no config 'genes.dayly'", "did you mean genes.daily?"),
        ("there is no config 'genes.other'",
         "rename configs/genes/other.yml to configs/genes/other.yaml"),
        ("there is no config 'x.y'", "write configs/x/y.yaml"),
    ]  # fmt: skip


LIST = "# names\nGENES-DB-01\nGENES-WEB-01  # the web\n\n"


@pytest.mark.parametrize(("names", "text", "expected"), [
    (LIST, "get_credentials('GENES-DB-01')\n", []),
    (LIST, "get_credentials('GENES-DB-02')\n", [("dags/a.py", 4, "credential")]),
    (LIST, "from rax.workflow import answers\nanswers('X')\n", [("dags/a.py", 5, "credential")]),
    (LIST, "get_credentials(name)\n", []),
    (LIST, "get('X')\n", []),
    # Without a list, nothing is known; in an empty one, nothing is.
    (None, "get_credentials('X')\n", []),
    ("", "get_credentials('X')\n", [("dags/a.py", 4, "credential")]),
    ("A\n../b\nA B\n", "get_credentials('A')\n",
     [("credentials.txt", 2, "credentials"), ("credentials.txt", 3, "credentials")]),
    (b"#" * 5_000_001, "get_credentials('A')\n", [("credentials.txt", 0, "credentials")]),
])  # fmt: skip
def test_names_of_credentials(repository, names, text, expected):
    repository.write({"dags/a.py": RAX + text, "ruff.toml": "exclude = ['*']"})
    repository.write({} if names is None else {"credentials.txt": names})
    assert found(repository) == expected
    findings = _files.check(repository.project()).findings
    assert {one.warning for one in findings} <= {
        expected[:1] != [] and expected[0][2] == "credential"
    }


def test_what_is_said_of_a_credential(repository):
    text = "get_credentials('GENES-DB-02')\nget_credentials('X')\n"
    repository.write({"dags/a.py": RAX + text, "names": LIST, "ruff.toml": "exclude = ['*']",
                      "rax.toml": "[check]\ncredentials = 'names'"})  # fmt: skip
    findings = sorted(_files.check(repository.project()).findings)
    assert [(one.problem, one.advice) for one in findings] == [
        ("'GENES-DB-02' is not in names", "did you mean GENES-DB-01 or GENES-WEB-01?"),
        ("'X' is not in names",
         "declare it in credentials_sources of the deployment, and add it to names"),
    ]  # fmt: skip


NAMES = """\
import rax.config
from typing import Optional
from rax.config import CredentialName


@dataclass
class Copy:
    to: "CredentialName"


@dataclass
class Sources:
    first: CredentialName = ""
    more: tuple[CredentialName, ...] = ()
    other: Optional[rax.config.CredentialName] = None
    copies: list[Copy] = ()
    by_name: dict[CredentialName, int] = field(default_factory=dict)
    table: str = ""
    mode: CredentialName | Literal["none"] = "none"
"""


@pytest.mark.parametrize(("content", "expected"), [
    ("first: GENES-DB-01\nmore: [GENES-WEB-01]\nother: GENES-DB-01\n", []),
    # As long as its type is another, a text may be any.
    ("table: GENES-DB-02\nmode: none\nother: null\n", []),
    ("first: GENES-DB-02\n", [(1, "first")]),
    ("table: x\nmore:\n- GENES-DB-01\n- GENES-DB-02\n", [(4, "more[1]")]),
    ("other: genes-db-01\n", [(1, "other")]),
    ("table: x\ncopies:\n- to: GENES-DB-01\n- to: X\n", [(4, "copies[1].to")]),
    ("by_name:\n  GENES-DB-01: 1\n  X: 1\n", [(3, "the key by_name.X")]),
    ("table: x\nmode: X\n", [(2, "mode")]),
    # What is written once is wrong there, wherever else it is brought.
    ("first: &a X\nmore: [*a]\n", [(1, "first"), (1, "more[0]")]),
    # A credential that is known is not missed because another value does not fit.
    ("table: 1\nfirst: X\n", [(1, "table"), (2, "first")]),
    # It may be a secret, and is told once.
    ("first: ghp_abcdefghijklmnopqrstuvwxyz0123456789\n", [(1, "first")]),
    # The form is not that of a name.
    ("first: a b\n", [(1, "first")]),
    ("by_name: {a b: 1}\n", [(1, "the key by_name.a b")]),
])  # fmt: skip
def test_names_of_credentials_in_a_config(repository, content, expected):
    repository.write({
        "lib/genes.py": LIB + NAMES, "configs/genes/daily.yaml": content,
        "dags/a.py": DAG.replace(".Config", ".Sources"),
        "credentials.txt": LIST, "ruff.toml": "exclude = ['*']",
    })  # fmt: skip
    findings = sorted(_files.check(repository.project()).findings)
    assert {one.file for one in findings} <= {"configs/genes/daily.yaml"}
    assert [one.line for one in findings] == [line for line, _ in expected]
    for one, (_, path) in zip(findings, expected, strict=True):
        said = {
            "credential": f"the credential that {path} names is not in credentials.txt",
            "config-schema": f"does not fit Sources: {path} ",
            "config-secret": f"{path} looks like a secret",
        }
        assert one.problem.startswith(said[one.rule])
        assert one.warning is (one.rule == "credential")


def test_what_is_said_of_a_credential_in_a_config(repository):
    repository.write({
        "lib/genes.py": LIB + NAMES, "configs/genes/daily.yaml": "first: GENES-WEB-02\nother: X\n",
        "dags/a.py": DAG.replace(".Config", ".Sources"), "ruff.toml": "exclude = ['*']",
    })  # fmt: skip
    # Without a list, nothing is known.
    assert found(repository) == []
    repository.write({"credentials.txt": LIST})
    findings = sorted(_files.check(repository.project()).findings)
    assert [(one.problem, one.advice) for one in findings] == [
        ("the credential that first names is not in credentials.txt",
         "did you mean GENES-WEB-01 or GENES-DB-01?"),
        ("the credential that other names is not in credentials.txt",
         "declare it in credentials_sources of the deployment, and add it to credentials.txt"),
    ]  # fmt: skip


@pytest.mark.parametrize(("changed", "told"), [
    ({"configs/genes/daily.yaml": "first: X\ntable: y\n"}, True),
    ({"credentials.txt": "# none\n"}, True),
    ({"lib/genes.py": LIB + NAMES + "\n"}, True),
    ({"dags/a.py": DAG.replace(".Config", ".Sources") + "\n"}, True),
    ({"configs/genes/other.yaml": "first: X\n"}, False),
    ({"dags/b.py": "x = 1\n"}, False),
])  # fmt: skip
def test_a_change_by_which_a_config_names_what_is_unknown(repository, changed, told):
    repository.write({
        "lib/genes.py": LIB + NAMES, "configs/genes/daily.yaml": "first: X\n",
        "dags/a.py": DAG.replace(".Config", ".Sources"), "credentials.txt": "",
        "ruff.toml": "exclude = ['*']",
    }).commit()  # fmt: skip
    assert found(repository, since="HEAD") == []
    repository.write(changed)
    assert found(repository, since="HEAD") == [at(1, "credential")] * told


def test_a_known_credential_is_no_secret(repository):
    repository.write(
        {"configs/a.yaml": "password: ebi-etl-dev\n", "credentials.txt": "ebi-etl-dev"}
    )
    assert found(repository) == []


@pytest.mark.parametrize(("name", "rules"), [
    ("configs/a.b.yaml", ["config-name"]),
    ("configs/é.yaml", ["config-name"]),
    ("configs/a b.yaml", ["config-name"]),
    ("configs/a-b_1.yaml", []),
    ("configs/x/a.yaml", []),
    ("configs/a.json", []),
    ("other/a.b.yaml", []),
])  # fmt: skip
def test_a_file_that_no_name_leads_to(repository, name, rules):
    assert [rule for *_, rule in found(repository.write({name: "a: 1\n"}))] == rules


def test_what_changed(repository):
    """A config that has gone, and a dataclass that is another, show in files that are the same."""
    files = BASE | {
        "configs/genes/daily.yaml": GOOD,
        "configs/bad.yaml": "a: NO\n",
        "ruff.toml": "exclude = ['x']\nlint.select = ['E']",
    }
    repository.write(files | {"dags/b.py": "import os\n", "dags/c.py": "def f(:\n"}).commit()
    assert found(repository, since="HEAD") == []
    repository.write({"lib/genes.py": LIB.replace("source: str", "source: int")})
    assert at(1, "config-schema") in found(repository, since="HEAD")
    repository.write({"configs/genes/daily.yaml": None, "lib/genes.py": LIB})
    assert found(repository, since="HEAD") == [("dags/genes.py", 5, "config-missing")]


def test_a_list_of_credentials_that_changed(repository):
    files = {"dags/a.py": RAX + "get_credentials('X')\n", "ruff.toml": "exclude = ['*']"}
    repository.write(files | {"credentials.txt": "A\n"}).commit()
    assert found(repository, since="HEAD") == []
    repository.write({"credentials.txt": "A\nB\n"})
    assert found(repository, since="HEAD") == [("dags/a.py", 4, "credential")]


@pytest.mark.parametrize(("files", "call"), [
    ({"configs/genes/daily.yaml": "a: NO\n"}, "genes.daily"),
    ({}, "genes.daily"),
    ({"configs/genes/daily.yaml": GOOD.replace("table", "tabel")}, "genes.daily"),
])  # fmt: skip
def test_an_error_of_a_run_whose_reason_is_known(repository, monkeypatch, files, call):
    """What get_config() raises then, word for word."""
    findings = _files.check(repository.write(BASE | files).project()).findings
    monkeypatch.setenv("RAX_CONFIG_DIR", str(repository.root / "configs"))
    module = types.ModuleType("genes_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(LIB.replace("Unknown", "object"), module.__dict__)  # noqa: S102 - the text above
    with pytest.raises(RaxError) as raised:
        config.get_config(call, module.Config)
    assert _files.tells(findings, str(raised.value))
    assert not _files.tells(findings, str(raised.value).replace("daily", "other"))
    assert not _files.tells([], str(raised.value))
