"""What authors do wrong at first: `rax check` says each once, at its file and line, and no more.

All of them are in one repository, each in files of its own, so that one check finds them; a second
one has each of them nearly, and nothing is found there.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from rax.checking import _stages
from rax.checking._project import Project

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/dag-repo"


class Mistake(NamedTuple):
    """A mistake, and where it is to be found."""

    # The file that is wrong, with its text, and others that it takes.
    files: dict[str, str]
    line: int
    rule: str
    # What to write in place of which words, so that it is right.
    mended: tuple[str, str]

    @property
    def file(self):
        return next(iter(self.files))


def helper(body, above=""):
    """Return the text of a module below lib/."""
    return f'"""A helper."""\n{above}\n\ndef helper(value):\n    """Help."""\n{body}'


def uses(config):
    """Return the text of a module that asks for a config."""
    return helper(
        f'    return get_config("{config}"), value\n',
        "\nfrom rax.config import get_config\n",
    )


SCHEMA = '''"""A config."""

from dataclasses import dataclass

from rax.config import get_config


@dataclass(frozen=True)
class Config:
    """What it holds."""

    source: str
    chromosomes: tuple[str, ...] = ()


def config():
    """Return it."""
    return get_config("mistakes.key", Config)
'''
CREDENTIAL = "\nfrom rax.credentials import get_credentials\n"


def dag(name, above="", top="", load="        return value"):
    """Return the text of a DAG file."""
    return f'''"""Load."""
{above}
from airflow.sdk import task
from rax.workflow import workflow

VALUE = 1
{top}

@workflow(schedule=None)
def {name}() -> None:
    """Declare the tasks."""

    @task
    def load(value: int) -> int:
        """Load."""
{load}

    load(VALUE)


{name}()
'''


PLAIN = '''"""Load."""

from airflow.sdk import DAG, task

with DAG("plain", schedule=None) as plain:

    @task
    def load() -> None:
        """Load."""

    @task
    def store() -> None:
        """Store."""

    loaded, stored = load(), store()
    loaded >> stored
'''
LIMIT = '"""Numbers."""\n\nLIMIT = 5\n'
SOCKET = 'socket.create_connection(("db.example.org", 5432))'

MISTAKES = {
    "a colon is missing": Mistake(
        {"lib/colon.py": '"""A helper."""\n\n\ndef helper(value)\n    return value\n'},
        4, "syntax", ("(value)\n", '(value):\n    """Help."""\n'),
    ),
    "a line begins with a tab": Mistake(
        {"lib/tab.py": helper("\treturn value\n")}, 6, "syntax", ("\t", "    "),
    ),
    "a name is misspelt": Mistake(
        {"lib/name.py": helper("    return value, valeu\n")}, 6, "F821", ("valeu", "value"),
    ),
    "an import is not used": Mistake(
        {"lib/unused.py": helper("    return value\n", "\nimport json\n")},
        3, "F401", ("\nimport json\n", ""),
    ),
    "a line is too long": Mistake(
        {"lib/long.py": helper(f"    return value  # {'x' * 90}\n")}, 6, "E501", ("x" * 20, ""),
    ),
    "a file is not formatted": Mistake(
        {"lib/layout.py": helper("    return [value,value]\n")}, 6, "format", (",v", ", v"),
    ),
    "a module of Airflow 2": Mistake(
        {"lib/old.py": helper(
            "    return Variable.get(value)\n", "\nfrom airflow.models import Variable\n")},
        8, "AIR311", ("airflow.models", "airflow.sdk"),
    ),
    "a credential is printed": Mistake(
        {"lib/printed.py": helper(
            '    print(get_credentials("EBI-ETL-DEV-01"), value)\n', CREDENTIAL)},
        8, "T201", ('print(get_credentials("EBI-ETL-DEV-01"), value)',
                    'return get_credentials("EBI-ETL-DEV-01")["user"], value'),
    ),
    "a credential that nobody has": Mistake(
        {"lib/credential.py": helper(
            '    return get_credentials("EBI-ETL-DEF-01"), value\n', CREDENTIAL)},
        8, "credential", ("DEF", "DEV"),
    ),
    "a config is misspelt": Mistake(
        {"lib/missing.py": uses("mistakes.kei"),
         "configs/mistakes/none.yaml": "a: 1\n"},
        8, "config-missing", ("mistakes.kei", "mistakes.key"),
    ),
    "a key of a config is misspelt": Mistake(
        {"configs/mistakes/key.yaml": "source: EBI-ETL-DEV-01\nchromosome: [a]\n",
         "lib/key.py": SCHEMA},
        2, "config-schema", ("chromosome:", "chromosomes:"),
    ),
    "a word means something else": Mistake(
        {"configs/mistakes/word.yaml": "country:\n- SE\n- NO\n"}, 3, "config", ("NO", '"NO"'),
    ),
    "a password in a config": Mistake(
        {"configs/mistakes/password.yaml":
            "host: db.example.org\nuser: etl\npassword: hunter2\nport: 5432\n"},
        3, "config-secret", ("host: db.example.org\nuser: etl\npassword: hunter2\nport: 5432",
                             "source: EBI-ETL-DEV-01"),
    ),
    "a URL with a password": Mistake(
        {"configs/mistakes/url.yaml": "proxy:\n  url: http://etl:hunter2@proxy.example.org/\n"},
        2, "config-secret", ("etl:hunter2@", ""),
    ),
    "the id of a DAG twice": Mistake(
        {"dags/mistakes/twice.py": dag("twice"), "dags/mistakes/first.py": dag("twice")},
        21, "duplicate-dag", ("twice", "second"),
    ),
    "a relative import": Mistake(
        {"dags/mistakes/relative.py": dag(
            "relative", load="        return base.LIMIT + value"
         ).replace("import workflow\n", "import workflow\n\nfrom . import base\n"),
         "dags/mistakes/base.py": LIMIT, "lib/base.py": LIMIT},
        6, "relative-import", ("from . import", "from lib import"),
    ),
    "a package that nodes lack": Mistake(
        {"dags/mistakes/package.py": dag(
            "package", load="        return nosuch_package.double(value)"
         ).replace("from airflow", "import nosuch_package\nfrom airflow")},
        3, "package", ("nosuch_package", "yaml"),
    ),
    "a connection at the top": Mistake(
        {"dags/mistakes/connects.py": dag("connects", "\nimport socket\n", f"{SOCKET}\n")},
        9, "import-network", (SOCKET, "HOST = socket.gethostname()"),
    ),
    "the function of a DAG is not called": Mistake(
        {"dags/mistakes/uncalled.py": dag("uncalled").replace("\n\nuncalled()\n", "")},
        0, "no-dag", ("load(VALUE)\n", "load(VALUE)\n\n\nuncalled()\n"),
    ),
    "a task twice in a circle": Mistake(
        {"dags/mistakes/circle.py": PLAIN.replace("plain", "circle").replace(
            "stored\n", "stored >> loaded\n")},
        5, "cycle", (PLAIN.replace("plain", "circle").replace("stored\n", "stored >> loaded\n"),
                     dag("circle")),
    ),
    "a DAG that ends in no summary": Mistake(
        {"dags/mistakes/plain.py": PLAIN}, 5, "summary", (PLAIN, dag("plain")),
    ),
    "an error of the author's": Mistake(
        {"dags/mistakes/error.py": dag("error", top='LIMIT = VALUE + "1"\n')},
        7, "import-error", (' + "1"', ""),
    ),
}  # fmt: skip


def checked(root, mistakes):
    """Return what a repository with these files is told, by file."""
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__", "local"))
    (root / "credentials.txt").write_text("EBI-ETL-DEV-01\n")
    for mistake in mistakes:
        for name, text in mistake.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    found = {}
    project = Project(root)
    for stage in _stages.STAGES:
        if stage.name in _stages.FAST:
            result = _stages.run(project, stage)
            assert not result.failed
            for one in result.outcome.findings:
                found.setdefault(one.file, []).append((one.line, one.rule))
    return found


@pytest.fixture(scope="module")
def _ruff():
    """Find the ruff of the linters where this environment has none of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.environ['PATH']}:{ROOT}/.venv/bin")
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory, _ruff):
    return checked(tmp_path_factory.mktemp("mistakes") / "repository", MISTAKES.values())


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_once(found, name):
    mistake = MISTAKES[name]
    told = {file: found[file] for file in mistake.files if file in found}
    assert told == {mistake.file: [(mistake.line, mistake.rule)]}


def test_nothing_else_is_found(found):
    files = {file for mistake in MISTAKES.values() for file in mistake.files}
    assert found.keys() <= files


@pytest.mark.usefixtures("_ruff")
def test_what_is_nearly_a_mistake(tmp_path):
    mended = [
        mistake._replace(
            files=mistake.files
            | {mistake.file: mistake.files[mistake.file].replace(*mistake.mended)}
        )
        for mistake in MISTAKES.values()
    ]
    assert checked(tmp_path / "repository", mended) == {}
