"""A page of the docs, taken apart into its examples, and a laptop to run them on."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rax import _laptop

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
# A paragraph that begins with a path and ends with a colon says which file the next block is.
NAMED = re.compile(r"`([^`\s]*[./][^`\s]*)`.*:", re.DOTALL)
# What the events and lines of two runs differ in, besides what a page leaves out with an ….
SHAPED = {"run_id", "started", "timestamp"}


class PageError(Exception):
    """An example that no test would run."""


@dataclass(frozen=True)
class Block:
    """An example: a file, commands, a snippet of Python or a message of rax."""

    page: str
    line: int
    kind: str
    text: str
    path: str = ""

    def __str__(self):
        """Return the id of its test."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self):
        """The commands of a console, each with the output that is shown, or None."""
        found = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], None])
            elif not found:
                raise PageError(f"{self}: the commands of a console begin with $")
            else:
                found[-1][1] = (found[-1][1] or "") + line + "\n"
        return found


def parse(page, text):
    """Return the blocks of a page; one that is not known how to run is an error."""
    blocks, lines = [], iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        match = FENCE.match(line)
        if not match:
            if line.startswith("    "):
                raise PageError(f"{page}:{number}: code without a fence is run by no test")
            continue
        indent, fence, language = match.groups()
        inside = []
        for _, other in lines:
            if other.strip() == fence:
                break
            if other.strip() and not other.startswith(indent):
                raise PageError(f"{page}:{number}: the block ends before its fence does")
            inside.append(f"{other[len(indent) :]}\n")
        else:
            raise PageError(f"{page}:{number}: the block has no end")
        before = " ".join(previous_paragraph(text, number))
        blocks.append(block(page, number, language.strip(), "".join(inside), before))
    return blocks


def previous_paragraph(text, number):
    """Return the lines of the paragraph before a line."""
    before = [line.strip() for line in text.splitlines()[: number - 1]]
    while before and not before[-1]:
        before.pop()
    start = max((index for index, line in enumerate(before) if not line), default=-1)
    return before[start + 1 :]


def block(page, number, language, text, before):
    """Return the block of that language, after that paragraph."""
    named = NAMED.fullmatch(before)
    where = f"{page}:{number}"
    if named:
        path = PurePosixPath(named[1])
        if path.is_absolute() or ".." in path.parts:
            raise PageError(f"{where}: {path} is not in the repository")
        return Block(page, number, "file", text, str(path))
    if language == "console":
        made = Block(page, number, "console", text)
        if not made.commands:
            raise PageError(f"{where}: a console without commands")
        return made
    if language == "python":
        return Block(page, number, "snippet", text)
    if language == "json":
        message = json.loads(text)
        if isinstance(message, dict) and {"kind", "event_action"} & message.keys():
            return Block(page, number, "message", text)
    raise PageError(
        f"{where}: no test runs this: give a file its path (`lib/genes.py`: before the block), or "
        "make it console, python, or json that rax logs or sends"
    )


def tables(text):
    """Return the tables of a page: the rows of each, header first, as lists of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in table.splitlines()
            if line.strip("| -") or line.count("-") < 3
        ]
        for table in found
    ]


def code(cell):
    """Return what a cell of a table has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def matches(expected, output):
    """Tell whether an output is the one that is shown, whose … stands for anything.

    A line of its own stands for any lines, and inside of a line for any of its characters. Columns
    of a table may be further apart than they are shown.
    """
    pattern = ""
    for line in expected.splitlines():
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            literal = ".*?".join(map(re.escape, line.split("…")))
            pattern += re.sub(r"(?<!^)(\\ ){2,}", "  +", literal) + r"\n"
    return re.fullmatch(pattern, output.rstrip("\n") + "\n") is not None


def differences(expected, found, path=""):
    """Yield in what a message differs from the one that is shown."""
    if type(expected) is not type(found):
        yield f"{path}: {expected!r} is shown, it is {found!r}"
    elif isinstance(expected, dict):
        if expected.keys() != found.keys():
            yield f"{path}: the keys {sorted(expected)} are shown, they are {sorted(found)}"
        for key in expected.keys() & found.keys():
            yield from differences(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list):
        if len(expected) != len(found):
            yield f"{path}: {len(expected)} items are shown, there are {len(found)}"
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif not is_like(path.rpartition(".")[2], expected, found):
        yield f"{path}: {expected!r} is shown, it is {found!r}"


def is_like(key, expected, found):
    """Tell whether a value is the one that is shown, or one of another time and host."""
    if key in SHAPED:
        return re.sub(r"\d", "0", expected) == re.sub(r"\d", "0", found)
    if key == "source":
        return found == os.uname().nodename
    if key == "duration":
        return found >= 0
    if isinstance(expected, str) and "…" in expected:
        return matches(expected, found)
    return expected == found


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
