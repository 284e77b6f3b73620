# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a KeePass database: pykeepass decrypts it, with a key that is made here.

pykeepass takes a broken key file for a damaged database, repeats AES in Python, which takes minutes
for a database that KeePass opens in a second, and leaves a protected value that it can't read in
its place, encrypted. All of that is an error here, or done.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import logging
import re
import struct
from typing import TYPE_CHECKING, Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_lookalikes import KDBX, what_is

try:
    import argon2.low_level
    from Cryptodome.Cipher import AES
    from lxml import etree
    from pykeepass import PyKeePass
    from pykeepass.exceptions import CredentialsError
except ImportError:
    HAS_PYKEEPASS = False
else:
    HAS_PYKEEPASS = True

if TYPE_CHECKING:
    from lxml.etree import _Element

# The header says itself how long opening takes, before anything shows that it is genuine. Each of
# these is about two minutes of one processor core.
MAX_AES_ROUNDS = 1 << 29
MAX_ARGON2_BYTES = 128 << 30
MAX_ARGON2_MEMORY_BYTES = 4 << 30

# The attribute of a value that is protected and could not be read.
UNREADABLE = "Unreadable"

_VERSION = struct.Struct("<HH")
_AES_KDF = bytes.fromhex("c9d9f39a628a4460bf740d08c18a4fea")
_ARGON2 = {
    bytes.fromhex("ef636ddf8c29444b91f7a9a403e30a0c"): "D",
    bytes.fromhex("9e298b1956db4773b23dfc3ec6f0a1e6"): "ID",
}
_CHUNK_BLOCKS = 1 << 16
_NOT_UNPROTECTED = re.compile("Element at (.+) marked as protected")
_DAMAGED = "the file is cut off or damaged"


class KdbxError(Exception):
    """The database can't be opened; the text says why and holds nothing of it."""


def open_database(content: bytes, password: str | None, key_file: bytes | None) -> _Element:
    """Return the XML of a database, below KeePassFile; KdbxError says why it can't be opened.

    Without a password, one that is not there and one that is empty are tried: with a key file,
    KeePass knows both.
    """
    given, content = content, _of_known_version(content)
    header = _header(content)
    _check_costs(header)
    key = key_of_file(key_file) if key_file is not None else b""
    passwords = [password] if password is not None else [None, ""]
    for one in passwords:
        secret = b"" if one is None else hashlib.sha256(one.encode()).digest()
        try:
            transformed = _transformed(header, hashlib.sha256(secret + key).digest())
            root, length = _decrypted(content, transformed)
        except CredentialsError:
            continue
        _check_header(root, given[:length])
        return root
    what = "the password" if key_file is None else "the password or the key file"
    if password is None:
        what = "the key file"
    raise KdbxError(
        f"{what} is wrong, or it takes something else besides (a key file, a YubiKey or another"
        " challenge-response, a Windows account), of which only a key file can be given here"
    )


def key_of_file(content: bytes) -> bytes:
    """Return the key in a key file as KeePass reads it; KdbxError says why there is none."""
    if not content:
        raise KdbxError("the key file is empty")
    if re.match(
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<KeyFile\b", content, re.DOTALL
    ):
        return _key_of_xml(content)
    if len(content) == 32:
        return content
    if re.fullmatch(rb"[0-9a-fA-F]{64}", content):
        return bytes.fromhex(content.decode())
    return hashlib.sha256(content).digest()


def _key_of_xml(content: bytes) -> bytes:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        raise KdbxError("the key file is cut off or damaged: its XML can't be read") from None
    version, data = root.findtext("Meta/Version") or "", root.find("Key/Data")
    text = "".join((data.text or "").split()) if data is not None else ""
    try:
        if version.startswith("1."):
            key = base64.b64decode(text, validate=True)
        elif version.startswith("2."):
            key = bytes.fromhex(text)
            if hashlib.sha256(key).digest()[:4].hex() != (data.get("Hash") or "").lower():
                raise KdbxError("the key file is damaged: its checksum (Hash) is wrong")
        else:
            raise KdbxError("the key file has a version that is neither 1 nor 2")
    except (ValueError, binascii.Error):
        raise KdbxError("the key file is damaged: its key can't be read") from None
    if not key:
        raise KdbxError("the key file is damaged: it has no key")
    return key


def _of_known_version(content: bytes) -> bytes:
    if not content.startswith(KDBX):
        what = what_is(content)
        raise KdbxError("not a KeePass database" + (f", but {what}" if what else ""))
    if len(content) < len(KDBX) + _VERSION.size:
        raise KdbxError(_DAMAGED)
    minor, major = _VERSION.unpack_from(content, len(KDBX))
    if major == 2:
        # Format 2 is 3 by another number.
        return content[: len(KDBX)] + _VERSION.pack(0, 3) + content[len(KDBX) + _VERSION.size :]
    if major not in (3, 4):
        raise KdbxError(
            f"the database has format {major}.{minor}; 2 to 4 can be read: save it in format 4"
        )
    return content


def _header(content: bytes) -> Any:
    """Return the fields of the header, which nothing has proved yet."""
    try:
        # With a key it makes none, and without decrypting it looks at nothing else.
        found = PyKeePass(io.BytesIO(content), transformed_key=b"none", decrypt=False)
    except Exception:
        raise KdbxError(
            f"{_DAMAGED}: its header can't be read (or its cipher is one of a plugin)"
        ) from None
    return found.kdbx.header.value.dynamic_header


def _kdf(header: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the key derivation and its settings."""
    try:
        if "kdf_parameters" not in header:
            settings = {"S": header.transform_seed.data, "R": header.transform_rounds.data}
            return _AES_KDF, settings
        given = header.kdf_parameters.data.dict
        settings = {str(name): given[name].value for name in given}
        return settings["$UUID"], settings
    except (AttributeError, KeyError):
        raise KdbxError(f"{_DAMAGED}: its header is not complete") from None


def _check_costs(header: Any) -> None:
    kdf, settings = _kdf(header)
    if kdf == _AES_KDF:
        if settings["R"] > MAX_AES_ROUNDS:
            raise KdbxError(
                f"it asks for {settings['R']} rounds of AES, more than {MAX_AES_ROUNDS}: choose"
                " Argon2 as its key derivation"
            )
    elif kdf in _ARGON2:
        memory, total = settings["M"], settings["M"] * settings["I"]
        if memory > MAX_ARGON2_MEMORY_BYTES or total > MAX_ARGON2_BYTES:
            raise KdbxError(
                f"its key derivation asks for {settings['I']} rounds of {memory >> 20} MiB, which"
                " takes too long here: choose less"
            )
    else:
        raise KdbxError("its key derivation is one of a plugin: choose Argon2")
    if getattr(header.get("protected_stream_id"), "data", None) in ("arcfourvariant", "none"):
        raise KdbxError(
            "it protects values in a way that KeePass has given up: save it with a current one"
        )


def _transformed(header: Any, key: bytes) -> bytes:
    """Return the key after the derivation that the header asks for."""
    kdf, settings = _kdf(header)
    try:
        if kdf == _AES_KDF:
            halves = (
                _repeated_aes(settings["S"], settings["R"], half) for half in (key[:16], key[16:])
            )
            return hashlib.sha256(b"".join(halves)).digest()
        return argon2.low_level.hash_secret_raw(
            secret=key,
            salt=settings["S"],
            hash_len=32,
            type=argon2.low_level.Type[_ARGON2[kdf]],
            time_cost=settings["I"],
            memory_cost=settings["M"] // 1024,
            parallelism=settings["P"],
            version=settings["V"],
        )
    except (KeyError, TypeError, ValueError, argon2.exceptions.HashingError):
        raise KdbxError(
            "its key derivation can't be done here: its settings are damaged, or take more memory"
            " than there is"
        ) from None


def _repeated_aes(seed: bytes, rounds: int, block: bytes) -> bytes:
    """Encrypt a block over and over: CBC of zeros does just that, without a loop in Python."""
    while rounds:
        blocks = min(rounds, _CHUNK_BLOCKS)
        block = AES.new(seed, AES.MODE_CBC, iv=block).encrypt(bytes(16 * blocks))[-16:]
        rounds -= blocks
    return block


class _Failures(logging.Handler):
    """Collects which elements pykeepass could not unprotect, of which it only logs."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note the path of the element."""
        if match := _NOT_UNPROTECTED.match(record.getMessage()):
            self.paths.append(match[1])


def _decrypted(content: bytes, key: bytes) -> tuple[_Element, int]:
    """Return the XML, and the length of the header before it."""
    log, failures = logging.getLogger("pykeepass.kdbx_parsing.common"), _Failures()
    propagate, log.propagate = log.propagate, False
    log.addHandler(failures)
    try:
        database = PyKeePass(io.BytesIO(content), transformed_key=key)
        tree = database.tree
        payload = database.payload
    except CredentialsError:
        raise
    except etree.XMLSyntaxError as error:
        if "huge" in str(error).lower():
            raise KdbxError(
                "it holds an attachment of more than 10 MB in the old way: save it in format 4"
            ) from None
        raise KdbxError(f"{_DAMAGED}: what is in it is no XML") from None
    except Exception as error:
        if "ARCFourVariant" in str(error):
            raise KdbxError(
                "it protects values in a way that KeePass has given up: save it with a current one"
            ) from None
        # The parser's own messages quote what it was reading.
        raise KdbxError(_DAMAGED) from None
    finally:
        log.removeHandler(failures)
        log.propagate = propagate
    inner = getattr(payload, "inner_header", None)
    if inner is not None and inner.protected_stream_id.data == "none":
        raise KdbxError("its protected values are not encrypted: save it with a current KeePass")
    for path in failures.paths:
        for element in tree.xpath(path):
            element.set(UNREADABLE, "True")
    return tree.getroot(), len(database.kdbx.header.data)


def _check_header(root: _Element, header: bytes) -> None:
    """Refuse a header that was changed, which in format 3 only the XML can tell."""
    expected = root.findtext("Meta/HeaderHash")
    if expected and expected.strip() != base64.b64encode(hashlib.sha256(header).digest()).decode():
        raise KdbxError("its header is damaged or was changed (HeaderHash)")
