"""`rax credentials set`: a password goes from a person to one closed file, and nowhere else."""

import contextlib
import errno
import fcntl
import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from rax import _laptop, cli
from rax.credentials import _writing, get_credentials

NAME = "GENES-WEB-01"
SECRET = "s3cr3t-canary"
SOURCE = Path(cli.__file__).parents[2]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DAG repository in git, which this process is in; a home of its own."""
    root = tmp_path / "dags"
    root.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("GIT_", "RAX_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / "rax.toml").touch()
    (root / ".gitignore").write_text("/local/\n")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def rax(capsys, monkeypatch):
    """Run the command with that on standard input, which is no terminal."""

    def run(*arguments, given=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        code = cli.main(["credentials", "set", *arguments])
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, out, err.removeprefix("rax: ")

    return run


@pytest.fixture
def made(repository, rax):
    """The file of a credential that is there."""
    fields = {"user": "genes", "pass": SECRET, "host": "localhost", "metadata": {"port": 8421}}
    assert rax(NAME, "--stdin", given=json.dumps(fields).encode())[0] == 0
    return repository / f"local/credentials/{NAME}.json"


def read(file):
    return json.loads(file.read_text())


def holding(folder):
    """Return the files below a folder that hold the password, in their names too."""
    return [
        file
        for file in folder.rglob("*")
        if SECRET in file.name or (file.is_file() and SECRET.encode() in file.read_bytes())
    ]


# At a terminal


def _at_a_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Tests that run in the background of a shell ignore it, and so would what they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rax", "credentials", "set", *arguments],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=_at_a_terminal,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def wait_for(self, text, seconds=60):
        """Read what is shown until the text comes."""
        while text not in self.shown:
            assert select.select([self.master], [], [], seconds)[0], self.shown
            self.shown += os.read(self.master, 4096).decode()

    def answer(self, prompt, text):
        self.wait_for(prompt)
        os.write(self.master, f"{text}\n".encode())

    def end(self):
        """Return the exit code, after all that is shown was read."""
        with contextlib.suppress(OSError):
            while select.select([self.master], [], [], 60)[0]:
                self.shown += os.read(self.master, 4096).decode()
        os.close(self.master)
        return self.process.wait(60)


def test_a_person_is_asked_and_the_password_is_nowhere_else(repository, tmp_path):
    terminal = Terminal(NAME, "--meta", "port=5432")
    terminal.answer("User: ", "genes")
    terminal.answer("Host: ", "db.example.org")
    terminal.answer("Password (not shown): ", SECRET)
    terminal.wait_for("Url: ")
    proc = Path(f"/proc/{terminal.process.pid}")
    for place in ("cmdline", "environ"):
        assert SECRET.encode() not in (proc / place).read_bytes()
        assert b"credentials" in (proc / "cmdline").read_bytes()
    assert holding(tmp_path) == []
    terminal.answer("Url: ", "")
    assert terminal.end() == 0
    assert SECRET not in terminal.shown
    file = repository / f"local/credentials/{NAME}.json"
    assert terminal.shown.endswith(f"made {file}, which only you can read\r\n")
    assert holding(tmp_path) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read(file) == {
        "user": "genes", "pass": SECRET, "host": "db.example.org", "url": "", "description": "",
        "metadata": {"port": 5432}, "protected": [],
    }  # fmt: skip


def test_an_empty_answer_keeps_what_there_is(made):
    before = read(made)
    terminal = Terminal(NAME)
    terminal.answer("User [genes]: ", "")
    terminal.answer("Host [localhost]: ", "other.example.org")
    terminal.answer("Password (not shown) [as it is]: ", "")
    terminal.answer("Url: ", "")
    assert terminal.end() == 0
    assert read(made) == before | {"host": "other.example.org"}


@pytest.mark.parametrize("stop", ["\x03", "\x04"])
def test_who_stops_has_written_nothing(repository, stop):
    terminal = Terminal(NAME, "--user", "genes", "--host", "h")
    terminal.wait_for("Password (not shown): ")
    os.write(terminal.master, stop.encode())
    assert terminal.end() == (130 if stop == "\x03" else 3)
    assert "Traceback" not in terminal.shown
    assert not (repository / "local").exists()


# From a pipe, and by options


@pytest.mark.parametrize(
    ("given", "password"),
    [
        (f"{SECRET}\n".encode(), SECRET),
        (f"\ufeff{SECRET}\r\n".encode(), SECRET),
        (b" a b ", " a b "),
        ("пароль".encode(), "пароль"),
        (b'{"pass": "{x", "url": "http://h"}', "{x"),
    ],
)
def test_a_pipe_has_the_password_or_json(repository, rax, monkeypatch, given, password):
    code, out, err = rax(NAME, "--user", "genes", "--host", "h", "--stdin", given=given)
    assert (code, err) == (0, "")
    file = repository / f"local/credentials/{NAME}.json"
    assert out == f"made {file}, which only you can read\n"
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(file.parent))
    found = get_credentials(NAME)
    assert (found["user"], found["host"], found["pass"]) == ("genes", "h", password)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "standard input is empty: it is to have the password in one line, or JSON"),
        (b"\n", "standard input is empty: it is to have the password in one line, or JSON"),
        (f"{SECRET}\nb\n".encode(), "standard input has several lines: it is to have the password"),
        (f"{{{SECRET}".encode(), "standard input begins with { and is not JSON: line 1: "),
        (SECRET.encode() + b"\xff", "standard input is not UTF-8"),
        (b"{" * 100_000, "standard input begins with { and is not JSON: line 1: "),
        (b'{"pass": ' + b"[" * 100_000, "standard input is not JSON that a credential could be"),
        (b" " * (1 << 20) + b"a", "standard input has more than 1048576 bytes"),
        (f'{{"passwort": "{SECRET}"}}'.encode(), "a credential has no field 'passwort'"),
        (f'{{"\\u001b[2J": "{SECRET}"}}'.encode(), "a credential has no field '\\\\x1b[2J'"),
        (f'{{"pass": ["{SECRET}"]}}'.encode(), f"the credential {NAME} cannot be: pass is not"),
        (b'{"metadata": 1}', "metadata is not an object"),
        (b'{"pass": "\\ud800"}', f"the credential {NAME} cannot be: has half a character"),
    ],
    ids=range(13),
)
def test_what_a_pipe_must_not_have(repository, rax, given, message):
    code, out, err = rax(NAME, "--stdin", given=given)
    assert (code, out) == (3, "")
    assert err.startswith(message)
    assert list(repository.glob("local/credentials/*")) == []


def test_options_change_their_own_fields_alone(made, rax):
    before = read(made)
    code, out, _ = rax(NAME, "--host", "db", "--meta", "port=", "--meta", "sslmode=require")
    assert (code, out) == (0, f"changed {made}, which only you can read\n")
    assert read(made) == before | {"host": "db", "metadata": {"sslmode": "require"}}
    assert rax(NAME, "--stdin", "--user", "u", given=b"another one")[0] == 0
    assert read(made) == before | {
        "host": "db", "metadata": {"sslmode": "require"}, "user": "u", "pass": "another one",
    }  # fmt: skip


def test_metadata_of_options_is_over_that_of_the_pipe(repository, rax):
    given = json.dumps({"pass": SECRET, "metadata": {"port": 1, "api_token": SECRET}}).encode()
    assert rax(NAME, "--stdin", "--meta", "port=2", given=given)[0] == 0
    found = read(repository / f"local/credentials/{NAME}.json")
    assert found["metadata"] == {"port": 2, "api_token": SECRET}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", f"postgresql://etl:{SECRET}@db/x"], "--url holds a secret, and other accounts"),
        (["--meta", f"api_token={SECRET}"], "--meta api_token holds a secret"),
        (["--meta", f"proxy=http://a:{SECRET}@p"], "--meta proxy holds a secret"),
        (["--meta", "port"], "--meta takes KEY=VALUE, such as port=5432, and not 'port'"),
        (["--meta", "=1"], "--meta takes KEY=VALUE"),
    ],
)
def test_no_option_takes_a_secret(made, rax, options, message):
    before = made.read_bytes()
    code, _, err = rax(NAME, *options)
    assert code == 3
    assert err.startswith(message)
    assert made.read_bytes() == before
    with pytest.raises(SystemExit) as end:
        rax(NAME, "--password", SECRET)
    assert end.value.code == 2


def test_nobody_is_there_to_ask(repository, rax):
    code, _, err = rax(NAME, "--user", "genes")
    assert code == 3
    assert err.startswith("standard input is no terminal to ask at: use --stdin, with ")
    assert not (repository / "local").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "-", "a b", "a\nb", ""])
def test_what_is_no_name(repository, rax, name):
    code, _, err = rax("--stdin", "--", name, given=b"x")
    assert code == 3
    assert "is not the name of a credential" in err
    assert not (repository / "local").exists()


def test_the_result_for_programs(repository, rax):
    code, out, _ = rax(NAME, "--stdin", "--json", given=SECRET.encode())
    file = repository / f"local/credentials/{NAME}.json"
    assert (code, json.loads(out)) == (0, {"file": str(file), "notes": []})


# The folder, and git


def test_git_is_told_to_ignore_it(repository, rax):
    (repository / ".gitignore").write_text("*.pyc")
    _, out, _ = rax(NAME, "--stdin", given=SECRET.encode())
    ignored = repository / "local/.gitignore"
    assert out.startswith(f"made {ignored}, by which git ignores all that is beside it\n")
    assert (repository / ".gitignore").read_text() == "*.pyc"
    said = subprocess.run(["git", "status", "--short"], capture_output=True, text=True, check=True)
    assert "local" not in said.stdout
    assert "made " not in rax(NAME, "--host", "h")[1]


@pytest.mark.parametrize("is_in_a_hook", [False, True])
@pytest.mark.parametrize("text", ["!*\n", "link"])
def test_what_git_would_take_is_not_written(repository, rax, monkeypatch, text, is_in_a_hook):
    (repository / ".gitignore").unlink()
    (repository / "local").mkdir()
    ignored = repository / "local/.gitignore"
    if text == "link":
        ignored.symlink_to(repository / "elsewhere")
    else:
        ignored.write_text(text)
    if is_in_a_hook:
        monkeypatch.setenv("GIT_DIR", "/nowhere")
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    file = repository / f"local/credentials/{NAME}.json"
    assert (code, err) == (3, f"git would take {file}: add the line /local/ to .gitignore\n")
    assert holding(repository) == []
    assert not (repository / "elsewhere").exists()


def test_a_credential_that_is_in_git(made, rax):
    subprocess.run(["git", "add", "--force", made], check=True)
    code, _, err = rax(NAME, "--host", "h")
    assert code == 3
    assert err.startswith(f"{made} is in git: take it out (git rm --cached), and have its password")


def test_a_folder_that_git_has_damaged_is_not_taken_for_ignored(repository, rax):
    (repository / ".git/HEAD").write_text("x")
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    assert code == 3
    assert err.startswith("git cannot say what it takes: ")
    assert holding(repository) == []


def test_a_repository_without_git(repository, rax, tmp_path):
    (repository / ".git").rename(tmp_path / "away")
    assert rax(NAME, "--stdin", given=SECRET.encode())[0] == 0


@pytest.mark.parametrize("link", ["local", "local/credentials"])
def test_no_link_leads_out_of_the_repository(repository, rax, tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    (repository / link).parent.mkdir(exist_ok=True)
    (repository / link).symlink_to(tmp_path / "elsewhere")
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    assert code == 3
    assert err.startswith(f"{repository / link} is no folder: where credentials are elsewhere")
    assert holding(tmp_path) == []


def test_a_wide_folder_is_closed(made, rax):
    made.parent.chmod(0o777)
    _, out, _ = rax(NAME, "--host", "h")
    assert out.startswith(f"{made.parent} had the mode 0777 and has 0700 now\n")
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["mode", "link", "json"])
def test_a_file_that_cannot_be_used_is_not_changed(made, rax, tmp_path, damage):
    if damage == "mode":
        made.chmod(0o644)
    elif damage == "json":
        made.write_text(SECRET)
    else:
        made.rename(tmp_path / "real")
        made.symlink_to(tmp_path / "real")
    before = made.read_bytes()
    code, _, err = rax(NAME, "--host", "h")
    assert code == 3
    assert err.startswith(f"{made}: ")
    assert err.endswith(": remove the file, and set the credential anew\n")
    assert made.read_bytes() == before


def test_the_umask_makes_no_difference(repository, rax):
    before = os.umask(0)
    try:
        assert rax(NAME, "--stdin", given=SECRET.encode())[0] == 0
    finally:
        os.umask(before)
    folder = repository / "local/credentials"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / f"{NAME}.json")]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_there_was(made, rax, monkeypatch, call):
    before = made.read_bytes()

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        monkeypatch.setattr(_writing, "open", lambda *_, **__: fail(), raising=False)
    else:
        monkeypatch.setattr(os, call, fail)
    code, out, err = rax(NAME, "--host", "h")
    assert (code, out, err) == (3, "", "No space left on device\n")
    assert made.read_bytes() == before
    assert [file.name for file in made.parent.iterdir()] == [made.name]


def test_what_a_killed_one_has_left_is_replaced(made, rax):
    left = made.parent / f".{NAME}.new"
    left.symlink_to(made)
    assert rax(NAME, "--host", "h")[0] == 0
    assert [file.name for file in made.parent.iterdir()] == [made.name]
    assert not made.is_symlink()


# Elsewhere than in a repository


def test_a_folder_that_is_named(repository, rax, tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    code, out, _ = rax(NAME, "--stdin", given=SECRET.encode())
    assert (code, out) == (
        0,
        f"made {folder}\nmade {folder}/{NAME}.json, which only you can read\n",
    )
    folder.chmod(0o770)
    code, _, err = rax(NAME, "--host", "h")
    assert (code, err) == (3, f"others may write to {folder}: chmod go-w {folder}\n")
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(repository / "secrets"))
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    assert code == 3
    assert err.startswith(f"git would take {repository}/secrets/{NAME}.json: name its folder in a")


@pytest.mark.parametrize("how", ["named", "link", "status"])
def test_the_credentials_of_a_node_are_the_vaults(repository, rax, tmp_path, monkeypatch, how):
    node = tmp_path / "etc"
    (node / "credentials").mkdir(parents=True)
    folder = node / "credentials"
    if how == "status":
        (node / "credentials.status.json").touch()
    else:
        monkeypatch.setattr(_laptop, "NODE", node)
    if how == "link":
        (repository / "local").mkdir()
        (repository / "local/credentials").symlink_to(folder)
    else:
        monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    assert code == 3
    assert " are the vault's: change the record there, and the next refresh brings it" in err
    assert holding(tmp_path) == []


def test_the_repository_whose_wrapper_runs_it(repository, rax, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAX_REPOSITORY", str(repository))
    assert rax(NAME, "--stdin", given=SECRET.encode())[0] == 0
    assert holding(tmp_path) == [repository / f"local/credentials/{NAME}.json"]


def test_outside_of_a_repository(tmp_path, rax, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAX_CREDENTIALS_DIR", raising=False)
    code, _, err = rax(NAME, "--stdin", given=SECRET.encode())
    assert (code, err) == (
        3,
        f"{tmp_path} is in no DAG repository: neither it nor a folder above has a rax.toml\n",
    )


# What the other commands see


def test_the_other_commands_look_in_the_repository(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setattr(_laptop, "NODE", tmp_path / "no node")
    overlay = made.parents[1] / "configs"
    for folder in (made.parents[2] / "configs", overlay):
        folder.mkdir()
        (folder / "a.yaml").write_text(f"which: {folder.parent.name}\n")
    # Set here, so that what the command sets is gone after the test.
    for name in ("RAX_CREDENTIALS_DIR", "RAX_CONFIG_DIR"):
        monkeypatch.setenv(name, "")
    assert cli.main(["credentials", "list"]) == 0
    assert NAME in capsys.readouterr().out
    assert cli.main(["config", "show", "a"]) == 0
    assert "which: local\n" in capsys.readouterr().out


@pytest.mark.usefixtures("made")
def test_a_node_never_looks_there(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setattr(_laptop, "NODE", tmp_path)
    assert cli.main(["credentials", "list"]) == 3
    assert "/etc/airflow/credentials" in capsys.readouterr().err
