"""`rax repository check`, with the Airflow and the packages of a node."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rax import cli
from rax.checking._dags import _airflow_moves

SRC = Path(__file__).parents[2] / "src"
# Whatever of the repository is run says so in this file.
RUN = "import os\nopen(os.environ.get('RAN', '/nonexistent/ran'), 'a').close()\n"
DAG = "from airflow.sdk import DAG\n"
FILES = {
    # What is run to find DAGs.
    "dags/good.py": RUN + DAG + "import lib.text\nfrom etl.base import LIMIT\nimport yaml, json\n"
    "dag = DAG('good', schedule=None)\n",
    "dags/etl/relative.py": DAG + "from .base import LIMIT\n",
    # It leads out of the repository, and above the root of all files.
    "dags/etl/above.py": f"{DAG}from {'.' * 100}x import y\n",
    "dags/old.py": "from airflow import DAG\n"
    "from airflow.operators.bash_operator import BashOperator\n"
    "from airflow.utils.dates import days_ago\n"
    "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator\n"
    "from airflow.decorators import task\n"
    "DAG('old', schedule_interval=None, default_view='graph')\n"
    "X(conn_id='A', pool='small')\n",
    "dags/lacks.py": DAG + "import no_such_package.x\nfrom operators.mine import Mine\n"
    "import lib.nowhere\nfrom airflow.plugins.own import Own\nimport redis\n",
    "dags/python2.py": DAG + "print 'airflow'\n",
    "dags/\x1b[31mred.py": DAG + "import no_such_package\n",
    # What is not.
    "dags/etl/base.py": "LIMIT = 5\n",
    "dags/etl/load.py": "from .base import LIMIT\n",
    "dags/script.py": RUN,
    "dags/.airflowignore": "# templates\ntemplates/\n",
    "dags/templates/t.py": "{% for dag in airflow %}\n",
    "dags/uses.py": DAG + "from house.tools import cut\nfrom google.cloud import bigquery\n"
    "from google import nothing\nimport yaml.nothing\nimport plain_package\n"
    "import urllib2\n",
    # Read, since a DAG imports it; what nothing imports is not.
    "house/tools.py": RUN + "from . import inner\nimport tools_package\n",
    "house/inner.py": "print 'x'\n",
    "house/other.py": "import other_package\n",
    # A part of a package is not the package of that name.
    "house/__init__.py": "",
    "house/another_package/__init__.py": "",
    "plain_package/__init__.py": "",
    "lib/text.py": RUN + "def f():\n    import another_package\n",
    "plugins/operators/mine.py": "class Mine: pass\n",
    "airflow/plugins/own.py": "class Own: pass\n",
    "airflow/__init__.py": RUN,
    "redis/__init__.py": RUN,
    "sitecustomize.py": RUN,
    "usercustomize.py": RUN,
    "json.py": RUN,
    "tests/test_x.py": "def f(:\n",
    ".venv/lib/broken.py": "def f(:\n",
    "venv/pyvenv.cfg": "",
    "venv/lib/broken.py": "def f(:\n",
}


def add(name):
    where = "packages/requirements.in of the deployment"
    return f"add its package to {where}: {name}, if it is called so"


K8S = "apache-airflow-providers-cncf-kubernetes"
STANDARD = "airflow.providers.standard"
EXPECTED = [
    ("dags/\x1b[31mred.py", 2, "nodes have no package with no_such_package",
     add("no-such-package")),
    ("dags/etl/above.py", 2,
     f"Airflow runs this file by itself, where 'from {'.' * 100}x import' fails",
     "give the module's whole name"),
    ("dags/etl/relative.py", 2,
     "Airflow runs this file by itself, where 'from .base import' fails",
     "write 'from etl.base import'"),
    ("dags/lacks.py", 2, "nodes have no package with no_such_package",
     add("no-such-package")),
    ("dags/lacks.py", 3, "operators is not where Python searches",
     "move plugins/operators into dags or the root: nothing else is searched"),
    ("dags/lacks.py", 4, "the repository has no module lib.nowhere", ""),
    ("dags/lacks.py", 5, "airflow.plugins is not in Airflow 3.3.2",
     "move airflow/plugins/own into lib: the name airflow is Airflow's own"),
    ("dags/lacks.py", 6,
     "redis is a package of the nodes, too, which is imported in place of redis", "rename redis"),
    ("dags/old.py", 2, "airflow.operators.bash_operator is not in Airflow 3.3.2",
     f"write {STANDARD}.operators.bash"),
    ("dags/old.py", 3, "airflow.utils.dates.days_ago is not in Airflow 3.3.2",
     "write pendulum, such as pendulum.today('UTC').add(days=-1), or a fixed date"),
    ("dags/old.py", 4, "nodes lack the provider of airflow.providers.cncf",
     f"add {K8S} to packages/requirements.in of the deployment"),
    ("dags/old.py", 6, "DAG takes no argument default_view", "leave it out"),
    ("dags/old.py", 6, "DAG takes no argument schedule_interval", "write schedule"),
    ("dags/python2.py", 2,
     "it blocks the commit: Missing parentheses in call to 'print'. Did you mean print(...)?: "
     "this is Python 2", "port it, or name it in .airflowignore or dag_sync_gate_exclude"),
    ("dags/uses.py", 3, "nodes have no package with google.cloud.bigquery",
     "add google-cloud-bigquery to packages/requirements.in of the deployment"),
    ("dags/uses.py", 4, "nodes have no package with google.nothing", add("google")),
    ("dags/uses.py", 5, "nodes have no package with yaml.nothing",
     "add PyYAML to packages/requirements.in of the deployment"),
    ("dags/uses.py", 7, "Python no longer has urllib2", "write urllib.request"),
    ("house/inner.py", 1,
     "it cannot be imported: Missing parentheses in call to 'print'. Did you mean print(...)?: "
     "this is Python 2", "port it, or name it in .airflowignore or dag_sync_gate_exclude"),
    ("house/tools.py", 4, "nodes have no package with tools_package",
     add("tools-package")),
    ("lib/text.py", 4, "nodes have no package with another_package",
     add("another-package")),
]  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def run(repository, *arguments):
    """Run it as an author does, in the repository."""
    ran = repository.with_name("ran")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rax", "repository", "check", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC), "RAX_ACCOUNT": "root", "RAN": str(ran)},
    )
    assert not ran.exists(), "something of the repository was run"
    return done


@pytest.fixture(scope="module")
def found(repository):
    done = run(repository, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    return json.loads(done.stdout)


def test_what_is_in_the_way(found):
    problems = [tuple(problem.values()) for problem in found["problems"]]
    assert problems == EXPECTED


def test_what_is_run_and_what_is_not(found):
    assert found["run"] == [
        "dags/\x1b[31mred.py",
        "dags/etl/above.py",
        "dags/etl/relative.py",
        "dags/good.py",
        "dags/lacks.py",
        "dags/old.py",
        "dags/python2.py",
        "dags/uses.py",
    ]
    assert found["left_out"] == {
        "dags/etl/base.py": "without the words of DAGs",
        "dags/etl/load.py": "without the words of DAGs",
        "dags/script.py": "without the words of DAGs",
        "dags/templates/t.py": "named in .airflowignore",
    }


def test_what_it_needs(found):
    assert found["needs"] == {"connections": ["A"], "variables": [], "pools": ["small"]}
    assert found["lacking"] == [
        "another_package",
        K8S,
        "google.cloud.bigquery",
        "google.nothing",
        "no_such_package",
        "tools_package",
        "yaml.nothing",
    ]
    ((note),) = found["notes"]
    assert (note["file"], note["line"]) == ("dags/old.py", 5)
    assert "airflow.sdk.task" in note["problem"]


def test_for_people(repository):
    done = run(repository)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        r"dags/\x1b[31mred.py",
        "  2: nodes have no package with no_such_package",
        f"    → {add('no-such-package')}",
    ]
    assert lines[-1] == f"8 files are run to find DAGs: {len(EXPECTED)} problems"
    assert "not run to find DAGs, named in .airflowignore: dags/templates/t.py" in lines


def test_the_example_of_the_docs(tmp_path):
    """docs/moving.md shows what it says of these files."""
    page = (SRC.parent / "docs/moving.md").read_text()
    command, _, shown = page.split("```console\n$ ")[1].partition("```")[0].partition("\n")
    (tmp_path / "airflow/dags").mkdir(parents=True)
    (tmp_path / "airflow/dags/base.py").write_text("LIMIT = 5\n")
    (tmp_path / "airflow/dags/nightly.py").write_text(
        "from airflow import DAG\n"
        "import json\n"
        "from airflow.operators.bash_operator import BashOperator\n"
        "from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook\n"
        "\n\n"
        "from .base import LIMIT\n"
        "\n"
        "DAG('nightly', schedule_interval='@daily')\n"
        "Hook(conn_id='warehouse')\n"
    )
    done = run(tmp_path, *command.split()[3:])
    assert (done.returncode, done.stdout) == (1, shown)


def test_nothing_in_the_way(tmp_path, monkeypatch, capsys):
    """In the root of a repository, and with a name of a link."""
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.py").write_text(DAG)
    (tmp_path / "link").symlink_to("real")
    assert cli.main(["repository", "check", str(tmp_path / "link"), "--dags-folder", "."]) == 0
    assert capsys.readouterr().out == "1 file is run to find DAGs: no problem\n"


@pytest.mark.parametrize("folder", ["dags", "..", "/etc", "a.py"])
def test_no_folder_of_dags(tmp_path, monkeypatch, capsys, folder):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    (tmp_path / "etl/x").mkdir(parents=True)
    (tmp_path / "etl/x/a.py").write_text(DAG)
    (tmp_path / "a.py").write_text("x = 1\n")
    assert cli.main(["repository", "check", str(tmp_path), "--dags-folder", folder]) == 3
    assert capsys.readouterr().err == (
        f"rax: {tmp_path} has no folder {folder}, and files like DAGs are in etl/x: name it with "
        "--dags-folder, and in the inventory by dag_sync_dags_folder\n"
    )


def test_no_folder_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    assert cli.main(["repository", "check", str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err == f"rax: {tmp_path}/none is no folder\n"


def test_the_repository_that_its_wrapper_is_in(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("RAX_REPOSITORY", str(tmp_path))
    (tmp_path / "rax.toml").write_text('[check]\ndags_folder = "flows"\n')
    (tmp_path / "a.py").write_text(DAG)
    assert cli.main(["repository", "check", "--json"]) == 3
    expected = f"rax: {tmp_path} has no folder flows, and files like DAGs are in"
    assert capsys.readouterr().err.startswith(expected)


def test_what_airflow_refuses_to_search(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    (tmp_path / "dags/loop").mkdir(parents=True)
    (tmp_path / "dags/loop/again").symlink_to("../loop")
    assert cli.main(["repository", "check", str(tmp_path)]) == 3
    assert "Airflow cannot be asked: RuntimeError: Detected recursive" in capsys.readouterr().err


def test_what_is_advised_is_there():
    """Each module of the lock that a move names, and each name in it."""
    pattern = re.compile(r"(airflow\.[\w.]+)(?:: (\w+))?")
    checked = 0
    for text in _airflow_moves._MOVES.values():
        for module, name in pattern.findall(text):
            if not module.startswith(("airflow.sdk", "airflow.providers.standard")):
                continue
            checked += 1
            found = importlib.import_module(module)
            assert not name or hasattr(found, name), (module, name)
    assert checked > 20
