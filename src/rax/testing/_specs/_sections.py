# SPDX-License-Identifier: Apache-2.0
"""The sections of what a case is given: what all cases are, and its own over it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from rax.config._files import near
from rax.testing._specs import _form
from rax.testing._specs._document import Value

DATABASES = ("postgres", "sqlite")
# What is started for a case, and may be down.
SERVERS = (*DATABASES, "http", "https")


@dataclass(frozen=True)
class Sections:
    """What all cases are given, and what one of them is, where they are given something."""

    shared: Value | None
    own: Value | None
    # The whole and the case with what is no value of the form: what such a value names is known.
    holders: tuple[Any, ...]

    @property
    def layers(self) -> list[Value]:
        """Both, the case's own last."""
        return [layer for layer in (self.shared, self.own) if layer is not None]

    def named(self, section: str) -> dict[str, Value]:
        """Return a section that is a mapping; of equal names, that of the case counts."""
        return {name: value for layer in self.layers for name, value in layer.items(section)}

    def listed(self, section: str) -> list[Value]:
        """Return the items of a section that is a list."""
        return [value for layer in self.layers for _index, value in layer.items(section)]

    def last(self, section: str) -> Value | None:
        """Return a section as the case has it, or else all cases; None where nobody has."""
        return next((value for layer in self.layers[::-1] if (value := layer.get(section))), None)

    def databases(self) -> Collection[str]:
        """Return the databases that the case may ask."""
        return names_said(self.holders, DATABASES)

    def down(self) -> Collection[str]:
        """Return what does not answer in the case."""
        return {value.content for value in self.listed("down")}

    def check_names(self) -> None:
        """Note names that stand for two things, or for nothing."""
        servers: dict[str, list[Value]] = {}
        for section in SERVERS:
            for name, value in self.named(section).items():
                servers.setdefault(name, []).append(value)
                if section in DATABASES and name in _form.words("expectation"):
                    value.refuse(f"{name} is a word of expectations, and cannot name a database")
        for name, values in servers.items():
            if len(values) > 1:
                # The case's own is the one that all cases did not know of.
                own = max(values, key=lambda value: len(value.steps))
                sections = " and ".join(str(value.steps[-2]) for value in values)
                own.refuse(f"{name} is in {sections}, and can be one of these")
        known = names_said(self.holders, SERVERS)
        for value in self.listed("down"):
            if value.content not in known:
                hint = near(value.content, known)
                value.refuse(f"{value.content} is given in none of {', '.join(SERVERS)}{hint}")
        for section in ("connections", "variables"):
            self._check_case(section)

    def _check_case(self, section: str) -> None:
        # Airflow finds these by environment variables whose names are in capitals.
        first: dict[str, str] = {}
        for name, value in self.named(section).items():
            other = first.setdefault(name.upper(), name)
            if other != name:
                value.refuse(f"{name} is to Airflow the same as {other}")


def names_said(holders: Iterable[Any], sections: Iterable[str]) -> set[str]:
    """Return the names in sections of what is given, also where these have not the right form.

    :param holders: what has the key ``given``: a spec or a case
    """
    found: set[str] = set()
    for holder in holders:
        given = holder.get("given") if isinstance(holder, dict) else None
        for section in sections:
            names = given.get(section) if isinstance(given, dict) else None
            names = [names] if isinstance(names, str) else names
            if isinstance(names, dict | list):
                found |= {name for name in names if isinstance(name, str)}
    return found
