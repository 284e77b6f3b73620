"""Programs of Ansible as forks of a process that has imported it, which takes half of a short run.

A run is a process of its own with its own arguments, variables, folder and output, and ends as one
that was started does. Ansible reads its settings when it is imported, so that each environment has
a parent of its own.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# A parent takes some 60 MB.
MAX_PARENTS = 3
# What no import asks for: tests change it from call to call.
ASKED_LATER = ("CASPIAN_", "PYTEST_")


def run_ansible(program, *arguments, env=None, cwd=None):
    """Run ansible-playbook or another of these programs; return the finished process."""
    module = f"ansible.cli.{program.partition('-')[2]}"
    argv = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    return run_fork(module, argv, env=env, cwd=cwd)


def run_fork(module, argv, *, given="", more=(), env=None, cwd=None):
    """Run main() of a module as a program; `given` is its input, `more` is imported before too."""
    environment = dict(os.environ if env is None else env)
    settings = {k: v for k, v in environment.items() if not k.startswith(ASKED_LATER)}
    key = ((module, *more), tuple(sorted(settings.items())))
    if key not in _parents:
        if len(_parents) >= MAX_PARENTS:
            _parents.pop(next(iter(_parents))).end()
        _parents[key] = _Parent(key[0], settings)
    try:
        return _parents[key].run(argv, given, environment, str(cwd or Path.cwd()))
    except BaseException:
        # What breaks a run off, as a time-out does, leaves an answer that is nobody's.
        _parents.pop(key).kill()
        raise


_parents = {}


@atexit.register
def _end_all():
    for parent in _parents.values():
        parent.end()


class _Parent:
    """A process that has imported modules, of which the first has the function main()."""

    def __init__(self, modules, environment):
        self.process = subprocess.Popen(
            [sys.executable, __file__, *modules], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def end(self):
        with self.process:
            self.process.stdin.close()

    def kill(self):
        with self.process:
            os.killpg(self.process.pid, signal.SIGKILL)

    def run(self, argv, given, environment, folder):
        with tempfile.TemporaryDirectory(prefix="caspian-") as place:
            files = [Path(place, name) for name in ("in", "out", "err")]
            files[0].write_text(given)
            order = {
                "argv": argv, "environment": environment, "folder": folder,
                "files": list(map(str, files)),
            }  # fmt: skip
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            code = self.process.stdout.readline()
            assert code, f"{argv[0]}: what forks it has ended"
            printed = [file.read_text(errors="surrogateescape") for file in files[1:]]
        return subprocess.CompletedProcess(argv, int(code), *printed)


def _serve(modules):
    """Fork for each order, and print how that process ended."""
    first, *_ = [importlib.import_module(name) for name in modules]
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    # A collection in the fork would copy all that it shares.
    gc.freeze()
    for line in orders:
        child = os.fork()
        if not child:
            _become(json.loads(line))
            sys.exit(first.main())
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _become(order):
    for number, path in enumerate(order["files"]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = order["argv"]
    constants = sys.modules.get("ansible.constants")
    if constants:
        # A run removes it at its end, and the next one has the same.
        Path(constants.DEFAULT_LOCAL_TMP).mkdir(0o700, exist_ok=True)


if __name__ == "__main__":
    # Modules of the tests are named from the root, as the tests name them.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    _serve(sys.argv[1:])
