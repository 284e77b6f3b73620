"""A machine that has nothing, and `rax status` on it, for programs and for people."""

import json
import os
import sys

import pytest

from rax import cli
from rax.cli._node import (
    _units,
    answers,
    disks,
    environment,
    maintenance,
    postgresql,
    redis,
    release,
    services,
    worker,
)
from rax.config import _files

# Names in the modules of what a machine has.
_PLACES = [
    (release, "DAG_SYNC"), (environment, "DAG_SYNC"), (environment, "ENVIRONMENT"),
    (_units, "SYSTEMD"), (services, "SYSTEMD"), (redis, "FOLDER"), (postgresql, "FOLDER"),
    (worker, "GUARD"), (maintenance, "STATUS"), (answers, "SETTINGS"), (_files, "PUBLISHED"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine that has nothing but room on its disk."""
    nowhere = tmp_path / "nowhere"
    for module, name in _PLACES:
        monkeypatch.setattr(module, name, nowhere)
    monkeypatch.setattr(disks, "places", lambda: [tmp_path])
    monkeypatch.setenv("RAX_STATUS_DISK_PERCENT", "100")
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(nowhere))
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(nowhere))
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    for name in ("RAX_ALERTING_CREDENTIAL", "RAX_ENVIRONMENT", "RAX_CREDENTIALS_MAX_AGE",
                 "AIRFLOW_CONFIG"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def status(capfd):
    """Run it for programs; return the code and what it found."""

    def run():
        code = cli.main(["status", "--json"])
        out, err = capfd.readouterr()
        assert err == ""
        return code, json.loads(out)

    return run


@pytest.fixture
def lines(capfd):
    """Run it for people; return the lines of each part, and the problems."""

    def run():
        cli.main(["status"])
        parts, problems, part = {}, [], ""
        for line in capfd.readouterr().out.splitlines():
            if line.startswith("problem: "):
                problems.append(line.removeprefix("problem: "))
                continue
            part = line[:13].strip() or part
            parts.setdefault(part, []).append(line[13:])
        return parts, problems

    return run


@pytest.fixture
def program(machine, monkeypatch):
    """Put a program of Python on the machine, which is found by its name, and return its path."""
    (machine / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{machine}/bin", prepend=os.pathsep)

    def put(name, text):
        path = machine / "bin" / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
        return path

    return put


@pytest.fixture
def systemctl(machine, program, monkeypatch):
    """Have systemctl know these units: name → properties."""

    def use(text=None, **units):
        known = {
            name.replace("_", "-") + ".service" if "." not in name else name: properties
            for name, properties in units.items()
        }
        program("systemctl", text or _SYSTEMCTL.format(known=known))
        for module in (_units, services):
            monkeypatch.setattr(module, "SYSTEMD", machine)

    return use


_SYSTEMCTL = """\
import fnmatch, sys
known = {known!r}
well = {{"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "0",
        "UnitFileState": "enabled", "Type": "exec", "Result": "success",
        "StateChangeTimestamp": "@1769847004", "ActiveEnterTimestamp": "@1769847004"}}
absent = {{"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}}
names = [word for word in sys.argv[2:] if not word.startswith("-")]
if sys.argv[1] == "list-unit-files":
    print("\\n".join(f"{{name}} enabled" for name in known if fnmatch.fnmatch(name, names[0])))
elif "--value" in sys.argv:
    wanted = [word.partition("=")[2] for word in sys.argv if word.startswith("--property=")]
    print("\\n".join(known[names[0]].get(key, "") for key in wanted))
elif "--property=ExecStopPost" in sys.argv:
    print("ExecStopPost=" + known[names[0]].get("ExecStopPost", ""))
else:
    found = []
    for name in names:
        matching = [one for one in known if fnmatch.fnmatch(one, name)]
        for one in matching or ([] if "*" in name else [name]):
            said = {{"Id": one, **(well | known[one] if one in known else absent)}}
            found.append("\\n".join(f"{{key}}={{value}}" for key, value in said.items()))
    print("\\n\\n".join(found))
"""
