"""packages/advisories.toml: the advisories that the locks are kept with for a while, and why."""

import datetime
import re
import tomllib
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from scripts.lib.locks.requirements import LockError

FILE = "packages/advisories.toml"
MAX_ACCEPTED_DAYS = 180
ADVISORY_ID = re.compile(r"[A-Z][A-Za-z]*-[A-Za-z0-9-]{1,60}")
_FORM = 'an entry is id = "GHSA-…", package = "jinja2", until = 2027-01-31 and reason = "…"'


@dataclass(frozen=True)
class Accepted:
    """An advisory that a package is kept with, up to the end of a day."""

    id: str
    package: str
    until: datetime.date


def read_accepted(text: str, today: datetime.date) -> list[Accepted]:
    """Return the entries of the file. Raises LockError for what is not one."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LockError(f"{FILE}: {error}") from None
    entries = content.pop("accepted", [])
    if content or not isinstance(entries, list):
        raise LockError(f"{FILE}: it has [[accepted]] and nothing else")
    return [_entry(number, entry, today) for number, entry in enumerate(entries, start=1)]


def _entry(number: int, entry: object, today: datetime.date) -> Accepted:
    place = f"{FILE}: entry {number}"
    match entry:
        case {"id": str(name), "package": str(package), "until": until, "reason": str(reason)} if (
            # A moment is a date, too, for isinstance.
            isinstance(until, datetime.date)
            and not isinstance(until, datetime.datetime)
            and isinstance(entry, dict)
            and len(entry) == 4
            and ADVISORY_ID.fullmatch(name)
            and package.strip()
            and reason.strip()
        ):
            pass
        case _:
            raise LockError(f"{place}: {_FORM}")
    if until > today + datetime.timedelta(days=MAX_ACCEPTED_DAYS):
        raise LockError(
            f"{place}: {name} can be accepted for {MAX_ACCEPTED_DAYS} days at most, not until"
            f" {until}"
        )
    return Accepted(name, canonicalize_name(package), until)
