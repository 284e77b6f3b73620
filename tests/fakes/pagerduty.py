"""A stand-in for PagerDuty's Events API v2, and what its incidents would be.

It takes what the contract allows and nothing more: other paths, methods, keys, content types and
sizes are refused with the reasons, as is a routing key that it doesn't know. Its data (the file
vault.json of the program; a key that is any 32 letters and digits without it):

    {"routing_keys": ["0123456789abcdef0123456789abcdef"]}

Events that it has taken are in `events`, and as lines of events.jsonl in the program's directory,
without their routing key. `open` has the incidents that are open, by dedup_key. Faults of its own:
refused (400, quoting in its reasons all that it got), keyless (202 without a dedup_key).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

if __package__:
    from .faults import Answer, Fake, Refusal, Request, serve
else:  # Run as a program.
    from faults import Answer, Fake, Refusal, Request, serve

PATH = "/v2/enqueue"
LARGEST_BODY = 512_000


def an_object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of an object without other keys."""
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": {**required, **(optional or {})},
    }


TEXT = {"type": "string", "minLength": 1}
URL = {"type": "string", "pattern": "^https://"}
KEY = {"type": "string", "minLength": 1, "maxLength": 255}
ROUTING_KEY = {"type": "string", "pattern": "^[A-Za-z0-9]{32}$"}
PAYLOAD = an_object(
    {
        "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
        "source": TEXT,
        "severity": {"enum": ["critical", "error", "warning", "info"]},
    },
    {
        "timestamp": TEXT,
        "component": TEXT,
        "group": TEXT,
        "class": TEXT,
        "custom_details": {"type": "object"},
    },
)
# By event_action: the JSON Schema of an event.
EVENTS = {
    "trigger": an_object(
        {"routing_key": ROUTING_KEY, "event_action": {"enum": ["trigger"]}, "payload": PAYLOAD},
        {
            "dedup_key": KEY,
            "client": TEXT,
            "client_url": URL,
            "links": {"type": "array", "items": an_object({"href": URL}, {"text": TEXT})},
            "images": {
                "type": "array",
                "items": an_object({"src": URL}, {"href": URL, "alt": TEXT}),
            },
        },
    ),
    **{
        action: an_object(
            {"routing_key": ROUTING_KEY, "event_action": {"enum": [action]}, "dedup_key": KEY}
        )
        for action in ("acknowledge", "resolve")
    },
}
TYPES = {"object": dict, "array": list, "string": str}


class PagerDuty(Fake):
    """A stand-in for PagerDuty's Events API v2."""

    def __init__(self, data: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(data or {}, **options)
        self.events: list[dict[str, Any]] = []
        self.open: dict[str, int] = {}

    def answer(self, request: Request) -> Answer:
        """Answer as the contract has it."""
        if request.target != PATH:
            raise Refusal(404, "there is no such path")
        if request.method != "POST":
            raise Refusal(405, "the method is not POST")
        if len(request.body) > LARGEST_BODY:
            raise Refusal(413, "the body is larger than 512 KB")
        event = request.json()
        reasons = event_problems(event)
        known = self.data.get("routing_keys")
        if not reasons and known is not None and event["routing_key"] not in known:
            reasons = ["'routing_key' is unknown"]
        if request.fault == "refused":
            reasons = [request.body.decode(), repr(event)]
        if reasons:
            return Answer(
                {
                    "status": "invalid event",
                    "message": "Event object is invalid",
                    "errors": reasons,
                },
                400,
            )
        key = event.setdefault("dedup_key", secrets.token_hex(16))
        del event["routing_key"]
        self._take(event, key)
        reply = {"status": "success", "message": "Event processed", "dedup_key": key}
        if request.fault == "keyless":
            del reply["dedup_key"]
        return Answer(reply, 202)

    def _take(self, event: dict[str, Any], key: str) -> None:
        with self.lock:
            self.events.append(event)
            if event["event_action"] == "trigger":
                self.open[key] = self.open.get(key, 0) + 1
            elif event["event_action"] == "resolve":
                self.open.pop(key, None)
            if self.directory:
                with (self.directory / "events.jsonl").open("a") as file:
                    file.write(json.dumps(event) + "\n")


def event_problems(event: Any) -> list[str]:
    """Return what is wrong with an event."""
    action = event.get("event_action") if isinstance(event, dict) else None
    if not isinstance(action, str) or action not in EVENTS:
        return [f"'event_action' is none of {', '.join(EVENTS)}"]
    return list(problems(event, EVENTS[action], "event"))


def problems(value: Any, schema: dict[str, Any], name: str) -> Iterator[str]:
    """Yield what a value lacks of a schema: as much of JSON Schema as the ones above need."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"'{name}' is none of {', '.join(schema['enum'])}"
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        yield f"'{name}' is not of type {schema['type']}"
    elif isinstance(value, dict) and "properties" in schema:
        yield from (f"'{name}.{key}' is missing" for key in schema["required"] if key not in value)
        for key, item in value.items():
            if key in schema["properties"]:
                yield from problems(item, schema["properties"][key], f"{name}.{key}")
            else:
                yield f"'{name}.{key}' is unknown"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], f"{name}[{index}]")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield f"'{name}' is empty"
        if len(value) > schema.get("maxLength", len(value)):
            yield f"'{name}' is longer than {schema['maxLength']}"
        if not re.search(schema.get("pattern", ""), value):
            yield f"'{name}' is not like {schema['pattern']}"


if __name__ == "__main__":
    serve(PagerDuty)
