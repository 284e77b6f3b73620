# SPDX-License-Identifier: Apache-2.0
"""What a file of the spool holds, and how it is told to a person."""

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

    def as_spooled(self, problem: str) -> "Spooled":
        """Return what a person is told of it."""
        return Spooled(
            datetime.fromisoformat(self.time).astimezone(UTC),
            self.event["event_action"],
            self.event["dedup_key"],
            self.event.get("payload", {}).get("summary", ""),
            problem,
        )

    @classmethod
    def parse(cls, content: bytes) -> "Record":
        """Return the record of a file, if it is one that could be sent; else raise DamagedError."""
        try:
            # NaN and lone surrogates, which json reads, could not be sent.
            document = json.loads(content, parse_constant=_refuse_constant)
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


def _refuse_constant(_constant: str) -> None:
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
    """An event of the spool, as ``pending()`` and ``refused()`` return it."""

    when: datetime
    action: str
    dedup_key: str
    summary: str
    problem: str
