"""The example's workflow in its four outcomes: state, log, and what PagerDuty gets to know."""

import json
import re
import secrets
from urllib.parse import quote

import pytest

DAG = "ebi_flights_daily"
KEY = f"lab/{DAG}"
CONFIG = "configs/ebi/flights/daily.yaml"
EVENTS = "/srv/fakes/pagerduty/events.jsonl"
SENT_SECONDS = 90  # Cron looks every minute.
# A workflow of few rows, and without the pauses of half a minute between its tries.
MONTHS = "months: [1, 2, 3]"
RETRIES = '"retries": 0'
ROWS = 80_789  # Of January to March 2013.
NO_MARCH = "ALTER TABLE flights ADD CONSTRAINT no_march CHECK (month <> 3) NOT VALID"
LOSE = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN IF NEW.month = 3 AND NEW.day = 1 THEN RETURN NULL; END IF; RETURN NEW; END';
CREATE TRIGGER lose BEFORE INSERT ON flights FOR EACH ROW EXECUTE FUNCTION lose();
"""
MEND = """
ALTER TABLE flights DROP CONSTRAINT IF EXISTS no_march;
DROP TRIGGER IF EXISTS lose ON flights;
DROP FUNCTION IF EXISTS lose();
"""
BROKEN_LOAD = (
    "CheckViolation: new row for relation \"flights\" violates check constraint \"no_march\""
)  # fmt: skip


class Lab:
    """The workflow, its database and its PagerDuty."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.session = secrets.token_hex(3)
        self.sha = ""

    def events(self):
        """Return what PagerDuty has taken of workflows so far."""
        lines = self.cluster.node("control1").run(f"cat {EVENTS}").stdout.splitlines()
        # The control node's own alerts come when they do.
        own = ("caspian-refresh/", "lab/platform/")
        events = map(json.loads, lines)
        return [event for event in events if not event["dedup_key"].startswith(own)]

    def answers(self, *faults):
        """Have PagerDuty answer like this; as it should, without any."""
        self.cluster.ssh(
            "control1",
            "install -o fakes -m 600 /dev/stdin /srv/fakes/pagerduty/faults.json",
            json.dumps(faults),
        )

    def push(self, change=lambda config: config):
        """Publish the workflow with few months, and its config changed."""
        repository = self.cluster.lab / "dag-repo"
        path = f"dags/ebi/{DAG.removeprefix('ebi_')}.py"
        dag = re.sub(r'"retries": \d+', RETRIES, (repository / path).read_text())
        config = re.sub(r"^months: .*$", MONTHS, (repository / CONFIG).read_text(), flags=re.M)
        self.sha = self.cluster.push({path: dag, CONFIG: change(config)}, "Load few months")
        self.cluster.sync(self.sha)
        self.cluster.wait_until_parsed(self.sha, DAG)

    def sql(self, script):
        """Change the database of the workflow, as its owner does."""
        self.cluster.send("scheduler1", "/run/outcome.sql", script)
        self.cluster.node("scheduler1").check_output(
            "runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 ebi < /run/outcome.sql"
            " && rm /run/outcome.sql"
        )

    def run(self, name, told=1):
        """Run the workflow; return the run, and what it has told PagerDuty: so many events."""
        before = len(self.events())
        run = self.cluster.begin(DAG, f"{name}-{self.session}")
        state = self.cluster.end(run, 180)["state"]
        # An incident is closed after the state of the run is known.
        self.cluster.wait(
            lambda: len(self.events()) >= before + told, 20, f"PagerDuty is told of {name}"
        )
        return Run(self, run, state, self.events()[before:])


class Run:
    """A run that has ended."""

    def __init__(self, lab, path, state, events):
        self.lab, self.path, self.state, self.events = lab, path, state, events
        self.release = lab.sha

    @property
    def instances(self):
        """Return the instances of the tasks, by name and index."""
        found = self.lab.cluster.api.call("GET", f"{self.path}/taskInstances")["task_instances"]
        return {
            task["task_id"] + ("" if task["map_index"] < 0 else f"[{task['map_index']}]"): task
            for task in found
        }

    @property
    def states(self):
        """Return the state of each task."""
        return {name: task["state"] for name, task in self.instances.items()}

    @property
    def report(self):
        """Return what the summary logged as one line of JSON."""
        log = self.lab.cluster.api.call("GET", f"{self.path}/taskInstances/report/logs/1")
        lines = [line["event"] for line in log["content"] if "workflow_summary" in str(line)]
        return json.loads(lines[-1])

    @property
    def failures(self):
        """Return what that line says of the tasks that failed themselves: why."""
        found = (task for task in self.report["failures"] if task["state"] == "failed")
        return {task["task"]: task["reason"] for task in found}

    def trigger(self, by, headline, **details):
        """Return the event that a task of this run sends."""
        run_id = self.path.rpartition("/")[2]
        base = f"http://{self.lab.cluster.address('scheduler1')}:8080"
        # As inventories/lab has it in airflow_dag_view_url.
        release_url = f"https://git.example.org/dags/commit/{self.release}"
        return {
            "event_action": "trigger",
            "dedup_key": KEY,
            "payload": {
                "summary": f"{DAG} (lab) failed: {headline}",
                "source": self.lab.cluster.name_at(self.instances[by]["hostname"]),
                "severity": "error",
                "custom_details": {
                    "workflow": DAG,
                    "environment": "lab",
                    "run_id": run_id,
                    "run": f"{base}/dags/{DAG}/runs/{quote(run_id)}",
                    "release": self.release,
                    "release_url": release_url,
                    **details,
                },
            },
            "links": [{"href": release_url, "text": "The release"}],
        }


# Airflow leaves out such files unless it is told otherwise: they don't say what they declare.
PLAIN = '''"""A workflow of one check, whose summary cannot say how it went."""

import os
import signal

from rax.workflow import check, summary, workflow


@workflow(is_paused_upon_creation=False)
def plain():
    @check
    def nothing():
        pass

    @summary
    def end():
        os.kill(os.getpid(), signal.SIGKILL)


plain()
'''
RESOLVE = {"event_action": "resolve", "dedup_key": KEY}


def timeless(events):
    """Return events without the time at which each happened, which has to be there."""
    for event in events:
        if event["event_action"] == "trigger":
            assert re.match(r"20\d\d-\d\d-\d\dT", event["payload"].pop("timestamp"))
    return events


@pytest.fixture(scope="module")
def lab(cluster):
    repository = cluster.lab / "dag-repo"
    files = [CONFIG, f"dags/ebi/{DAG.removeprefix('ebi_')}.py"]
    before = {path: (repository / path).read_text() for path in files}
    lab = Lab(cluster)
    lab.push()
    cluster.api.call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
    yield lab
    cluster.sync(cluster.push(before, "Load the whole year"))


@pytest.fixture(scope="module")
def fine(lab):
    return lab.run("fine")


@pytest.mark.timeout(400)
def test_fine(fine):
    assert fine.state == "success", fine.states
    assert set(fine.states.values()) == {"success"}
    assert fine.events == [RESOLVE]
    report = fine.report
    assert {name: report[name] for name in ("workflow", "environment", "state", "failures")} == {
        "workflow": DAG, "environment": "lab", "state": "success", "failures": [],
    }  # fmt: skip
    assert report["release"] == fine.release
    loads = report["tasks"]["load_month"]
    assert (loads["states"], loads["rows"]) == ({"success": 3}, ROWS)
    assert report["details"] == dict.fromkeys(("expected", "found"), ROWS)


@pytest.mark.timeout(400)
def test_check_fails(lab, fine):
    assert fine
    lab.push(lambda config: config.replace(MONTHS, "months: [1, 13]"))
    try:
        run = lab.run("check")
    finally:
        lab.push()
    assert run.state == "failed"
    assert run.states == {
        "source_has_flights": "failed",
        "target_answers": "success",
        "create_table": "upstream_failed",
        "load_month[0]": "upstream_failed",
        "load_month[1]": "upstream_failed",
        "report": "failed",
    }
    reason = "CheckError: The source has no flights for 2013, months [13]"
    # Once: the summary has nothing to add.
    check = "source_has_flights"
    assert timeless(run.events) == [
        run.trigger(check, f"check {check}: {reason}", check=check, reason=reason)
    ]
    assert run.failures == {check: reason}


@pytest.mark.timeout(400)
def test_task_fails(lab, fine):
    assert fine
    lab.sql(NO_MARCH)
    try:
        run = lab.run("task")
    finally:
        lab.sql(MEND)
    assert run.state == "failed"
    assert {name: state for name, state in run.states.items() if state != "success"} == {
        "load_month[2]": "failed",
        "report": "failed",
    }
    (event,) = timeless(run.events)
    table = event["payload"]["custom_details"].pop("report")
    assert "load_month[2]" in table
    # The transaction was rolled back: what was there is there.
    assert event == run.trigger(
        "report",
        f"load_month[2]: {BROKEN_LOAD}",
        failures=[f"load_month[2]: {BROKEN_LOAD}"],
        details={"expected": ROWS, "found": ROWS},
    )
    assert run.failures == {"load_month[2]": BROKEN_LOAD}


@pytest.mark.timeout(400)
def test_summary_fails(lab, fine):
    """Every task succeeds, and its data is wrong all the same."""
    assert fine
    lab.sql(LOSE)
    try:
        run = lab.run("summary")
    finally:
        lab.sql(MEND)
    assert run.state == "failed"
    assert {name: state for name, state in run.states.items() if state != "success"} == {
        "report": "failed"
    }
    reason = "report: CountsDifferError: 1 of 3 counts differs: 3: 28834 expected, 27876 found"
    (event,) = timeless(run.events)
    assert "load_month[2]" in event["payload"]["custom_details"].pop("report")
    assert event == run.trigger("report", reason, failures=[reason], details=None)
    assert run.report["state"] == "failed"


@pytest.mark.timeout(400)
def test_alert_is_kept_while_pagerduty_is_away_and_sent_by_cron(lab, fine):
    """It changes nothing for the run; the incident is opened, once, and then closed."""
    assert fine
    before = len(lab.events())
    lab.sql(LOSE)
    lab.answers({"kind": "status", "status": 503})
    try:
        run = lab.run("away", told=0)
        assert run.state == "failed"
        assert run.events == []
        worker = lab.cluster.node(lab.cluster.name_at(run.instances["report"]["hostname"]))
        status = worker.run("rax alerts status --json")
        assert status.rc == 1
        (waiting,) = json.loads(status.stdout)["pending"]
        assert (waiting["action"], waiting["dedup_key"]) == ("trigger", KEY)
        assert waiting["problem"].startswith("control1:8445 answered 503")
        modes = worker.check_output("stat --format='%U %a' /home/airflow/alerts/*.json").split()
        assert modes == ["airflow", "600"]
        assert lab.cluster.secret("routing_key") not in worker.check_output(
            "cat /home/airflow/alerts/*.json"
        )
    finally:
        lab.answers()
        lab.sql(MEND)
    lab.cluster.wait(lambda: len(lab.events()) > before, SENT_SECONDS, "cron has sent the alert")
    assert [event["dedup_key"] for event in lab.events()[before:]] == [KEY]
    assert worker.run("rax alerts status").rc == 0
    assert "sent" in worker.check_output("journalctl --identifier=airflow-alerts --output=cat")
    assert lab.run("again").events == [RESOLVE]


@pytest.mark.timeout(200)
def test_the_scheduler_tells_of_a_run_whose_summary_was_killed(lab):
    """Of one in a file that Airflow leaves out unless it is told otherwise."""
    assert not re.search("dag|asset", PLAIN, re.IGNORECASE)
    sha = lab.cluster.push({"dags/plain.py": PLAIN}, "Check nothing")
    lab.cluster.sync(sha)
    lab.cluster.wait_until_parsed(sha, "plain")
    before = len(lab.events())
    run = lab.cluster.begin("plain", f"killed-{lab.session}")
    assert lab.cluster.end(run, 90)["state"] == "failed"
    # As cron does each minute.
    lab.cluster.node("scheduler1").check_output("rax alerts flush")
    (event,) = lab.events()[before:]
    payload = event["payload"]
    assert (event["dedup_key"], payload["source"]) == ("lab/plain", "scheduler1")
    assert payload["summary"] == (
        "plain (lab) failed: end: was killed by SIGKILL, most likely for want of memory"
    )
    assert payload["custom_details"]["release"] == sha


def test_no_secret_was_told(lab, fine):
    assert fine
    told = json.dumps(lab.events())
    for path in (lab.cluster.lab / "secrets").iterdir():
        assert path.read_text().strip() not in told, path.name
