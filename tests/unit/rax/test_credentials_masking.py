"""What is secret in a credential, and who is told: modules stand for those of Airflow here."""

import asyncio
import json
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from rax import _file_identity
from rax.credentials import Credential, get_credentials, secret_values

NAME = "EBI-ETL-DEV-01"
TASKS = "airflow.sdk._shared.secrets_masker"
COMPONENTS = "airflow._shared.secrets_masker"


@pytest.mark.parametrize(("fields", "expected"), [
    ({}, []),
    ({"pass": "p"}, ["p"]),
    ({"url": "https://etl:a%2Fb@db/x?y"}, ["a%2Fb", "a/b"]),
    ({"url": "https://etl:plain@db"}, ["plain"]),
    ({"url": "redis://:only@db"}, ["only"]),
    ({"url": "https://etl@db/a:b@c"}, []),
    ({"url": "https://etl:@db"}, []),
    ({"url": "https://[not a url"}, []),
    ({"metadata": {"token": "t", "API_KEY": "k", "dbPassword": "d", "pwd": "w", "secret": "s"}},
     ["t", "k", "d", "w", "s"]),
    ({"metadata": {"port": 5432, "team": "x", "token": "", "on_secret": True, "key": None}}, []),
    ({"metadata": {"header.Authorization": "a", "header.Cookie": "c"}}, ["a", "c"]),
    ({"metadata": {"PIN": "1234", "team": "x"}, "protected": ["metadata.PIN"]}, ["1234"]),
    ({"metadata": {"PIN": 1234, "flag": True}, "protected": ["metadata.PIN", "metadata.flag"]},
     ["1234"]),
    ({"user": "u", "host": "h", "url": "x", "description": "d",
      "protected": ["user", "host", "url", "description"]}, ["u", "h", "x", "d"]),
    # A file that does not say what is protected.
    ({"metadata": {"PIN": "1234", "a": {"b": ["c"]}, "port": 5432, "sslmode": "require"},
      "protected": None}, ["1234", "c"]),
    ({"metadata": {"token": 12345678}}, ["12345678"]),
    ({"metadata": {"token": 12345.75}}, ["12345.75"]),
    ({"metadata": {"proxy": "http://me:mine@proxy/"}}, ["mine"]),
    ({"metadata": {"token": {"a": "x", "b": ["y", 1]}, "z": {"secret": "w"}}},
     ["x", "y", "1", "w"]),
])  # fmt: skip
def test_secret_values(fields, expected):
    fields = {"protected": []} | fields
    empty = {"user": "u", "pass": "", "host": "h", "url": "", "description": "", "metadata": {}}
    assert list(secret_values(Credential(NAME, empty | fields))) == expected


@pytest.mark.timeout(5)
def test_a_long_text_is_searched_in_one_go():
    """Where each of its letters might begin a scheme, that would take minutes."""
    text = "a" * 200_000 + "://u@h"
    fields = {"user": "u", "pass": "", "host": "h", "url": text, "metadata": {"proxy": text}}
    assert list(secret_values(fields | {"protected": []})) == []


class Masker:
    """One of Airflow's: mask_secret() adds to the patterns."""

    def __init__(self):
        self.patterns = set()
        self.calls = 0

    def mask_secret(self, secret):
        self.calls += 1
        self.patterns.update(secret)


class Supervisor:
    """The line of a task to its supervisor."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message.value)


@pytest.fixture
def load(monkeypatch):
    """Let a module of Airflow be loaded."""

    def load(name, **attributes):
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return load


@pytest.fixture
def load_masker(load):
    def load_masker(name):
        masker = Masker()
        load(name, mask_secret=masker.mask_secret, _secrets_masker=lambda: masker)
        return masker

    return load_masker


@pytest.fixture
def load_task(load):
    def load_task(supervisor):
        load(
            "airflow.sdk.execution_time.comms",
            MaskSecret=lambda value: SimpleNamespace(value=value),
        )
        return load("airflow.sdk.execution_time.task_runner", SUPERVISOR_COMMS=supervisor)

    return load_task


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(_file_identity, "_SETTLED_NS", -(10**18))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))
    file = tmp_path / f"{NAME}.json"
    file.touch(0o600)
    rotate(file, "hunter/2")
    return file


def rotate(file, password):
    fields = {"user": "u", "pass": password, "host": "h", "url": "", "description": ""}
    file.write_text(json.dumps(fields | {"metadata": {"api_key": "a-key"}}))


EXPECTED = {"hunter/2", "hunter%2F2", "a-key"}


def test_airflow_is_never_imported_for_it():
    before = set(sys.modules)
    get_credentials(NAME)
    assert not [name for name in set(sys.modules) - before if name.startswith("airflow")]


@pytest.mark.parametrize("names", [[TASKS], [COMPONENTS], [TASKS, COMPONENTS]])
def test_the_maskers_that_are_loaded_are_told_once(load_masker, names):
    maskers = [load_masker(name) for name in names]
    for _ in range(3):
        get_credentials(NAME)
    assert [masker.patterns for masker in maskers] == [EXPECTED] * len(names)
    assert [masker.calls for masker in maskers] == [1] * len(names)


def test_a_masker_that_is_loaded_later_is_told_by_the_next_call(load_masker):
    get_credentials(NAME)
    first = load_masker(TASKS)
    get_credentials(NAME)
    second = load_masker(COMPONENTS)
    get_credentials(NAME)
    assert first.patterns == second.patterns == EXPECTED


def test_a_rotated_password_is_told_too(load_masker, file):
    masker = load_masker(TASKS)
    get_credentials(NAME)
    rotate(file, "another")
    get_credentials(NAME)
    assert masker.patterns == EXPECTED | {"another"}


def test_a_masker_that_was_emptied_is_told_again(load_masker):
    """As Airflow does it in a process that runs one task after the other."""
    masker = load_masker(TASKS)
    get_credentials(NAME)
    masker.patterns = set()
    get_credentials(NAME)
    assert masker.patterns == EXPECTED


def test_a_masker_that_is_still_being_imported_is_told_by_the_next_call(load, load_masker):
    load(TASKS)
    assert get_credentials(NAME)["pass"] == "hunter/2"
    masker = load_masker(TASKS)
    get_credentials(NAME)
    assert masker.patterns == EXPECTED


def test_lines_and_spellings_of_a_secret(load_masker, file):
    masker = load_masker(TASKS)
    rotate(file, "-----BEGIN KEY-----\nMIIBVQIBADANBg\n\"'\n-----END KEY-----\n")
    get_credentials(NAME)
    whole = "-----BEGIN KEY-----\nMIIBVQIBADANBg\n\"'\n-----END KEY-----\n"
    assert {whole, repr(whole)[1:-1], json.dumps(whole)[1:-1]} < masker.patterns
    assert {"-----BEGIN KEY-----", "MIIBVQIBADANBg"} < masker.patterns
    assert "\"'" not in masker.patterns, "a short line would mask ordinary text"


def test_a_task_tells_its_supervisor_once(load_masker, load_task):
    masker, supervisor = load_masker(TASKS), Supervisor()
    load_task(supervisor)
    for _ in range(3):
        get_credentials(NAME)
    assert masker.patterns == EXPECTED
    assert [set(message) for message in supervisor.messages] == [EXPECTED]


def test_a_supervisor_that_comes_later_is_told_by_the_next_call(load_masker, load_task):
    load_masker(TASKS)
    task = load_task(None)
    get_credentials(NAME)
    task.SUPERVISOR_COMMS = Supervisor()
    get_credentials(NAME)
    assert len(task.SUPERVISOR_COMMS.messages) == 1


def test_what_a_supervisor_cannot_take_now_it_is_told_by_the_next_call(load_masker, load_task):
    """As in a coroutine, while the message of another one is on its way."""

    class Busy(Supervisor):
        busy = True

        def send(self, message):
            if self.busy:
                raise RuntimeError(f"deadlock imminent: {message.value}")
            super().send(message)

    load_masker(TASKS)
    supervisor = Busy()
    load_task(supervisor)

    async def task():
        return get_credentials(NAME)

    assert asyncio.run(task())["pass"] == "hunter/2"
    supervisor.busy = False
    get_credentials(NAME)
    assert [set(message) for message in supervisor.messages] == [EXPECTED]


def test_a_masker_that_fails_does_not_keep_a_credential(load):
    def fail(secret):
        raise ValueError(secret)

    load(TASKS, mask_secret=fail)
    assert get_credentials(NAME)["pass"] == "hunter/2"


def in_a_fork(call):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if call() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_fork_tells_its_own_masker_and_supervisor(load_masker, load_task):
    """As the process of a task, which a supervisor forks."""
    masker = load_masker(TASKS)
    task = load_task(Supervisor())
    get_credentials(NAME)

    def child():
        masker.patterns.clear()
        task.SUPERVISOR_COMMS = Supervisor()
        get_credentials(NAME)
        return masker.patterns == EXPECTED and len(task.SUPERVISOR_COMMS.messages) == 1

    in_a_fork(child)


def test_a_fork_whose_masker_is_emptied_in_place_is_told_again(load_masker):
    masker = load_masker(TASKS)
    get_credentials(NAME)

    def child():
        masker.patterns.clear()
        get_credentials(NAME)
        return masker.patterns == EXPECTED

    in_a_fork(child)


def test_a_fork_leaves_its_parents_supervisor_alone(load_masker, load_task):
    """Two processes on one line would get each other's answers."""
    masker, supervisor = load_masker(TASKS), Supervisor()
    load_task(supervisor)

    def child():
        get_credentials(NAME)
        return masker.patterns == EXPECTED and supervisor.messages == []

    in_a_fork(child)
    get_credentials(NAME)
    assert len(supervisor.messages) == 1
