"""`rax status`: the parts of a node, each of which may be missing or broken."""

import json
import os
import re
import sys
import time

import pytest

from rax import cli
from rax.cli import _node
from rax.config import _files

SHA, OTHER = "4f2a" * 10, "88aa" * 10
NAME = "EBI-ETL-DEV-01"
SYNC = {
    "published": SHA,
    "published_since": "2026-01-31T08:10:04Z",
    "seen": SHA,
    "previous": None,
    "pinned": None,
    "blocked": None,
    "last_success": "2026-01-31T08:12:00Z",
    "age_seconds": 40,
    "error": None,
    "error_since": None,
    "failures": 0,
    "repairs": 0,
    "releases": [SHA],
}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine that has nothing."""
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr(_node, "_DAG_SYNC", nowhere)
    monkeypatch.setattr(_node, "_ENVIRONMENT", nowhere)
    monkeypatch.setattr(_node, "_SYSTEMD", nowhere)
    monkeypatch.setattr(_files, "PUBLISHED", nowhere)
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(nowhere))
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(nowhere))
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    for name in ("RAX_ALERTING_CREDENTIAL", "RAX_ENVIRONMENT", "RAX_CREDENTIALS_MAX_AGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def status(capsys):
    """Run it for programs; return the code and what it found."""

    def run():
        code = cli.main(["status", "--json"])
        out, err = capsys.readouterr()
        assert err == ""
        return code, json.loads(out)

    return run


@pytest.fixture
def lines(capsys):
    """Run it for people; return the lines of each part, and the problems."""

    def run():
        cli.main(["status"])
        parts, problems, part = {}, [], ""
        for line in capsys.readouterr().out.splitlines():
            if line.startswith("problem: "):
                problems.append(line.removeprefix("problem: "))
                continue
            part = line[:13].strip() or part
            parts.setdefault(part, []).append(line[13:])
        return parts, problems

    return run


def program(path, text):
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def test_a_machine_that_has_nothing(status, lines):
    code, found = status()
    assert code == 0
    assert [*found] == [
        "host", "release", "environment", "credentials", "services", "alerts", "problems",
    ]  # fmt: skip
    assert found["host"] == os.uname().nodename
    assert found["release"] is found["credentials"] is found["services"] is None
    assert found["problems"] == []
    parts, problems = lines()
    assert parts["release"] == parts["credentials"] == parts["services"]
    assert parts["release"] == ["not on this machine"]
    assert problems == []


# The release


@pytest.fixture
def sync(machine, monkeypatch):
    def use(changes=None, text=""):
        text = text or f"print({json.dumps(SYNC | (changes or {}))!r})"
        path = program(machine / "airflow-dag-sync", text)
        monkeypatch.setattr(_node, "_DAG_SYNC", path)
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


@pytest.mark.parametrize(("changes", "problem"), [
    (
        {"blocked": {"sha": OTHER, "reason": "dags/a.py:3: invalid\nsyntax", "since": "then"}},
        "release: 88aa88aa88aa is blocked since then: dags/a.py:3: invalid syntax",
    ),
    ({"error": "no route", "error_since": "then"}, "release: since then: no route"),
    ({"published": None}, "release: nothing is published: look at `journalctl -t airflow-dag-s"),
    ({"age_seconds": 901}, "release: the last sync that succeeded was 15 min 1 s ago: is cron run"),
])  # fmt: skip
def test_what_is_wrong_with_the_release(sync, status, lines, changes, problem):
    sync(changes)
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert f"{one['part']}: {one['problem']}".startswith(problem)
    assert lines()[1][0].startswith(problem)


def test_a_pin_is_told_and_is_no_problem(sync, status, lines):
    sync({"pinned": SHA, "seen": OTHER})
    assert status()[0] == 0
    assert lines()[0]["release"][1].startswith("pinned: new commits are not published until")


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
    monkeypatch.setattr(_node, "_MAX_COMMAND_SECONDS", 0.2)
    sync(text="import time; time.sleep(60)")
    assert status()[1]["problems"][0]["problem"].endswith("status: no answer within 0.2 s")


# The environment


def test_the_environment(machine, status, lines, monkeypatch):
    current = machine / "current"
    current.symlink_to("environments/3f2a")
    monkeypatch.setattr(_node, "_ENVIRONMENT", current)
    monkeypatch.setenv("RAX_ENVIRONMENT", "production")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "3.3.2")
    code, found = status()
    assert code == 0
    environment = found["environment"]
    assert environment.pop("python").count(".") == 2
    assert environment == {
        "name": "production", "python_environment": "3f2a", "airflow": "3.3.2",
        "rax": cli.__version__,
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
    assert one["part"] == "credentials"
    assert one["problem"].startswith(f"{NAME}0: {credentials}/{NAME}0.json: has the mode 0666")
    assert one["problem"].endswith("(1 more); `rax credentials doctor` says what to do")


def test_credentials_that_cannot_be_reached_are_not_absent(machine, status, monkeypatch):
    (machine / "file").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(machine / "file/credentials"))
    code, found = status()
    assert code == 1
    assert found["credentials"]["problems"] == 1
    (one,) = found["problems"]
    assert one["part"] == "credentials"
    assert one["problem"].startswith(f"{machine}/file: cannot be entered by ")


# The services

UNITS = """\
Id=airflow-scheduler.service
ActiveState=active
SubState=running
UnitFileState=enabled
StateChangeTimestamp=@1769847004

Id=airflow-worker.service
ActiveState=inactive
SubState=dead
UnitFileState=disabled
StateChangeTimestamp=
"""


@pytest.fixture
def systemctl(machine, monkeypatch):
    def use(
        shown=UNITS, listed="airflow-scheduler.service enabled\nairflow-worker.service disabled"
    ):
        (machine / "bin").mkdir()
        program(
            machine / "bin/systemctl",
            f"import sys\nprint({shown!r} if sys.argv[1] == 'show' else {listed!r})",
        )
        monkeypatch.setenv("PATH", f"{machine}/bin", prepend=os.pathsep)
        monkeypatch.setattr(_node, "_SYSTEMD", machine)

    return use


def test_the_services(systemctl, status, lines):
    systemctl()
    code, found = status()
    assert code == 0
    assert found["services"] == [
        {"unit": "airflow-scheduler.service", "state": "active", "substate": "running",
         "enabled": True, "since": "2026-01-31T08:10:04Z"},
        {"unit": "airflow-worker.service", "state": "inactive", "substate": "dead",
         "enabled": False, "since": None},
    ]  # fmt: skip
    first, second = lines()[0]["services"]
    assert first.startswith("airflow-scheduler.service active for ")
    assert second == "airflow-worker.service inactive, not enabled"


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("ActiveState=active", "ActiveState=failed", "airflow-scheduler.service is failed (running)"),
    ("ActiveState=active", "ActiveState=activating", "airflow-scheduler.service is activating"),
    ("ActiveState=inactive", "ActiveState=failed", "airflow-worker.service is failed (dead)"),
    ("UnitFileState=disabled", "UnitFileState=enabled", "airflow-worker.service is inactive"),
])  # fmt: skip
def test_what_is_wrong_with_the_services(systemctl, status, old, new, problem):
    systemctl(UNITS.replace(old, new))
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert one["problem"].startswith(problem)
    assert "`journalctl -u airflow-" in one["problem"]


@pytest.mark.parametrize("text", ["", "raise SystemExit(1)"])
def test_a_machine_with_systemd_and_without_airflow(systemctl, status, machine, text):
    """Versions of systemctl differ in what they say of it."""
    systemctl()
    program(machine / "bin/systemctl", text)
    code, found = status()
    assert (code, found["services"]) == (0, None)


def test_a_systemctl_that_fails(systemctl, status, machine):
    systemctl()
    program(machine / "bin/systemctl", "raise SystemExit('no bus')")
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert one == {"part": "services", "problem": "systemctl: no bus (exit code 1)"}


# The alerts


def test_alerts_that_wait(status, lines, monkeypatch):
    look = {"pending": [{}, {}], "refused": [], "dropped": 0, "off": None}
    monkeypatch.setattr("rax.cli.alerts.look", lambda: look)
    code, found = status()
    assert code == 1
    assert found["alerts"] == {"pending": 2, "refused": 0, "dropped": 0, "off": None}
    assert lines()[1] == ["alerts: 2 waiting to be sent: `rax alerts status`"]


def test_alerts_that_are_off(status, lines):
    code, found = status()
    assert code == 0
    assert found["alerts"]["off"].startswith("alerting is not set up: ")
    assert lines()[0]["alerts"][0].startswith("alerting is not set up: ")


def test_one_part_that_cannot_be_looked_at_leaves_the_others(status, lines, machine, monkeypatch):
    file = machine / "file"
    file.touch()
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(file))
    code, found = status()
    assert code == 1
    (one,) = found["problems"]
    assert one["part"] == "alerts"
    assert str(file) in one["problem"]
    assert found["environment"]["rax"] == cli.__version__
    assert lines()[0]["alerts"] == ["see below"]
