"""A vault that is a JSON file, and writes down what it is asked."""

import json
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms, variables=None, *, folder=None, path=None, missing):  # noqa: ARG002 - Ansible's signature
        path = Path(path or Path(folder) / "records.json")
        folder = path.parent
        with (folder / "asked").open("a") as asked:
            asked.write(json.dumps(terms) + "\n")
        try:
            records = json.loads(path.read_text())
        except FileNotFoundError:
            raise AnsibleError("vault.example.org does not answer") from None
        assert missing == "report"
        return [
            {"name": name, **records.get(name, {"error": "there is no such record"})}
            for name in terms
        ]
