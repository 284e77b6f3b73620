# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on this machine whose Python answers modules as a test says, and an honest one."""

import json
import os
import pty
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What steers a terminal or lies to a reader: title, clearing, CSI of eight bits, right to left.
EVIL = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\u202eevil\u2028\u200b\ufeff\r\nok: [honest]"
RAW = ("\x1b]0;", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2028", "\u200b", "\ufeff")
HOSTILE_PYTHON = ROOT / "tests/fakes/hostile_python.py"


class Fleet:
    """Runs plays against all of them and returns what a terminal gets."""

    def __init__(self, folder, answers):
        """Each host of `answers` answers every module so; a text is all that it prints."""
        self.folder = folder
        hosts = {"honest": {"ansible_python_interpreter": sys.executable}}
        for host, answer in answers.items():
            (folder / host).mkdir()
            raw = answer if isinstance(answer, str) else json.dumps(answer)
            (folder / host / "answers.json").write_text(json.dumps({"*": {"__raw__": raw}}))
            interpreter = shutil.copy(HOSTILE_PYTHON, folder / host)
            hosts[host] = {"ansible_python_interpreter": interpreter}
        for host in hosts.values():
            host["ansible_connection"] = "local"
        inventory = {"all": {"children": {"airflow": {"hosts": hosts}}}}
        (folder / "inventory.json").write_text(json.dumps(inventory))

    def play(self, tasks, *options, hosts=("all",), **environment):
        """Run the tasks on each of these hosts; return the exit code and the terminal's text."""
        playbook = self.folder / "play.json"
        playbook.write_text(
            json.dumps([{"hosts": host, "gather_facts": False, "tasks": tasks} for host in hosts])
        )
        program = Path(sys.executable).with_name("ansible-playbook")
        words = [program, "-i", self.folder / "inventory.json", *options, playbook]
        variables = os.environ | environment
        variables |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "TERM": "xterm-256color"}
        pid, terminal = pty.fork()
        if not pid:
            os.execve(program, [str(word) for word in words], variables)  # noqa: S606 - no shell
        chunks = []
        try:
            while chunk := os.read(terminal, 65536):
                chunks.append(chunk)
        except OSError:
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, b"".join(chunks).decode(errors="surrogateescape")


def recap(output, host):
    """Return the numbers of a host's line in the recap."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    (line,) = [line for line in plain.splitlines() if line.startswith(f"{host} ") and " : " in line]
    return dict(word.split("=") for word in line.split() if "=" in word)
