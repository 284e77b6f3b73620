"""What Celery's results may hold, and what an absence of Redis costs: a state, and a wait."""

import json
import logging
import pickle
import threading

import pytest
from airflow.providers.celery.executors.celery_executor_utils import BulkStateFetcher
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult

from rax.airflow import results
from rax.airflow.results import StateBackend, decode_state
from tests.airflow.redis_testing import Server

NAME = "rax.airflow.results.StateBackend"


class Planted:
    """What runs code where somebody loads a pickle of it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('CODE OF THE WORKER RAN')",)


def written(task_id="one", status="SUCCESS", **more):
    return json.dumps({"task_id": task_id, "status": status, **more}).encode()


BROKEN = [
    b"{",
    b"\xff\xfe",
    b"1",
    b"[]",
    b'"status"',
    b"null",
    b"{}",
    b"[" * 512,
    b'{"a":' * 100,
    b"9" * 500,
    pickle.dumps(Planted()),
    written(task_id="another"),
    written(task_id=None),
    written(status="NONE"),
    written(status=["SUCCESS"]),
    written(status={}),
    # What Celery makes an exception of, by importing what is named.
    written(status="FAILURE!", result={"exc_module": "os", "exc_type": "system"}),
    # Cut off where it is too long to be a state.
    written(padding="x" * results.MAX_STATE_BYTES),
    written(padding="x" * 5_000_000),
]


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "STARTED", "REVOKED", "RETRY", "PENDING"])
def test_a_state_is_read_as_it_was_written(state):
    assert decode_state("one", results.encode_state("one", state).encode()) == state


@pytest.mark.parametrize("value", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_state_is_a_failure(value):
    assert decode_state("one", value[: results.MAX_STATE_BYTES + 1]) == "FAILURE"


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


def make_app(url, **settings):
    app = Celery("test", broker=url, backend=NAME)
    app.conf.update(settings)
    app.task(name="execute_workload")(ignore)
    return app


def ignore(workload):
    pass


@pytest.fixture
def app(redis_server):
    yield make_app(redis_server.url)
    redis_server.client.flushall()


def states(app, *task_ids):
    """Return the states as the executor asks for them."""
    asked = [AsyncResult(one, app=app) for one in task_ids]
    return {one: state for one, (state, _) in BulkStateFetcher(1, app).get_many(asked).items()}


@pytest.mark.parametrize("value", [*BROKEN, []], ids=range(len(BROKEN) + 1))
def test_what_a_worker_plants_fails_its_own_task_alone(app, redis_server, value):
    key = "celery-task-meta-one"
    if value == []:
        redis_server.client.lpush(key, "a list")
    else:
        redis_server.client.set(key, value)
    app.backend.store_result("two", None, "SUCCESS")
    app.backend.store_result("three", RuntimeError("CANARY"), "FAILURE")
    expected = {"one": "FAILURE", "two": "SUCCESS", "three": "FAILURE", "four": "PENDING"}
    assert states(app, *expected) == expected
    # An adopted task is asked for by itself, its result too.
    assert (AsyncResult("one", app=app).state, AsyncResult("one", app=app).result) == (
        "FAILURE",
        None,
    )


def test_a_state_is_all_that_is_kept(app, redis_server):
    app.backend.store_result("one", RuntimeError("CANARY"), "FAILURE", traceback="CANARY")
    assert redis_server.client.keys() == [b"celery-task-meta-one"]
    assert json.loads(redis_server.client.get("celery-task-meta-one")) == {
        "task_id": "one",
        "status": "FAILURE",
    }
    assert 86000 < redis_server.client.ttl("celery-task-meta-one") <= 86400


def test_a_forged_chord_does_nothing(app, redis_server):
    chord = {"task": "execute_workload", "args": ["CANARY"], "chord_size": 1}
    request = Context(chord=chord, group="g", group_index=0)
    app.backend.mark_as_done("one", None, request=request)
    assert redis_server.client.keys() == [b"celery-task-meta-one"]


def test_publishing_subscribes_to_nothing(app, redis_server):
    app.tasks["execute_workload"].apply_async(("x",), queue="default")
    assert redis_server.client.pubsub_channels() == []
    assert redis_server.client.llen("default") == 1


def test_without_redis_all_states_wait(tmp_path, caplog):
    server = Server(tmp_path)
    app = make_app(server.url.replace("//", "//:CANARY@"))
    with caplog.at_level(logging.INFO, "rax.airflow.results"):
        assert states(app, "one", "two") == {"one": "PENDING", "two": "PENDING"}
        assert states(app, "one") == {"one": "PENDING"}
        server.start("--requirepass", "CANARY")
        try:
            assert states(app, "one") == {"one": "PENDING"}
        finally:
            server.kill()
    assert [record.message for record in caplog.records] == [
        "Redis does not answer (ConnectionError): the states of tasks wait",
        "Redis answers again: the states of tasks are read",
    ]
    assert "CANARY" not in caplog.text


def test_a_redis_that_refuses_commands_is_one_that_is_away(app, redis_server):
    """As it does for as long as it loads its data: nothing has failed by that."""
    redis_server.client.acl_setuser("limited", enabled=True, nopass=True, keys=["*"],
                                    commands=["+ping"])  # fmt: skip
    limited = make_app(redis_server.url.replace("//", "//limited:x@"))
    app.backend.store_result("one", None, "SUCCESS")
    assert states(limited, "one") == {"one": "PENDING"}
    assert states(app, "one") == {"one": "SUCCESS"}


def test_a_last_state_is_written_when_redis_is_back_and_survives_its_end(tmp_path):
    server = Server(tmp_path)
    backend = make_app(server.url).backend
    # The first state may be lost: the task runs nevertheless.
    backend.store_result("one", None, "STARTED")
    storing = threading.Thread(target=backend.store_result, args=("one", None, "SUCCESS"))
    storing.start()
    try:
        server.start()
        storing.join(20)
        assert not storing.is_alive()
        server.client.wait(0, 0)
        server.kill()
        server.start()
        assert states(make_app(server.url), "one") == {"one": "SUCCESS"}
    finally:
        server.kill()


def test_a_state_that_cannot_be_written_is_logged_and_ends_no_task(
    redis_server, caplog, monkeypatch
):
    monkeypatch.setattr(results, "MAX_STORE_SECONDS", 0.01)
    redis_server.client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"],
                                    commands=["+ping"])  # fmt: skip
    reader = make_app(redis_server.url.replace("//", "//reader:CANARY@"))
    assert reader.backend.store_result("one", "result", "SUCCESS") == "result"
    assert "The state SUCCESS of one was not kept: NoPermissionError" in caplog.text
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("redis://u:p@h/0", {}, None),
        ("rediss://u:p@h/0", {}, "CERT_REQUIRED"),
        ("rediss://u:p@h/0?ssl_cert_reqs=none", {}, "CERT_NONE"),
        ("rediss://h/0", {"broker_use_ssl": {"ssl_cert_reqs": "required"}}, "CERT_REQUIRED"),
    ],
)
def test_it_connects_as_the_broker_does(url, settings, expected):
    parameters = make_app(url, **settings).backend.connparams
    assert getattr(parameters.get("ssl_cert_reqs"), "name", None) == expected
    assert parameters["host"] == "h"


def test_it_comes_back_whole_from_another_process(app):
    """With [celery] sync_parallelism above 1, other processes publish, and return their results."""
    sent = pickle.loads(pickle.dumps(app.backend))  # noqa: S301 - its own
    assert type(sent) is StateBackend
    assert sent.connparams["port"] == app.backend.connparams["port"]
