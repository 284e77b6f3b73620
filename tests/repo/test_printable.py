# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes text printable is written three times, for places that cannot import each other."""

import random
import sys
from pathlib import Path

import pytest
from airflow_dag_sync import text as sync
from ansible_collections.caspian.airflow.plugins.plugin_utils import printable as controller

from rax import _printable as library

ROOT = Path(__file__).resolve().parents[2]
GUARD = "callbacks_enabled = caspian.airflow.guard"


@pytest.fixture(params=[controller, sync], ids=["controller", "sync"])
def other(request):
    return request.param


def test_every_character_is_shown_alike(other):
    """All of Unicode, lone surrogates included, in one line and in lines that stay."""
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    assert other.printable(text) == library.printable(text)
    assert other.printable(text, lines=True) == library.printable(text, lines=True)


def test_every_configuration_of_ansible_names_the_guard(repository):
    """Without it, ansible-core prints a node's warnings, errors and diffs as they come."""
    files = repository.glob("ansible.cfg", "**/ansible.cfg", "**/ansible.cfg.j2")
    lines = {str(path): repository.text(path).splitlines() for path in files}
    assert lines
    assert [path for path in lines if GUARD not in lines[path]] == []


def test_lines_are_cut_alike(other):
    chance = random.Random(1)  # noqa: S311 - no secret
    pieces = ["a", " ", "\n", "\x1b", "\u202e", "\udc80", "\U000e0001", "\\", "日"]
    for _ in range(2000):
        text = "".join(chance.choices(pieces, k=chance.randrange(30)))
        for length in (None, 1, 5, 12):
            assert other.one_line(text, length) == library.one_line(text, length), repr(text)
