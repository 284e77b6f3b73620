"""Stage 2 of `rax check`: DAGs that are wrong, DAGs that are nearly so, and hostile files."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from rax.checking import _dags
from rax.checking._finding import Finding
from rax.checking._project import Project

HEAD = (
    "from airflow.sdk import DAG, Variable, dag, task\nfrom rax.workflow import summary, workflow\n"
)
WORKFLOW = """
@workflow(schedule=None)
def NAME():
    @task
    def load(): ...
    load()


NAME()
"""
TASKS = "    @task\n    def a(): ...\n    @task\n    def b(): ...\n    first, last = a(), b()\n"
# The files that DAG files may need.
FILES = {
    "lib/__init__.py": "",
    "lib/schemas.py": (
        "from dataclasses import dataclass\n\n\n@dataclass\n"
        "class Daily:\n    source: str\n    rows: int\n"
    ),
    "lib/broken.py": "LIMIT = 5\nx = LIMIT.nothing\n",
    "lib/effects.py": "import socket\n\n\ndef look(host):\n    socket.getaddrinfo(host, 80)\n",
    "configs/good.yaml": "source: A-01\nrows: 5\n",
    "configs/bad.yaml": "---\n# Rows.\nsource: A-01\nrows: many\n",
    "configs/missing.yaml": "sorce: A-01\nrows: 5\n",
    "dags/.airflowignore": "ignored/\n",
    "dags/ignored/broken.py": HEAD + "raise ValueError\n",
    "dags/helper.py": "LIMIT = 5\n",
    "dags/builder.py": HEAD + "def build_dag(name):\n    return DAG(name, schedule=None)\n",
    "dags/factory_use.py": "import builder\nmine = builder.build_dag('x')\n",
}
# A section is a DAG file, which begins with HEAD, two lines. What its author is told is behind !!!:
# the file, if it is another one, line, rule, problem → advice. Each has all that it is told.
MISTAKES = """
=== duplicate_a
WORKFLOW twice
=== duplicate_b
WORKFLOW twice
!!! 11 duplicate-dag the id twice is that of the DAG at dags/duplicate_a.py:11, too
!!! → Airflow would show one of them, now this and now that: rename one
=== cycle
with DAG('cycle', schedule=None):
TASKS
    first >> last >> first
!!! 3 cycle the DAG cycle has a cycle: Cycle detected in Dag: cycle. Faulty task: b
!!! → leave out one of the dependencies that lead back
=== no_summary
with DAG('no_summary', schedule=None):
TASKS
    first >> last
!!! 3 summary the DAG no_summary does not end in a summary → make it by @workflow of rax.workflow;
!!! where plain DAGs are welcome, write plain_dags = true below [check] in rax.toml
=== summary_amid
with DAG('summary_amid', schedule=None):
TASKS
    @summary
    def end(): ...
    end() >> first
    last
!!! 3 summary the DAG summary_amid does not end in a summary → make it by @workflow of rax.workflow;
!!! where plain DAGs are welcome, write plain_dags = true below [check] in rax.toml
=== uncalled
@workflow(schedule=None)
def uncalled(): ...
!!! 0 no-dag Airflow runs this file and finds no DAG → call the function that @workflow or @dag
!!! decorates, or give the DAG a name at the top of the file; what is no DAG file belongs in
!!! .airflowignore
=== timetable
from airflow.timetables.simple import NullTimetable
class Own(NullTimetable): pass
@workflow(schedule=Own())
def timetable(): ...
timetable()
!!! 7 dag Airflow does not take the DAG timetable: *
=== variable
LIMIT = Variable.get('limit', default=5)
WORKFLOW variable
!!! 3 import-variable while Airflow loads it, this line reads the Variable limit
!!! → read it in a task, or write it as a template: {{ var.value.NAME }}
=== variable_without_default
LIMIT = Variable.get('limit')
!!! 3 import-variable while Airflow loads it, this line reads the Variable limit
!!! → read it in a task, or write it as a template: {{ var.value.NAME }}
=== connection
from airflow.sdk import BaseHook
HOST = BaseHook.get_connection('DB-01').host
!!! 4 import-connection while Airflow loads it, this line reads the connection DB-01
!!! → give its id to an operator, or read it in a task
=== credential
from rax.credentials import get_credentials
USER = get_credentials('DB-01')['user']
!!! 4 import-credential while Airflow loads it, this line reads a credential
!!! → call get_credentials in the task that needs it, where it reads the newest
=== name_of_a_host
import socket
socket.create_connection(('db.example.org', 5432))
!!! 4 import-network while Airflow loads it, this line looks up the address of db.example.org LATER
=== address
import socket
socket.socket().connect(('192.0.2.1', 5432))
!!! 4 import-network while Airflow loads it, this line opens a connection to 192.0.2.1:5432 LATER
=== program
import subprocess
subprocess.run(['curl', '--user', 'etl:hunter2'], check=True)
!!! 4 import-process while Airflow loads it, this line starts the program curl LATER
=== shell
import os
try:
    os.system('true')
except OSError:
    pass
WORKFLOW shell
!!! 5 import-process while Airflow loads it, this line starts a shell LATER
=== driver
import psycopg2
psycopg2.connect('host=db.example.org password=hunter2')
!!! 4 import-database while Airflow loads it, this line connects to a database LATER
=== file
from pathlib import Path
Path(__file__).with_name('new.txt').write_text('x')
!!! 4 import-file while Airflow loads it, this line writes dags/new.txt in the repository
!!! → write outside of the repository, in a task: a release stays as it was published
=== package
import nosuch_package
WORKFLOW package
!!! 3 package nodes have no package with nosuch_package → add its package to
!!! packages/requirements.in of the deployment: nosuch-package, if it is called so
=== known_package
from sklearn.linear_model import LinearRegression
!!! 3 package nodes have no package with sklearn → add scikit-learn to packages/requirements.in of
!!! the deployment
=== relative
from .helper import LIMIT
!!! 3 relative-import Airflow runs this file by itself, where 'from .helper import' fails
!!! → write 'from helper import'
=== argument
@dag(
    schedule_interval=None)
def argument(): ...
argument()
!!! 4 dag-argument DAG takes no argument schedule_interval → write schedule
=== raises
def limit():
    raise ValueError('no\\nlimit')
limit()
!!! 4 import-error ValueError: no
=== exits
raise SystemExit('bye')
!!! 3 import-error SystemExit: bye: it ends Python
=== bad_config
from rax.config import get_config
from lib.schemas import Daily
CONFIG = get_config('bad', Daily)
!!! configs/bad.yaml 4 config-schema it does not fit Daily, which dags/bad_config.py:5 asks for:
!!! rows is of type str, where int is expected
=== missing_key
from rax.config import get_config
from lib.schemas import Daily
CONFIG = get_config('missing', Daily)
!!! configs/missing.yaml 1 config-schema it does not fit Daily, which dags/missing_key.py:5 asks
!!! for: sorce is unknown: did you mean source?; source is missing
=== imports_broken
from lib import broken
!!! lib/broken.py 2 import-error AttributeError: 'int' object has no attribute 'nothing'
=== imports_broken_too
from lib.broken import x
=== looks_up
from lib.effects import look
look('db.example.org')
!!! lib/effects.py 5 import-network while Airflow loads it, this line looks up the address of
!!! db.example.org LATER
=== in_a_task
@workflow(schedule=None)
def in_a_task():
    @task
    def load():
        import socket, subprocess, psycopg2
        Variable.get('limit')
        socket.create_connection(('db.example.org', 5432))
        subprocess.run(['curl'])
        psycopg2.connect('')
    load()
in_a_task()
=== harmless
import os, socket, sqlite3, tempfile
HOST = socket.gethostname()
sqlite3.connect(':memory:')
open(tempfile.mkstemp()[1], 'w').close()
open(__file__).close()
os.kill(os.getpid(), 0)
WORKFLOW harmless
=== loud
import sys
print('{}')
sys.stderr.write('x' * 100_000)
WORKFLOW loud
=== own_summary
with DAG('own_summary', schedule=None):
TASKS
    @summary
    def end(): ...
    first >> last >> end()
=== config
from rax.config import get_config
from lib.schemas import Daily
CONFIG = get_config('good', Daily)
WORKFLOW config
=== optional
try:
    import nosuch_package
except ImportError:
    nosuch_package = None
WORKFLOW optional
=== imports_builder
from builder import build_dag
from helper import LIMIT
WORKFLOW built
"""
# The same; hostile files, or as bad as that. The time for each is a second.
HOSTILE = """
=== exits_with_3
import os
os._exit(3)
!!! 0 import-exit loading this file ended Python with exit code 3
=== exits_with_0
import os
os._exit(0)
!!! 0 import-exit loading this file ended Python, or wrote where it has nothing to write
=== segfault
import ctypes
ctypes.string_at(0)
!!! 0 import-exit loading this file ended Python by SIGSEGV
=== kills_all
import ctypes, os, time
ctypes.CDLL(None).killpg(os.getpgid(os.getppid()), 9)
time.sleep(60)
!!! 0 import-exit loading this file ended the check's own process, or wrote into it
=== writes_everywhere
import os
for fd in range(3000):
    try:
        os.write(fd, b'{"seconds": 0}\\n')
    except OSError:
        pass
!!! 0 import-exit loading this file ended Python, or wrote where it has nothing to write
=== patches_json
import json
json.JSONEncoder.encode = lambda *_: 'nonsense'
json.loads = None
!!! 0 import-exit loading this file ended Python, or wrote where it has nothing to write
=== sleeps
import time
time.sleep(1000)
!!! 4 import-error it is still being loaded after 1 s
=== spins
while True: pass
!!! 3 import-error it is still being loaded after 1 s
=== refuses_to_end
import time
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
!!! 0 import-exit loading this file did not end within 1 s, and had to be stopped
=== eats_memory
x = b'x' * 64 * 2**30
!!! 3 import-error MemoryError
=== leaves_a_daemon
import ctypes, os, time
libc = ctypes.CDLL(None)
if libc.fork() == 0:
    libc.setsid()
    if libc.fork():
        os._exit(0)
    time.sleep(1000)
WORKFLOW leaves
!!! 0 import-process loading this file leaves processes behind LATER
=== deletes
import os
os.remove(os.path.join(os.path.dirname(__file__), 'keep.txt'))
!!! 4 import-file while Airflow loads it, this line removes dags/keep.txt in the repository
!!! → write outside of the repository, in a task: a release stays as it was published
=== raises_what_cannot_be_shown
class E(Exception):
    def __str__(self):
        raise ValueError
raise E
!!! 6 import-error E
=== goes_elsewhere
import os
os.chdir('/')
os.environ.clear()
WORKFLOW elsewhere
=== closes
import os
for fd in (0, 1, 2):
    os.close(fd)
WORKFLOW closes
=== imports_json
import json
json.loads('1')
WORKFLOW imports_json
"""
LATER = "→ do it in a task: Airflow loads this file again and again, on each node"
TOLD = re.compile(r"(?:(\S+/\S+) )?(\d+) (\S+) (.*?)(?: → (.*))?")


def sections(text):
    """Return the DAG files of a text and, by their names, what is told of them."""
    files, told = {}, {}
    for section in text.split("=== ")[1:]:
        name, _, rest = section.partition("\n")
        lines = [line for line in rest.splitlines() if not line.startswith("!!!")]
        code = "\n".join(lines).replace("TASKS", TASKS.rstrip("\n"))
        code = re.sub(r"WORKFLOW (\w+)", lambda found: WORKFLOW.replace("NAME", found[1]), code)
        files[f"dags/{name}.py"] = f"{HEAD}{code}\n"
        said = " ".join(line[4:] for line in rest.splitlines() if line.startswith("!!!"))
        told[name] = None
        if said:
            file, line, rule, problem, advice = TOLD.fullmatch(
                said.replace("LATER", LATER)
            ).groups()
            where = file or f"dags/{name}.py"
            told[name] = Finding(where, int(line), rule, problem, advice or "")
    return files, told


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def is_told(outcome, name, expected):
    """Say whether a file is told that, and no more."""
    files = {f"dags/{name}.py", expected[0] if expected else ""}
    found = [finding for finding in outcome.findings if finding.file in files]
    if expected is None or len(found) != 1:
        return found == ([] if expected is None else [expected])
    problem = expected[3]
    if problem.endswith("*"):
        return found[0].problem.startswith(problem[:-1]) and found[0][:3] == expected[:3]
    return found == [expected]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = write(tmp_path_factory.mktemp("repository"), FILES | sections(MISTAKES)[0])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found = _dags.check(Project(root))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    return found


@pytest.mark.parametrize("name", sections(MISTAKES)[1])
def test_what_a_file_is_told(outcome, name):
    """Each mistake once, at its line, and nothing of what is nearly one."""
    assert is_told(outcome, name, sections(MISTAKES)[1][name])


def test_nothing_else_is_told(outcome):
    told = {expected[:3] for expected in sections(MISTAKES)[1].values() if expected}
    assert {finding[:3] for finding in outcome.findings if not finding.warning} == told
    assert "hunter2" not in str(outcome)


def test_what_is_worth_a_look(outcome):
    """A file that Airflow runs for nothing, and one that it does not run."""
    assert [finding for finding in outcome.findings if finding.warning] == [
        Finding("dags/builder.py", 0, "no-dag",
                "Airflow runs this file again and again, and there is no DAG in it",
                "name it in .airflowignore, if it is there to be imported", True),
        Finding("dags/factory_use.py", 0, "not-searched",
                "Airflow does not search this file for DAGs: it has neither 'airflow' nor 'rax' "
                "in it",
                "if it makes DAGs, write a comment: # an airflow dag", True),
    ]  # fmt: skip


def test_how_much_was_looked_at(outcome):
    assert outcome.looked_at == f"{len(sections(MISTAKES)[0]) + 1} DAG files, 15 DAGs"
    assert outcome.skipped == ""


# Hostile files


def processes_with(text):
    """Return the command lines of this machine that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text in path.read_bytes().decode(errors="replace"):
                found.append(path)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    homes = tmp_path_factory.mktemp("homes")
    root = write(tmp_path_factory.mktemp("hostile"), sections(HOSTILE)[0])
    write(root, {"dags/keep.txt": "keep", "dags/json.py": "raise SystemExit\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(homes))
        found = _dags.check(Project(root), max_file_seconds=1)
    assert (root / "dags/keep.txt").read_text() == "keep"
    assert list(homes.iterdir()) == []
    assert processes_with(f"{homes}/") == []
    return found


@pytest.mark.parametrize("name", sections(HOSTILE)[1])
def test_what_a_hostile_file_is_told(hostile, name):
    """It is named, and the files after it are told what they would be without it."""
    assert is_told(hostile, name, sections(HOSTILE)[1][name])


def test_every_hostile_file_was_looked_at(hostile):
    assert hostile.looked_at == f"{len(sections(HOSTILE)[0])} DAG files, 4 DAGs"


# What has changed


def git(root, *words):
    who = ["-c", "user.name=An author", "-c", "user.email=author@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True)


def test_since_a_commit(tmp_path, monkeypatch):
    """Loaded are files that changed, what imports such a one, and what may have the same id."""
    loads = {name: WORKFLOW.replace("NAME", name) for name in ("genes", "taxa", "genes_old")}
    write(tmp_path, {f"dags/{name}.py": HEAD + text for name, text in loads.items()} | {
        "lib/__init__.py": "",
        "lib/changes.py": "X = 1\n",
        "lib/between.py": "from lib.changes import X\n",
        "dags/imports.py": HEAD + "import lib.between\nraise ValueError('imports')\n",
        "dags/stays.py": HEAD + "raise ValueError('stays')\n",
        "configs/a.yaml": "a: 1\n",
    })  # fmt: skip
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    loaded = []
    process = _dags._check.AirflowProcess
    load = process.load
    monkeypatch.setattr(process, "load", lambda self, file: loaded.append(file) or load(self, file))
    (tmp_path / "lib/changes.py").write_text("X = 2\n")
    (tmp_path / "dags/taxa.py").write_text(HEAD + loads["genes"])
    project = Project(tmp_path, since="HEAD")
    found = _dags.check(project)
    assert loaded == ["dags/imports.py", "dags/taxa.py", "dags/genes.py"]
    assert [finding[:3] for finding in found.findings] == [
        ("dags/imports.py", 4, "import-error"),
        ("dags/taxa.py", 11, "duplicate-dag"),
    ]
    assert found.looked_at == "2 DAG files, 1 DAG"
    # What the stage of the flows asks.
    assert [(file, dag.id) for file, dag in project.dags] == [("dags/taxa.py", "genes")]
    assert project.unloaded == {"dags/imports.py"}


def test_a_repository_without_dags_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(_dags._check, "AirflowProcess", None)
    write(tmp_path, {"lib/a.py": "x = 1\n", "dags/b.py": "y = 2\n"})
    found = _dags.check(Project(tmp_path))
    assert (found.findings, found.skipped) == ([], "there is no DAG file yet")
