"""What a node does before it publishes: ``rax check --gate``."""

import pytest

from rax import cli
from rax.checking import _files, _stages
from rax.checking._finding import Finding

SOURCE = """\
from rax.credentials import get_credentials


def names():
    return [get_credentials("EBI-ETL-01"), get_credentials("OTHER-DB-02"),1]
"""


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Have one credential here, whatever the repository says."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "EBI-ETL-01.json").write_text("{}")
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    return folder


def test_a_credential_that_this_node_lacks_is_a_warning(repository, node):
    repository.write({"lib/a.py": SOURCE, "credentials.txt": "OTHER-DB-02\n"})
    outcome = _files.check(repository.project(gate=True))
    # Ruff would tell of the layout.
    assert outcome.findings == [
        Finding("lib/a.py", 5, "credential", f"'OTHER-DB-02' is not in {node}",
         "declare it in credentials_sources of the deployment, with this node among its hosts",
         True)
    ]  # fmt: skip


def test_a_config_names_a_credential_that_this_node_lacks(repository, node):
    source = (
        "from dataclasses import dataclass\nfrom rax.config import CredentialName, get_config\n"
        "@dataclass\nclass Config:\n    source: CredentialName\n    target: CredentialName\n"
        "get_config('a', Config)\n"
    )
    repository.write({"lib/a.py": source, "credentials.txt": "OTHER-DB-02\n",
                      "configs/a.yaml": "source: EBI-ETL-01\ntarget: OTHER-DB-02\n"})  # fmt: skip
    outcome = _files.check(repository.project(gate=True))
    assert outcome.findings == [
        Finding("configs/a.yaml", 2, "credential",
         f"the credential that target names is not in {node}",
         "declare it in credentials_sources of the deployment, with this node among its hosts",
         True)
    ]  # fmt: skip


def test_a_node_without_credentials_is_told_of_none(repository, node):
    (node / "EBI-ETL-01.json").unlink()
    node.rmdir()
    repository.write({"lib/a.py": SOURCE})
    assert _files.check(repository.project(gate=True)).findings == []


@pytest.mark.parametrize(("text", "code"), [("x = 1\n", 0), ("def f(:\n", 1)])
def test_the_exit_code_decides(repository, monkeypatch, capsys, text, code):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    ran = []
    monkeypatch.setattr(
        _stages,
        "run",
        lambda project, stage, real=_stages.run: ran.append(stage.name) or real(project, stage),
    )
    repository.write({"lib/a.py": text})
    assert cli.main(["check", "--gate", str(repository.root)]) == code
    assert ran == ["files", "dags"]
    assert "Files" in capsys.readouterr().out
