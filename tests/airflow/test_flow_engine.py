"""The engine of `rax flow`: what a case gives, whatever its tasks do, and that nothing is left."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from rax.testing import _engine
from rax.testing._engine import Server, ServerError
from rax.testing._model import (
    ALL,
    UNSET,
    Case,
    Change,
    Content,
    Expectation,
    Given,
    Place,
    Query,
    RunKind,
    Spec,
    TaskExpectation,
    TaskKey,
)

# The first case waits for Airflow, which is imported and runs a DAG.
pytestmark = pytest.mark.timeout(600)
PLACE = Place("tests/flows/x.flow.yaml", 3)
SOURCE = Path(_engine.__file__).parents[3]
WORKFLOW = '''
"""Loads months."""

import logging
from pathlib import Path

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import task
from rax.config import get_config
from rax.credentials import get_credentials
from rax.workflow import check, summary, workflow

from lib.files import append

log = logging.getLogger("airflow.task")


@workflow(schedule=None, default_args={"retries": 1})
def loads():
    @check
    def answers():
        log.info("the password is %s", get_credentials("DB")["pass"])
        if get_config("loads")["broken"]:
            raise RuntimeError("no answer")

    @task
    def months(**context):
        return (context["dag_run"].conf or {}).get("months", [1, 2])

    @task
    def load(month, **context):
        append("months", f"{month} {context['logical_date']:%Y}")
        return {"month": month}

    @summary
    def report():
        return {"rows": len(Path("months").read_text().splitlines())}

    clear = SQLExecuteQueryOperator(
        task_id="clear", conn_id="DB", sql="DELETE FROM t", autocommit=True
    )
    answers() >> clear >> load.expand(month=months()) >> report()


loads()
'''
KINDS = '''
"""All kinds of tasks, as other operators and states make them."""

import datetime
import decimal

from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, task, task_group
from airflow.sdk.exceptions import AirflowSkipException


@dag(schedule=None)
def kinds():
    @task.branch(retries=1)
    def choose():
        return "group.left"

    @task_group
    def group():
        @task
        def left():
            return {"on": datetime.date(2026, 1, 31), "sum": (decimal.Decimal("1.5"), None)}

        @task
        def right():
            return 1

        left()
        right()

    @task(retries=1)
    def skips():
        raise AirflowSkipException

    @task
    def fails():
        raise ValueError("it is wrong")

    choose() >> group()
    fails() >> PythonOperator(task_id="after", python_callable=list)
    skips()
    DateTimeSensorAsync(task_id="waits", target_time="2026-01-01T00:00:00+00:00", retries=1)


kinds()
'''
TRIGGERS = """
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag


@dag(schedule=None)
def triggers():
    for name, other, options in (
        ("waits", "good", {"wait_for_completion": True}),
        ("begins", "bad", {}),
        ("fails", "bad", {"wait_for_completion": True, "deferrable": True}),
        ("lacks", "other", {}),
    ):
        TriggerDagRunOperator(task_id=name, trigger_dag_id=other, **options)


triggers()
"""
# By the id of a DAG, what its only task does.
ACTS = {
    "hangs": "time.sleep(1000)",
    "leaves": "os._exit(3)",
    "crashes": "ctypes.string_at(0)",
    "exits": "sys.exit(7)",
    "kills": "os.kill(os.getppid(), 9); os.kill(1, 9); time.sleep(0.2)",
    "floods": "[os.write(1, b'x' * 999 + b'\\n') for _ in range(20_000)]; print('the end')",
    "scribbles": """
for descriptor in range(3, 1024):
    with contextlib.suppress(OSError):
        # All that the engine has in there; Airflow's own are open in no task of a node.
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, b'{"kind": "Done"}\\n')
""",
    "daemon": """
for session in ("setsid", "env"):
    subprocess.Popen([session, "sh", "-c", "sleep 98765 & sleep 98765"])
""",
    "eats": """
eaten = []
while True:
    eaten.append(b"x" * 2**24)
    time.sleep(0.05)
""",
    "multiplies": """
while True:
    subprocess.Popen(["sleep", "98765"], start_new_session=True)
""",
    "fills": """
credential = get_credentials("DB")
with psycopg2.connect(
    host=credential["host"], port=credential["metadata"]["port"],
    dbname=credential["metadata"]["database"], user=credential["user"],
    password=credential["pass"],
) as connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE t (a text)")
    cursor.execute("ALTER TABLE t ALTER a SET STORAGE EXTERNAL")
    cursor.execute("INSERT INTO t SELECT repeat('x', 20000000) FROM generate_series(1, 100)")
""",
    "closes": "os.closerange(0, 1024); time.sleep(1000)",
    "listens": """
listener = socket.create_server(("127.0.0.1", 45991))
if os.fork() == 0:
    os.setsid()
    time.sleep(1000)
""",
    "reaches": """
said = []
for reach in (
    lambda: socket.create_connection(("192.0.2.1", 5432), 1),
    lambda: socket.getaddrinfo("db.example.com", 443),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.2", 53)),
    lambda: psycopg2.connect("host=192.0.2.3 connect_timeout=1"),
    lambda: subprocess.run(
        [sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.4', 9), 1)"],
        check=True, stderr=subprocess.PIPE,
    ),
):
    try:
        reach()
        said.append("reached")
    except Exception as error:
        said.append(type(error).__name__)
return said
""",
    "looks": """
return {
    "environment": dict(os.environ), "folder": os.getcwd(), "files": os.listdir(),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
}
""",
    "pools": """
with multiprocessing.Pool(2) as pool:
    found = pool.map(len, ["a", "bc"])
    # To end its processes, the pool would send SIGTERM, which Airflow has its tasks handle.
    pool.close()
    pool.join()
return found
""",
}
HEAD = """
import contextlib, ctypes, multiprocessing, os, psycopg2, socket, stat, subprocess, sys, time
from airflow.sdk import dag, task
from rax.credentials import get_credentials

"""
ACT = """
@dag(schedule=None)
def {name}():
    @task
    def act():
{body}

    act()


{name}()
"""


def acts():
    return HEAD + "".join(
        ACT.format(name=name, body=textwrap.indent(body.strip(), " " * 8))
        for name, body in ACTS.items()
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    for path, content in {
        "rax.toml": "[check]\ndags_folder = 'flows'\n[flows]\nmax_memory_mib = 1000\n",
        "flows/loads.py": WORKFLOW,
        "flows/kinds.py": KINDS,
        "flows/triggers.py": TRIGGERS,
        "flows/acts.py": acts(),
        "flows/broken.py": "from airflow.sdk import dag\nimport lost_in_space\n",
        "flows/stops.py": "import sys\nfrom airflow.sdk import dag\nsys.exit('dag stops')\n",
        "lib/files.py": """
            def append(path, line):
                with open(path, "a") as file:
                    file.write(f"{line}\\n")
        """,
        "configs/loads.yaml": "broken: false\n",
        "before.sql": "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (2);\n",
    }.items():
        file = root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(content).lstrip("\n"))
    return root


@pytest.fixture(scope="module")
def server(repository):
    with Server(repository) as server:
        yield server


@pytest.fixture(autouse=True)
def _outside(monkeypatch):
    """Export what a case must not see."""
    for name in ("AIRFLOW_CONN_PROD", "RAX_ALERTING_CREDENTIAL", "https_proxy", "SECRET"):
        monkeypatch.setenv(name, "https://u:canary@prod.example.com")


def case(*runs, given=None, tasks=(), **expected):
    expectation = Expectation(PLACE, tasks=tuple(tasks), **expected)
    kinds = runs or (RunKind.ONCE,)
    return Case(PLACE, "a case", given or Given(), dict.fromkeys(kinds, expectation))


def of(workflow):
    return Spec(Path("x.flow.yaml"), PLACE, workflow, ())


def run(server, workflow, a_case=None, *, max_seconds=500, **options):
    return server.run(of(workflow), a_case or case(), max_seconds=max_seconds, **options)


def by_key(output):
    return {str(task.key): task for task in output.tasks}


def processes(text):
    """Return the processes that have a text in their command lines."""
    found = psutil.process_iter(["cmdline", "status"])
    lines = [(one.info["status"], " ".join(one.info["cmdline"] or ())) for one in found]
    return [line for status, line in lines if text in line and status != psutil.STATUS_ZOMBIE]


LOADS = ("load[0]", "load[1]")
COUNT = Query("DB", "SELECT count(*) FROM t")
GIVEN = {"postgres": {"DB": ("before.sql",)}}


@pytest.fixture(scope="module")
def given(repository):
    def given(**more):
        return Given(postgres={"DB": (repository / "before.sql",)}, **more)

    return given


def test_all_runs_of_a_workflow(server, given):
    """Outputs are those at the end of each task, and `lost` begins anew and does all twice."""
    each = TaskExpectation(PLACE, TaskKey("load", ALL), files={"months": Content(PLACE, rows=1)})
    before = TaskExpectation(PLACE, TaskKey("answers"), tables={COUNT: Content(PLACE, rows=1)})
    begun = []
    output = run(
        server,
        "loads",
        case(
            *RunKind,
            given=given(
                logical_date=datetime(2025, 3, 1, tzinfo=UTC),
                conf={"months": [7, 8]},
                credentials={"OTHER": {"pass": "s3cr3t-canary"}},
            ),
            tasks=[each, before],
            tables={COUNT: Content(PLACE, rows=1)},
        ),
        on_task=lambda kind, key: begun.append(f"{kind} {key}"),
    )
    assert not output.trouble
    assert not output.denied
    assert [(one.kind, one.state) for one in output.runs] == [(kind, "success") for kind in RunKind]
    once, again, lost = map(by_key, output.runs)
    assert list(once) == ["answers", "months", "clear", "load[0]", "load[1]", "report"]
    assert once["load[0]"].returned == {"month": 7}
    assert once["answers"].returned is None
    assert once["answers"].part == "check"
    assert once["report"].upstream == {"load"}
    assert once["answers"].tables[COUNT].content == b"count\n2\n"
    assert again["answers"].tables[COUNT].content == b"count\n0\n"
    assert lost["answers"].tables[COUNT].content == b"count\n2\n"
    assert output.runs[0].tables[COUNT].content == b"count\n0\n"
    # Airflow runs them in any order, and the first one sees nothing of the other.
    assert sorted(once[key].files["months"].content.count(b"\n") for key in LOADS) == [1, 2]
    assert b"7 2025\n" in once["load[0]"].files["months"].content
    assert once["report"].returned == {"rows": 2}
    assert again["report"].returned == {"rows": 4}
    assert lost["report"].returned == {"rows": 4}
    assert {key: task.tries for key, task in lost.items()} == {
        "answers": 1, "months": 2, "clear": 2, "load[0]": 2, "load[1]": 2, "report": 1,
    }  # fmt: skip
    assert {task.tries for task in again.values()} == {1}
    for one in output.runs:
        assert [event["event_action"] for event in one.alerts] == ["resolve"]
        assert "the password is ***\n" in one.log
    assert begun[:2] == ["once answers", "once clear"] or begun[:2] == [
        "once answers",
        "once months",
    ]


def test_a_check_that_fails(server, given):
    output = run(server, "loads", case(given=given(configs={"loads": {"broken": True}})))
    (failed,) = output.runs
    assert failed.state == "failed"
    states = {key: task.state for key, task in by_key(failed).items()}
    assert states == {
        "answers": "failed", "months": "success", "clear": "upstream_failed",
        "load": "upstream_failed", "report": "failed",
    } or states["load"] == "upstream_failed"  # fmt: skip
    assert by_key(failed)["answers"].reason == "RuntimeError: no answer"
    assert [event["event_action"] for event in failed.alerts] == ["trigger"]


def test_data_changes_meanwhile(server, given):
    change = Change(PLACE, TaskKey("clear"), {"DB": "INSERT INTO t VALUES (9)"})
    never = Change(PLACE, TaskKey("nobody"), {"DB": "SELECT 1"})
    wrong = Change(PLACE, TaskKey("clear"), {"DB": "INSERT INTO t VALUES ('x')"})
    table = {COUNT: Content(PLACE, rows=1)}
    after = TaskExpectation(PLACE, TaskKey("clear"), tables=table)
    output = run(
        server, "loads", case(given=given(meanwhile=(change,)), tasks=[after], tables=table)
    )
    # What the task has left is seen first.
    assert by_key(output.runs[0])["clear"].tables[COUNT].content == b"count\n0\n"
    assert output.runs[0].tables[COUNT].content == b"count\n1\n"
    output = run(server, "loads", case(given=given(meanwhile=(wrong,))))
    assert output.trouble.startswith("tests/flows/x.flow.yaml:3: ")
    output = run(server, "loads", case(given=given(meanwhile=(never,))))
    assert output.trouble == (
        "tests/flows/x.flow.yaml:3: nothing was changed, since no task nobody has ended"
    )


def test_kinds_of_tasks(server):
    output = run(server, "kinds", case(RunKind.ONCE, RunKind.LOST))
    once, lost = map(by_key, output.runs)
    expected = {
        "choose": "success", "group.left": "success", "group.right": "skipped",
        "fails": "failed", "after": "upstream_failed", "skips": "skipped", "waits": "success",
    }  # fmt: skip
    assert {key: task.state for key, task in once.items()} == expected
    assert {key: task.state for key, task in lost.items()} == expected
    assert once["group.left"].returned == {"on": "2026-01-31", "sum": ["1.5", None]}
    assert once["fails"].reason == "ValueError: it is wrong"
    assert once["fails"].returned is UNSET
    assert once["skips"].returned is UNSET
    assert {key for key, task in lost.items() if task.tries == 2} == {"choose", "skips", "waits"}


@pytest.mark.parametrize(
    ("workflow", "seconds", "trouble"),
    [
        ("hangs", 15, "act was still running after 15 s"),
        ("leaves", 500, "act ended the process with exit code 3"),
        ("crashes", 500, "act was killed by SIGSEGV"),
        ("hang", 500, "no file of flows makes the DAG hang: did you mean hangs?; "
         "flows/broken.py cannot be loaded: ModuleNotFoundError: No module named 'lost_in_space'; "
         "flows/stops.py cannot be loaded: SystemExit: dag stops"),
    ],
)  # fmt: skip
def test_what_breaks_a_case_off(server, workflow, seconds, trouble):
    output = run(server, workflow, max_seconds=seconds)
    assert output.trouble == trouble
    assert output.runs == ()


EATEN = (
    "act used more than 1000 MiB of memory; a case may use what rax.toml says:"
    " [flows] max_memory_mib"
)


@pytest.mark.parametrize(
    ("workflow", "namespaces", "trouble"),
    [
        ("eats", True, EATEN),
        ("multiplies", True, "act had more than 512 processes at once"),
        ("multiplies", False, "act had more than 512 processes at once"),
        ("closes", True, "act closed files that it had not opened, and Airflow cannot go on"
         " without them"),
    ],
)  # fmt: skip
def test_what_uses_too_much_is_ended(server, workflow, namespaces, trouble, monkeypatch):
    monkeypatch.setattr(server, "namespaces", namespaces)
    assert run(server, workflow).trouble == trouble
    assert len(processes(str(server._folder))) == 1


def test_databases_have_a_bound_too(server, monkeypatch):
    monkeypatch.setattr(server, "max_memory_mib", 500)
    output = run(server, "fills", case(given=Given(postgres={"DB": ()})))
    assert output.trouble == (
        "PostgreSQL had no room left in its 500 MiB of memory; the databases of a case may have"
        " what rax.toml says: [flows] max_memory_mib"
    )
    assert [one.state for one in output.runs] == ["failed"]


def test_what_breaks_nothing(server):
    for workflow, state in {
        "exits": "failed", "kills": "success", "scribbles": "success", "pools": "success",
    }.items():  # fmt: skip
        output = run(server, workflow)
        assert (workflow, output.trouble) == (workflow, "")
        assert [one.state for one in output.runs] == [state]


def test_a_flood_of_output_is_cut(server):
    (flooded,) = run(server, "floods").runs
    assert "bytes are left out here" in flooded.log
    assert flooded.log.endswith("  the end\n")
    assert len(flooded.log) < 7_000_000


@pytest.mark.parametrize("namespaces", [True, False])
def test_what_is_tried_outside(server, namespaces, monkeypatch):
    monkeypatch.setattr(server, "namespaces", namespaces)
    output = run(server, "reaches")
    assert output.denied == (
        "act: 192.0.2.1 port 5432",
        "act: db.example.com port 443",
        "act: 192.0.2.2 port 53",
        "act: 192.0.2.3 port 5432",
    )
    said = output.runs[0].tasks[0].returned
    if namespaces:
        assert not output.guard
        assert said == ["OSError", "gaierror", "OSError", "OperationalError", "CalledProcessError"]
    else:
        assert "Python" in output.guard
        assert said[:4] == ["PermissionError"] * 3 + ["OperationalError"]


def test_another_dag_that_is_triggered(server):
    """Nothing of it runs: what is given says how it ends, and without that the task fails."""
    given = Given(triggers={"good": "success", "bad": "failed"})
    (once,) = run(server, "triggers", case(given=given)).runs
    found = {key: (task.state, task.reason) for key, task in by_key(once).items()}
    assert found == {
        "waits": ("success", ""),
        "begins": ("success", ""),
        "fails": ("failed", "TriggeredRunFailedError: the run of the DAG bad failed"),
        "lacks": (
            "failed",
            "NotGivenError: it triggers the DAG other, which is not in this case: say how that"
            " ends, given: {triggers: {other: success}}",
        ),
    }


@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_is_left(server, namespaces, monkeypatch):
    monkeypatch.setattr(server, "namespaces", namespaces)
    for workflow in ("daemon", "listens"):
        assert not run(server, workflow).trouble
    assert processes("sleep 98765") == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 45991))
    assert [entry.name for entry in server._folder.iterdir() if entry.name.isdigit()] == []


def test_a_case_sees_what_it_is_given(server):
    given = Given(environment={"GIVEN": "x"}, variables={"limit": "5"})
    (task,) = run(server, "looks", case(given=given)).runs[0].tasks
    found = task.returned["environment"]
    assert "canary" not in str(found)
    assert found["GIVEN"] == "x"
    assert found["AIRFLOW_VAR_LIMIT"] == "5"
    assert found["HOME"] == task.returned["folder"]
    assert task.returned["files"] == []
    assert task.returned["processes"] < 10


def test_an_edit_is_seen(server, repository):
    file = repository / "flows/kinds.py"
    file.write_text(KINDS.replace('return "group.left"', 'return "group.right"'))
    try:
        assert by_key(run(server, "kinds").runs[0])["group.left"].state == "skipped"
    finally:
        file.write_text(KINDS)


# Runs a case beside those of this process, with a server of its own.
OTHER = """
import sys
sys.path[:0] = sys.argv[1:3]
from tests.airflow.test_flow_engine import *
with Server(Path(sys.argv[3])) as server:
    def tell(kind, key):
        print(server._folder, flush=True)
    server.run(of("hangs"), case(), max_seconds=500, on_task=tell)
"""


def test_two_servers_do_not_meet_and_one_ends_with_its_caller(server, repository, given):
    command = [sys.executable, "-c", OTHER, str(SOURCE), str(SOURCE.parent), str(repository)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            folder = other.stdout.readline().strip()
            assert len(processes(folder)) == 4
            # A database that is kept stays up beside it, and is reached from outside.
            kept = run(server, "loads", case(given=given()), keep=True)
            (line,) = kept.kept
            command = [*shlex.split(line), "-Atc", COUNT.sql]
            asked = subprocess.run(command, capture_output=True, text=True, check=True)
            assert asked.stdout == "0\n"
            assert len(processes(folder)) == 4
        finally:
            other.kill()
    ends = time.monotonic() + 60
    while (processes(folder) or Path(folder).exists()) and time.monotonic() < ends:
        time.sleep(0.1)
    assert processes(folder) == []
    assert not Path(folder).exists()
    server.release()
    assert len(processes(str(server._folder))) == 1


def test_a_case_ends_with_the_process_that_has_forked_it(server):
    """It is the last test, since the server is gone after it."""

    def kill(_kind, _key):
        os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(ServerError, match="the process with Airflow has ended: "):
        run(server, "hangs", on_task=kill)
    ends = time.monotonic() + 60
    while processes(str(server._folder)) and time.monotonic() < ends:
        time.sleep(0.1)
    assert processes(str(server._folder)) == []
