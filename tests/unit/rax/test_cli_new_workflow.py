"""`rax new workflow`: what it is called, what it writes, and that this is good as it is."""

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest

from rax import cli
from rax.config import find_problems, find_secrets, get_config
from rax.templates._names import MAX_NAME_CHARACTERS
from rax.testing._specs import find, read

LONGEST = ".".join(["team", "x" * (MAX_NAME_CHARACTERS - len("team."))])
# In the order of their names.
GENES = [
    "configs/genes/daily.yaml",
    "dags/genes/daily.py",
    "lib/genes_daily.py",
    "tests/flows/genes_daily.flow.yaml",
    "tests/flows/genes_daily/less.csv",
    "tests/flows/genes_daily/source.csv",
    "tests/flows/genes_daily/target.csv",
    "tests/test_genes_daily.py",
]


@pytest.fixture(scope="module")
def _empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty") / "dags"
    known = ["--deployment", "https://git.example.org/caspian-deploy.git", "--ref", "v0.1.0"]
    assert cli.main(["new", "repository", str(folder), *known]) == 0
    return folder


@pytest.fixture
def repository(_empty, tmp_path, monkeypatch):
    """A new repository, in which the command is run."""
    shutil.copytree(_empty, tmp_path / "dags")
    monkeypatch.delenv("RAX_REPOSITORY", raising=False)
    monkeypatch.chdir(tmp_path / "dags")
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path / "dags/configs"))
    return tmp_path / "dags"


@pytest.fixture
def new(repository, capsys):  # noqa: ARG001 - it is run there
    """Run the command; return its exit code, output and error."""

    def run(*words):
        capsys.readouterr()
        code = cli.main(["new", "workflow", *words])
        return code, *capsys.readouterr()

    return run


def files_of(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def run_tool(root, *words):
    """Run a tool of Python in the repository, which it leaves as it is; return what it says."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "RUFF_NO_CACHE": "true"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("genes.daily", GENES),
        (
            "ebi.flights.daily",
            [
                "configs/ebi/flights/daily.yaml",
                "dags/ebi/flights_daily.py",
                "lib/ebi_flights_daily.py",
                "tests/flows/ebi_flights_daily.flow.yaml",
                "tests/flows/ebi_flights_daily/less.csv",
                "tests/flows/ebi_flights_daily/source.csv",
                "tests/flows/ebi_flights_daily/target.csv",
                "tests/test_ebi_flights_daily.py",
            ],
        ),
    ],
)
def test_the_files_of_a_workflow(repository, new, name, files):
    before = files_of(repository)
    code, output, error = new(name)
    assert (code, error) == (0, "")
    assert sorted(line.strip() for line in output.splitlines() if line.startswith("  ")) == files
    assert sorted(files_of(repository).keys() - before.keys()) == files
    assert before.items() <= files_of(repository).items()
    assert f"def {name.replace('.', '_')}() -> None:" in (repository / files[1]).read_text()


def test_the_keys_of_json(repository, new):
    code, output, _ = new("genes.daily", "--json")
    found = json.loads(output)
    assert (code, found["root"], sorted(found["written"])) == (0, str(repository), GENES)
    assert [*found] == ["root", "written"]


def test_a_folder_of_dags_of_its_own(repository, new):
    settings = repository / "rax.toml"
    settings.write_text(settings.read_text().replace('= "dags"', '= "airflow/dags"'))
    assert new("genes.daily")[0] == 0
    assert (repository / "airflow/dags/genes/daily.py").exists()
    config = (repository / "configs/genes/daily.yaml").read_text()
    assert "# What airflow/dags/genes/daily.py reads and writes.\n" in config


def test_it_is_the_repository_that_the_wrapper_is_of(repository, new, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, error = new("genes.daily")
    assert code == 3
    assert "has a rax.toml" in error
    monkeypatch.setenv("RAX_REPOSITORY", str(repository))
    assert new("genes.daily")[0] == 0
    assert (repository / GENES[0]).exists()


@pytest.mark.parametrize("name", ["a.b", "genes.daily", LONGEST])
def test_it_passes_what_reads_it(repository, new, name):
    """The names are as short and as long as may be: lines fit, and no line would be joined."""
    assert new(name)[0] == 0
    run_tool(repository, "ruff", "check", ".")
    run_tool(repository, "ruff", "format", "--check", ".")
    file = repository / "configs" / (name.replace(".", "/") + ".yaml")
    assert find_problems(file, repository / "configs") == []
    assert find_secrets(get_config(name)) == []
    (spec,) = map(functools.partial(read, root=repository), find(repository))
    assert max(map(len, spec.path.read_text().splitlines())) <= 100
    assert (spec.workflow, len(spec.cases)) == (name.replace(".", "_"), 4)


def test_other_lengths_of_lines_are_kept_too(repository, new):
    """A repository with settings of its own may have those of ruff and black, or wider ones."""
    assert new("genes.daily")[0] == 0
    (repository / "ruff.toml").unlink()
    for length in ("88", "120"):
        run_tool(repository, "ruff", "format", "--check", "--line-length", length, ".")
        run_tool(repository, "ruff", "check", "--select", "E,F,W", "--line-length", length, ".")


def test_its_test_is_found_in_both_ways(repository, new):
    assert new("genes.daily")[0] == 0
    assert "2 passed" in run_tool(repository, "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "Ran 2 tests" in run_tool(repository, "unittest", "discover", "tests")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "a part of it is empty; write it such as genes.daily"),
        ("genes", "it has two parts or more, joined by points, such as genes.daily"),
        ("genes_daily", "it has two parts or more"),
        ("a..b", "a part of it is empty"),
        (".a.b", "a part of it is empty"),
        ("a.b.", "a part of it is empty"),
        ("../x", "a part of it is empty"),
        ("a.b/c", "its parts are of small letters"),
        ("a.b\\c", "its parts are of small letters"),
        ("/etc/x.y", "its parts are of small letters"),
        ("Genes.daily", "its parts are of small letters"),
        ("genes.Daily", "its parts are of small letters"),
        ("genes.2026", "its parts are of small letters"),
        ("genes._daily", "its parts are of small letters"),
        ("genes.daily_", "its parts are of small letters"),
        ("genes.da__ily", "its parts are of small letters"),
        ("genes.__init__", "its parts are of small letters"),
        ("genes.da-ily", "its parts are of small letters"),
        ("genes.da ily", "its parts are of small letters"),
        ("genes.daily\n", "its parts are of small letters"),
        ("genes.$dag_id", "its parts are of small letters"),
        ("gènes.daily", "its parts are of small letters"),
        ("genes.ｄaily", "its parts are of small letters"),
        ("genes.🧬", "its parts are of small letters"),
        ("genes.\u202edaily", "its parts are of small letters"),
        ("genes.class", "class is a word of Python"),
        ("class.daily", "class is a word of Python"),
        ("async.daily", "async is a word of Python"),
        ("os.daily", "os is a module of Python"),
        ("json.daily", "json is a module of Python"),
        ("airflow.daily", "airflow is a package of the nodes"),
        ("rax.daily", "rax is a package of the nodes"),
        ("yaml.daily", "yaml is a package of the nodes"),
        ("lib.daily", "lib is a folder of the repository itself"),
        ("tests.daily", "tests is a folder of the repository itself"),
        ("a." + "b" * 300, "it has 302 characters, and 50 are the most"),
        ("compare.counts", "the DAG would be called compare_counts, as something that it imports"),
        ("get.config", "the DAG would be called get_config, as something that it imports"),
    ],
)
def test_a_name_that_is_none(repository, new, name, problem):
    before = files_of(repository.parent)
    code, output, error = new("--", name)
    assert (code, output) == (3, "")
    assert problem in error
    assert len(error) < 300
    assert error.rstrip("\n").isprintable()
    assert files_of(repository.parent) == before


@pytest.mark.parametrize(
    "name", ["genes.os", "genes.json", "genes.match", "genes.x2", "g1.x", "genes.lib", "genes.null"]
)
def test_a_name_that_nearly_is_none(new, name):
    assert new(name)[0] == 0


def test_again_writes_nothing(repository, new):
    new("genes.daily")
    before = files_of(repository)
    code, output, error = new("genes.daily")
    assert (code, output) == (3, "")
    *others, last = error.rstrip("\n").rpartition("there is already: ")[2].split(", ")
    # So that Airflow never sees the DAG without the rest.
    assert last == "dags/genes/daily.py"
    assert sorted([*others, last]) == GENES
    assert files_of(repository) == before


@pytest.mark.parametrize("there", GENES)
def test_one_of_its_files_that_is_there_stays_alone(repository, new, there):
    (repository / there).parent.mkdir(parents=True, exist_ok=True)
    (repository / there).write_text("ours")
    before = files_of(repository)
    code, _, error = new("genes.daily")
    assert code == 3
    assert f"nothing is written, since there is already: {there}\n" in error
    assert files_of(repository) == before


def test_a_file_where_a_folder_has_to_be(repository, new):
    (repository / "dags/genes").write_text("ours")
    code, _, error = new("genes.daily")
    assert code == 3
    assert "there is already: dags/genes\n" in error


def test_a_link_out_of_the_repository(repository, new):
    (repository / "dags/genes").symlink_to("/tmp")  # noqa: S108 - nothing is written there
    code, _, error = new("genes.daily")
    assert code == 3
    assert "dags/genes is a link that leads out of" in error
    assert not (repository / "lib/genes_daily.py").exists()


@pytest.mark.parametrize(
    "text",
    [
        "@workflow()\ndef genes_daily():\n    pass\n",
        "@airflow.sdk.dag\ndef genes_daily():\n    pass\n",
        "with DAG('genes_daily'):\n    pass\n",
        "x = models.DAG(schedule=None, dag_id='genes_daily')\n",
        "@dag('genes_daily', schedule=None)\ndef other():\n    pass\n",
    ],
)
def test_a_dag_of_that_id_that_is_there(repository, new, text):
    (repository / "dags/old.py").write_text(f"import airflow\n{text}")
    code, _, error = new("genes.daily")
    assert code == 3
    assert "dags/old.py:" in error
    assert "has a DAG that is called genes_daily already" in error
    assert not (repository / GENES[0]).exists()


@pytest.mark.parametrize(
    "text",
    [
        "def genes_daily():\n    pass\n",
        "@task\ndef genes_daily():\n    pass\n",
        "TriggerDagRunOperator(task_id='a', trigger_dag_id='genes_daily')\n",
        "with DAG('genes_daily_2'):\n    pass\n",
        "with DAG('genes_daily'\n",
        "x = " + "-" * 5000 + "1\n",
    ],
    ids=range(6),
)
def test_what_is_nearly_a_dag_of_that_id(repository, new, text):
    (repository / "dags/old.py").write_text(f"import airflow\n{text}")
    assert new("genes.daily")[0] == 0


def test_another_name_of_the_same_dag(new):
    assert new("genes.x_daily")[0] == 0
    code, _, error = new("genes_x.daily")
    assert code == 3
    assert "lib/genes_x_daily.py" in error
