"""What lies in the place of a vault is named, with what to do about it."""

import doctest
import gzip
import io
import os
import tarfile
import zipfile

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    kdbx_file,
    psafe3,
    vault_lookalikes,
)


def test_examples():
    assert doctest.testmod(vault_lookalikes) == (0, 1)


def archive(kind):
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr("vault.kdbx", b"x")
    else:
        with tarfile.open(fileobj=stream, mode="w") as file:
            file.addfile(tarfile.TarInfo("vault.kdbx"))
    return stream.getvalue()


ARCHIVE = "an archive: unpack it, and give the file in it"
EXPORT = "an export with all passwords in clear"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(("content", "what"), [
    (b"", "empty, as a copy that was interrupted leaves it"),
    (bytes(4096), "nothing but 4096 zeros, as a copy"),
    (POINTER, "a pointer of git LFS, not the file that it stands for: run `git lfs pull`"),
    (b"<!DOCTYPE html>\n<html><title>Log in</title>", "a web page"),
    (b"\xef\xbb\xbf\n  <HTML><body>s3cret", "a web page"),
    (b"PK\x03\x04" + bytes(50), ARCHIVE),
    (archive("zip"), ARCHIVE),
    (archive("tar"), ARCHIVE),
    (gzip.compress(b"x", mtime=0), ARCHIVE),
    (b"$ANSIBLE_VAULT;1.1;AES256\n6132", "encrypted by another program, ansible-vault: decrypt it"),
    (b"age-encryption.org/v1\n", "encrypted by another program, age"),
    (b"-----BEGIN PGP MESSAGE-----\n", "encrypted by another program, PGP"),
    (b"\0GITCRYPT\0" + bytes(9), "encrypted by another program, git-crypt"),
    (b'<?xml version="1.0"?>\n<KeyFile><Meta/>', "a key file of KeePass: give it as `key_file`"),
    (b'<?xml version="1.0"?>\n<!-- x -->\n<KeePassFile><Meta/>', EXPORT),
    (b'<?xml version="1.0"?>\n<passwordsafe delimiter=";">', EXPORT),
    (b'"Group","Title","Username","Password","URL"\n"a","b","c","s3cret"', EXPORT),
    (b"Group/Title\tUsername\tPassword\tURL\n", EXPORT),
    (b"x\n<<<<<<< HEAD\na\n=======\n", "a text with the marks of a conflict in git"),
    (b"SQLite format 3\0" + bytes(9), "an SQLite database, of another program"),
    (b"bplist00" + bytes(range(40)), "a placeholder of a synchronizer"),
    (b'{"error": "unauthorized"}', "a text, and no vault"),
    (b"name: s3cret\n", "a text, and no vault"),
    (b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5" + bytes(200), "a database of KeePass 1 (.kdb): import it"),
    (b"\x03\xd9\xa2\x9a\x66\xfb\x4b\xb5" + bytes(200), "a database of a test version of KeePass 2"),
])  # fmt: skip
def test_in_the_place_of_a_vault(content, what):
    with pytest.raises(kdbx_file.KdbxError) as of_keepass:
        kdbx_file.open_database(content, "password", None)
    with pytest.raises(psafe3.Psafe3Error) as of_password_safe:
        psafe3.read(content, "password")
    assert str(of_keepass.value).startswith(f"not a KeePass database, but {what}")
    assert str(of_password_safe.value).startswith(f"not a Password Safe V3 file, but {what}")
    assert "s3cret" not in f"{of_keepass.value}{of_password_safe.value}"


def test_the_other_kind_of_vault():
    with pytest.raises(kdbx_file.KdbxError, match=r"the lookup caspian\.airflow\.psafe3 reads it$"):
        kdbx_file.open_database(b"PWS3" + os.urandom(500), "password", None)
    with pytest.raises(psafe3.Psafe3Error, match=r"the lookup caspian\.airflow\.kdbx reads it$"):
        psafe3.read(vault_lookalikes.KDBX + os.urandom(500), "password")


def test_what_nothing_shows():
    """So it is with files of Password Safe 1 and 2, which are random from their first byte."""
    content = b"\x01\x02\x80\xff" * 100
    with pytest.raises(kdbx_file.KdbxError, match=r"^not a KeePass database$"):
        kdbx_file.open_database(content, "password", None)
    with pytest.raises(psafe3.Psafe3Error, match=r"version 1 or 2 \(\.dat\), which nothing shows"):
        psafe3.read(content, "password")
    for _ in range(300):
        assert vault_lookalikes.what_is(os.urandom(1000)) is None
