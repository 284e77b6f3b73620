# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader of Password Safe files, format V3 (docs/formatV3.txt of pwsafe). Pure functions.

Nothing is believed before the file's HMAC is right. It covers the data of all fields but not their
types and lengths, so that these are read strictly.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import struct
import uuid
from collections.abc import Iterator
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils import records
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookalikes import what_is

try:
    from oxifish import TwofishKey
except ImportError:
    HAS_OXIFISH = False
else:
    HAS_OXIFISH = True

# The format asks for the first, and Password Safe offers no more than the second.
MIN_ITERATIONS = 2048
MAX_ITERATIONS = 1 << 22

_TAG = b"PWS3"
_EOF = b"PWS3-EOFPWS3-EOF"
_BLOCK = 16
# These are tag, salt, iterations, H(P'), B1 to B4 and IV.
_START = struct.Struct("<4s32sI32s32s32s16s")
_FIELD = struct.Struct("<IB")
_END_OF_ENTRY = 0xFF

_NAMES = {
    0x01: "UUID",
    0x02: "group",
    0x03: "title",
    0x04: "username",
    0x05: "notes",
    0x06: "password",
    0x0A: "expiry time",
    0x0D: "URL",
    0x14: "email",
}
_UUID, _GROUP, _TITLE, _USER, _NOTES, _PASSWORD, _EXPIRY, _URL, _EMAIL = _NAMES

_DOT = re.compile(r"\\([\\.])|\.")
_BASE = re.compile(r"\[(?:\[([0-9a-f]{32})\]|~([0-9a-f]{32})~)\]", re.IGNORECASE)


class Psafe3Error(Exception):
    """The file can't be read; the text says why and holds nothing of it."""


class Entry:
    """An entry as it is in the file; its repr shows nothing of it."""

    def __init__(self, fields: dict[int, bytes]) -> None:
        self._fields = fields

    def __repr__(self) -> str:
        return "<Entry>"

    @property
    def uuid(self) -> bytes:
        """The entry's UUID, which aliases refer to; empty where a program left it out."""
        return self._fields.get(_UUID, b"")

    @property
    def group(self) -> list[str]:
        """The names of the groups, the outermost first."""
        return split_group(self.shown(_GROUP))

    @property
    def title(self) -> str:
        """The title."""
        return self.shown(_TITLE)

    @property
    def user(self) -> str:
        """The user name."""
        return self.shown(_USER)

    def shown(self, field: int) -> str:
        """Return a field to find the entry by, even where it is not UTF-8."""
        return self._fields.get(field, b"").decode("utf-8", "replace")

    def text(self, field: int) -> str:
        """Return a field to deliver."""
        try:
            return self._fields.get(field, b"").decode("utf-8")
        except UnicodeDecodeError:
            raise LookupError(f"its field {_NAMES[field]} is not UTF-8 text") from None

    def expires_at(self) -> datetime.datetime | None:
        """Return when the password expires; LookupError where that can't be read."""
        seconds = int.from_bytes(self._fields.get(_EXPIRY, b""), "little")
        if not seconds:
            return None
        try:
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        except (ValueError, OverflowError, OSError):
            raise LookupError("it expires, and the time can't be read") from None


def read(content: bytes, password: str, max_iterations: int = MAX_ITERATIONS) -> list[Entry]:
    """Return the entries of a file; Psafe3Error says why it can't be read."""
    if content[: len(_TAG)] != _TAG:
        what = what_is(content)
        raise Psafe3Error(
            f"not a Password Safe V3 file, but {what}"
            if what
            else "not a Password Safe V3 file; one of version 1 or 2 (.dat), which nothing shows,"
            " can be opened in Password Safe 3 and saved as .psafe3"
        )
    if len(content) < _START.size:
        raise Psafe3Error("the file is truncated")
    _tag, salt, iterations, check, *wrapped_keys, iv = _START.unpack_from(content)
    if iterations > max_iterations:
        raise Psafe3Error(
            f"the file asks for {iterations} rounds of key stretching, more than the"
            f" {max_iterations} of the option `max_iterations`: raise it if you trust the file"
        )
    if iterations < MIN_ITERATIONS:
        raise Psafe3Error(
            f"the file has {iterations} rounds of key stretching, where the format asks for"
            f" {MIN_ITERATIONS} or more: save it with a current Password Safe"
        )
    stretched = _stretch(password.encode(), salt, iterations)
    if not hmac.compare_digest(hashlib.sha256(stretched).digest(), check):
        raise Psafe3Error("the password is wrong")
    unwrap = TwofishKey(stretched).ecb_decryptor
    records_key, hmac_key = (unwrap(padding="none").finalize(key) for key in wrapped_keys)
    body, code = _body(content)
    plain = TwofishKey(records_key).decrypt(body, "cbc", iv=iv, padding="none")
    fields = list(_fields(plain))
    mac = hmac.new(hmac_key, digestmod=hashlib.sha256)
    for _kind, data in fields:
        mac.update(data)
    if not hmac.compare_digest(mac.digest(), code):
        raise _damaged("its integrity code (HMAC) is wrong")
    # The first group of fields is the file's header.
    return [Entry(entry) for entry in _grouped(fields)[1:]]


def split_group(group: str) -> list[str]:
    r"""Return the parts of a group's name; a backslash makes a dot or backslash a plain one.

    >>> split_group("Finance.bank"), split_group(r"db1\.example\.org.etl"), split_group("")
    (['Finance', 'bank'], ['db1.example.org', 'etl'], [])
    """
    if not group:
        return []
    parts = [""]
    last = 0
    for match in _DOT.finditer(group):
        parts[-1] += group[last : match.start()]
        last = match.end()
        if match[1]:
            parts[-1] += match[1]
        else:
            parts.append("")
    parts[-1] += group[last:]
    return parts


def by_uuid(entries: list[Entry]) -> dict[bytes, list[Entry]]:
    """Return the entries by their UUID."""
    found: dict[bytes, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.uuid, []).append(entry)
    return found


def record(name: str, entry: Entry, bases: dict[bytes, list[Entry]]) -> dict[str, Any]:
    """Return an entry's record; LookupError says why it can't be delivered.

    An alias has the password of its base and everything else of its own; a shortcut has everything
    of its base.
    """
    password, expires_at = entry.text(_PASSWORD), entry.expires_at()
    if match := _BASE.fullmatch(password):
        kind = "an alias" if match[1] else "a shortcut"
        base = _base(kind, bases.get(uuid.UUID(match[1] or match[2]).bytes, []))
        password, expires_at = base.text(_PASSWORD), base.expires_at()
        if match[2]:
            entry = base
    description, metadata = records.parse_metadata(entry.text(_NOTES))
    if email := entry.text(_EMAIL):
        metadata.setdefault("email", email)
    return records.record(
        name,
        user=entry.text(_USER),
        password=password,
        host=str(metadata.pop("host", "")),
        url=entry.text(_URL),
        description=description,
        metadata=metadata,
        expires_at=expires_at,
    )


def _base(kind: str, found: list[Entry]) -> Entry:
    if len(found) != 1:
        many = "several entries have" if found else "no entry has"
        raise LookupError(f"it is {kind}, and {many} the UUID of its base")
    if _BASE.fullmatch(found[0].text(_PASSWORD)):
        raise LookupError(f"it is {kind} of an entry that is itself an alias or shortcut")
    return found[0]


def _stretch(password: bytes, salt: bytes, iterations: int) -> bytes:
    digest = hashlib.sha256(password + salt).digest()
    for _round in range(iterations):
        digest = hashlib.sha256(digest).digest()
    return digest


def _body(content: bytes) -> tuple[bytes, bytes]:
    """Return the encrypted fields and the HMAC, between which the end marker lies."""
    end = content.find(_EOF, _START.size)
    while end >= 0 and (end - _START.size) % _BLOCK:
        end = content.find(_EOF, end + 1)
    code = content[end + len(_EOF) :]
    if end < 0 or len(code) < hashlib.sha256().digest_size:
        raise Psafe3Error("the file is truncated")
    if len(code) > hashlib.sha256().digest_size:
        raise _damaged("there is more after its end")
    return content[_START.size : end], code


def _fields(plain: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of the decrypted blocks, each as its type and data."""
    at = 0
    while at < len(plain):
        length, kind = _FIELD.unpack_from(plain, at)
        begin = at + _FIELD.size
        if begin + length > len(plain) or (kind == _END_OF_ENTRY and length):
            raise _damaged("a field has an impossible length")
        yield kind, plain[begin : begin + length]
        at = -(-(begin + length) // _BLOCK) * _BLOCK


def _grouped(fields: list[tuple[int, bytes]]) -> list[dict[int, bytes]]:
    """Return the fields by type, in one group for the header and one for each entry."""
    groups: list[dict[int, bytes]] = [{}]
    for kind, data in fields:
        if kind == _END_OF_ENTRY:
            groups.append({})
            continue
        # The header, which is the first group, may repeat a field.
        if kind in groups[-1] and kind in _NAMES and len(groups) > 1:
            raise _damaged(f"an entry has two fields of the type {_NAMES[kind]}")
        groups[-1][kind] = data
    if groups.pop():
        raise _damaged("its last entry has no end")
    return groups


def _damaged(what: str) -> Psafe3Error:
    return Psafe3Error(f"the password is right, but the file is damaged or was changed: {what}")
