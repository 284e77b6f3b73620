# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a user can call is documented: what `ansible-doc` shows of the collection."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTION = "caspian.airflow"


def filters_of(tree):
    """Return the filters that the files register."""
    names = set()
    for path in tree.glob("plugins/filter/*.py"):
        module = importlib.import_module(
            f"ansible_collections.{COLLECTION}.plugins.filter.{path.stem}"
        )
        names |= {*module.FilterModule().filters()}
    return names


def names_of(kind, tree):
    """Return the plugins of one kind."""
    if kind == "filter":
        return filters_of(tree)
    if kind == "role":
        return {*tree.names("roles")}
    folder = {"module": "modules"}.get(kind, kind)
    return {path.stem for path in tree.glob(f"plugins/{folder}/*.py")}


@pytest.mark.parametrize("kind", ["callback", "filter", "lookup", "module", "role"])
def test_ansible_doc_shows(kind, repository):
    names = {f"{COLLECTION}.{name}" for name in names_of(kind, repository)}
    assert names
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "--json", "--type", kind, *sorted(names)],
        cwd=repository.root,
        env={**os.environ, "ANSIBLE_CONFIG": str(repository.root / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert {*shown} == names, done.stderr
    assert all(doc.get("doc") or doc.get("entry_points") for doc in shown.values())
    # A colon and a space make a mapping of a paragraph: the page for people stumbles over it.
    paragraphs = {name: doc.get("doc", {}).get("description", []) for name, doc in shown.items()}
    assert [
        name for name, texts in paragraphs.items() if not all(isinstance(t, str) for t in texts)
    ] == []


def test_no_documentation_is_left_of_a_removed_filter(repository):
    documented = {path.stem for path in repository.glob("plugins/filter/*.yml")}
    assert documented == filters_of(repository)
