"""What CI runs, as it stands in the files of `rax new`: in a clean clone, with an empty home.

tests/unit/rax/test_ci_files.py reads the same files with the parsers of their systems.
"""

import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# After the clone of the deployment, which then is what --deployment and --ref name here.
COMMANDS = [
    "$deployment/scripts/new-repository dags --ci all --deployment $deployment --ref $ref",
    "cd dags",
    "./rax new workflow genes.daily",
    "./rax check",
]
MAX_COMMANDS = 5
TEST = """\"\"\"What is left to test.\"\"\"

import unittest


class NumbersTest(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(1 + 1, 2)
"""
# Its first check runs a workflow.
pytestmark = pytest.mark.timeout(1200)


def run(command, folder, environ):
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    code, output = run(["git", *identity, *words], folder, os.environ)
    assert code == 0, output
    return output


@pytest.fixture(scope="module")
def repositories(authors, tmp_path_factory):
    """Return a folder with the repository `dags` after the COMMANDS, and a branch `bad` of it."""
    folder = tmp_path_factory.mktemp("ci")
    environ = authors.environ | {"deployment": str(ROOT), "ref": authors.commit}
    script = "\n".join(["set -e", *COMMANDS])
    code, output = run(["bash", "-c", script], folder, environ)
    assert code == 0, output
    assert "ready to be merged" in output
    git(folder / "dags", "add", ".")
    git(folder / "dags", "commit", "--quiet", "--message", "Begin")
    # The workflow has passed above. What each system calls need not load Airflow for it again.
    paths = ("dags", "configs/genes", "lib/genes_daily.py", "tests")
    git(folder / "dags", "rm", "-r", "--quiet", *paths)
    (folder / "dags/dags").mkdir()
    (folder / "dags/tests").mkdir()
    (folder / "dags/tests/test_numbers.py").write_text(TEST)
    git(folder / "dags", "add", ".")
    git(folder / "dags", "commit", "--quiet", "--message", "Leave the workflow out")
    git(folder / "dags", "switch", "--quiet", "--create", "bad")
    with (folder / "dags/tests/test_numbers.py").open("a") as module:
        module.write("\n\nUNKNOWN = undefined\n")
    git(folder / "dags", "commit", "--quiet", "--all", "--message", "Break it")
    return folder


def test_five_commands_are_enough(repositories):
    """The first is the clone of the deployment, which many have already."""
    assert len(["git clone", *COMMANDS]) <= MAX_COMMANDS
    first = git(repositories / "dags", "ls-tree", "-r", "--name-only", "main~").splitlines()
    assert "dags/genes/daily.py" in first


def test_the_installed_library_has_all_templates(authors, repositories):
    """The first repository was written by a checkout. This one has the same deployment, unasked."""
    command = ["./rax", "new", "repository", "../other", "--ci", "all"]
    code, output = run(command, repositories / "dags", authors.environ)
    assert code == 0, output
    first = git(repositories / "dags", "ls-tree", "-r", "main~").splitlines()
    git(repositories / "other", "add", ".")
    git(repositories / "other", "commit", "--quiet", "--message", "Begin")
    other = git(repositories / "other", "ls-tree", "-r", "HEAD").splitlines()
    # By mode, content and name.
    assert set(other) < set(first)
    assert all("genes" in line for line in set(first) - set(other))


# The systems: what they run, and how


def jenkins(clone, environ):
    commands = re.findall(r"^ *sh '([^'\\]*)'$", (clone / "Jenkinsfile").read_text(), re.MULTILINE)
    assert len(commands) == 1
    # https://www.jenkins.io/doc/pipeline/steps/workflow-durable-task-step/
    return run(["sh", "-xec", commands[0]], clone, environ)


def github(clone, environ):
    job = yaml.safe_load((clone / ".github/workflows/check.yml").read_text())["jobs"]["check"]
    code, said = 0, ""
    for step in job["steps"]:
        # A step without a condition is left out once one has failed.
        if "run" in step and (code == 0 or "if" in step):
            ended, output = run(["bash", "-ec", step["run"]], clone, environ)
            code, said = code or ended, said + output
    return code, said


def gitlab(clone, environ):
    job = yaml.safe_load((clone / ".gitlab-ci.yml").read_text())["check"]
    assert job["variables"] == {"XDG_CACHE_HOME": "$CI_PROJECT_DIR/.cache"}
    # What its cache has brought.
    (clone / ".cache").mkdir()
    (clone / ".cache/rax").symlink_to(f"{environ['XDG_CACHE_HOME']}/rax")
    environ = environ | {"XDG_CACHE_HOME": f"{clone}/.cache"}
    return run(["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])], clone, environ)


@pytest.mark.parametrize("system", [jenkins, github, gitlab])
@pytest.mark.parametrize(("branch", "expected"), [("main", 0), ("bad", 1)])
def test_what_a_system_runs_and_keeps(authors, repositories, tmp_path, system, branch, expected):
    clone, home = tmp_path / "clone", tmp_path / "home"
    git(tmp_path, "clone", "--quiet", "--branch", branch, str(repositories / "dags"), "clone")
    home.mkdir()
    page = tmp_path / "page.md"
    environ = authors.environ | {"HOME": str(home), "GITHUB_STEP_SUMMARY": str(page)}
    code, output = system(clone, environ)
    assert code == expected, output
    # What the files archive, under these names.
    reports = sorted((clone / "reports").glob("*.xml"))
    found = [ElementTree.parse(report).getroot() for report in reports]  # noqa: S314 - rax has written it
    assert sum(len(list(report.iter("testcase"))) for report in found) > 0
    failures = [failure.get("message") for report in found for failure in report.iter("failure")]
    summary = (clone / "reports/summary.md").read_text()
    assert bool(failures) == bool(expected)
    assert all("undefined" in failure for failure in failures)
    assert ("not ready to be merged" in summary) == bool(expected)
    if system is github:
        assert page.read_text() == summary
    # Nothing that a commit could take along.
    assert git(clone, "status", "--porcelain") == ""
