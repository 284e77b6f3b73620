"""Runs calls of lookups as a play does: a JSON line in for each, one out with what came of it.

One process for many calls, since starting Ansible takes longer than most of them. It logs all that
it can to standard error, at the highest verbosity, for tests to search. Pauses between attempts are
noted and pass on a clock of their own.
"""

import importlib
import json
import logging
import os
import sys
import time
import traceback
from types import SimpleNamespace

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from vault_testing import told_by


class Clock:
    """The time, which pauses move without taking any."""

    def __init__(self):
        self.pauses = []

    def sleep(self, seconds):
        self.pauses.append(seconds)

    def monotonic(self):
        return time.monotonic() + sum(self.pauses)

    def time(self):
        return time.time() + sum(self.pauses)


def client():
    """Return the module that pauses; it is there after Ansible's loader has begun."""
    return importlib.import_module(
        "ansible_collections.caspian.airflow.plugins.plugin_utils.vault_http"
    )


def trusted(value):
    """Return a variable's value as if it came from a playbook."""
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def run(lookup, terms, variables, options):
    variables = {key: trusted(value) for key, value in variables.items()}
    templar = Templar(DataLoader(), variables)
    plugin = lookup_loader.get(lookup, loader=None, templar=templar)
    clock = client().time = Clock()
    try:
        answer = {"result": plugin.run(terms, variables, **options)}
    except AnsibleError as error:
        answer = {"error": str(error)}
        print(told_by(error), file=sys.stderr)  # noqa: T201 - for tests to search
    return {**answer, "pauses": clock.pauses}


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr
    logging.basicConfig(level=logging.DEBUG)
    init_plugin_loader()
    for line in sys.stdin:
        call = SimpleNamespace(**json.loads(line))
        before = dict(os.environ)
        os.environ.update(call.env)
        try:
            answer = run(call.lookup, call.terms, call.variables, call.options)
        except Exception:
            answer = {"traceback": traceback.format_exc()}
        os.environ.clear()
        os.environ.update(before)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
