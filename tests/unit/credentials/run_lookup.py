"""Runs calls of a lookup as a play does: a JSON list of calls in, one of results and errors out."""

import json
import sys

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template


def run(name, terms, variables, options):
    variables = {key: trust_as_template(value) for key, value in variables.items()}
    templar = Templar(DataLoader(), variables)
    lookup = lookup_loader.get(name, loader=None, templar=templar)
    try:
        return {"result": lookup.run(terms, variables, **options)}
    except AnsibleError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    init_plugin_loader()
    json.dump([run(sys.argv[1], *call) for call in json.load(sys.stdin)], sys.stdout)
