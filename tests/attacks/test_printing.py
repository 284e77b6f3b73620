# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's words in the terminal of whoever runs a playbook: text, and nothing else."""

import json
import re

import pytest

from tests.attacks.answering_node import EVIL, RAW, Fleet

RUN = [{"command": "true", "register": "ran", "ignore_errors": True}]
TELL = [
    {"debug": {"msg": "{{ ran.msg | default('-') }}"}},
    {"debug": {"var": "ran"}},
    {"assert": {"that": False, "fail_msg": "{{ ran.msg | default('-') }}"}},
]
ANSWERS = {
    "warning": {"warnings": [EVIL]},
    "deprecation": {"deprecations": [{"msg": EVIL, "version": "9"}]},
    "exception": {"failed": True, "msg": EVIL, "exception": EVIL},
    "message": {"msg": EVIL, "stdout": EVIL, "stderr": EVIL},
    "diff": {"diff": {"before": EVIL, "after": f"{EVIL}2", "before_header": EVIL}},
    "diff_of_objects": {"diff": {"before": {EVIL: EVIL}, "after": {EVIL: 1}}},
    "prepared_diff": {"diff": {"prepared": EVIL}},
    "key": {EVIL: EVIL, f"_ansible_{EVIL}": EVIL},
    "fact": {"ansible_facts": {f"ansible_ssh_{EVIL}": EVIL, EVIL: EVIL}},
    "not_an_answer": EVIL,
}


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


@pytest.mark.parametrize("answer", [*ANSWERS])
def test_no_answer_steers_the_terminal(fleet, answer, tmp_path):
    """Neither the terminal nor the log gets a control character, or a line of another host."""
    given = ANSWERS[answer]
    given = given if isinstance(given, str) else {"changed": True, "rc": 0, **given}
    # With -vvv, also what connection and plugins say.
    verbosity = "-vvv" if answer in ("message", "not_an_answer") else "-v"
    log = tmp_path / "log"
    _, output = fleet.play(
        RUN + TELL, given, "--diff", "--limit=hostile", verbosity, ANSIBLE_LOG_PATH=str(log)
    )
    assert "OWNED" in output
    text = output.replace("\r\n", "\n") + log.read_text(errors="surrogateescape")
    # Ansible's own colours are escape sequences too.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert [mark for mark in RAW if mark in plain] == []
    assert "\x1b" not in plain
    assert "\r" not in plain
    assert not re.search(r"^(.* \| )?ok: \[honest\]", plain, re.MULTILINE)


def test_colours_of_a_node_are_no_colours(fleet):
    """A node cannot hide its text in a colour of Ansible's either."""
    answer = {"changed": True, "warnings": ["a\x1b[0;30mb"], "diff": {"prepared": "c\x1b[0;30md"}}
    _, output = fleet.play(RUN, answer, "--diff", "--limit=hostile")
    assert r"a\x1b[0;30mb" in output
    assert r"c\x1b[0;30md" in output
    # The play's own are there.
    assert "\x1b[0;33mchanged: [hostile]\x1b[0m" in output


def test_what_is_written_in_any_language_stays(fleet):
    text = "é 日本 👍 ❤️ “ünïcode”"
    _, output = fleet.play(RUN, json.dumps({"warnings": [text]}), "--limit=hostile")
    assert text in output
