"""What the command says of the deployment that its environment was made from."""

import json

import pytest

from rax import __version__, cli
from rax.cli import _deployment

COMMIT = "0123456789012345678901234567890123456789"


def write(folder, **facts):
    known = {"repository": "/x", "ref": "v1", "commit": COMMIT, "python": "3.11"}
    (folder / "deployment.json").write_text(json.dumps(known | facts))


def test_what_was_written_is_read(tmp_path):
    write(tmp_path, more="of a later version")
    assert _deployment.installed(str(tmp_path)) == ("/x", "v1", COMMIT, "3.11")


def test_a_node_has_none(tmp_path):
    assert _deployment.installed(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, f" of v1 (commit {COMMIT}, Python 3.11)"),
        ({"ref": COMMIT}, f" of {COMMIT} (Python 3.11)"),
        ({"ref": "100%d\x1b[31m"}, f" of 100%d\\x1b[31m (commit {COMMIT}, Python 3.11)"),
        (None, ""),
    ],
)
def test_the_version_names_it(tmp_path, monkeypatch, capsys, facts, said):
    if facts is not None:
        write(tmp_path, **facts)
    monkeypatch.setattr(cli, "installed", lambda: _deployment.installed(str(tmp_path)))
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"rax {__version__}{said}\n"
