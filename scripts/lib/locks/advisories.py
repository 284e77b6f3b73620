"""Whether the locks pin what has a known vulnerability, and which line asks for it."""

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from packaging.version import Version

from scripts.lib.locks.accepted import FILE, Accepted, read_accepted
from scripts.lib.locks.content import Pin, pins_of
from scripts.lib.locks.osv import Advisory
from scripts.lib.locks.recipe import Lock
from scripts.lib.locks.requirements import read_lines

# From its publication on, an advisory has so many days before it fails a run: on its first day, it
# would fail each pull request, none of which has to do with it.
GRACE_DAYS = 7
# A package that was made to do harm has none.
MALWARE = "MAL-"


@dataclass
class Report:
    """What fails, and what only has to be known, a text each."""

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def scan(
    locks: tuple[Lock, ...],
    text_of: Callable[[str], str],
    today: datetime.date,
    ask: Callable[[Collection[tuple[str, str]]], list[Advisory]],
) -> Report:
    """Return what is to be said of the advisories for all that the locks pin.

    Takes what returns the text of a file of this checkout, and what asks an advisory service of
    (name, version). Raises LockError for files that can't be read, and what `ask` raises.
    """
    accepted = read_accepted(text_of(FILE), today)
    pins = {lock: pins_of(text_of(lock.path)) for lock in locks}
    found = ask(sorted({(pin.name, pin.version) for each in pins.values() for pin in each}))
    report = Report()
    used = set()
    for one in found:
        entry = next((entry for entry in accepted if _is_of(entry, one)), None)
        used.add(entry)
        if entry and entry.until >= today:
            continue
        text = _described(one, pins, text_of)
        fails_on = _first_day_of_failure(one)
        if entry:
            report.failures.append(f"{text}\n  it was accepted until {entry.until}: {FILE}")
        elif fails_on <= today:
            report.failures.append(text)
        else:
            report.notes.append(f"from {fails_on} on, this fails: {text}")
    report.notes += [
        f"{FILE}: {entry.package} has no {entry.id} any more: remove the entry"
        for entry in accepted
        if entry not in used
    ]
    return report


def _is_of(entry: Accepted, advisory: Advisory) -> bool:
    return entry.package == advisory.package and entry.id in (advisory.id, *advisory.aliases)


def _first_day_of_failure(advisory: Advisory) -> datetime.date:
    if advisory.published is None or advisory.id.startswith(MALWARE):
        return datetime.date.min
    return advisory.published + datetime.timedelta(days=GRACE_DAYS)


def _described(
    advisory: Advisory, pins: dict[Lock, list[Pin]], text_of: Callable[[str], str]
) -> str:
    aliases = f" ({', '.join(advisory.aliases)})" if advisory.aliases else ""
    current = Version(advisory.version)
    newer = [version for version in advisory.fixed if Version(version) > current]
    mended = (
        f"fixed in {', '.join(newer)}: scripts/lock --upgrade-package {advisory.package}"
        if newer
        else "no version mends it yet"
    )
    wanted = [
        f"\n  {lock.path}: {_why(lock, advisory, each, text_of)}"
        for lock, each in pins.items()
        if any((pin.name, pin.version) == (advisory.package, advisory.version) for pin in each)
    ]
    return (
        f"{advisory.package} {advisory.version} has {advisory.id}{aliases}, {mended}"
        f"{''.join(wanted)}\n  https://osv.dev/vulnerability/{advisory.id}"
    )


def _why(lock: Lock, advisory: Advisory, pins: list[Pin], text_of: Callable[[str], str]) -> str:
    """Return which line of ours wants the package, and through which others: the shortest way."""
    lines = {line.name: line for line in read_lines(lock.source, text_of)}
    needed_by = {pin.name: pin.needed_by for pin in pins}
    ways: list[tuple[str, ...]] = [(advisory.package,)]
    seen = {advisory.package}
    for way in ways:
        if line := lines.get(way[-1]):
            through = ", ".join(reversed(way[1:-1]))
            return (
                f"{line.place} wants {way[-1]}"
                + (", which brings it" if len(way) > 1 else "")
                + (f" through {through}" if through else "")
            )
        for name in needed_by.get(way[-1], ()):
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return "nothing there says who wants it"
