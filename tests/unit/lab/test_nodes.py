# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/nodes, as far as it needs no container engine."""

import importlib.machinery
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/nodes"


@pytest.fixture
def nodes():
    loader = importlib.machinery.SourceFileLoader("nodes", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("nodes", loader))
    loader.exec_module(module)
    return module


def test_an_image_is_named_after_what_is_in_it(nodes, monkeypatch):
    names = {nodes.image_name("bookworm"), nodes.image_name("trixie")}
    assert nodes.image_name("bookworm") in names
    for name, value in (("PACKAGES", [*nodes.PACKAGES, "git"]), ("PREPARE", "true")):
        with monkeypatch.context() as changed:
            changed.setattr(nodes, name, value)
            names.add(nodes.image_name("bookworm"))
    assert len(names) == 4
    assert all(re.fullmatch(r"localhost/caspian-node:[\w.-]+", name) for name in names)


@pytest.mark.parametrize("text", ["", "a b", "it's", "''", '$HOME `id` \\ "', "a\nb", "*"])
def test_shell_quote(nodes, text):
    command = f"printf %s {nodes.shell_quote(text)}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == (
        text.encode()
    )


def test_a_command_that_fails_is_told_with_the_end_of_its_reason(nodes):
    with pytest.raises(nodes.NodesError) as error:
        nodes.run("sh", "-c", "seq 20 >&2; exit 3")
    assert str(error.value) == "sh -c seq 20 >&2; exit 3 … failed with 3:\n16\n17\n18\n19\n20"
    assert nodes.run("sh", "-c", "echo out; exit 3", quiet=True) == "out\n"
