"""Runs a module of the collection as Ansible does on a node: arguments in, one JSON line out."""

import importlib
import json
import sys

from ansible.module_utils.testing import patch_module_args


def load(name):
    return importlib.import_module(f"ansible_collections.caspian.airflow.plugins.modules.{name}")


def run_module(name, arguments):
    module = load(name)
    with patch_module_args(arguments):
        module.main()


if __name__ == "__main__":
    run_module(sys.argv[1], json.load(sys.stdin))
