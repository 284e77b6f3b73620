"""The command `rax` with the packages of a node: completion in a shell, and Airflow's version."""

import json
import subprocess
import sys
from importlib import metadata

import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    credentials, configs = tmp_path / "credentials", tmp_path / "configs"
    credentials.mkdir()
    for name in ("EBI-ETL-DEV-01", "EBI-ETL-PROD-01", "PAGERDUTY"):
        (credentials / f"{name}.json").touch()
    (configs / "ebi").mkdir(parents=True)
    (configs / "ebi/daily.yaml").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(credentials))
    monkeypatch.setenv("RAX_CONFIG_DIR", str(configs))
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(tmp_path / "alerts"))
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("PYTHONPATH", "src")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "rax", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def offered(run, tmp_path, monkeypatch):
    """Return what the shell is told, as the script of register-python-argcomplete asks."""

    def complete(line):
        answer = tmp_path / "answer"
        answer.touch()
        monkeypatch.setenv("_ARGCOMPLETE", "1")
        monkeypatch.setenv("_ARGCOMPLETE_IFS", "\n")
        monkeypatch.setenv("_ARGCOMPLETE_STDOUT_FILENAME", str(answer))
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        done = run()
        assert (done.stdout, done.stderr) == ("", "")
        return answer.read_text().split()

    return complete


@pytest.mark.parametrize(("line", "expected"), [
    ("rax cred", ["credentials"]),
    ("rax credentials d", ["doctor"]),
    ("rax credentials show EBI", ["EBI-ETL-DEV-01", "EBI-ETL-PROD-01"]),
    ("rax credentials doctor PAGERDUTY EBI-ETL-D", ["EBI-ETL-DEV-01"]),
    ("rax config show e", ["ebi.daily"]),
    ("rax alerts flush --q", ["--quiet"]),
    ("rax credentials show nosuch", []),
])  # fmt: skip
def test_completion(offered, line, expected):
    assert offered(line) == expected


def test_status_knows_the_version_of_airflow(run):
    done = run("status", "--json")
    assert done.stderr == ""
    version = json.loads(done.stdout)["environment"]["airflow"]
    assert version == metadata.version("apache-airflow")
