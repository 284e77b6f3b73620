"""What a lock says: its pins, their hashes, and the fingerprints in its head."""

import hashlib
import re
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from scripts.lib.locks.recipe import Lock, date_arguments
from scripts.lib.locks.requirements import Line

_FINGERPRINTS = re.compile(
    r"^# Fingerprints: of what was asked for ([0-9a-f]{16}), of what follows ([0-9a-f]{16})\n",
    re.MULTILINE,
)
_PIN = re.compile(
    r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(?: ; ([^\\\n]+?))? *(?:\\?)$", re.MULTILINE
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?= |$)", re.MULTILINE)


@dataclass(frozen=True)
class Pin:
    """A package of a lock, its version, where it applies, and what asks for it.

    That are files (`asked_by`) and other packages of the lock (`needed_by`).
    """

    name: str
    version: str
    marker: Marker | None
    hashes: tuple[str, ...]
    asked_by: tuple[str, ...]
    needed_by: tuple[str, ...]


def pins_of(text: str) -> list[Pin]:
    """Return what a lock pins, in its order."""
    found = list(_PIN.finditer(text))
    ends = [*(pin.start() for pin in found), len(text)][1:]
    return [
        Pin(
            canonicalize_name(pin[1]),
            pin[2],
            Marker(pin[3]) if pin[3] else None,
            tuple(_HASH.findall(entry := text[pin.end() : end])),
            tuple(re.findall(r"^    #(?: via)? +-r (\S+)$", entry, re.MULTILINE)),
            tuple(re.findall(r"^    #(?: via|  ) +([a-z0-9]\S*)$", entry, re.MULTILINE)),
        )
        for pin, end in zip(found, ends, strict=True)
    ]


def fingerprint_of(lock: Lock, lines: list[Line]) -> str:
    """Return the fingerprint of what a lock is made of. Comments and the order don't count."""
    asked = sorted(str(line.requirement) for line in lines)
    recipe = [lock.python, str(lock.universal), lock.constraint, *sorted(date_arguments(lines))]
    return _digest("\n".join([*asked, "", *recipe, *not_imported(lines).splitlines()]))


def not_imported(lines: list[Line]) -> str:
    """Return the line of a lock by which a node knows what it need not be able to import."""
    names = sorted({line.name for line in lines if not line.imported})
    return f"# Not imported: {', '.join(names)}\n" if names else ""


def signed(text: str, lock: Lock, lines: list[Line]) -> str:
    """Return what uv has written, with the fingerprints and what is not imported after its head."""
    head, body = _parted(text)
    body = not_imported(lines) + body
    return (
        f"{head}# Fingerprints: of what was asked for {fingerprint_of(lock, lines)},"
        f" of what follows {_digest(body)}\n{body}"
    )


def fingerprints(text: str) -> tuple[str, str, str] | None:
    """Return the fingerprints in a lock's head, and that of what follows now; None without head."""
    found = _FINGERPRINTS.search(text)
    return (found[1], found[2], _digest(text[found.end() :])) if found else None


def _parted(text: str) -> tuple[str, str]:
    """Return uv's comment at the top of a lock, and the rest."""
    head = re.match(r"(?:#.*\n)*", text)
    return (head[0], text[head.end() :]) if head else ("", text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
