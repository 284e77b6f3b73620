"""Whether the locks are current and complete, seen from the checkout alone, without an index."""

from collections.abc import Callable, Iterator

from scripts.lib.locks.content import Pin, fingerprint_of, fingerprints, pins_of
from scripts.lib.locks.recipe import Lock
from scripts.lib.locks.requirements import Line, read_lines

MAKE = "run scripts/lock"


def problems(lock: Lock, text_of: Callable[[str], str]) -> list[str]:
    """Return what is wrong with a lock, a sentence each.

    Takes what returns the text of a file of this checkout, or raises FileNotFoundError. Raises
    LockError for lines that can't be read.
    """
    lines = read_lines(lock.source, text_of)
    try:
        text = text_of(lock.path)
    except FileNotFoundError:
        return [f"{lock.path} is missing: {MAKE}"]
    pins = pins_of(text)
    found = [
        *_of_lines(lock, lines, pins),
        *(f"{lock.path}: {pin.name} has no hash: {MAKE}" for pin in pins if not pin.hashes),
        *_of_constraint(lock, pins, text_of),
    ]
    # What has a name is told by it; the fingerprints find the rest.
    return found or _of_fingerprints(lock, lines, text)


def _of_lines(lock: Lock, lines: list[Line], pins: list[Pin]) -> Iterator[str]:
    for line in lines:
        fits = [
            pin for pin in pins if pin.name == line.name and _may_meet(line, pin, lock.universal)
        ]
        versions = sorted({pin.version for pin in fits})
        if not fits:
            yield f"{lock.path} lacks {line.name}, which {line.place} asks for: {MAKE}"
        elif not any(line.requirement.specifier.contains(v, prereleases=True) for v in versions):
            yield (
                f"{lock.path} has {line.name} {', '.join(versions)}, and {line.place} asks for"
                f" {line.asked}: {MAKE}"
            )
        elif not any(line.file in pin.asked_by for pin in fits):
            # By this note, a node knows what it has to import before it uses an environment.
            yield f"{lock.path} does not say that {line.file} asks for {line.name}: {MAKE}"


def _may_meet(line: Line, pin: Pin, universal: bool) -> bool:
    """Return whether a pin is for the Pythons that a line is for, as far as both have a marker."""
    if not universal or line.requirement.marker is None or pin.marker is None:
        return True
    pythons = [f"3.{minor}" for minor in range(11, 20)]
    return any(
        line.requirement.marker.evaluate({"python_version": python})
        and pin.marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})
        for python in pythons
    )


def _of_constraint(lock: Lock, pins: list[Pin], text_of: Callable[[str], str]) -> Iterator[str]:
    if not lock.constraint:
        return
    versions: dict[str, set[str]] = {}
    for pin in pins_of(text_of(lock.constraint)):
        versions.setdefault(pin.name, set()).add(pin.version)
    for pin in pins:
        if pin.version not in versions.get(pin.name, {pin.version}):
            yield (
                f"{lock.path} has {pin.name} {pin.version}, and {lock.constraint} has"
                f" {', '.join(sorted(versions[pin.name]))}: {MAKE}"
            )


def _of_fingerprints(lock: Lock, lines: list[Line], text: str) -> list[str]:
    found = fingerprints(text)
    if found is None:
        return [f"{lock.path} was not made by scripts/lock: {MAKE}"]
    asked, content, content_now = found
    if content != content_now:
        return [
            f"{lock.path} was edited after scripts/lock made it: change {lock.source}, and {MAKE}"
        ]
    if asked != fingerprint_of(lock, lines):
        return [f"{lock.path} was made of other lines than {lock.source} has: {MAKE}"]
    return []
