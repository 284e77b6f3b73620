# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's words in the terminal of whoever runs a playbook: text, and nothing else."""

import re

import pytest

from tests.attacks.answering_node import EVIL, RAW, Fleet

RUN = {"command": "true", "register": "ran", "ignore_errors": True}
# None of them may end the run, in which each host has a play of its own.
TELL = [
    {"debug": {"msg": "{{ ran.msg | default('-') }}"}},
    {"debug": {"var": "ran"}},
    {"assert": {"that": False, "fail_msg": "{{ ran.msg | default('-') }}"}, "ignore_errors": True},
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
COLOURS = {"warnings": ["a\x1b[0;30mb"], "diff": {"prepared": "c\x1b[0;30md"}}
LANGUAGES = "é 日本 👍 ❤️ “ünïcode”"
# With -vvv, also what connection and plugins say.
RUNS = {
    "-v": [name for name in ANSWERS if name not in ("message", "not_an_answer")],
    "-vvv": ["message", "not_an_answer"],
    "": ["colours", "languages"],
}


def by_host(text):
    """Return the output of each host's play, and what comes before the first under the name ""."""
    first, *plays = re.split(r"^.*?PLAY \[(?=\w+\] \*)", text, flags=re.MULTILINE)
    return {"": first} | {play.partition("]")[0]: play for play in plays}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what the terminal and the log got of each host."""
    answers = {
        name: given if isinstance(given, str) else {"changed": True, "rc": 0, **given}
        for name, given in ANSWERS.items()
    }
    answers["colours"] = {"changed": True, **COLOURS}
    answers["languages"] = {"warnings": [LANGUAGES]}
    found = {}
    for verbosity, hosts in RUNS.items():
        folder = tmp_path_factory.mktemp("run")
        log = folder / "log"
        _, output = Fleet(folder, {host: answers[host] for host in hosts}).play(
            [RUN, *TELL] if verbosity else [RUN],
            "--diff", *filter(None, [verbosity]), hosts=hosts, ANSIBLE_LOG_PATH=str(log),
        )  # fmt: skip
        terminal, logged = by_host(output), by_host(log.read_text(errors="surrogateescape"))
        assert list(terminal) == list(logged) == ["", *hosts]
        found |= {
            host: (terminal[""] + terminal[host], logged[""] + logged[host]) for host in hosts
        }
    return found


@pytest.mark.parametrize("answer", [*ANSWERS])
def test_no_answer_steers_the_terminal(printed, answer):
    """Neither the terminal nor the log gets a control character, or a line of another host."""
    output, log = printed[answer]
    assert "OWNED" in output
    text = output.replace("\r\n", "\n") + log
    # Ansible's own colours are escape sequences too.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert [mark for mark in RAW if mark in plain] == []
    assert "\x1b" not in plain
    assert "\r" not in plain
    assert not re.search(r"^(.* \| )?ok: \[honest\]", plain, re.MULTILINE)


def test_colours_of_a_node_are_no_colours(printed):
    """A node cannot hide its text in a colour of Ansible's either."""
    output, _ = printed["colours"]
    assert r"a\x1b[0;30mb" in output
    assert r"c\x1b[0;30md" in output
    # The play's own are there.
    assert "\x1b[0;33mchanged: [colours]\x1b[0m" in output


def test_what_is_written_in_any_language_stays(printed):
    output, _ = printed["languages"]
    assert LANGUAGES in output
