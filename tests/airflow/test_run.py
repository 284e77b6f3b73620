"""`rax run`, beside what docs/writing_workflows.md shows: a good run and a failed check."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rax import _laptop, cli
from rax.airflow import _local_runs, _run_once
from rax.cli._run_process import Order, Process
from rax.cli.run import _not_there

SECRET = "s3cr3t canary"
SOURCE = Path(cli.__file__).parents[2]
CREDENTIAL = {
    "user": "u", "pass": SECRET, "host": "h", "url": "", "description": "", "metadata": {},
    "protected": [],
}  # fmt: skip

LIB = '''
"""What the tasks do."""

from rax.credentials import get_credentials


def password(name):
    return get_credentials(name)["pass"]
'''
WORKFLOW = '''
"""Talks, fails and is tried again."""

import logging
import subprocess
from datetime import timedelta
from pathlib import Path

from airflow.sdk import task
from airflow.sdk.log import mask_secret
from rax.config import get_config
from rax.workflow import workflow

from lib import secrets

log = logging.getLogger("airflow.task")


@workflow(schedule="@daily", default_args={"retries": 1, "retry_delay": timedelta(hours=1)})
def ebi_talks():
    @task
    def talk(**context):
        print("conf", context["dag_run"].conf, "for", context["logical_date"].date())
        log.info("config %s", dict(get_config("ebi")))
        mask_secret("r3gistered")
        print("masked", "r3gistered", secrets.password("EBI-01"))
        subprocess.run(["echo", "echoed", secrets.password("EBI-01")])
        return {"rows": 2}

    @task
    def again():
        mark = Path("tried")
        if not mark.exists():
            mark.touch()
            raise ValueError("the first time")

    @task
    def lacks():
        secrets.password("EBI-02")

    talk()
    again()
    lacks()


ebi_talks()
'''


def write(file, text, mode=0o644):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode)
    file.write_text(textwrap.dedent(text).lstrip())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("laptop") / "dags"
    write(root / "rax.toml", '[check]\ndags_folder = "workflows"\n')
    write(root / "workflows/talks.py", WORKFLOW)
    write(root / "workflows/broken.py", '"""A DAG of Airflow."""\n\nimport nosuch\n')
    write(root / "lib/secrets.py", LIB)
    write(root / "lib/__init__.py", "")
    write(root / "configs/ebi.yaml", "a: 1\nb: 2\n")
    write(root / "local/configs/ebi.yaml", "b: 3\n")
    write(root / "local/credentials/EBI-01.json", json.dumps(CREDENTIAL), 0o600)
    return root


@pytest.fixture
def laptop(root, tmp_path, monkeypatch):
    """Be on a laptop, in the repository, with an empty home."""
    monkeypatch.setattr(_laptop, "NODE", tmp_path / "no node")
    for name in ("RAX_CREDENTIALS_DIR", "RAX_CONFIG_DIR", "RAX_REPOSITORY"):
        # Set, so that what a command sets is gone after the test.
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production/airflow")
    monkeypatch.chdir(root / "workflows")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return root


@pytest.mark.timeout(300)
def test_a_run(laptop, tmp_path, capfd):
    """All of it in one run, since each takes Airflow ten seconds to start."""
    files = {file for file in laptop.rglob("*") if file.name != "tried"}
    (tmp_path / "conf.json").write_text('{"from": "a file"}')
    arguments = ["--conf", f"@{tmp_path}/conf.json", "--logical-date", "2025-01-31"]
    code = cli.main(["run", "ebi_talks", *arguments])
    out, err = capfd.readouterr()
    assert (code, err) == (1, "")
    assert SECRET not in out
    shown = out.splitlines()
    # Whatever is wrong with another file is said once.
    assert shown[:3] == [
        f"ERROR: Failed to import: {laptop}/workflows/broken.py",
        "ModuleNotFoundError: No module named 'nosuch'",
        "  workflows/broken.py:3 in <module>",
    ]
    said = {}
    for line in shown[3 : shown.index("")]:
        if not line.startswith(" "):
            task = said.setdefault(line, [])
        else:
            task.append(line.strip())
    assert said["talk"] == [
        "conf {'from': 'a file'} for 2025-01-31",
        "config {'a': 1, 'b': 3}",
        "masked *** ***",
        "echoed ***",
    ]
    assert said["again"][:2] == [
        "ERROR: ValueError: the first time",
        "workflows/talks.py:34 in again",
    ]
    missing = f"no credential 'EBI-02' in {laptop}/local/credentials: it has EBI-01"
    reason = f"CredentialNotFoundError: {missing}"
    assert said["lacks"][:3] == [
        f"ERROR: {reason}",
        "workflows/talks.py:38 in lacks",
        "lib/secrets.py:7 in password",
    ]
    headline, _, *rows = shown[shown.index("") + 1 :]
    assert headline.startswith("ebi_talks (default), run manual__")
    assert ": failed after " in headline
    # From when its tasks began, and not since 2025.
    assert float(headline.split()[-2]) < 300
    table = {row.split()[0]: row.split()[1:3] for row in rows[:3]}
    assert table == {"talk": ["success", "1"], "again": ["success", "2"], "lacks": ["failed", "2"]}
    alert = f"trigger of 'default/ebi_talks': ebi_talks (default) failed: lacks: {reason}"
    assert rows[3:] == [
        f"failed: lacks: {reason}",
        f"PagerDuty would have got: {alert}",
        "→ ./rax credentials set EBI-02",
    ]
    # Nothing is in the repository but what a task has written, and nothing is left but a cache.
    assert {file for file in laptop.rglob("*") if file.name != "tried"} == files
    (template,) = (tmp_path / "cache").rglob("*.db")
    assert template.parent == tmp_path / "cache/rax/databases"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("rax-run-")] == []


def test_a_workflow_that_is_not_there(root, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path, str(root)])
    for name, value in _laptop.settings(root, "workflows").items():
        monkeypatch.setenv(name, value)
    order = _run_once.Task("ebi_talk", str(root / "workflows"), [], None, None, "", "", 0)
    result = _run_once._run(order)
    assert result == _run_once.Result("", {"ebi_talks": str(root / "workflows/talks.py")}, 1)
    assert _not_there("ebi_talk", root, result) == (
        "dags has no workflow 'ebi_talk': did you mean ebi_talks (workflows/talks.py)?;"
        " it may be in a file that cannot be loaded, see above"
    )
    many = _run_once.Result("", {f"w{n:02}": f"{root}/workflows/{n}.py" for n in range(12)})
    assert _not_there("ebi", root, many).endswith("w09 (workflows/9.py) and 2 more")
    assert (
        _not_there("ebi", root, _run_once.Result()) == "dags has no workflow 'ebi': there is none"
    )


def test_a_dag_without_a_summary_has_a_table_too(load):
    text = (
        "@task(retries=3, retry_delay=timedelta(hours=1))\ndef load(n):\n    raise ValueError(n)\n"
        "@task\ndef after():\n    pass\n"
        "with DAG('ebi', schedule=None):\n    load.expand(n=[1, 2]) >> after()\n"
    )
    dag, reasons = load(text), {}
    for one in dag.tasks:
        _local_runs.retry_at_once(one)
        _run_once._note_reasons(one, reasons)
    lines = _run_once._report(dag, dag.test(), reasons).splitlines()
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["load[0]", "failed", "4"],
        ["load[1]", "failed", "4"],
        ["after", "upstream_failed", "-"],
    ]
    assert lines[5:] == ["failed: load[0]: ValueError: 1", "failed: load[1]: ValueError: 2"]


# What cannot be begun


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--conf", "{"], "--conf is not JSON: Expecting property name"),
        (["--conf", "[1]"], "--conf is not a JSON object"),
        (["--conf", "[" * 100_000], "--conf is not JSON: it cannot be read"),
        (["--conf", "@nosuch"], "nosuch: No such file or directory"),
        (["--logical-date", "yesterday"], "--logical-date 'yesterday' is not a date such as 2026"),
    ],
)
@pytest.mark.usefixtures("laptop")
def test_options_that_are_wrong(options, message, capfd):
    assert cli.main(["run", "ebi_talks", *options]) == 3
    assert capfd.readouterr().err.startswith(f"rax: {message}")


def test_a_node_runs_nothing(laptop, monkeypatch, capfd):
    monkeypatch.setattr(_laptop, "NODE", laptop)
    assert cli.main(["run", "ebi_talks"]) == 3
    assert capfd.readouterr().err.startswith("rax: this is a node, with the credentials of prod")


# Processes


def program(text):
    """Return what Python runs in place of a workflow."""
    head = f"""
        import json, os, signal, subprocess, sys, threading, time
        sys.path.append({str(SOURCE)!r})
        from rax.airflow import _local_runs, _run_once
        task = json.load(open(sys.argv[1]))
        threading.Thread(target=_run_once._end_with, args=[task["lifeline"]], daemon=True).start()

        def step(name):
            event = f"[DAG TEST] starting task_id={{name}} map_index=-1"
            print(json.dumps({{"timestamp": "", "level": "info", "event": event,
                               "logger": "airflow.sdk.definitions.dag"}}))
        """
    return ("-c", textwrap.dedent(head) + textwrap.dedent(text))


HANGS = """
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    step("load")
    print("pids", os.getpid(), other.pid)
    time.sleep(1000)
"""


def is_there(pid):
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("laptop")
def test_ctrl_c_ends_the_run_and_what_it_has_started(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(Process, "_program", program(HANGS))
    monkeypatch.setattr("rax.cli._run_process._MAX_END_SECONDS", 0.5)
    pids, before = [], signal.getsignal(signal.SIGTERM)

    def stop(self, number, lines=Process.lines):
        for found in lines(self):
            if found.startswith("pids"):
                pids.extend(map(int, found.split()[1:]))
                os.kill(os.getpid(), number)
            yield found

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        pids.clear()
        monkeypatch.setattr(Process, "lines", lambda self, number=number: stop(self, number))
        assert cli.main(["run", "ebi_talks"]) == 130
        assert capfd.readouterr().err == "rax: interrupted while load ran\n"
        assert len(pids) == 2
        # The kernel ends them when it comes to it.
        while any(map(is_there, pids)):
            time.sleep(0.05)
    assert not list(tmp_path.glob("rax-run-*"))
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("laptop")
def test_a_run_ends_with_whoever_waits_for_it(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom rax.cli._run_process import Order, Process\n"
        f"Process._program = {program(HANGS)!r}\n"
        f"order = Order(Path({str(tmp_path)!r}), 'dags', 'w', None, None)\n"
        f"folder = Path({str(tmp_path)!r}, 'run')\nfolder.mkdir()\n"
        "with Process(order, folder) as process:\n    for line in process.lines():\n"
        "        print(line, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    with parent:
        line = next(line for line in parent.stdout if line.startswith("pids"))
        child, other = map(int, line.split()[1:])
        parent.kill()
    # Only what is in a session of its own is left: nobody is there any more who knew of it.
    os.kill(other, signal.SIGKILL)
    while is_there(child):
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("step('load'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)", 1,
         "the process of the run was killed by SIGSEGV while load ran"),
        ("step('load'); sys.stdout.flush(); os._exit(0)", 1,
         "the process of the run ended itself with exit code 0 while load ran"),
        ("print('no'); sys.exit(7)", 3,
         "the process of the run ended itself with exit code 7: see its lines above"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("laptop")
def test_a_process_that_ends_early(monkeypatch, capfd, text, code, message):
    monkeypatch.setattr(Process, "_program", program(text))
    assert cli.main(["run", "ebi_talks"]) == code
    assert capfd.readouterr().err == f"rax: {message}\n"


@pytest.mark.usefixtures("laptop")
def test_a_run_for_programs(monkeypatch, capfd):
    text = """
        line = {"kind": "workflow_summary", "state": "success"}
        print("no credential 'EBI-02' in /x")
        print(json.dumps({"timestamp": "", "level": "info", "logger": "rax.workflow",
                          "event": json.dumps(line)}))
        folder = os.environ["RAX_ALERTING_CAPTURE"]
        os.mkdir(folder)
        json.dump({"event_action": "resolve", "dedup_key": "k"}, open(f"{folder}/1.json", "w"))
        json.dump({"state": "success"}, open(task["result"], "w"))
    """
    monkeypatch.setattr(Process, "_program", program(text))
    assert cli.main(["run", "ebi_talks", "--json"]) == 0
    out, err = capfd.readouterr()
    assert (json.loads(out), err) == (
        {
            "workflow": "ebi_talks",
            "state": "success",
            "summary": {"kind": "workflow_summary", "state": "success"},
            "alerts": [{"event_action": "resolve", "dedup_key": "k"}],
            "missing": ["EBI-02"],
        },
        "",
    )


@pytest.mark.usefixtures("laptop")
def test_a_task_that_says_nothing_is_named(monkeypatch, capfd):
    monkeypatch.setattr("rax.cli.run._QUIET_SECONDS", 0.1)
    text = "step('load'); sys.stdout.flush(); time.sleep(2.5); os._exit(1)"
    monkeypatch.setattr(Process, "_program", program(text))
    assert cli.main(["run", "ebi_talks"]) == 1
    assert "rax: load has said nothing for " in capfd.readouterr().err


@pytest.mark.usefixtures("laptop")
def test_what_a_task_leaves_running_holds_nobody_up(monkeypatch, capfd):
    text = "subprocess.Popen(['sleep', '1000']); step('load'); sys.stdout.flush(); os._exit(1)"
    monkeypatch.setattr(Process, "_program", program(text))
    assert cli.main(["run", "ebi_talks"]) == 1
    assert "ended itself with exit code 1 while load ran" in capfd.readouterr().err


@pytest.mark.usefixtures("laptop")
def test_lines_are_read_in_pieces(root, tmp_path, monkeypatch):
    monkeypatch.setattr("rax.cli._run_process._MAX_LINE_BYTES", 1000)
    text = "os.write(1, b'a\\n\\n' + b'b' * 5000 + b'\\nc\\xff'); os._exit(0)"
    monkeypatch.setattr(Process, "_program", program(text))
    with Process(Order(root, "workflows", "w", None, None), tmp_path) as process:
        lines = [line for line in process.lines() if line]
    assert (lines[0], "".join(lines[1:-1]), lines[-1]) == ("a", "b" * 5000, "c\ufffd")
    assert stat.S_IMODE((tmp_path / "task.json").stat().st_mode) == 0o600
