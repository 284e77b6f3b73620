# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of KeePass entries, from the XML of a database that pykeepass has opened.

The XML is read here, since pykeepass makes XPath of names and of what references look for: a quote
in one of them would choose another field or entry.

References and placeholders are filled as KeePass fills them (KeePass/Util/Spr/SprEngine.cs), or are
an error of that name. What KeePass alone can fill, such as {CMD:…}, is one too.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.caspian.airflow.plugins.plugin_utils import records
from ansible_collections.caspian.airflow.plugins.plugin_utils.kdbx_file import UNREADABLE

if TYPE_CHECKING:
    from lxml.etree import _Element

# This is KeePass' own limit: it replaces what lies deeper by nothing.
MAX_DEPTH = 11
# References to references can make a short field very long, and each is a search of all entries.
MAX_CHARACTERS = 1 << 20
MAX_REFERENCES = 1000

_STANDARD = {"T": "Title", "U": "UserName", "P": "Password", "A": "URL", "N": "Notes"}
_BY_PLACEHOLDER = {key.upper(): key for key in _STANDARD.values()}
# No attributes are the seed of one-time passwords, and the names of other parts of an entry.
_NO_ATTRIBUTES = {*_STANDARD.values(), "otp", "Tags", "IconID", "Times", "History"}
_PLACEHOLDER = re.compile(
    r"\{(?:(TITLE|USERNAME|PASSWORD|URL|NOTES|UUID)|S:([^}]*)|REF:([^}]*))\}", re.IGNORECASE
)
# These are in https://keepass.info/help/base/placeholders.html. {ENTER} and the like only mean
# something to auto-type, and %NAME% depends on the computer that KeePass runs on.
_OF_KEEPASS_ALONE = re.compile(
    r"\{(?:URL:\w+|BASE(?::\w+)?|GROUP(?:_SEL)?(?:_?PATH|_NOTES)?|DB_(?:PATH|DIR|NAME|BASENAME|EXT)"
    r"|DOCDIR|APPDIR|ENV_(?:DIRSEP|PROGRAMFILES_X86)|DT_\w+|CLIPBOARD|PASSWORD_ENC|HMACOTP|TIMEOTP"
    r"|TOTP|INTERNETEXPLORER|FIREFOX|OPERA|GOOGLECHROME|SAFARI|EDGE|(?:PICKCHARS|PICKFIELD"
    r"|NEWPASSWORD)(?::[^}]*)?)\}|\{(?:T-CONV|T-REPLACE-RX|CMD|C|CLIPBOARD-SET):",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"([TUPANI])@([TUPANIO]):(.+)", re.IGNORECASE | re.DOTALL)
# Deleted entries, and what new entries begin with: KeePass shows neither as a password.
_HIDDEN_GROUPS = ("RecycleBinUUID", "EntryTemplatesGroup")
_YEAR_1 = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)


class Value(NamedTuple):
    """A field's text, whether the vault protects it, and how deep its references go."""

    text: str
    protected: bool
    depth: int = 0
    # What is there is not the text, but what it was encrypted to.
    unreadable: bool = False


class Entry:
    """An entry that people see, and no former version of one; its repr shows nothing of it.

    `protected` are the fields that the whole database protects. An entry is searchable unless its
    group is left out of searches.
    """

    def __init__(
        self, element: _Element, group: list[str], protected: set[str], *, searchable: bool
    ) -> None:
        self.group = group
        self.searchable = searchable
        self.uuid = _hex(element.findtext("UUID"))
        self.strings: dict[str, Value] = {}
        self.repeats = False
        for string in element.findall("String"):
            key, value = string.findtext("Key") or "", string.find("Value")
            text = "" if value is None else value.text or ""
            marked = value is not None and (value.get("Protected") or "").lower() == "true"
            self.repeats |= key in self.strings
            unreadable = value is not None and value.get(UNREADABLE) is not None
            self.strings[key] = Value(text, marked or key in protected, unreadable=unreadable)
        self._expires = (element.findtext("Times/Expires") or "").strip().lower() == "true"
        self._expiry_time = (element.findtext("Times/ExpiryTime") or "").strip()

    def __repr__(self) -> str:
        return "<Entry>"

    def raw(self, key: str) -> Value:
        """Return a field as it is written."""
        return self.strings.get(key, Value("", protected=False))

    def attributes(self) -> list[str]:
        """Return the names of the entry's own attributes, in their order."""
        return [key for key in self.strings if key not in _NO_ATTRIBUTES]

    def expires_at(self) -> datetime.datetime | None:
        """Return when the entry expires; LookupError where that can't be read."""
        if not self._expires:
            return None
        try:
            if re.match("[0-9]{4}-", self._expiry_time):
                time = datetime.datetime.fromisoformat(self._expiry_time)
                # Version 3 of the format has UTC, with or without a Z.
                time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
                return time.astimezone(datetime.UTC)
            seconds = base64.b64decode(self._expiry_time, validate=True)
            if len(seconds) != 8:
                raise ValueError
            return _YEAR_1 + datetime.timedelta(seconds=int.from_bytes(seconds, "little"))
        except (ValueError, OverflowError, binascii.Error):
            raise LookupError("it expires, and the time can't be read") from None


class Database:
    """The entries of a database; `tree` is the XML below KeePassFile."""

    def __init__(self, tree: _Element) -> None:
        protection = "Meta/MemoryProtection/Protect"
        self._protected = {
            key
            for key in _STANDARD.values()
            if (tree.findtext(f"{protection}{key}") or "").lower() == "true"
        } | {"Password"}
        # A UUID of zeros says that there is none.
        uuids = {_hex(tree.findtext(f"Meta/{name}")) for name in _HIDDEN_GROUPS}
        self._hidden = {uuid for uuid in uuids if uuid.strip("0")}
        self.entries: list[Entry] = []
        self.groups: list[list[str]] = []
        root = tree.find("Root/Group")
        if root is not None:
            self._walk(root, [], searchable=True)
        # Field of a reference → the entries with what is searched in them, in lower case.
        self._searched: dict[str, list[tuple[Entry, list[str]]]] = {}
        self._by_uuid: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._by_uuid.setdefault(entry.uuid, []).append(entry)

    def _walk(self, group: _Element, path: list[str], *, searchable: bool) -> None:
        """Collect what is below a group, in the order in which KeePass searches."""
        own = (group.findtext("EnableSearching") or "").strip().lower()
        # Anything else is what the group above has.
        searchable = {"true": True, "false": False}.get(own, searchable)
        self.entries += [
            Entry(one, path, self._protected, searchable=searchable)
            for one in group.findall("Entry")
        ]
        for inner in group.findall("Group"):
            if _hex(inner.findtext("UUID")) not in self._hidden:
                below = [*path, inner.findtext("Name") or ""]
                self.groups.append(below)
                self._walk(inner, below, searchable=searchable)

    def find(self, field: str, text: str) -> Entry:
        """Return the entry that a reference means; LookupError where that is not certain.

        KeePass takes the first entry that has all words of the text somewhere in the field, and
        KeePassXC the first whose field is the text. What is delivered is what both of them take,
        and the only one of its kind.
        """
        if field == "I":
            exact = first = self._by_uuid.get(text.upper(), [])
        else:
            words = text.casefold().split()
            if '"' in text or any(word[0] == "-" and len(word) > 1 for word in words):
                # KeePass' search takes these for signs of its own.
                raise LookupError(_NOT_FOUND)
            if field not in self._searched:
                found = [(entry, self._values(entry, field)) for entry in self.entries]
                self._searched[field] = found
            values = self._searched[field]
            exact = [one for one, has in values if text.casefold() in has]
            first = [one for one, has in values if any(all(w in v for w in words) for v in has)]
        if not exact:
            raise LookupError(_NOT_FOUND)
        if len(exact) > 1 or first[0] is not exact[0]:
            number = len(exact) if len(exact) > 1 else len(first)
            raise LookupError(
                f"a field refers to what {number} entries have: refer to one by its UUID,"
                " {REF:P@I:…}"
            )
        return exact[0]

    @staticmethod
    def _values(entry: Entry, field: str) -> list[str]:
        if field == "O":
            own = entry.strings.keys() - set(_STANDARD.values())
            return [entry.strings[key].text.casefold() for key in own]
        return [entry.raw(_STANDARD[field]).text.casefold()]


_NOT_FOUND = "a field refers to an entry that can't be found"


class _Filler:
    """Fills the references and placeholders of one record."""

    def __init__(self, database: Database) -> None:
        self.used: list[Entry] = []
        self._database = database
        self._known: dict[tuple[int, str], Value] = {}
        self._inside: list[tuple[int, str]] = []
        self._references = 0

    def fill(self, entry: Entry, key: str) -> Value:
        """Return a field with everything filled in; LookupError says why it can't be."""
        place = (id(entry), key)
        if place in self._known:
            return self._known[place]
        if place in self._inside:
            raise LookupError(_NOT_FOUND)
        if len(self._inside) > MAX_DEPTH:
            raise LookupError(f"its references are more than {MAX_DEPTH} deep")
        if entry not in self.used:
            self.used.append(entry)
        self._inside.append(place)
        self._known[place] = value = self._filled(entry, entry.raw(key))
        self._inside.pop()
        return value

    def _filled(self, entry: Entry, raw: Value) -> Value:
        if raw.unreadable:
            raise LookupError("a protected field can't be read")
        if "{" not in raw.text:
            return raw
        if _OF_KEEPASS_ALONE.search(raw.text):
            raise LookupError("a field has a placeholder that KeePass alone can fill")
        parts, end, protected, depth, length = [], 0, raw.protected, 0, 0
        for match in _PLACEHOLDER.finditer(raw.text):
            value = self._replacement(entry, match)
            parts += [raw.text[end : match.start()], value.text]
            end = match.end()
            protected |= value.protected
            depth = max(depth, value.depth + 1)
            length += len(value.text)
            if length > MAX_CHARACTERS:
                raise LookupError("a field is too long with its references followed")
        text = "".join([*parts, raw.text[end:]])
        if depth > MAX_DEPTH:
            raise LookupError(f"its references are more than {MAX_DEPTH} deep")
        # Parts can make a placeholder together.
        if depth and (_PLACEHOLDER.search(text) or _OF_KEEPASS_ALONE.search(text)):
            raise LookupError("a field has a placeholder that is left over")
        return Value(text, protected, depth)

    def _replacement(self, entry: Entry, match: re.Match[str]) -> Value:
        standard, attribute, reference = match.groups()
        if standard:
            if standard.upper() == "UUID":
                return Value(entry.uuid, protected=False)
            return self.fill(entry, _BY_PLACEHOLDER[standard.upper()])
        if attribute is not None:
            own = entry.strings.keys() - set(_STANDARD.values())
            found = [key for key in own if key.casefold() == attribute.casefold()]
            if len(found) != 1:
                raise LookupError("a field refers to an attribute that can't be found")
            return self.fill(entry, found[0])
        parts = _REFERENCE.fullmatch(reference)
        if parts is None:
            raise LookupError("a field has a reference that can't be read")
        self._references += 1
        if self._references > MAX_REFERENCES:
            raise LookupError(f"it has more than {MAX_REFERENCES} references")
        wanted, field = parts[1].upper(), parts[2].upper()
        target = self._database.find(field, parts[3])
        if wanted == "I":
            return Value(target.uuid, protected=False)
        return self.fill(target, _STANDARD[wanted])


def record(name: str, entry: Entry, database: Database) -> dict[str, Any]:
    """Return an entry's record, its references followed; LookupError says why it can't be."""
    filler = _Filler(database)
    own = {key: filler.fill(entry, key) for key in _readable(entry.attributes())}
    fields = {key: filler.fill(entry, key) for key in ("UserName", "Password", "URL", "Notes")}
    if any(one.repeats for one in filler.used):
        raise LookupError("a field is there twice")
    named = {"user": fields["UserName"], "url": fields["URL"], "description": fields["Notes"]}
    if "host" in own:
        named["host"] = own.pop("host")
    protected = [field for field, value in named.items() if value.protected]
    protected += [f"metadata.{key}" for key, value in own.items() if value.protected]
    return records.record(
        name,
        user=fields["UserName"].text,
        password=fields["Password"].text,
        host=named["host"].text if "host" in named else None,
        url=fields["URL"].text,
        description=fields["Notes"].text,
        metadata={key: value.text for key, value in own.items()},
        protected=protected,
        expires_at=min(_expiries(filler.used), default=None),
    )


def _readable(keys: list[str]) -> list[str]:
    if any(not key or '"' in key for key in keys):
        raise LookupError("an attribute has a name that can't be read")
    return keys


def _expiries(entries: list[Entry]) -> Iterator[datetime.datetime]:
    for entry in entries:
        if (time := entry.expires_at()) is not None:
            yield time


def _hex(uuid: str | None) -> str:
    """Return a UUID of the XML as references have it; empty where it is none."""
    try:
        return base64.b64decode(uuid or "").hex().upper()
    except (ValueError, binascii.Error):
        return ""
