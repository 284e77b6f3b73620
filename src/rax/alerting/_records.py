# SPDX-License-Identifier: Apache-2.0
"""What a file of the spool holds."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rax.alerting._events import Event
from rax.alerting._folder import DamagedError


class Record(NamedTuple):
    """An event, when it was made, and the name of the credential that has its routing key."""

    time: str
    credential: str
    event: Event
    problem: str = ""

    def dump(self) -> bytes:
        """Return a file's content."""
        return json.dumps({"version": 1, **self._asdict()}, ensure_ascii=False).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Record":
        """Return the record of a file, if it is one that could be sent; else raise DamagedError."""
        try:
            # Not what json takes beyond JSON, since nobody could send it.
            document = json.loads(content, parse_constant=_not_json)
            json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise DamagedError("is not JSON") from None
        if not isinstance(document, dict) or document.pop("version", None) != 1:
            raise DamagedError("is not of this version")
        try:
            record = cls(**document)
            datetime.fromisoformat(record.time).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise DamagedError("is not a record") from None
        if not isinstance(record.credential, str) or not isinstance(record.problem, str):
            raise DamagedError("is not a record")
        if not _is_event(record.event):
            raise DamagedError("holds no event")
        return record


def _not_json(_constant: str) -> None:
    raise ValueError


def _is_event(event: Any) -> bool:
    kinds = {"event_action": str, "dedup_key": str, "payload": dict, "links": list}
    if not isinstance(event, dict) or not event.keys() <= kinds.keys():
        return False
    if not all(isinstance(value, kinds[name]) for name, value in event.items()):
        return False
    action, payload = event.get("event_action"), event.get("payload")
    summary = payload and payload.get("summary")
    return bool(event.get("dedup_key")) and (
        (action == "trigger" and isinstance(summary, str))
        or (action == "resolve" and payload is None)
    )


class Spooled(NamedTuple):
    """An event of the spool."""

    when: datetime
    action: str
    dedup_key: str
    summary: str
    problem: str


def spooled(record: Record, problem: str) -> Spooled:
    event = record.event
    return Spooled(
        datetime.fromisoformat(record.time).astimezone(UTC),
        event["event_action"],
        event["dedup_key"],
        event.get("payload", {}).get("summary", ""),
        problem,
    )
