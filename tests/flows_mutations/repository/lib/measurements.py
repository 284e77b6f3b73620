"""What stations have measured, as their API tells it."""

import csv
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rax.credentials import get_credentials

MAX_SECONDS = 10


class Measurement(NamedTuple):
    """One of them."""

    id: int
    station: str
    taken_at: datetime
    celsius: float | None


def ask(api: str, path: str) -> Any:
    """Return what the API says."""
    url = get_credentials(api)["url"].rstrip("/") + path
    with urllib.request.urlopen(url, timeout=MAX_SECONDS) as answer:  # noqa: S310 - https, or a test
        return json.load(answer)


def stations(api: str) -> list[str]:
    """Return the stations that measure."""
    return sorted(one["name"] for one in ask(api, "/stations") if one["active"])


def measurements(api: str, station: str) -> Iterator[Measurement]:
    """Yield what a station has measured, page by page."""
    page: int | None = 1
    while page is not None:
        found = ask(api, f"/stations/{station}?page={page}")
        for one in found["items"]:
            taken_at = datetime.fromisoformat(one["at"]).astimezone(UTC)
            yield Measurement(one["id"], station, taken_at, celsius(one["fahrenheit"]))
        page = found.get("next")


def celsius(fahrenheit: float | None) -> float | None:
    """Convert a temperature, which may be missing.

    >>> celsius(212), celsius(None)
    (100.0, None)
    """
    if fahrenheit is None:
        return None
    return round((fahrenheit - 32) / 1.8, 1)


def write_averages(path: Path, rows: list[tuple[str, str]]) -> None:
    """Replace the file as a whole."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("station", "celsius"))
        writer.writerows(sorted(rows))
    new.replace(path)
