"""Modules that run as processes of their own, and looks at what they leave."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from run_module import run_module

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# The group that may read; any would do.
GROUP = 1
NOBODY = 65534


def environment():
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "collections"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }


def execute(name, arguments, *, check=False, wrapper=()):
    """Run a module; return the finished process.

    Without a wrapper it is a fork of this one, which saves it the imports.
    """
    given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}
    if not wrapper:
        return _fork(name, given)
    return subprocess.run(
        [*wrapper, sys.executable, HERE / "run_module.py", name],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def _fork(name, given):
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            sys.stdout, sys.stderr = out, err
            status = 1
            try:
                run_module(name, given)
            except SystemExit as ended:
                status = ended.code
            except BaseException:
                traceback.print_exc()
            finally:
                out.flush()
                err.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([name], status, out.read(), err.read())


class Module:
    """A module of the collection with its usual arguments."""

    def __init__(self, name, **arguments):
        self.name = name
        self.arguments = arguments

    def __call__(self, *, check=False, **changes):
        """Return the result of a run that succeeds."""
        done = execute(self.name, {**self.arguments, **changes}, check=check)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def fails(self, *, check=False, **changes):
        """Return the message of a run that fails."""
        done = execute(self.name, {**self.arguments, **changes}, check=check)
        assert done.returncode != 0, done.stdout
        assert not done.stderr
        return json.loads(done.stdout)["msg"]


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


def killed_at_each_call(name, arguments, calls, prepare):
    """Kill a module before each system call of `calls`; yield the call after each kill.

    `prepare` brings the place into its first state and is called before every run.
    """
    traced = ["strace", "-f", "-qq", "-e", f"trace={','.join(calls)}", "-e", "signal=none"]
    prepare()
    log = Path(tempfile.mkdtemp()) / "calls"
    try:
        done = execute(name, arguments, wrapper=[*traced, "-o", log])
        assert done.returncode == 0, done.stdout + done.stderr
        counts = {}
        for line in log.read_text().splitlines():
            call = line.split(maxsplit=1)[1].split("(")[0]
            counts[call] = counts.get(call, 0) + 1
            prepare()
            inject = ["-e", f"inject={call}:signal=KILL:when={counts[call]}"]
            done = execute(name, arguments, wrapper=[*traced, *inject, "-o", log.with_name("kill")])
            assert done.returncode == -9, f"{line}: {done}"
            yield line
    finally:
        shutil.rmtree(log.parent)
