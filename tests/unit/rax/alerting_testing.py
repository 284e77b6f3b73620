"""What the tests of alerts share."""

import json
import re

from rax.alerting import trigger

DOWN = {"kind": "status", "status": 503}
ROUTING_KEY = "0123456789abcdefROUTINGKEY456789"


class Node:
    """The files of a node: credentials and the spool."""

    def __init__(self, path):
        self.path = path
        self.credentials = path / "credentials"
        self.credentials.mkdir()
        self.spool = path / "state/rax/alerts"

    def write_credential(self, name, secret, **fields):
        file = self.credentials / f"{name}.json"
        file.touch(0o600)
        empty = {"user": "u", "host": "h", "url": "", "description": "", "metadata": {}}
        file.write_text(json.dumps(empty | {"pass": secret} | fields))

    @property
    def files(self):
        """The spool's files, sorted, those of refused/ as such."""
        return sorted(
            str(file.relative_to(self.spool)) for file in self.spool.rglob("*") if file.is_file()
        )


def summaries(events):
    """Return the events of a fake as one word each: r: and the key, or t: and the summary."""
    return [
        f"t:{event['payload']['summary']}"
        if event["event_action"] == "trigger"
        else f"r:{event['dedup_key']}"
        for event in events
    ]


def statuses(fake):
    return [request["status"] for request in fake.requests]


def up(fake):
    fake.forget()


def alert(summary, key="k", **options):
    return trigger(summary, dedup_key=key, **options)


def events_of(node):
    """Return the summaries of what is spooled, by name."""
    return {
        name: json.loads((node.spool / name).read_text())["event"]["payload"]["summary"]
        for name in node.files
        if re.fullmatch(r"\d+\.json", name)
    }
