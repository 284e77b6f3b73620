# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rax` and its errors say of files, names and answers of others: text, and nothing else."""

import json
import os
import pwd

import pytest

from rax import cli, credentials, errors
from rax.alerting._spool import Spool
from rax.cli._node import environment, release
from tests.attacks.answering_node import EVIL, RAW


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return a node whose credentials, configs, alerts and sync say what nobody should print."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path / "configs"))
    monkeypatch.setenv("RAX_ENVIRONMENT", EVIL)
    # A stand-in for leave_root would stay in the modules of commands that are imported meanwhile.
    monkeypatch.setenv("RAX_ACCOUNT", pwd.getpwuid(os.geteuid()).pw_name)
    fields = {"user": EVIL, "host": EVIL, "pass": "s3cret-word", "url": EVIL, "description": EVIL}
    file = folder / "A.json"
    file.touch(0o600)
    file.write_text(json.dumps(fields | {"metadata": {EVIL: EVIL, "a": [EVIL, {"b": EVIL}]}}))
    status = tmp_path / "credentials.status.json"
    status.touch(0o600)
    source = {"state": EVIL, "error": EVIL, "last_good_at": None}
    status.write_text(json.dumps({"version": 1, "sources": {"A": source, EVIL: source}}))
    (folder / f"{EVIL.replace('/', '')}.json").touch()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/a.yaml").write_text(json.dumps({EVIL: EVIL, "b": [EVIL]}))
    event = {"event_action": "trigger", "dedup_key": EVIL, "payload": {"summary": EVIL}}
    record = {"version": 1, "time": "2026-01-01T00:00:00Z", "credential": "P", "event": event}
    with Spool():
        for name in ("0000000000000001.json", "refused/x.json", f"refused/{EVIL}.json"):
            path = tmp_path / "spool" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(record | {"problem": EVIL}))
    sync = tmp_path / "sync"
    said = {"published": EVIL, "published_since": EVIL, "error": EVIL, "error_since": EVIL}
    blocked = {"sha": EVIL, "reason": EVIL, "since": EVIL}
    sync.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(said | {'blocked': blocked})}\nEND\n")
    sync.chmod(0o755)
    for module in (environment, release):
        monkeypatch.setattr(module, "DAG_SYNC", sync)
    return tmp_path


COMMANDS = ["status", "credentials list", "credentials show A", "credentials doctor",
            "config list", "config show a", "alerts status", "alerts flush"]  # fmt: skip


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_steers_the_terminal(command, form, capsys):
    cli.main(f"{command}{form}".split())
    output, problems = capsys.readouterr()
    text = output + problems
    assert text
    assert [mark for mark in RAW if mark in text] == []
    assert not text.replace("\n", "").strip("\n") or "\x1b" not in text
    assert all(line.isprintable() for line in text.splitlines())
    assert "ok: [honest]" not in {line.strip() for line in text.splitlines()}
    if form and output:
        json.loads(output)
        assert output.isascii()


@pytest.mark.usefixtures("node")
def test_odd_name_on_the_command_line(capsys):
    assert cli.main(["credentials", "show", EVIL]) == 3
    assert capsys.readouterr().err.rstrip("\n").isprintable()


@pytest.mark.usefixtures("node")
def test_no_error_of_rax_steers_a_log():
    """Whatever a message quotes; its text is what a log of Airflow gets."""
    assert [mark for mark in RAW if mark in str(errors.RaxError(f"a {EVIL}"))] == []
    with pytest.raises(errors.StaleCredentialError) as error:
        credentials.get_credentials("A", max_age=1)
    assert "OWNED" in str(error.value)
    assert str(error.value).isprintable()


def test_delete_in_json_stays_json(capsys):
    from rax.cli._output import write_json

    write_json({"a": "\x7f\u202e\udc80"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": "\x7f\u202e\udc80"}
    assert "\x7f" not in text
