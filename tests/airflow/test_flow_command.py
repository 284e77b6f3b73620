"""`rax flow --watch` and `--keep`, as a person has them: until Ctrl-C, which leaves nothing."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
import pytest

from rax import cli

# Each starts Airflow, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)
SOURCE = Path(cli.__file__).parents[2]
# Of a run of all cases.
LAST = r"[0-9]+ cases? .* in [0-9.]+ s"
FILES = {
    "rax.toml": "",
    "dags/writes.py": """
        from pathlib import Path

        from airflow.sdk import task
        from lib.texts import TEXT
        from rax.workflow import summary, workflow


        @workflow(schedule=None)
        def writes():
            @task
            def write():
                Path("out.csv").write_text(TEXT)

            @summary
            def report():
                return None

            write() >> report()


        writes()
    """,
    "lib/texts.py": "TEXT = 'a\\n1\\n'\n",
    "tests/flows/writes/out.csv": "a\n1\n",
    "tests/flows/writes/before.sql": "CREATE TABLE t AS SELECT 7 AS a;\n",
    "tests/flows/writes.flow.yaml": """
        workflow: writes
        given: {postgres: {DB: writes/before.sql}}
        cases:
          good:
            runs: [once]
            expect: {files: {out.csv: writes/out.csv}}
    """,
}


class Command:
    """The command in a repository, in a process of its own."""

    def __init__(self, folder, *words):
        self.root = folder / "dags"
        # Not below pytest's own folder, which root alone may enter, and PostgreSQL is not root.
        self._temporary = tempfile.TemporaryDirectory()
        self.temporary = Path(self._temporary.name)
        self.temporary.chmod(0o711)
        for path, text in FILES.items():
            self.write(path, text)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rax", "flow", *words],
            cwd=self.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {
                "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", "RAX_REPOSITORY": "",
                "TMPDIR": str(self.temporary), "XDG_CACHE_HOME": str(folder / "cache"),
            },
        )  # fmt: skip

    def write(self, path, text):
        """Write a file of the repository at once, as editors do."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        new = self.root.parent / "new"
        new.write_text(textwrap.dedent(text).lstrip("\n"))
        new.rename(file)

    def until(self, pattern):
        """Return the lines up to the first one that is like that."""
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if re.fullmatch(pattern, lines[-1]):
                return lines
        raise AssertionError(lines)

    def after(self, path, text):
        """Return what is said of an edit: the lines between the news of it and the last one."""
        self.write(path, text)
        lines = self.until(LAST)
        assert f"{path} has changed" in lines
        return lines[lines.index(f"{path} has changed") + 1 :]

    def interrupt(self):
        """Press Ctrl-C; return the exit code, once it is seen that nothing is left."""
        self.process.send_signal(signal.SIGINT)
        self.process.stdout.read()
        code = self.process.wait()
        assert [*self.temporary.iterdir()] == []
        lines = (" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))
        assert [line for line in lines if str(self.temporary) in line] == []
        return code

    def end(self):
        """End it, if it has not ended."""
        self.process.kill()
        self.process.communicate()
        self._temporary.cleanup()


@pytest.fixture
def command(tmp_path):
    commands = []

    def start(*words):
        commands.append(Command(tmp_path, *words))
        return commands[-1]

    yield start
    for one in commands:
        one.end()


def test_a_verdict_after_each_edit(command):
    """Whatever is edited, and however wrong it is, until Ctrl-C."""
    shown = command("--watch")
    first, second, last = shown.until(LAST)
    assert first.startswith("Airflow is ready after ")
    assert second.startswith("passed  tests/flows/writes.flow.yaml::good  (once; ")
    assert last.startswith("1 case passed in ")
    said = shown.after("lib/texts.py", "TEXT = 'a\\n2\\n'\n")
    assert said[0].startswith("FAILED")
    assert said[-1].startswith("1 case failed in ")
    assert shown.after("tests/flows/writes/out.csv", "a\n2\n")[-1].startswith("1 case passed")
    said = shown.after("dags/writes.py", "from airflow.sdk import dag\ndef workflow(:\n")
    assert "dags/writes.py cannot be loaded: SyntaxError: " in "\n".join(said)
    assert shown.after("dags/writes.py", FILES["dags/writes.py"])[-1].startswith("1 case passed")
    said = shown.after("tests/flows/writes.flow.yaml", "workflow: writes\ncases: {good: {}}\n")
    assert said[0].startswith("tests/flows/writes.flow.yaml:2: ")
    assert said[-1].startswith("0 cases passed, 1 spec cannot be read in ")
    said = shown.after("tests/flows/writes.flow.yaml", FILES["tests/flows/writes.flow.yaml"])
    assert said[-1].startswith("1 case passed")
    assert shown.interrupt() == 0


def test_what_is_kept_is_there_until_it_is_not_wanted(command):
    shown = command("--keep")
    *_, line, _last = shown.until("Enter ends what stays up")
    asked = subprocess.run(
        [*shlex.split(line), "-Atc", "SELECT a FROM t"], capture_output=True, text=True, check=True
    )
    assert asked.stdout == "7\n"
    assert shown.interrupt() == 130
    asked = subprocess.run([*shlex.split(line), "-c", ""], capture_output=True, check=False)
    assert asked.returncode == 2
