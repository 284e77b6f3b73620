# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vault records: what lookups return, and how a record becomes a credential. Pure functions."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.caspian.airflow.plugins.module_utils import credential_format
from ansible_collections.caspian.airflow.plugins.plugin_utils import plain_yaml

Scalar = str | int | float | bool

# Each line is read as YAML, which takes its time, and all other names would wait.
MAX_NOTES_CHARACTERS = 1 << 16

_FROM_RECORDS = (*credential_format.FIELDS, credential_format.PROTECTED)
_KEY = r"[A-Za-z_][A-Za-z0-9_.-]*"
_WORD = re.compile(rf"""(?<!\S)({_KEY})=("[^"]*"|'[^']*'|\S+)(?!\S)""")
_LINE = re.compile(rf"({_KEY}):(?:\s+(.*))?")
_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:]+):([0-9]{1,5})")


class Description(NamedTuple):
    """The parts of a description."""

    name: str
    text: str
    metadata: dict[str, Scalar]


def parse_description(description: str) -> Description:
    """Return the parts of a description that begins with the record's name.

    >>> parse_description("EBI-01 env=prod the nightly load\\nport: 1433")
    Description(name='EBI-01', text='the nightly load', metadata={'env': 'prod', 'port': 1433})
    """
    given = description.strip()
    name = next(iter(given.split(maxsplit=1)), "")
    text, metadata = parse_metadata(given.removeprefix(name))
    return Description(name, text, metadata)


def parse_metadata(text: str) -> tuple[str, dict[str, Scalar]]:
    """Return the free text of notes, and what `key=value` words and `key: value` lines give.

    The value of a word is a text, that of a line is YAML as plain_yaml has it. Raises LookupError
    for a text that is too long.
    """
    if len(text) > MAX_NOTES_CHARACTERS:
        raise LookupError(
            f"its description or notes have more than {MAX_NOTES_CHARACTERS} characters"
        )
    metadata: dict[str, Scalar] = {}
    free = []
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            metadata[match[1]] = _yaml_scalar(match[2] or "")
            continue
        for key, value in _WORD.findall(line):
            metadata[key] = value[1:-1] if value[0] == value[-1] and value[0] in "\"'" else value
        if words := " ".join(_WORD.sub("", line).split()):
            free.append(words)
    return "\n".join(free), metadata


def split_host(host: str) -> tuple[str, int | None]:
    """Return the parts of `host:port`; anything else is a host as it stands.

    >>> split_host("db1.example.org:1433"), split_host("[fe80::1]:5432"), split_host("fe80::1")
    (('db1.example.org', 1433), ('fe80::1', 5432), ('fe80::1', None))
    """
    match = _HOST_AND_PORT.fullmatch(host)
    if not match or not 0 < int(match[2]) < 65536:
        return host, None
    return match[1].strip("[]"), int(match[2])


def host_of_url(url: str) -> tuple[str, int | None]:
    """Return host and port of a URL, also of one without a scheme."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def record(
    name: str,
    *,
    user: str | None,
    password: str | None,
    host: str | None = None,
    url: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Scalar] | None = None,
    protected: Iterable[str] | None = (),
    expires_at: datetime.datetime | None = None,
) -> dict[str, Any]:
    """Return a record as every lookup returns it.

    A port goes to the metadata, unless they have one: from `host:port`, else from the URL. A record
    without a host has the URL's. `protected` names the fields, metadata as `metadata.KEY`, that the
    vault protects as it does the password; None is for a vault that can't tell.
    """
    url = (url or "").strip()
    url_host, url_port = host_of_url(url)
    host, port = split_host((host or "").strip())
    if not host:
        host, port = url_host, url_port
    extra = dict(metadata or {})
    port = port or (url_port if host == url_host else None)
    if port is not None:
        extra.setdefault("port", port)
    given = extra.get("port")
    if isinstance(given, str) and re.fullmatch(r"[0-9]{1,5}", given):
        extra["port"] = int(given)
    if protected is not None:
        there = {*credential_format.FIELDS, *(f"metadata.{key}" for key in extra)}
        # A host that is the URL's shows a part of the URL.
        protected = {*protected, *(["host"] if "url" in protected and host == url_host else [])}
        protected = sorted(protected & there)
    return {
        "name": name,
        "user": user or "",
        "pass": password or "",
        "host": host,
        "url": url,
        "description": description or "",
        "metadata": extra,
        "protected": protected,
        "expires_at": _utc(expires_at),
    }


def expired(given: Mapping[str, Any]) -> str | None:
    """Return when a record has expired in the vault as a sentence, None where it has not."""
    expires_at, now = given.get("expires_at"), _utc(datetime.datetime.now(datetime.UTC))
    if not isinstance(expires_at, str) or not now or expires_at > now:
        return None
    return f"it has expired in the vault, at {expires_at}"


def credential(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the credential that a record is delivered as; ValueError says why it can't be.

    A record may come from any lookup, so this is where it is checked: its types before anything is
    made of it, its values in the form that leaves the controller.
    """
    if error := given.get("error"):
        raise ValueError(str(error))
    found = {field: given[field] for field in _FROM_RECORDS if given.get(field) is not None}
    if isinstance(found.get("protected"), tuple):
        found["protected"] = list(found["protected"])
    if problem := credential_format.type_problem(found):
        raise ValueError(problem)
    complete = record(
        "",
        user=found.get("user"),
        password=found.get("pass"),
        host=found.get("host"),
        url=found.get("url"),
        description=found.get("description"),
        metadata=found.get("metadata"),
        protected=found.get("protected"),
    )
    result = {field: complete[field] for field in credential_format.FIELDS}
    if complete["protected"] is not None:
        result["protected"] = [str(name) for name in complete["protected"]]
    try:
        json.dumps(result, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # rax would refuse the file, which takes the place of a good one.
        raise ValueError("it has half a character in it (a surrogate without its other)") from None
    if problem := credential_format.field_problem(result) or credential_format.value_problem(
        result
    ):
        raise ValueError(problem)
    return result


def _utc(time: datetime.datetime | None) -> str | None:
    """Return a time as a text that compares as the time does."""
    if time is None:
        return None
    return time.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _yaml_scalar(text: str) -> Scalar:
    """Return what a line's value is in a config, and as it is written where it is none there."""
    if text.startswith(("[", "{")):
        # It is no scalar, and many brackets take PyYAML seconds.
        return text
    try:
        # In a line of its own, --- and % would be signs.
        value = plain_yaml.load(f"key: {text}")["key"]
    except ValueError:
        return text
    # Lists, mappings and nothing at all stay as they are written.
    return value if isinstance(value, Scalar) else text
