"""The true environment of authors: the nodes' packages, this library and the test tools."""

import json
import re
import subprocess
import sys

from tests.airflow.authors_testing import ROOT

VERSION = "{}.{}".format(*sys.version_info)
LISTED = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def run(authors, *command):
    ended = subprocess.run(
        command, env=authors.environ, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_the_version_names_the_deployment(authors, tmp_path):
    program = authors.add_repository(tmp_path / "dags") / "rax"
    # The second of these does not look for git or Python.
    for _ in range(2):
        assert (
            run(authors, program, "--version")
            == f"rax 0.1.0 of {authors.commit} (Python {VERSION})\n"
        )


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_has_what_the_locks_name_and_nothing_else(authors):
    [python] = (authors.cache / "environments").glob("*-py3*/bin/python")
    found = {
        normal(name): version
        for name, version in json.loads(run(authors, python, "-Ic", LISTED)).items()
    }
    short = VERSION.replace(".", "")
    locks = [
        ROOT / f"packages/requirements-py{short}.txt",
        ROOT / f"requirements/authors-py{short}.txt",
    ]
    locked = dict(
        re.findall(r"^([\w.-]+)==([^ \n;]+)", "".join(lock.read_text() for lock in locks), re.M)
    )
    assert found == locked | {"caspian-rax": "0.1.0"}
    assert {"apache-airflow-core", "pytest", "ruff"} <= found.keys()
