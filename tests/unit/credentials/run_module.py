"""Runs a module of the collection as Ansible does on a node: arguments in, one JSON line out."""

import importlib
import json
import sys

from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

# From ansible-core 2.21 on, a result has the arguments only where an installation asks for them
# (`inject_invocation`). They are asked for here, so that tests see what such a result would show.
INVOCATION = "inject_invocation"
MORE = {f"_ansible_{INVOCATION}": True} if INVOCATION in PASS_VARS else {}


def load(name):
    return importlib.import_module(f"ansible_collections.caspian.airflow.plugins.modules.{name}")


def run_module(name, arguments):
    module = load(name)
    with patch_module_args({**arguments, **MORE}):
        module.main()


if __name__ == "__main__":
    run_module(sys.argv[1], json.load(sys.stdin))
