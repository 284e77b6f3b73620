# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is that lies in the place of a vault, and what to do about it. Pure functions."""

from __future__ import annotations

import re

KDBX = b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5"
PSAFE3 = b"PWS3"

# Of a text, this much says what it is.
_HEAD_BYTES = 4096
_ARCHIVE = "an archive: unpack it, and give the file in it"
_CIPHERTEXT = "encrypted by another program, {}: decrypt it first"
_EXPORT = (
    "an export with all passwords in clear: remove it where others could read it, and give"
    " the vault itself"
)
_BEGINNINGS = {
    KDBX: "a KeePass database: the lookup caspian.airflow.kdbx reads it",
    b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5": (
        "a database of KeePass 1 (.kdb): import it into KeePass 2 or KeePassXC and save it as .kdbx"
    ),
    b"\x03\xd9\xa2\x9a\x66\xfb\x4b\xb5": (
        "a database of a test version of KeePass 2: save it with a current one"
    ),
    PSAFE3: "a Password Safe V3 file: the lookup caspian.airflow.psafe3 reads it",
    b"version https://git-lfs.github.com/": (
        "a pointer of git LFS, not the file that it stands for: run `git lfs pull`"
    ),
    b"\0GITCRYPT\0": _CIPHERTEXT.format("git-crypt"),
    b"$ANSIBLE_VAULT;": _CIPHERTEXT.format("ansible-vault"),
    b"age-encryption.org/": _CIPHERTEXT.format("age"),
    b"-----BEGIN AGE ": _CIPHERTEXT.format("age"),
    b"-----BEGIN PGP ": _CIPHERTEXT.format("PGP"),
    b"PK\x03\x04": _ARCHIVE,
    b"\x1f\x8b": _ARCHIVE,
    b"7z\xbc\xaf\x27\x1c": _ARCHIVE,
    b"\xfd7zXZ\0": _ARCHIVE,
    b"BZh": _ARCHIVE,
    b"\x28\xb5\x2f\xfd": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"SQLite format 3\0": "an SQLite database, of another program",
    b"bplist00": "a placeholder of a synchronizer: have it download the file",
}
_TEXTS = (
    (re.compile(r"<!doctype html|<html", re.IGNORECASE),
     "a web page, as a server has for who is not logged in: download the file itself"),
    (re.compile(r"\s*(<[?!][^>]*>\s*)*<KeyFile\b"),
     "a key file of KeePass: give it as `key_file`, and the database as `path`"),
    (re.compile(r"\s*(<[?!][^>]*>\s*)*<(KeePassFile|pwlist|passwordsafe)\b"), _EXPORT),
    (re.compile(r"[^\n]*\b(title|account|url)\b[^\n]*[,;\t][^\n]*\bpassword\b", re.IGNORECASE),
     _EXPORT),
    (re.compile(r"(<{7}|={7}|>{7}) ", re.MULTILINE),
     "a text with the marks of a conflict in git: take one of both versions"),
)  # fmt: skip


def what_is(content: bytes) -> str | None:
    """Say what a file is, and what to do; None where nothing shows it.

    >>> what_is(b"PK\\3\\4...")
    'an archive: unpack it, and give the file in it'
    """
    if not content.strip(b"\0"):
        what = f"nothing but {len(content)} zeros" if content else "empty"
        return f"{what}, as a copy that was interrupted leaves it: bring it here again"
    for beginning, what in _BEGINNINGS.items():
        if content.startswith(beginning):
            return what
    if content[257:262] == b"ustar":
        return _ARCHIVE
    head = content[:_HEAD_BYTES]
    text = head.decode("utf-8-sig", "ignore").lstrip()
    for pattern, what in _TEXTS:
        if pattern.match(text) or (pattern.flags & re.MULTILINE and pattern.search(text)):
            return what
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head) or len(text.encode()) < len(head) - 64:
        return None
    return "a text, and no vault"
