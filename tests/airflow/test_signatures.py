"""A worker runs what the scheduler has signed, and nothing else that is in its queue."""

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rax.airflow import _signatures
from rax.airflow._signatures import HEADER, Signer, Verifier, read_keys
from tests.airflow.redis_testing import Server

ROOT = Path(__file__).resolve().parents[2]
MAX_AGE_SECONDS = 660
MAX_WORKER_SECONDS = 60


def pair(character):
    """Return a private key and its public half."""
    private = character.encode() * 32
    return private, Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


PRIVATE, PUBLIC = pair("a")
OLD_PRIVATE, OLD_PUBLIC = pair("b")
BODY = [["{}"], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def headers(private=PRIVATE, body=BODY, **changed):
    made = {"task": "execute_workload", "id": "one", "lang": "py"}
    made[HEADER] = Signer([private]).header("execute_workload", "one", "default", body)
    made[HEADER] |= {
        name: changed.pop(name) for name in ("time", "queue", "signature") if name in changed
    }
    return made | changed


def problem(given, body=None, keys=(PUBLIC, OLD_PUBLIC)):
    text = json.dumps(BODY) if body is None else body
    return Verifier(keys, MAX_AGE_SECONDS).problem(given, text, {"default", "worker1"})


def test_what_the_scheduler_signed_is_obeyed_whatever_the_space_in_its_body():
    assert problem(headers()) is None
    assert problem(headers(), json.dumps(BODY, indent=2).encode()) is None
    # What it said before the signing key was changed.
    assert problem(headers(OLD_PRIVATE)) is None


NOT_SIGNED = "it is not signed"
OTHER = "its signature is not the scheduler's, or is another message's"


@pytest.mark.parametrize(
    ("given", "body", "expected"),
    [
        (headers(id="two"), None, OTHER),
        (headers(task="celery.map"), None, OTHER),
        (headers(time=int(time.time()) + 1), None, OTHER),
        (headers(queue="worker1"), None, OTHER),
        (headers(pair("c")[0]), None, OTHER),
        (headers(signature=""), None, OTHER),
        (headers(), json.dumps([["{} "], *BODY[1:]]), OTHER),
        (headers(), json.dumps([*BODY[:2], {**BODY[2], "errbacks": [{"task": "x"}]}]), OTHER),
        (headers(), json.dumps(BODY[:2]), OTHER),
        (headers(), "[" * 100_000, NOT_SIGNED),
        (headers(), b"\xff", NOT_SIGNED),
        (headers(), "", NOT_SIGNED),
        (headers(signature="é"), None, NOT_SIGNED),
        (headers(signature=None), None, NOT_SIGNED),
        (headers(signature=["x"]), None, NOT_SIGNED),
        ({**headers(), HEADER: None}, None, NOT_SIGNED),
        ({**headers(), HEADER: []}, None, NOT_SIGNED),
        ({**headers(), HEADER: {}}, None, NOT_SIGNED),
        ({**headers(), HEADER: "x"}, None, NOT_SIGNED),
        ({"task": "execute_workload", "id": "one"}, None, NOT_SIGNED),
        ({}, None, NOT_SIGNED),
        (None, None, NOT_SIGNED),
        ([HEADER], None, NOT_SIGNED),
    ],
)
def test_what_was_changed_is_not(given, body, expected):
    assert problem(given, body) == expected


def test_a_key_that_is_no_longer_given_is_forgotten():
    assert problem(headers(OLD_PRIVATE), keys=(PUBLIC,)) == OTHER


def test_a_message_of_another_queue_is_not_obeyed():
    """Whoever reads one queue could have another's workers, and their credentials, run it."""
    given = headers()
    given[HEADER] = Signer([PRIVATE]).header("execute_workload", "one", "worker2", BODY)
    assert problem(given) == "it was sent to another queue: worker2"


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (MAX_AGE_SECONDS - 1, None),
        (MAX_AGE_SECONDS + 2, "it was signed 662 s ago, and the bound is 660 s"),
        (-59, None),
        (-62, "it was signed -62 s ago, and the bound is 660 s"),
    ],
)
def test_a_genuine_message_is_good_for_a_while(monkeypatch, age, expected):
    monkeypatch.setattr(_signatures.time, "time", lambda: 1_000_000.0)
    given = headers()
    monkeypatch.setattr(_signatures.time, "time", lambda: 1_000_000.0 + age)
    assert problem(given) == expected


def encoded(*keys):
    return ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)


def test_keys_are_read_from_a_setting():
    odd = b"\xfb\xff" * 16
    assert read_keys(encoded(PRIVATE, odd)) == [PRIVATE, odd]


@pytest.mark.parametrize("text", ["", "CANARY", "é", encoded(b"x" * 31), encoded(PRIVATE) + ","])
def test_a_setting_without_keys_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match=r"^a key (is not base64|has not 32 bytes)$") as raised:
        read_keys(text)
    assert "CANARY" not in str(raised.value)


# A scheduler's executor, which sends callbacks that touch these files, by two processes at once.
SENDER = """\
import sys, uuid
from airflow.executors.workloads import ExecuteCallback
from rax.airflow.executor import CeleryExecutor

def workload(path):
    callback = {"id": str(uuid.uuid4()), "fetch_method": "import_path",
                "data": {"path": "subprocess.getoutput", "kwargs": {"cmd": "touch " + path}}}
    return ExecuteCallback.model_validate({
        "callback": callback, "dag_rel_path": "x.py", "token": "bogus", "log_path": None,
        "bundle_info": {"name": "dags", "version": None}})

executor = CeleryExecutor()
executor._process_workloads([workload(path) for path in sys.argv[1:]])
"""


class Cluster:
    """A scheduler's sender and a worker, real ones, of which only the API server is not there."""

    def __init__(self, folder):
        self.folder, self.server = folder, Server(folder)
        self.server.start()
        self.log = folder / "worker.log"
        self.worker_environment = self._environment(RAX_WORKLOAD_PUBLIC_KEYS=encoded(PUBLIC))
        self.scheduler_environment = self._environment(RAX_WORKLOAD_KEYS=encoded(PRIVATE))

    def _environment(self, **more):
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}/src",
            "HOME": str(self.folder),
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__CELERY__BROKER_URL": self.server.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": "rax.airflow.results.StateBackend",
            "AIRFLOW__CELERY__SYNC_PARALLELISM": "2",
            "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "rax.airflow.celery_settings.SETTINGS",
            **more,
        }

    def send(self, *paths):
        subprocess.run(
            [sys.executable, "-c", SENDER, *map(str, paths)],
            env=self.scheduler_environment,
            check=True,
            capture_output=True,
            text=True,
        )

    def messages(self):
        return [json.loads(one) for one in self.server.client.lrange("default", 0, -1)]

    def put(self, message):
        self.server.client.rpush("default", json.dumps(message))

    def work(self, until):
        """Have a worker empty the queue."""
        with self.log.open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery",
                 "-A", "airflow.providers.celery.executors.celery_executor_utils",
                 "worker", "--pool", "solo", "-Q", "default", "-l", "INFO"],
                env=self.worker_environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + MAX_WORKER_SECONDS
            while not until():
                assert time.monotonic() < deadline, self.log.read_text()
                assert worker.poll() is None, self.log.read_text()
                time.sleep(0.1)
        finally:
            worker.terminate()
            worker.wait()


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.server.kill()


def body_of(message):
    return json.loads(base64.b64decode(message["body"]))


def with_body(message, body):
    return {**message, "body": base64.b64encode(json.dumps(body).encode()).decode()}


def with_headers(message, **changed):
    return {**message, "headers": {**message["headers"], **changed}}


def renamed(message):
    task_id = str(uuid.uuid4())
    return with_headers(message, id=task_id, root_id=task_id)


def retagged(message):
    """Return a message that the transport tells from others."""
    properties = {**message["properties"], "delivery_tag": str(uuid.uuid4())}
    return {**message, "properties": properties}


@pytest.mark.timeout(240)
def test_a_worker_runs_what_was_signed_and_drops_what_was_forged(cluster, tmp_path):
    genuine, forged = [tmp_path / name for name in ("one", "two")], tmp_path / "forged"
    cluster.send(*genuine, forged)
    sent = {body_of(message)[0][0]: message for message in cluster.messages()}
    cluster.server.client.delete("default")
    ((arguments, signed),) = [(text, sent[text]) for text in sent if str(forged) in text]
    body = body_of(signed)
    own = [message for message in sent.values() if message is not signed]
    headers = dict(signed["headers"])
    del headers[HEADER]
    plain = {**signed, "headers": headers}
    other_key = Signer([pair("c")[0]]).header("execute_workload", headers["id"], "default", body)
    # Celery's own tasks call any other, once for each item.
    called = {"task": "execute_workload", "args": [], "kwargs": {}}
    mapping = with_body(renamed(plain), [[called, [arguments]], {}, {}])
    starring = with_body(renamed(plain), [[called, [[arguments]]], {}, {}])
    # The first version of Celery's messages has all in its body.
    old = {"task": "execute_workload", "id": "old", "args": [arguments], "kwargs": {}}
    # What a task is to send when it fails.
    errback = {"task": "execute_workload", "args": [arguments], "options": {"queue": "default"}}
    attacks = [
        plain,
        with_headers(plain, **{HEADER: "x"}),
        with_headers(plain, **{HEADER: other_key}),
        with_headers(mapping, task="celery.map"),
        with_headers(starring, task="celery.starmap"),
        {**with_body(renamed(plain), old), "headers": {}},
        {**plain, "content-type": "application/x-python-serialize"},
        # Genuine signatures, of something else.
        with_headers(plain, **{HEADER: own[0]["headers"][HEADER]}),
        with_headers(signed, id=str(uuid.uuid4())),
        with_body(signed, [*body[:2], {**body[2], "errbacks": [errback]}]),
    ]
    for message in [own[0], *map(retagged, attacks), own[1]]:
        cluster.put(message)
    client = cluster.server.client
    cluster.work(
        lambda: (
            all(path.exists() for path in genuine)
            and not client.llen("default")
            and not client.hlen("unacked")
        )
    )
    assert not forged.exists()
    log = cluster.log.read_text()
    assert log.count("Dropped a message, since ") == len(attacks), log
    # Neither a token nor what was to be run is in the log.
    assert not [line for line in log.splitlines() if "Dropped" in line and str(forged) in line]
    # A state would be that of the task whose id was taken.
    assert len(client.keys("celery-task-meta-*")) == len(genuine)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "RAX_WORKLOAD_PUBLIC_KEYS is not set: site.yml gives it to the component"),
        ("CANARY", "RAX_WORKLOAD_PUBLIC_KEYS: a key is not base64"),
    ],
)
def test_a_worker_without_keys_does_not_start(monkeypatch, value, said):
    from rax.airflow.celery_settings import guard_worker

    monkeypatch.delenv("RAX_WORKLOAD_PUBLIC_KEYS", raising=False)
    if value:
        monkeypatch.setenv("RAX_WORKLOAD_PUBLIC_KEYS", value)
    with pytest.raises(SystemExit) as ended:
        guard_worker(None)
    assert str(ended.value) == said


HIDDEN = """\
import ctypes, os
from rax.airflow.celery_settings import SETTINGS

def told():
    # PR_GET_DUMPABLE.
    return ctypes.CDLL(None).prctl(3), "AIRFLOW__CELERY__BROKER_URL" in os.environ

assert SETTINGS["broker_url"].startswith("redis://"), SETTINGS
assert told() == (int(EXPECTED), EXPECTED), told()
if not os.fork():
    os._exit(told() != (int(EXPECTED), EXPECTED))
assert os.wait()[1] == 0
"""


@pytest.mark.parametrize("worker", [{"CASPIAN_WORKER": "worker1"}, {}])
def test_a_worker_hides_its_memory_and_the_url_of_the_broker(tmp_path, worker):
    """From before its first fork on: /proc of a process that is not dumpable is root's."""
    environment = {
        "PYTHONPATH": f"{ROOT}/src",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CELERY__BROKER_URL": "redis://:secret@h/0",
        **worker,
    }
    program = f"EXPECTED = {not worker}\n{HIDDEN}"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
