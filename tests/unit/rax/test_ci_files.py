"""The files of CI that `rax new repository` writes: each system takes them, and runs one command.

What their commands do is in tests/airflow/test_ci.py, which runs them.
"""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from rax.templates import CI_SYSTEMS
from rax.templates._deployment import Deployment
from rax.templates._repository import _files, _files_of_ci
from tests.unit.rax import jenkinsfile

FILES = {
    str(file.path): file.content.decode()
    for system in CI_SYSTEMS
    for file in _files_of_ci(system, Deployment(python="3.13"))
}
JENKINS = FILES["Jenkinsfile"]
GITHUB = FILES[".github/workflows/check.yml"]
GITLAB = FILES[".gitlab-ci.yml"]
PAGE = (Path(jenkinsfile.__file__).parents[3] / "docs/ci.md").read_text()
CHECK = "./rax check --junit reports --markdown reports/summary.md"


def test_all_are_looked_at():
    assert sorted(FILES) == sorted(
        ["Jenkinsfile", "ci/jenkins-job.yaml", ".github/workflows/check.yml", ".gitlab-ci.yml"]
    )


# Jenkins


def test_the_jenkinsfile_is_one():
    assert jenkinsfile.problems(JENKINS) == []


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("pipeline {", "pipeline (", "not Groovy"),
        ("}\n", "", "not Groovy"),
        ("pipeline {", "pipelin {", "not one pipeline"),
        ("agent any", "agnet any", "pipeline: agnet"),
        ("agent any", "", "pipeline lacks agent"),
        ("stages {", "stgaes {", "pipeline: stgaes"),
        ("stage('Check')", "satge('Check')", "stages: satge"),
        ("stage('Check')", "stage()", "stage has no name"),
        ("steps {", "setps {", "stage: setps"),
        ("post {", "psot {", "pipeline: psot"),
        ("always {", "alwyas {", "post: alwyas"),
        ("sh './rax", "bash './rax", "steps: bash"),
        ("deleteDir()", "delete()", "dir: delete"),
        ("junit testResults", "junit results", "junit: results"),
        ("allowEmptyResults", "allowEmptyResult", "junit: allowEmptyResult"),
        ("abortPrevious", "abortPrevius", "disableConcurrentBuilds: abortPrevius"),
        ("timeout(time", "timeout(tiem", "timeout: tiem"),
        ("disableConcurrentBuilds", "disableConcurrentBuild", "options: disableConcurrentBuild"),
    ],
)
def test_a_mistake_in_a_jenkinsfile(good, bad, problem):
    assert good in JENKINS
    assert problem in jenkinsfile.problems(JENKINS.replace(good, bad, 1))


def test_the_jenkinsfile_keeps_its_promises():
    (pipeline,) = jenkinsfile.read(JENKINS)
    (timeout,) = pipeline.find("timeout")
    assert timeout.options == {"time": "30", "unit": "MINUTES"}
    (concurrent,) = pipeline.find("disableConcurrentBuilds")
    assert concurrent.options == {"abortPrevious": "true"}
    (always,) = pipeline.find("always")
    assert [(call.name, call.options) for call in always.body] == [
        ("junit", {"testResults": "reports/*.xml", "allowEmptyResults": "false"}),
        ("archiveArtifacts", {"artifacts": "reports/summary.md"}),
    ]
    assert [call.arguments for call in pipeline.find("sh")] == [[CHECK]]
    assert not pipeline.find("withCredentials")


def test_the_job_builds_branches_and_pull_requests(tmp_path):
    (tmp_path / "job.yaml").write_text(FILES["ci/jenkins-job.yaml"])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "jenkins_jobs", "test", "job.yaml"],
        cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = ElementTree.fromstring(done.stdout)  # noqa: S314 - of a tool of ours
    assert job.tag.endswith("WorkflowMultiBranchProject")
    assert job.find("factory/scriptPath").text == "Jenkinsfile"
    (source,) = job.iter("source")
    assert source.get("class").endswith("GitHubSCMSource")
    # Whose Jenkinsfile counts, of a fork.
    (trust,) = source.iter("trust")
    assert trust.get("class").endswith("TrustPermission")


# GitHub and GitLab


def schema_says(tmp_path, schema, text):
    """Return whether a file is of the system's own schema, and what the tool says."""
    (tmp_path / "file.yml").write_text(text)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run(
        [*command, "file.yml"],
        cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "text", "good", "bad"),
    [
        ("github-workflows", GITHUB, "timeout-minutes: 30", "timeout_minutes: 30"),
        ("gitlab-ci", GITLAB, "when: always", "when: alwyas"),
    ],
)
def test_the_schema_of_the_system(tmp_path, schema, text, good, bad):
    fits, said = schema_says(tmp_path, schema, text)
    assert fits, said
    assert good in text
    fits, said = schema_says(tmp_path, schema, text.replace(good, bad))
    assert not fits, said


def test_github_gives_nothing_away():
    workflow = yaml.safe_load(GITHUB)
    assert workflow["permissions"] == {"contents": "read"}
    # The event with secrets, for code of a fork, has another name. PyYAML reads `on` as true.
    assert [*workflow[True]] == ["pull_request", "push"]
    assert "secrets" not in GITHUB
    job = workflow["jobs"]["check"]
    assert "permissions" not in job
    assert job["timeout-minutes"] == 30
    checkout = next(step for step in job["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["persist-credentials"] is False
    for line in GITHUB.splitlines():
        if "uses:" in line:
            assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_github_and_gitlab_have_the_python_of_the_nodes():
    steps = yaml.safe_load(GITHUB)["jobs"]["check"]["steps"]
    (version,) = [step["with"]["python-version"] for step in steps if step.get("id") == "python"]
    assert version == "3.13"
    assert yaml.safe_load(GITLAB)["check"]["image"] == "python:3.13-bookworm"


def test_each_system_runs_the_same_command_and_keeps_what_it_writes():
    steps = yaml.safe_load(GITHUB)["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [
        CHECK,
        'cat reports/summary.md >> "$GITHUB_STEP_SUMMARY"',
    ]
    assert steps[-1]["with"]["path"] == "reports/"
    job = yaml.safe_load(GITLAB)["check"]
    assert job["script"] == [CHECK]
    assert job["artifacts"]["paths"] == ["reports/"]
    assert job["artifacts"]["reports"] == {"junit": "reports/*.xml"}
    assert job["artifacts"]["when"] == "always"


# docs/ci.md


def test_the_page_names_the_command_and_all_files():
    assert f"\n{CHECK}\n" in PAGE
    for name in FILES:
        assert f"`{name}`" in PAGE, name


def test_the_owners_of_the_page_own_what_decides_how_a_commit_is_checked():
    owned = re.findall(r"^ *(/\S+) +@example/platform$", PAGE, re.MULTILINE)
    for name in (*FILES, "rax", "rax.toml", "ruff.toml", "CODEOWNERS"):
        assert any(f"/{name}" == path or f"/{name}".startswith(path) for path in owned), name
    (protected,) = re.findall(r"Protected file patterns \| `(\S+)`", PAGE)
    assert [path.replace("**", "") for path in protected.split(";")] == [
        path.removeprefix("/") for path in owned
    ]


# examples/dag-repo


def test_the_example_is_such_a_repository():
    """It has what a new one has, and a workflow, its own README and its own deployment."""
    example = Path(jenkinsfile.__file__).parents[3] / "examples/dag-repo"
    files = _files(Deployment(python="3.11"), "dags", CI_SYSTEMS, flows_required=True)
    own = {"README.md", "rax.toml"}
    for file in files:
        if str(file.path) not in own and file.path.name != ".gitkeep":
            there = example / file.path
            assert there.read_bytes() == file.content, file.path
            assert bool(there.stat().st_mode & 0o111) == file.executable, file.path
    assert own <= {str(file.path) for file in files}
