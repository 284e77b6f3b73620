"""Calls of a lookup as a play makes them, in a process of its own."""

import json
import os
import sys
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template

from tests.forks import run_fork

ROOT = Path(__file__).resolve().parents[1]


def environment():
    """Return the variables of a process that finds this checkout, and nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "collections"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }


def call_lookup(name, *calls, env=None, **defaults):
    """Make calls (terms, options, variables); return what came of each, and what was logged."""
    given = [
        (terms, variables, {**defaults, **options})
        for terms, options, variables in ((*call, {}, {})[:3] for call in calls)
    ]
    # It comes as a fork of a process that has imported what takes longest.
    done = run_fork(
        __name__, [__file__, name],
        given=json.dumps(given), more=("pykeepass",), env=environment() | (env or {}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def run(name, terms, variables, options):
    """Make a call in this process; return its result or its error."""
    variables = {key: trust_as_template(value) for key, value in variables.items()}
    templar = Templar(DataLoader(), variables)
    lookup = lookup_loader.get(name, loader=None, templar=templar)
    try:
        return {"result": lookup.run(terms, variables, **options)}
    except AnsibleError as error:
        return {"error": str(error)}


def main():
    """Make the calls of the standard input, in a process of its own."""
    init_plugin_loader()
    json.dump([run(sys.argv[1], *call) for call in json.load(sys.stdin)], sys.stdout)
