# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of its credentials without saying any: the status file, and the log's lines."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

VERSION = 1
STATES = ("current", "kept", "missing")
# A status of 10,000 sources has 3 MB.
MAX_STATUS_BYTES = 64 * 2**20
# With the header, a line has no more than every receiver of syslog takes (RFC 3164: 1,024 bytes).
MAX_LINE_BYTES = 900

# What an entry has where a copy of the vault has confirmed it, and not the vault itself.
FROM_COPY = "from_copy"
# What the status says of one source.
Entry = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_UNKNOWN: Entry = {"state": None, "fingerprint": None, "changed_at": None, "last_good_at": None}
_UNKNOWN["error"] = None
_dumps = json.JSONEncoder(sort_keys=True).encode


def is_time(text: str) -> bool:
    """Whether a text is a time as the status has it."""
    return _TIME.fullmatch(text) is not None


def timestamp(seconds: float) -> str:
    """Return a time as the status has it.

    >>> timestamp(0.9)
    '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def fingerprint(key: bytes, content: bytes) -> str:
    """Return what changes with a credential and tells nothing of it without the key.

    A plain hash would let every reader of the status try passwords at their leisure.
    """
    return hmac.digest(key, content, "sha256").hex()


def parse(content: bytes) -> dict[str, Any] | None:
    """Return the status that a file holds, None when it is damaged."""
    try:
        status = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(status, dict) or status.get("version") != VERSION:
        return None
    sources = status.get("sources")
    if not isinstance(sources, dict) or not all(map(_is_entry, sources.values())):
        return None
    return status


def encode(head: Mapping[str, Any], entries: Mapping[str, Entry]) -> bytes:
    """Return the bytes of a status, which has one line for each source."""
    lines = [f"  {_dumps(key)}: {_dumps(value)}" for key, value in head.items()]
    sources = [f"    {_dumps(name)}: {_dumps(entry)}" for name, entry in sorted(entries.items())]
    lines.append('  "sources": {' + "\n" * bool(sources) + ",\n".join(sources) + "\n  }")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def source_entries(
    delivered: Collection[str],
    problems: Mapping[str, str],
    keep: Collection[str],
    fingerprints: Mapping[str, str],
    former: Mapping[str, Entry],
    now: float,
    written_at: Callable[[str], float],
    copy_of: str = "",
) -> dict[str, Entry]:
    """Return the entry of each source; `fingerprints` has those that have a file.

    `copy_of` is when the copy of the vault that was asked was last known to be the same as the
    vault; nothing where the vault itself was asked.

    What the former status does not know, or has another fingerprint of, was changed when its file
    was written: so a lost status, or a run that was killed before it wrote one, loses little.
    """
    result = {}
    for name in dict.fromkeys([*delivered, *problems, *keep]):
        old = former.get(name, _UNKNOWN)
        new: Entry = {"fingerprint": fingerprints.get(name), "error": problems.get(name)}
        if new["fingerprint"] is None:
            new |= {"state": "missing", "changed_at": None, **_confirmation(old)}
            new["error"] = new["error"] or old["error"] or "it has not been delivered"
        else:
            same = old["fingerprint"] == new["fingerprint"]
            before = old if same else _UNKNOWN
            new |= {"changed_at": before["changed_at"], **_confirmation(before)}
            for key in ("changed_at", "last_good_at"):
                new[key] = new[key] or timestamp(written_at(name))
            if name in delivered:
                new.pop(FROM_COPY, None)
                new |= {"state": "current", "error": None}
                new |= _confirmed(before, timestamp(now), copy_of)
            elif name in problems or old["state"] == "kept":
                new |= {"state": "kept", "error": new["error"] or old["error"]}
            else:
                new["state"] = "current"
        result[name] = new
    return result


def _confirmation(entry: Entry) -> Entry:
    """Return what an entry says of when the vault confirmed it, and whether a copy did."""
    kept = {"last_good_at": entry["last_good_at"]}
    return kept | {FROM_COPY: True} if entry.get(FROM_COPY) else kept


def _confirmed(before: Entry, now: str, copy_of: str) -> Entry:
    """Return the same of what has been delivered now.

    A copy knows nothing newer than what the vault itself, or a newer copy, has confirmed already.
    """
    if not copy_of:
        return {"last_good_at": now}
    known = before["last_good_at"]
    if known and copy_of < known <= now:
        return _confirmation(before)
    return {"last_good_at": min(copy_of, now), FROM_COPY: True}


def summary(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Count the sources by state, and say when the oldest was last good."""
    good = [entry["last_good_at"] for entry in entries.values() if entry["last_good_at"]]
    states = [entry["state"] for entry in entries.values()]
    return {
        **{state: states.count(state) for state in STATES},
        "oldest_last_good_at": min(good, default=None),
    }


def log_lines(
    generation: str,
    by: str,
    vault: str,
    kinds: Mapping[str, list[str]],
    fingerprints: Mapping[str, str],
) -> Iterator[str]:
    """Yield what the log says of a change: who, from where, which names; as few lines as fit.

    >>> list(log_lines("0f", "root@control1", "kdbx", {"removed": ["A", "B"]}, {}))
    ['generation=0f by="root@control1" vault="kdbx" removed=A,B']
    """
    head = f"generation={generation} by={_dumps(by[:100])} vault={_dumps(vault[:100])}"
    line, last = head, None
    for kind, names in kinds.items():
        for name in names:
            item = f"{name}:{fingerprints[name][:16]}" if name in fingerprints else name
            piece = f",{item}" if kind == last else f" {kind}={item}"
            if len(line) + len(piece) > MAX_LINE_BYTES and line != head:
                yield line
                line, piece = head, f" {kind}={item}"
            line, last = line + piece, kind
    yield line


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("state") in STATES
        and _is(entry, "fingerprint", _FINGERPRINT)
        and _is(entry, "changed_at", _TIME)
        and _is(entry, "last_good_at", _TIME)
        and isinstance(entry.get("error", 0), str | None)
        and entry.get(FROM_COPY, True) is True
    )


def _is(entry: Entry, key: str, pattern: re.Pattern[str]) -> bool:
    value = entry.get(key, 0)
    return value is None or (isinstance(value, str) and pattern.fullmatch(value) is not None)
