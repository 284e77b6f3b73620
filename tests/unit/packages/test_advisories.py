# SPDX-License-Identifier: GPL-3.0-or-later
"""Known vulnerabilities of what the locks pin: what fails, what may wait, what nobody answers."""

import datetime
import json
import sys
from pathlib import Path

import pytest
from werkzeug import Response

from scripts.lib.locks import __main__ as command
from scripts.lib.locks import osv as osv_client
from scripts.lib.locks.accepted import FILE, read_accepted
from scripts.lib.locks.advisories import scan
from scripts.lib.locks.osv import CANARY, Advisory, NoAnswerError, ask
from scripts.lib.locks.recipe import Lock
from scripts.lib.locks.requirements import LockError

TODAY = datetime.date(2026, 11, 27)
PINS = [("flask", "3.1"), ("werkzeug", "3.0.0")]


class Osv:
    """A stand-in for OSV's API, which takes what the contract allows and nothing more.

    `known` has the vulnerabilities of (name, version), as in OSV's schema.
    """

    def __init__(self, server):
        self.known = {CANARY: [vulnerability("PYSEC-2014-8", "jinja2")]}
        self.asked = []
        self.url = server.url_for("/")
        server.expect_request("/v1/querybatch", method="POST").respond_with_handler(self.batch)
        self.server = server

    def batch(self, request):
        content = json.loads(request.data)
        for query in content["queries"]:
            assert {*query} == {"package", "version"}
            assert {*query["package"]} == {"name", "ecosystem"}
            assert query["package"]["ecosystem"] == "PyPI"
        assert {*content} == {"queries"}
        assert len(content["queries"]) <= 1000
        self.asked = [(one["package"]["name"], one["version"]) for one in content["queries"]]
        found = [self.known.get(one, []) for one in self.asked]
        for each in [one for entries in found for one in entries]:
            self.server.expect_request(f"/v1/vulns/{each['id']}").respond_with_json(each)
        results = [
            {"vulns": [{"id": one["id"], "modified": one["modified"]} for one in entries]}
            if entries
            else {}
            for entries in found
        ]
        return Response(json.dumps({"results": results}), mimetype="application/json")


def vulnerability(name, package, *, fixed=(), published="2014-05-19T14:55:00Z", aliases=()):
    events = [{"introduced": "0"}, *({"fixed": one} for one in fixed)]
    return {
        "id": name,
        "modified": "2026-01-01T00:00:00Z",
        "published": published,
        "aliases": [*aliases],
        "summary": "\x1b[31mwords of others",
        "affected": [
            {
                "package": {"name": package, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }


@pytest.fixture(autouse=True)
def uv(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def osv(httpserver):
    osv = Osv(httpserver)
    yield osv
    httpserver.check_assertions()


def test_all_versions_are_asked_for_in_one_request(osv):
    pins = [*PINS, ("flask", "3.2rc1")]
    assert ask(pins, osv.url) == []
    assert sorted(osv.asked) == sorted([*pins, CANARY])


def test_what_is_known_of_a_version_is_found(osv):
    osv.known[PINS[1]] = [
        vulnerability(
            "GHSA-aaaa-bbbb-cccc",
            "werkzeug",
            fixed=["2.3.8", "3.0.1"],
            aliases=["CVE-2023-46136"],
            published="2023-10-24T01:02:03Z",
        )
    ]
    assert ask(PINS, osv.url) == [
        Advisory(
            "werkzeug", "3.0.0", "GHSA-aaaa-bbbb-cccc", ("CVE-2023-46136",), ("2.3.8", "3.0.1"),
            datetime.date(2023, 10, 24),
        )
    ]  # fmt: skip


def test_a_service_that_knows_nothing_at_all_says_nothing_of_the_locks(osv):
    osv.known.clear()
    with pytest.raises(
        NoAnswerError, match=r"knows of nothing wrong with jinja2 2\.4\.1, which has"
    ):
        ask(PINS, osv.url)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response("", 500), "HTTP status server error (500 INTERNAL"),
        (Response("<html>blocked by policy", 403), "HTTP status client error (403 "),
        (Response("", 404), "HTTP status client error (404 "),
        (Response("<html>please log in"), "error decoding response body"),
        (Response('{"results": 1}'), "error decoding response body"),
        (Response('{"results": []}'), "knows of nothing wrong with jinja2 2.4.1"),
    ],
)
def test_an_answer_that_is_none_is_told_with_its_reason(httpserver, response, reason):
    httpserver.expect_request("/v1/querybatch").respond_with_response(response)
    with pytest.raises(NoAnswerError) as caught:
        ask(PINS, httpserver.url_for("/"))
    assert reason in str(caught.value)
    assert httpserver.url_for("/") in str(caught.value)


def test_a_service_that_can_not_be_reached_is_told():
    with pytest.raises(NoAnswerError, match=r"no answer of http://127.0.0.1:9/: .*refused"):
        ask(PINS, "http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("version = 1\n", "version = 9\n"), "uv audit failed: The lockfile at `uv.lock` uses an"),
        (("\ndependencies", "\nd"), "uv audit looked at 0 packages of 3"),
    ],
)
def test_an_uv_that_reads_no_such_locks_any_more_is_no_silence(osv, monkeypatch, change, problem):
    written = osv_client._uv_lock
    monkeypatch.setattr(osv_client, "_uv_lock", lambda pins: written(pins).replace(*change))
    with pytest.raises(LockError, match=problem):
        ask(PINS, osv.url)


@pytest.mark.parametrize("address", ["api.osv.dev", "file:///x", "https://", "https://u:pw@x/"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(LockError, match="CASPIAN_ADVISORY_SERVICE has to be the address") as caught:
        ask(PINS, address)
    assert "pw" not in str(caught.value)


LOCKS = (
    Lock("nodes.txt", "nodes.in", "3.11", universal=False),
    Lock("tools.txt", "tools.in"),
)
TEXTS = {
    "nodes.in": "apache-airflow==3.3.2  # until 2026-09-18\n",
    "tools.in": "pytest\nwerkzeug\n",
    "nodes.txt": (
        "apache-airflow==3.3.2\n    # via -r nodes.in\n"
        "apache-airflow-core==3.3.2\n    # via apache-airflow\n"
        "flask==3.1\n    # via\n    #   apache-airflow-core\n    #   -c other.txt\n"
        "werkzeug==3.0.0\n    # via\n    #   flask\n    #   apache-airflow-core\n"
    ),
    "tools.txt": "pytest==9\n    # via -r tools.in\nwerkzeug==3.0.0\n    # via -r tools.in\n",
}
DESCRIBED = """\
werkzeug 3.0.0 has GHSA-aaaa-bbbb-cccc (CVE-2023-46136), fixed in 3.0.1: scripts/lock \
--upgrade-package werkzeug
  nodes.txt: nodes.in:1 wants apache-airflow, which brings it through apache-airflow-core
  tools.txt: tools.in:2 wants werkzeug
  https://osv.dev/vulnerability/GHSA-aaaa-bbbb-cccc"""
UNMENDED = DESCRIBED.replace(
    "fixed in 3.0.1: scripts/lock --upgrade-package werkzeug", "no version mends it yet"
)
GONE = f"{FILE}: werkzeug has no GHSA-aaaa-bbbb-cccc any more: remove the entry"


def found(**changes):
    known = {
        "package": "werkzeug", "version": "3.0.0", "id": "GHSA-aaaa-bbbb-cccc",
        "aliases": ("CVE-2023-46136",), "fixed": ("2.3.8", "3.0.1"),
        "published": datetime.date(2023, 10, 24),
    }  # fmt: skip
    return Advisory(**known | changes)


def accepted(until, name="GHSA-aaaa-bbbb-cccc", package="werkzeug"):
    names = f'id = "{name}"\npackage = "{package}"\n'
    return f'[[accepted]]\n{names}until = {until}\nreason = "harmless"\n'


def scanned(advisories, accepted_text=""):
    texts = {**TEXTS, FILE: accepted_text}
    asked = []

    def answer(pins):
        asked.extend(pins)
        return advisories

    report = scan(LOCKS, texts.__getitem__, TODAY, answer)
    assert len(asked) == len({*asked}) == 5
    return report.failures, report.notes


@pytest.mark.parametrize(
    ("advisory", "accepted_text", "failures", "notes"),
    [
        (found(), "", [DESCRIBED], []),
        (found(fixed=("2.3.8",)), "", [UNMENDED], []),
        (found(published=None), "", [DESCRIBED], []),
        # A week to move: for what has just been published, but not for what was made to do harm.
        (found(published=datetime.date(2026, 11, 20)), "", [DESCRIBED], []),
        (
            found(published=datetime.date(2026, 11, 21)),
            "",
            [],
            [f"from 2026-11-28 on, this fails: {DESCRIBED}"],
        ),
        (
            found(id="MAL-2026-1", published=TODAY),
            "",
            [DESCRIBED.replace("GHSA-aaaa-bbbb-cccc", "MAL-2026-1")],
            [],
        ),
        # Up to the end of its day, by any of its names.
        (found(), accepted("2026-11-27"), [], []),
        (found(), accepted("2027-01-31", "CVE-2023-46136", "Werkzeug"), [], []),
        (
            found(),
            accepted("2026-11-26"),
            [f"{DESCRIBED}\n  it was accepted until 2026-11-26: {FILE}"],
            [],
        ),
        (
            found(),
            accepted("2027-01-31", package="flask"),
            [DESCRIBED],
            [GONE.replace("werkzeug", "flask")],
        ),
        (None, accepted("2027-01-31"), [], [GONE]),
        (None, "", [], []),
    ],
)
def test_what_fails_and_what_may_wait(advisory, accepted_text, failures, notes):
    assert scanned([advisory] if advisory else [], accepted_text) == (failures, notes)


FORM = 'an entry is id = "GHSA-…", package = "jinja2", until = 2027-01-31 and reason = "…"'
ENTRY = accepted("2027-01-31")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[accepted]\n", "Expected "),
        ("[accepted]\n", "it has [[accepted]] and nothing else"),
        ("[[acepted]]\n", "it has [[accepted]] and nothing else"),
        (f"{ENTRY}[[accepted]]\n", f"entry 2: {FORM}"),
        (ENTRY.replace("harmless", " "), f"entry 1: {FORM}"),
        (ENTRY.replace("2027-01-31", '"2027-01-31"'), f"entry 1: {FORM}"),
        (ENTRY.replace("2027-01-31", "2027-01-31T00:00:00Z"), f"entry 1: {FORM}"),
        (ENTRY.replace("GHSA-aaaa-bbbb-cccc", "GHSA"), f"entry 1: {FORM}"),
        (f"{ENTRY}version = '1'\n", f"entry 1: {FORM}"),
        (
            accepted("2027-05-27"),
            "entry 1: GHSA-aaaa-bbbb-cccc can be accepted for 180 days at most, not until"
            " 2027-05-27",
        ),
    ],
)
def test_an_entry_that_would_not_count_is_refused(text, problem):
    with pytest.raises(LockError) as caught:
        read_accepted(text, TODAY)
    assert str(caught.value).startswith(f"{FILE}: {problem}")
    assert read_accepted(accepted("2027-05-26"), TODAY)


def run(monkeypatch, capsys, service):
    monkeypatch.setenv("CASPIAN_ADVISORY_SERVICE", service)
    monkeypatch.setattr(sys, "argv", ["scripts/lock", "--advisories"])
    code = command.main()
    return code, capsys.readouterr().out


def test_the_command_asks_of_all_locks_and_ends_with_what_was_found(osv, monkeypatch, capsys):
    assert run(monkeypatch, capsys, osv.url) == (
        0,
        "Nothing that the locks pin has to be changed.\n",
    )
    names = [name for name, _ in osv.asked]
    # Of the nodes, the control node, the tools, the authors and what installs and builds.
    assert {"apache-airflow", "pykeepass", "molecule", "pytest", "uv", "setuptools"} < {*names}
    airflow = next(pin for pin in osv.asked if pin[0] == "apache-airflow")
    osv.known[airflow] = [vulnerability("MAL-2026-1", "apache-airflow")]
    code, said = run(monkeypatch, capsys, osv.url)
    assert (code, said.partition(",")[0]) == (1, f"apache-airflow {airflow[1]} has MAL-2026-1")
    osv.known.clear()
    code, said = run(monkeypatch, capsys, osv.url)
    assert (code, said.partition(" knows ")[0]) == (77, f"skipped: {osv.url}")
