"""`rax status`: the parts of a node, each of which may be missing or broken."""

import json
import re
import time

import pytest

from rax import cli
from rax.cli._node import _commands, environment, release
from rax.cli._node.questions import QUESTIONS
from rax.config import _files

SHA, OTHER = "4f2a" * 10, "88aa" * 10
NAME = "EBI-ETL-DEV-01"
SYNC = {
    "published": SHA,
    "published_since": "2026-01-31T08:10:04Z",
    "seen": SHA,
    "previous": None,
    "pinned": None,
    "pinned_since": None,
    "blocked": None,
    "last_success": "2026-01-31T08:12:00Z",
    "age_seconds": 40,
    "error": None,
    "error_since": None,
    "failures": 0,
    "repairs": 0,
    "releases": [SHA],
}


def test_a_machine_that_has_nothing(status, lines):
    code, found = status()
    assert code == 0
    assert [*found] == ["host", *QUESTIONS, "problems"]
    assert found["host"] == found["environment"]["node"]
    here = {"environment", "alerts", "disks"}
    assert {name for name in QUESTIONS if found[name] is not None} == here
    assert found["problems"] == []
    parts, problems = lines()
    assert parts["release"] == parts["credentials"] == parts["services"]
    assert parts["release"] == ["not on this machine"]
    assert problems == []


# The release


@pytest.fixture
def sync(program, monkeypatch):
    def use(changes=None, text=""):
        text = text or f"print({json.dumps(SYNC | (changes or {}))!r})"
        path = program("airflow-dag-sync", text)
        monkeypatch.setattr(release, "DAG_SYNC", path)
        return path

    return use


def test_the_release(sync, status, lines):
    sync()
    code, found = status()
    assert code == 0
    assert found["release"] == {
        key: value
        for key, value in SYNC.items()
        if key not in ("previous", "failures", "repairs", "releases")
    }
    assert lines()[0]["release"] == ["4f2a4f2a4f2a, published 2026-01-31T08:10:04Z"]


BLOCKED = {"sha": OTHER, "reason": "dags/a.py:3: invalid\nsyntax", "since": "then"}
LONG_AGO, JUST_NOW = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(("changes", "kind", "problem"), [
    ({"blocked": BLOCKED}, "commit-blocked",
     "88aa88aa88aa is blocked since then: dags/a.py:3: invalid syntax"),
    ({"blocked": BLOCKED, "error": "blocked 88aa: invalid", "error_since": LONG_AGO},
     "commit-blocked", "88aa88aa88aa is blocked since then"),
    ({"error": "no route", "error_since": LONG_AGO}, "sync-server",
     "since 2026-01-01T00:00:00Z: no route"),
    ({"published": None}, "unpublished",
     "nothing is published: look at `journalctl -t airflow-dag-s"),
    ({"age_seconds": 901}, "sync-lagging",
     "the last sync that succeeded was 15 min 1 s ago: is cron run"),
    ({"pinned": SHA, "pinned_since": LONG_AGO}, "sync-pinned", "pinned to 4f2a4f2a4f2a for "),
    # A pin of an older program has no time: it is as old as what it has published.
    ({"pinned": SHA, "published_since": LONG_AGO}, "sync-pinned", "pinned to 4f2a4f2a4f2a for "),
])  # fmt: skip
def test_what_is_wrong_with_the_release(sync, status, lines, changes, kind, problem):
    sync(changes)
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert (one["component"], one["kind"]) == ("dag-sync", kind)
    assert one["problem"].startswith(problem)
    assert lines()[1][0].startswith(f"dag-sync: {problem}")


@pytest.mark.parametrize(("changes", "line"), [
    ({"pinned": SHA, "pinned_since": JUST_NOW, "seen": OTHER},
     "pinned: new commits are not published until"),
    ({"error": "no route", "error_since": JUST_NOW, "age_seconds": 70}, "failing since 2999"),
])  # fmt: skip
def test_what_is_young_is_told_and_is_no_problem(sync, status, lines, changes, line):
    sync(changes)
    assert status()[0] == 0
    assert lines()[0]["release"][1].startswith(line)


@pytest.fixture
def link(machine, monkeypatch):
    link = machine / "airflow-git-dir"
    (machine / ".airflow-git-dir/releases" / SHA).mkdir(parents=True)
    link.symlink_to(f".airflow-git-dir/releases/{SHA}")
    monkeypatch.setattr(_files, "PUBLISHED", link)
    return link


@pytest.mark.usefixtures("link")
def test_without_the_program_the_link_says_it(status, lines):
    code, found = status()
    assert code == 0
    assert found["release"]["published"] == SHA
    assert lines()[0]["release"][0].startswith("4f2a4f2a4f2a, published ")


@pytest.mark.parametrize(("text", "problem"), [
    ("import sys; print('x'); sys.exit('failed: it\\nmisconfigured: no')",
     "misconfigured: no (exit code 1)"),
    ("print('no json')", "Expecting value"),
    ("raise SystemExit(3)", "no word (exit code 3)"),
    ("print('[]')", "its answer is not of this version"),
    ("print('{\"blocked\": {\"commit\": 1}}')", "its answer is not of this version"),
    ("print('{\"published\": 5}')", "its answer is not of this version"),
    ("print('{\"published\": \"a\", \"pinned\": \"a\"}')", "its answer is not of this version"),
    ("print('[' * 10**5)", "its answer is not of this version"),
])  # fmt: skip
@pytest.mark.usefixtures("link")
def test_a_program_that_fails(sync, status, text, problem):
    path = sync(text=text)
    code, found = status()
    assert code == 1
    assert found["release"]["published"] == SHA
    (one,) = found["problems"]
    assert one["problem"].startswith(f"{path} status: {problem}")


def test_a_program_that_hangs(sync, status, monkeypatch):
    monkeypatch.setattr(_commands, "MAX_COMMAND_SECONDS", 0.2)
    sync(text="import time; time.sleep(60)")
    assert status()[1]["problems"][0]["problem"].endswith("status: no answer within 0.2 s")


# The environment


def test_the_environment(machine, status, lines, monkeypatch):
    current = machine / "current"
    current.symlink_to("environments/3f2a")
    monkeypatch.setattr(environment, "ENVIRONMENT", current)
    monkeypatch.setenv("RAX_ENVIRONMENT", "production")
    monkeypatch.setenv("RAX_ADDRESS", "10.0.0.1")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "3.3.2")
    code, found = status()
    assert code == 0
    described = found["environment"]
    assert described.pop("python").count(".") == 2
    assert described == {
        "name": "production", "python_environment": "3f2a", "airflow": "3.3.2",
        "rax": cli.__version__, "node": found["host"], "sync": None,
        "address": "10.0.0.1",
    }  # fmt: skip
    first, second = lines()[0]["environment"]
    assert first.startswith(f"production, Airflow 3.3.2, rax {cli.__version__}, Python 3.")
    assert second == f"{current} is 3f2a"


# The credentials


@pytest.fixture
def credentials(machine, monkeypatch):
    folder = machine / "credentials"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    sources = {}
    for number, age in enumerate([60, 7200]):
        file = folder / f"{NAME}{number}.json"
        file.touch(0o600)
        fields = dict.fromkeys(["user", "pass", "host", "url", "description"], "x")
        file.write_text(json.dumps(fields | {"metadata": {}}))
        good = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
        sources[file.stem] = {"state": "current", "error": None, "last_good_at": good}
    path = machine / "credentials.status.json"
    path.write_text(json.dumps({"version": 1, "sources": sources}))
    path.chmod(0o440)
    return folder


@pytest.mark.usefixtures("credentials")
def test_the_credentials(status, lines):
    code, found = status()
    assert code == 0
    oldest = found["credentials"].pop("oldest_age_seconds")
    assert 7200 <= oldest < 7300
    assert found["credentials"] == {"count": 2, "problems": 0}
    [line] = lines()[0]["credentials"]
    assert re.fullmatch(r"2, the oldest confirmed 2 h( \d+ s)? ago", line)


def test_what_is_wrong_with_the_credentials(credentials, status):
    for file in credentials.iterdir():
        file.chmod(0o666)
    code, found = status()
    assert code == 1
    assert found["credentials"]["problems"] == 2
    (one,) = found["problems"]
    assert (one["component"], one["kind"]) == ("credentials", "credentials-insecure")
    assert one["problem"].startswith(f"{NAME}0: {credentials}/{NAME}0.json: has the mode 0666")
    assert one["problem"].endswith("(1 more); `rax credentials doctor` says what to do")


def test_credentials_that_cannot_be_reached_are_not_absent(machine, status, monkeypatch):
    (machine / "file").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(machine / "file/credentials"))
    code, found = status()
    assert code == 1
    assert found["credentials"]["problems"] == 1
    (one,) = found["problems"]
    assert (one["component"], one["kind"]) == ("credentials", "credentials-unreadable")
    assert one["problem"].startswith(f"{machine}/file: cannot be entered by ")


# The alerts


@pytest.mark.parametrize(("when", "code"), [(LONG_AGO, 1), (JUST_NOW, 0)])
def test_alerts_that_wait(status, lines, monkeypatch, when, code):
    """One that is just being sent is no problem."""
    waiting = [{"when": JUST_NOW}, {"when": when}]
    look = {"pending": waiting, "refused": [], "dropped": 0, "off": None}
    monkeypatch.setattr("rax.cli.alerts.look", lambda: look)
    given, found = status()
    assert given == code
    assert found["alerts"] == {"pending": 2, "refused": 0, "dropped": 0, "off": None}
    said, problems = lines()
    assert said["alerts"] == ["2 waiting to be sent"]
    assert problems == ["alerts: 2 waiting to be sent: `rax alerts status`"] * code


def test_alerts_that_are_off(status, lines):
    code, found = status()
    assert code == 0
    assert found["alerts"]["off"].startswith("alerting is not set up: ")
    assert lines()[0]["alerts"][0].startswith("alerting is not set up: ")
