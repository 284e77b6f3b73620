"""A laptop on which the examples of a page are run, with a server of git."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys

from rax import _laptop
from tests.airflow.page_testing import ROOT, matches

# What a page's commands find on the PATH, beside git and what every Linux has. Nothing is brought
# by ./rax: that is here, and other tests show how it comes.
STAND_INS = {
    "python3": 'exec python "$@"',
    "python": 'PYTHONPATH=${{PYTHONPATH:+$PYTHONPATH:}}{root}/src exec {python} "$@"',
    "ruff": 'exec {root}/.venv/bin/ruff "$@"',
    "airflow": 'exec python -m airflow "$@"',
    "rax": 'exec python -P -m rax "$@"',
    "rax-of-the-repository": (
        'unset RAX_CREDENTIALS_DIR RAX_CONFIG_DIR PYTHONPATH\nRAX_REPOSITORY=$PWD exec rax "$@"'
    ),
    # Of a checkout that nobody has pushed, and so without a deployment of its own.
    "new-repository": (
        "exec rax new repository --ref v0.1.0"
        ' --deployment https://git.example.org/platform/caspian-deploy.git "$@"'
    ),
    "sudo": 'set -a\n. {tools}/node\nexec "$@"',
    "airflow-env": 'exec "$@"',
}
# The programs of a repository, and of a checkout of this project beside it.
REPLACED = {
    "./rax ": "rax-of-the-repository ",
    "caspian-deploy/scripts/new-repository ": "new-repository ",
}
# What is asked for the password at a terminal, and the answer, which is never shown.
PROMPT = "Password (not shown): "
PASSWORD = "an/example@sign"
TERMINAL = """
import os, pty, sys

pid, master = pty.fork()
if not pid:
    os.execvp("bash", ["bash", "-c", sys.argv[1]])
shown, is_answered = "", False
while True:
    try:
        new = os.read(master, 4096)
    except OSError:
        break
    shown += new.decode()
    if sys.argv[2] in shown and not is_answered:
        is_answered = True
        os.write(master, (sys.argv[3] + chr(10)).encode())
    if not new:
        break
print(shown.replace(chr(13), ""), end="")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Laptop:
    """A folder with a server of git, and a shell that goes on."""

    def __init__(self, folder, node):
        """Make it; `node` has the variables that commands behind sudo get."""
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.origin = folder / "dags.git"
        tools = folder / "tools"
        for name, text in STAND_INS.items():
            file = tools / name
            file.parent.mkdir(parents=True, exist_ok=True)
            text = text.format(tools=tools, root=ROOT, python=sys.executable)
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)
        (tools / "terminal.py").write_text(TERMINAL)
        (tools / "node").write_text("".join(f"{key}='{value}'\n" for key, value in node.items()))
        environment = {
            "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            # What ./rax is to a command, this is to a snippet of Python.
            **_laptop.settings(self.repository, "dags"),
            "PYTHONPATH": str(self.repository),
            "RAX_CREDENTIALS_DIR": str(self.repository / "local/credentials"),
            "RAX_CONFIG_DIR": f"{self.repository}/configs:{self.repository}/local/configs",
            "AIRFLOW_HOME": str(folder / "airflow"),
            # There may be an account of the name airflow here.
            "RAX_ACCOUNT": "root",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        (folder / ".gitconfig").write_text(
            "[user]\nname = An author\nemail = author@example.org\n[init]\ndefaultBranch = main\n"
            f'[url "{self.origin}"]\ninsteadOf = ssh://git@git.example.org/team/dags.git\n'
        )
        subprocess.run(
            ["git", "init", "--quiet", "--bare", self.origin], env=environment, check=True
        )
        self._shell = subprocess.Popen(
            ["bash", "--norc"], cwd=self.work, env=environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def repository(self):
        """The folder that the page makes."""
        return self.work / "dags"

    def close(self):
        """End the shell and what it has left running."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for stream in (self._shell.stdin, self._shell.stdout):
            # What a hanging command was to be told goes nowhere.
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def execute(self, command):
        """Run a command in the shell; return its exit code and all that it has written."""
        output = self.folder / "output"
        self._shell.stdin.write(f"{{ {command}\n}} >{output} 2>&1 </dev/null; echo $?\n")
        self._shell.stdin.flush()
        said = self._shell.stdout.readline()
        assert said.strip().isdigit(), f"the shell has ended at {command!r}: {said}"
        return int(said), output.read_text()

    def check(self, command, expected=None):
        """Run a command, which has to succeed; its output has to be the one that is shown."""
        for text, tool in REPLACED.items():
            command = command.replace(text, tool)
        if (expected or "").startswith(PROMPT):
            words = map(shlex.quote, (command, PROMPT, PASSWORD))
            command = f"python {self.folder}/tools/terminal.py {' '.join(words)}"
        status, output = self.execute(command)
        # On a busy machine.
        output = re.sub(r"^rax: \S+ has said nothing for .*\n", "", output, flags=re.MULTILINE)
        assert status == 0, f"$ {command}\n{output}\nexit code {status}"
        if expected is not None:
            assert matches(expected, output), f"$ {command}\n{output}\nis not\n{expected}"
        return output

    def run(self, block):
        """Run a block that is no message."""
        if block.kind == "file":
            file = self.repository / block.path
            assert file.parent.is_dir(), f"{block}: nothing has made the folder of {block.path}"
            file.write_text(block.text)
        elif block.kind == "console":
            for command, expected in block.commands:
                self.check(command, expected)
        elif ">>> " in block.text:
            file = self.folder / "snippet.txt"
            file.write_text(block.text)
            self.check(f"python -m doctest -o ELLIPSIS {file}")
        else:
            file = self.folder / "snippet.py"
            file.write_text(block.text)
            self.check(f"python {file}")
