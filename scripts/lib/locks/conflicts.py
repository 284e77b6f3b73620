"""uv's account of why packages don't go together, as the sentences that an author needs.

uv proves a conflict step by step, over a page if it has to. Of that, authors need two things: what
which of our lines wants, and what the other side wants, which is Airflow in most cases. The form of
uv's messages is that of the version in requirements/uv.txt; what is not understood is left to its
own words, which are always shown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from scripts.lib.locks.requirements import AIRFLOW, Line

_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9])(?:\[[^\]]*\])?"
_MARKER = r"(?:\{[^}]*\})?"
_VERSIONS = r"((?:[<>=!~]=?=?[^\s,]+)(?:,[<>=!~]=?=?[^\s,]+)*)?"
_PACKAGE = rf"{_NAME}{_MARKER}{_VERSIONS}"
_WANT = re.compile(rf"{_PACKAGE} depends? on ({_PACKAGE}(?: and (?>{_PACKAGE})(?! depends? on))*)")
_OBJECT = re.compile(_PACKAGE)
_REQUIRED = re.compile(
    rf"you require ({_PACKAGE}(?:(?:, and|,| and) (?>{_PACKAGE})(?! depends? on))*)"
)
_MISSING = re.compile(rf"{_NAME} was not found in the package registry")
_NO_VERSION = re.compile(rf"there (?:is|are) no versions? of {_PACKAGE}")
_TOO_NEW = re.compile(
    r"`([\w.-]+)` was filtered by `exclude-newer` to only include packages uploaded before"
    r" (\d{4}-\d\d-\d\d)\S+"
    r" (?:The latest version satisfying the requirement is|The requested version,)"
    r" v?(\S+?),(?: was)? published at (\d{4}-\d\d-\d\d)"
)
# From the conclusion of a step to the next one: it repeats the facts in other words.
_CONCLUSION = re.compile(r"we can conclude that.*?(?= And because |$)")
_ALL_OF = re.compile(r"all of: (?:\S+ )*?(?=\S+ depend on )")


@dataclass(frozen=True)
class Want:
    """What a package, ours or one that it brings, says of another."""

    who: str
    what: str
    versions: str

    def __str__(self) -> str:
        return f"{self.what}{self.versions}"


def explain(message: str, lines: list[Line]) -> list[str]:
    """Return the sentences for an author: none where uv's message is not understood.

    Takes what uv printed to stderr, and the lines that it was asked for.
    """
    text = " ".join(message.split())
    ours = {line.name: line for line in lines}
    return [*_too_new(text, ours), *_not_there(text, ours)] or _two_sides(text, ours)


def _too_new(text: str, ours: dict[str, Line]) -> Iterator[str]:
    for name, limit, version, published in _TOO_NEW.findall(text):
        line = ours.get(canonicalize_name(name))
        if line is None:
            yield (
                f"{name} {version}, which one of our lines needs, came out on {published}, and"
                f" packages are taken up to {limit}. If Airflow goes with it, add a line of its"
                f" own: `{name}  # until {published}`."
            )
        else:
            yield (
                f"{line.place} wants {line.asked}. {name} {version} came out on {published},"
                f" and packages are taken up to {limit}. If Airflow goes with it, write"
                f" `{line.asked}  # until {published}`."
            )


def _not_there(text: str, ours: dict[str, Line]) -> Iterator[str]:
    # The hint of a version that is too new says more.
    if _TOO_NEW.search(text):
        return
    for name in _MISSING.findall(text):
        yield f"{_place(name, ours)}: the package index has no package {name}. Is it spelled so?"
    for name, versions in _NO_VERSION.findall(text):
        if canonicalize_name(name) in ours:
            yield f"{_place(name, ours)}: there is no version {versions} of {name}."


def _place(name: str, ours: dict[str, Line]) -> str:
    line = ours.get(canonicalize_name(name))
    return line.place if line else "A package that one of our lines needs"


def _two_sides(text: str, ours: dict[str, Line]) -> list[str]:
    required = [
        canonicalize_name(found[0])
        for clause in _REQUIRED.finditer(text)
        for found in _OBJECT.findall(clause[1])
    ]
    named = list(dict.fromkeys(name for name in required if name in ours))
    wants = list(_wants(_CONCLUSION.sub("", text)))
    # Airflow's side comes last: it is our line that can give way.
    named.sort(key=lambda name: name == AIRFLOW)
    for first, second in combinations(named, 2):
        for one in _reached(first, wants, ours):
            for other in _reached(second, wants, ours):
                if one.what == other.what and _disjoint(one.versions, other.versions):
                    return [_side(ours[first], one), _side(ours[second], other)]
    if len(named) < 2:
        return []
    return [f"{ours[name].place} wants {ours[name].asked}." for name in named]


def _wants(facts: str) -> Iterator[Want]:
    """Yield what the packages in uv's steps want of others, without what follows from that."""
    for found in _WANT.finditer(_ALL_OF.sub("", facts)):
        for what in _OBJECT.finditer(found[3]):
            yield Want(canonicalize_name(found[1]), canonicalize_name(what[1]), what[2] or "")


def _reached(name: str, wants: list[Want], ours: dict[str, Line]) -> list[Want]:
    """Return what a line of ours wants: itself, and what the packages want that it brings."""
    found = [Want(name, name, str(ours[name].requirement.specifier))]
    known, pending = {name}, [name]
    while pending:
        who = pending.pop(0)
        # Of the versions of a package, the newest speaks for all.
        for want in sorted(wants, key=lambda want: _newest(want.versions), reverse=True):
            if want.who == who:
                found.append(want)
                if want.what not in known:
                    known.add(want.what)
                    pending.append(want.what)
    return found


def _newest(versions: str) -> Version:
    """Return the highest version that a specifier names, or 0."""
    try:
        return max((Version(part.version) for part in SpecifierSet(versions)), default=Version("0"))
    except (InvalidSpecifier, InvalidVersion):
        return Version("0")


def _disjoint(one: str, other: str) -> bool:
    """Return whether no version fits both, as far as the versions that both name can show."""
    try:
        both = SpecifierSet(one) & SpecifierSet(other)
        bounds = {Version(part.version) for part in both if "*" not in part.version}
    except (InvalidSpecifier, InvalidVersion):
        return False
    beside = {Version(f"{bound.base_version}.0.1") for bound in bounds} | {Version("0")}
    return bool(one and other) and not any(
        both.contains(version, prereleases=True) for version in bounds | beside
    )


def _side(line: Line, want: Want) -> str:
    """Return the sentence for one side of a conflict."""
    if line.name == AIRFLOW:
        by = "" if want.who == AIRFLOW else f" through {want.who}"
        return (
            f"Airflow ({line.place}: {line.requirement.name}{line.requirement.specifier})"
            f" wants {want}{by}."
        )
    if want.what == line.name:
        return f"{line.place} wants {line.asked}."
    by = "which" if want.who == line.name else f"which brings {want.who}, which"
    return f"{line.place} wants {line.asked}, {by} wants {want}."
