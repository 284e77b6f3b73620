# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of its credentials without saying any: the status file, and the log's lines."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

VERSION = 1
STATES = ("current", "kept", "missing")
# A status of 10,000 sources has 3 MB.
LARGEST = 64 * 2**20
# With its header, what every receiver of syslog takes (RFC 3164: 1,024 bytes).
LONGEST_LINE = 900

Source = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_UNKNOWN: Source = {"state": None, "fingerprint": None, "changed_at": None, "last_good_at": None}
_UNKNOWN["error"] = None
_dumps = json.JSONEncoder(sort_keys=True).encode


def timestamp(seconds: float) -> str:
    """Write a time as the status has it.

    >>> timestamp(0.9)
    '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def fingerprint(key: bytes, content: bytes) -> str:
    """Return what changes with a credential and tells nothing of it to whom lacks the key.

    A plain hash would let every reader of the status try passwords at their leisure.
    """
    return hmac.digest(key, content, "sha256").hex()


def parse(content: bytes) -> dict[str, Any] | None:
    """Read a status; None when it is damaged."""
    try:
        status = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(status, dict) or status.get("version") != VERSION:
        return None
    sources = status.get("sources")
    if not isinstance(sources, dict) or not all(map(_is_source, sources.values())):
        return None
    return status


def encode(head: dict[str, Any], sources: dict[str, Source]) -> bytes:
    """Write a status, one line for each source."""
    lines = [f"  {_dumps(key)}: {_dumps(value)}" for key, value in head.items()]
    entries = [f"    {_dumps(name)}: {_dumps(source)}" for name, source in sorted(sources.items())]
    lines.append('  "sources": {' + "\n" * bool(entries) + ",\n".join(entries) + "\n  }")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def sources(
    given: dict[str, Any],
    problems: dict[str, str],
    keep: list[str],
    fingerprints: dict[str, str],
    former: dict[str, Source],
    now: str,
    written_at: Callable[[str], str],
) -> dict[str, Source]:
    """Return the entry of each source; `fingerprints` has those that have a file.

    What the former status does not know, or has another fingerprint of, was changed when its file
    was written: so a lost status, or a run that was killed before it wrote one, loses little.
    """
    result = {}
    for name in {**given, **problems, **dict.fromkeys(keep)}:
        old = former.get(name, _UNKNOWN)
        new = {"fingerprint": fingerprints.get(name), "error": problems.get(name)}
        if new["fingerprint"] is None:
            new |= {"state": "missing", "changed_at": None, "last_good_at": old["last_good_at"]}
            new["error"] = new["error"] or old["error"] or "it has not been delivered"
        else:
            same = old["fingerprint"] == new["fingerprint"]
            new["changed_at"] = (same and old["changed_at"]) or written_at(name)
            new["last_good_at"] = (same and old["last_good_at"]) or written_at(name)
            if name in given:
                new |= {"state": "current", "last_good_at": now, "error": None}
            elif name in problems or old["state"] == "kept":
                new |= {"state": "kept", "error": new["error"] or old["error"]}
            else:
                new["state"] = "current"
        result[name] = new
    return result


def summary(sources: dict[str, Source]) -> dict[str, Any]:
    """Count the sources by state, and say when the oldest was last good."""
    good = [source["last_good_at"] for source in sources.values() if source["last_good_at"]]
    states = [source["state"] for source in sources.values()]
    return {
        **{state: states.count(state) for state in STATES},
        "oldest_last_good_at": min(good, default=None),
    }


def log_lines(
    generation: str,
    by: str,
    vault: str,
    kinds: dict[str, list[str]],
    fingerprints: dict[str, str],
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
            if len(line) + len(piece) > LONGEST_LINE and line != head:
                yield line
                line, piece = head, f" {kind}={item}"
            line, last = line + piece, kind
    yield line


def _is_source(source: object) -> bool:
    return (
        isinstance(source, dict)
        and source.get("state") in STATES
        and _is(source, "fingerprint", _FINGERPRINT)
        and _is(source, "changed_at", _TIME)
        and _is(source, "last_good_at", _TIME)
        and isinstance(source.get("error", 0), str | None)
    )


def _is(source: Source, key: str, pattern: re.Pattern[str]) -> bool:
    value = source.get(key, 0)
    return value is None or (isinstance(value, str) and pattern.fullmatch(value) is not None)
