# SPDX-License-Identifier: GPL-3.0-or-later
"""No part of a secret leaves by a text that was cut, whoever has cut it and wherever."""

import json
import random
import string
from urllib.parse import quote

import pytest
from airflow_dag_sync.errors import GitError
from airflow_dag_sync.git import reason
from caspian_control.fleet_report import parse_report
from caspian_control.refresh_alerts import details, summary
from caspian_control.refresh_metrics import render_metrics
from caspian_control.refresh_outcome import Outcome, report_problems
from caspian_control.refresh_state import State
from caspian_control.text import without_secrets

from rax.alerting import _events
from rax.alerting._pagerduty import Client
from rax.alerting._plain import MAX_TEXT_CHARACTERS
from rax.alerting._secrets import hide
from rax.workflow import _text
from tests.attacks.answering_node import EVIL, RAW

CHANCE = random.Random(1)  # noqa: S311 - no secret
KEY = "".join(CHANCE.choices(string.ascii_letters + string.digits, k=3200))
PASSWORD = 'kX7$%"é\\ q&Z2!w'
# What is too short to be masked as a whole is too short to be found.
FEWEST = 5


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))
    fields = {"user": "u", "host": "h", "url": "", "description": "", "metadata": {}}
    for name, secret in (("LONG", KEY), ("SHORT", PASSWORD)):
        file = tmp_path / f"{name}.json"
        file.touch(0o600)
        file.write_text(json.dumps(fields | {"pass": secret}))
    return tmp_path


def left(sent, secret=KEY):
    """Return the pieces of a secret in what is sent."""
    text = sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False)
    pieces = {secret[at : at + FEWEST] for at in range(len(secret) - FEWEST + 1)}
    return [text[at : at + FEWEST] for at in range(len(text)) if text[at : at + FEWEST] in pieces]


def event(summary="s", **details):
    return _events.trigger_event(summary, "error", None, details, "key")[0]


@pytest.mark.parametrize("before", [0, 1, 100, 3199])
@pytest.mark.parametrize("repeats", [20, 41, 60, 200])
def test_key_that_fills_the_text(repeats, before):
    """Of 41 repeats, 2,272 characters once were left, since the text was cut before."""
    text = "x" * before + KEY * repeats
    assert left(event(text, field=text)) == []
    assert left(_text.reason(text)) == []


@pytest.mark.parametrize("cut", [*range(FEWEST, 40), *range(40, 3200, 211), 3199])
def test_key_that_somebody_else_has_cut(cut):
    head, tail = KEY[:cut], KEY[-cut:]
    texts = [head, f"key: {head}", f"key '{head}'", f"{head}…", f"a {head}... more", tail,
             f"…{tail} more", f"('{head} ... (9 characters truncated) ... {tail}')"]  # fmt: skip
    for text in texts:
        assert left(event(text, field=[text], **{text: 1})) == [], text[-60:]
        assert left(_text.reason(ValueError(text))) == []
        assert left(_text.shown({"a": text})) == []


@pytest.mark.parametrize(
    "written",
    [PASSWORD, repr(PASSWORD)[1:-1], json.dumps(PASSWORD)[1:-1], quote(PASSWORD, safe="")],
    ids=["plain", "repr", "json", "url"],
)
def test_password_at_every_cut_of_ours(written):
    """At the end of what a summary, a reason or the text of a link may hold."""
    for limit in (
        _events._MAX_SUMMARY_CHARACTERS,
        _events._MAX_LINK_TEXT_CHARACTERS,
        _text.MAX_REASON_CHARACTERS,
        _text.MAX_VALUE_CHARACTERS,
    ):
        for back in range(1, len(written) + 1):
            text = "y" * (limit - back) + written + "y"
            sent, _ = _events.trigger_event(
                text, "error", text, {"field": text}, text, links={text: "https://example.org"},
                words={"class": text},
            )  # fmt: skip
            assert left(sent, written) == []
            assert left(_text.reason(text), written) == []


def test_password_at_the_cut_of_long_details():
    for back in (5, 9, 13):
        text = "y" * (MAX_TEXT_CHARACTERS - back) + PASSWORD + "y" * MAX_TEXT_CHARACTERS
        assert left(event(field=text), PASSWORD) == []
        text = "y" * (2 * MAX_TEXT_CHARACTERS - back) + PASSWORD
        assert left(event(field=text), PASSWORD) == []


def test_secret_that_is_not_printable_is_masked_before_it_is_shown(node):
    secret = "ab\x1b[2Jcd  ef\u202egh"
    file = node / "LONG.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pass": secret}))
    sent = event(f"said {secret}", field=f"said {secret}")
    assert sent["payload"]["summary"] == "said ***"
    assert sent["payload"]["custom_details"] == {"field": "said ***"}
    assert _text.reason(f"said {secret}") == "said ***"


def test_ordinary_words_stay():
    words = "No file since Monday… look at /data/ebi ... and \x27kX7\x27 'KEY'"
    assert hide(words) == words
    assert hide({"a": [words, 5, None, True]}) == {"a": [words, 5, None, True]}


def test_nothing_in_an_event_steers_a_terminal():
    sent, mended = _events.trigger_event(
        EVIL, EVIL, EVIL, {EVIL: [EVIL, {EVIL: EVIL}]}, EVIL,
        links={EVIL: "https://x.org/", "a": EVIL},
        words={"component": EVIL, "group": EVIL, "class": EVIL},
    )  # fmt: skip
    text = json.dumps(sent, ensure_ascii=False) + "".join(mended) + _events.describe(sent)
    assert "OWNED" in text
    assert [mark for mark in RAW if mark in text.replace("\\\\", "\\")] == []
    for word in ("summary", "source", "component", "group", "class"):
        assert sent["payload"][word].isprintable()
    assert sent["dedup_key"].isprintable()
    # The same key closes it.
    assert _events.resolve_event(EVIL)["dedup_key"] == sent["dedup_key"]


def test_keys_that_differ_stay_of_different_incidents():
    keys = {_events.resolve_event(key)["dedup_key"] for key in ("a b", "a  b", "a\nb", "a\x1bb")}
    assert len(keys) == 4


def test_reasons_of_pagerduty():
    client = Client.__new__(Client)
    client._secrets = [KEY]
    assert client._masked(f"no: {EVIL}").isprintable()
    assert left(client._masked("x" * 400 + KEY)) == []
    assert left(client._masked("x" * 400 + KEY[:300])) == []


def test_address_in_a_message_of_git_is_masked_before_it_is_cut():
    """The cut once left `https://user:token` without the @ by which it is known."""
    token = "ghp_0123456789abcdefABCDEF"
    for before in range(340, 420):
        said = f"fatal: {'x' * before} https://me:{token}@git.example.org/dags.git not found"
        message = str(GitError(reason(said)))
        assert token[:FEWEST] not in message


def test_report_of_the_refresh_masks_before_it_cuts():
    host = {"state": "failed", "error": "", "summary": None, "changes": {}}
    document = {
        "version": 1, "started_at": None, "ended_at": "2026-01-01T00:00:00Z", "vault": "v",
        "vault_error": "e" * 290 + KEY, "problems": {"A": "e" * 110 + KEY, "B\n": EVIL},
        "hosts": {f"w{EVIL}": host | {"error": "e" * 110 + KEY}},
    }  # fmt: skip
    found = parse_report(without_secrets(document))
    problems = [*report_problems(found)]
    outcome = Outcome(problems, False, found)
    state = State()
    state.record_run(failed=True, stopped=False, report=found, now=1)
    for text in (*problems, summary(outcome, state, "c1")):
        assert text.isprintable()
    sent = [problems, summary(outcome, state, "c1"), details(outcome, state, {})]
    assert left(sent) == []
    metrics = render_metrics(state)
    assert [mark for mark in RAW if mark in metrics] == []
    assert all(line.startswith(("#", "caspian_")) for line in metrics.splitlines())
