"""A file vault where people change it, on a share: what is in its place, and what came before."""

import json
import os
import time

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import vault_age
from ansible_collections.caspian.airflow.plugins.plugin_utils.vault_age import VaultFileError

DAY = 86400


class Share:
    """A vault on a share, and what the control node remembers of it."""

    def __init__(self, folder):
        self.vault = folder / "vault.kdbx"
        self.memory = folder / "memory.json"
        self.change(days_ago=10)

    def change(self, *, days_ago):
        self.vault.write_bytes(b"a vault")
        moment = time.time() - days_ago * DAY
        os.utime(self.vault, (moment, moment))

    def read(self):
        """Return whether the vault is read, or why it is not."""
        reads = []
        try:
            with vault_age.remembered(str(self.vault), str(self.memory)):
                reads.append(True)
        except VaultFileError as error:
            assert not reads
            return str(error)
        return True

    @property
    def known(self):
        return json.loads(self.memory.read_text())


@pytest.fixture
def share(tmp_path):
    share = Share(tmp_path)
    assert share.read() is True
    return share


def test_a_vault_that_is_changed_is_read(share):
    for days_ago in (9, 9, 3, 0):
        share.change(days_ago=days_ago)
        assert share.read() is True
    assert share.known["changed_ns"] == share.vault.stat().st_mtime_ns
    assert share.memory.stat().st_mode & 0o777 == 0o600


def test_an_older_vault_is_refused_until_somebody_means_it(share):
    """An old copy would bring passwords back that have been changed since."""
    share.change(days_ago=20)
    said = share.read()
    assert f"{share.vault} was changed at 20" in said
    assert said.endswith("so it may be an old copy: `touch` it if it is meant.")
    assert share.read() == said
    share.vault.touch()
    assert share.read() is True


def test_a_vault_that_could_not_be_read_is_not_the_last_one(share):
    """One that is half-written, or has another password, keeps no good one from coming back."""
    share.change(days_ago=1)
    with (
        pytest.raises(ZeroDivisionError),
        vault_age.remembered(str(share.vault), str(share.memory)),
    ):
        raise ZeroDivisionError
    share.change(days_ago=2)
    assert share.read() is True


@pytest.mark.parametrize("kind", ["away", "link", "dangling", "folder", "fifo"])
def test_something_else_in_its_place(share, kind, tmp_path):
    share.vault.unlink()
    match kind:
        case "link":
            (tmp_path / "other").write_bytes(b"another vault")
            share.vault.symlink_to(tmp_path / "other")
        case "dangling":
            share.vault.symlink_to(tmp_path / "nothing")
        case "folder":
            share.vault.mkdir()
        case "fifo":
            os.mkfifo(share.vault)
    before = share.known
    reason = {
        "away": ": No such file or directory.",
        "folder": " is not a file.",
        "fifo": " is not a file.",
    }.get(kind, " is a link: name the file that it leads to.")
    assert share.read() == f"{share.vault}{reason}"
    assert share.known == before
    with pytest.raises(VaultFileError):
        vault_age.copied_at(str(share.vault))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b"\xff", b"[" * 8000, b'{"version": 1}', b"9" * 5000,
        b'{"version": 1, "path": "/x", "changed_ns": true}',
        b'{"version": 2, "path": "/x", "changed_ns": 1}',
    ],
)  # fmt: skip
def test_a_damaged_memory_is_none(share, content, capsys):
    share.memory.write_bytes(content)
    share.change(days_ago=20)
    assert share.read() is True
    assert "is damaged" in capsys.readouterr().err
    assert share.known["path"] == str(share.vault)


def test_a_link_in_the_memory_s_place_is_not_written_through(share, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    share.memory.unlink()
    share.memory.symlink_to(victim)
    assert share.read() is True
    assert victim.read_text() == "theirs"


def test_the_memory_is_of_one_vault(share, tmp_path):
    share.vault = tmp_path / "another.kdbx"
    share.change(days_ago=20)
    assert share.read() is True


def test_a_copy_is_as_old_as_its_file_says_and_never_of_the_future(share, capsys):
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(share.vault.stat().st_mtime))
    assert vault_age.copied_at(str(share.vault)) == written
    assert capsys.readouterr().err == ""
    share.change(days_ago=-2)
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = vault_age.copied_at(str(share.vault))
    assert before <= found <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert "is of the future" in capsys.readouterr().err
