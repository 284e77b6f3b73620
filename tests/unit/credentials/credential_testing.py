"""Modules that run as processes of their own, and looks at what they leave."""

import contextlib
import encodings.utf_8_sig  # noqa: F401 - another account may not reach Python's own files, nor Ansible's
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from ansible.module_utils._internal._json._profiles import (
    _module_legacy_c2m,  # noqa: F401 - see above
    _module_legacy_m2c,  # noqa: F401 - see above
)
from run_module import load, run_module

from tests.lookup_calls import environment

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# The group that may read; any would do.
GROUP = 1
NOBODY = 65534


def execute(name, arguments, *, check=False, wrapper=(), attach=None, account=None):
    """Run a module; return the finished process.

    Without a wrapper it is a fork of this one, which saves it the imports. `attach` is called with
    its process id before it begins; `account` is the user id that it runs as.
    """
    given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}
    if not wrapper:
        return _fork(name, given, attach, account)
    return subprocess.run(
        [*wrapper, sys.executable, HERE / "run_module.py", name],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def _fork(name, given, attach, account):
    load(name)
    gate, key = os.pipe()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            os.close(key)
            os.read(gate, 1)  # Until the other end is closed.
            sys.stdout, sys.stderr = out, err
            status = 1
            try:
                if account is not None:
                    become(account)
                run_module(name, given)
            except SystemExit as ended:
                status = ended.code
            except BaseException:
                traceback.print_exc()
            finally:
                out.flush()
                err.flush()
                os._exit(status)
        os.close(gate)
        try:
            if attach:
                attach(child)
        finally:
            os.close(key)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([name], status, out.read(), err.read())


def become(account, groups=()):
    """Turn this process into one of another account."""
    os.setgroups(groups)
    os.setgid(account)
    os.setuid(account)


@contextlib.contextmanager
def other_process(work, account=None, groups=()):
    """Do `work` in a process of its own, again and again; yield a function that ends it.

    That function returns what the calls of `work` returned, without what is None.
    """
    results, send = os.pipe()
    child = os.fork()
    if child == 0:
        ended, found = [], []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        try:
            if account is not None:
                become(account, groups)
            os.write(send, b"\n")
            while True:
                if (result := work()) is not None:
                    found.append(result)
                if ended:
                    break
        except BaseException:
            found.append(traceback.format_exc())
        with os.fdopen(send, "w") as file:
            json.dump(found, file)
        os._exit(0)
    os.close(send)
    file = os.fdopen(results)
    file.read(1)  # It has begun.

    def end():
        os.kill(child, signal.SIGTERM)
        with file:
            found = json.load(file)
        os.waitpid(child, 0)
        finished.append(True)
        return found

    finished = []
    try:
        yield end
    finally:
        if not finished:
            end()


class Module:
    """A module of the collection with its usual arguments."""

    def __init__(self, name, **arguments):
        self.name = name
        self.arguments = arguments

    def given(self, **changes):
        """Return the arguments of a run."""
        return {**self.arguments, **changes}

    def __call__(self, *, check=False, account=None, **changes):
        """Return the result of a run that succeeds."""
        done = execute(self.name, self.given(**changes), check=check, account=account)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def failed(self, *, check=False, account=None, **changes):
        """Return the result of a run that fails."""
        done = execute(self.name, self.given(**changes), check=check, account=account)
        assert done.returncode != 0, done.stdout
        assert not done.stderr
        return json.loads(done.stdout)

    def fails(self, **changes):
        """Return the message of a run that fails."""
        return self.failed(**changes)["msg"]


def credential(secret="hunter-22", **changes):  # noqa: S107 - a test's secret is none
    return {
        "user": "etl",
        "host": "db1.example.org",
        "pass": secret,
        "url": "",
        "description": "",
        "metadata": {},
        **changes,
    }


def tree(path):
    """Return everything below a directory that a change would show in."""
    found = {}
    for item in sorted(path.rglob("*")):
        status = item.lstat()
        if stat.S_ISLNK(status.st_mode):
            content = str(item.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = item.read_bytes()
        else:
            content = None
        found[str(item.relative_to(path))] = (
            status.st_ino,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            content,
        )
    return found


def widest_modes(path):
    """Return the modes of everything below a directory that exists this moment."""
    files, directories = 0, 0
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            try:
                status = os.lstat(Path(folder, name))
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories |= stat.S_IMODE(status.st_mode)
            elif stat.S_ISREG(status.st_mode):
                files |= stat.S_IMODE(status.st_mode)
    return files, directories


def grant_to_nobody(path, kind):
    """Do what `setfacl -m u:65534:r` does for the `access`, with -d for the `default` list."""
    entries = [(1, 6, -1), (2, 4, NOBODY), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    acl = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little")
        + permissions.to_bytes(2, "little")
        + (account % 2**32).to_bytes(4, "little")
        for tag, permissions, account in entries
    )
    os.setxattr(path, f"system.posix_acl_{kind}", acl)


def record_syslog(monkeypatch, path):
    """Have what the modules log written to a file."""

    def note(*arguments):
        with path.open("a") as file:
            file.write(f"{arguments[-1]}\n")

    path.touch()
    monkeypatch.setattr("syslog.syslog", note)
    return path


class Systemctl:
    """A program `systemctl` that notes what it is told, and which generation it finds then."""

    def __init__(self, directory, monkeypatch, credentials):
        self.log = directory / "told"
        self.log.touch()
        program = directory / "systemctl"
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$(readlink {credentials}) $*" >>{self.log}\n'
            "for unit; do\n"
            '  case $unit in bad*) echo "Job for $unit failed." >&2; code=1; esac\n'
            "done\n"
            "exit ${code-0}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)

    def told(self):
        """Return (generation, arguments) of each call."""
        lines = self.log.read_text().splitlines()
        return [(line.split()[0].split("/")[1], line.split()[1:]) for line in lines]


# All that can change a file system, and waiting for a lock.
_CHANGING = (
    "creat mkdir mkdirat mknod mknodat open openat link linkat symlink symlinkat rename renameat"
    " renameat2 unlink unlinkat rmdir chmod fchmod fchmodat chown fchown lchown fchownat write"
    " writev pwrite64 truncate ftruncate fallocate copy_file_range sendfile"
    " setxattr fsetxattr lsetxattr removexattr fremovexattr utimensat"
    " fsync fdatasync sync syncfs flock"
)


class Traced:
    """A module whose system calls that change something below a place are counted, and broken."""

    def __init__(self, name, arguments, place):
        self.name, self.arguments, self.place = name, arguments, str(place)

    def calls(self):
        """Run it; return (call, its number among those of its name, the line of the trace)."""
        done, lines = self._run()
        assert done.returncode == 0, done.stdout + done.stderr
        counts, found = {}, []
        for line in lines:
            call = line.split("(")[0]
            counts[call] = counts.get(call, 0) + 1
            changes = call != "openat" or "O_CREAT" in line
            if self.place in line and changes and " = -1 " not in line:
                found.append((call, counts[call], line))
        return found

    def broken(self, call, how):
        """Run it with `how` injected into one call of calls(); return the finished process."""
        name, number, line = call
        done, lines = self._run("-e", f"inject={name}:{how}:when={number}")
        reached = [here for here in lines if here.startswith(f"{name}(")][number - 1]
        assert _plain(reached) == _plain(line)
        return done

    def _run(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "calls")
            tracers = []

            def attach(child):
                command = ["strace", "-y", "-e", f"trace={','.join(_CHANGING.split())}"]
                command += ["-e", "signal=none", *options, "-o", log, "-p", str(child)]
                tracers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
                line = tracers[0].stderr.readline()
                assert "attached" in line, line

            try:
                done = execute(self.name, self.arguments, attach=attach)
            finally:
                for tracer in tracers:
                    tracer.communicate()
            return done, [line for line in log.read_text().splitlines() if "(" in line]


def _plain(line):
    """Leave out what differs between runs: random names, descriptors, contents and results."""
    shown = line.split('>, "')[0] if line.startswith("write(") else line
    return re.sub(r"[0-9a-f]{16}|\d+<|\) += .*", "*", shown)
