"""Forks of Ansible, by which other tests run it, end as the program does."""

import json
import subprocess
import sys
from pathlib import Path

from tests.forks import run_ansible
from tests.lookup_calls import environment


def test_a_fork_does_what_the_program_does(tmp_path):
    tasks = [
        {"ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.env', 'CASPIAN_X') }}"}},
        {"ansible.builtin.stat": {"path": "/"}, "no_log": True},
        {"ansible.builtin.fail": {"msg": "{{ playbook_dir }}"}},
    ]
    (tmp_path / "play.json").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}])
    )
    words = ("-i", "node,", "-v", "play.json")
    env = environment() | {"HOME": str(tmp_path), "CASPIAN_X": "one"}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), *words],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert str(tmp_path) in done.stdout
    # The second fork has what the first one has removed at its end.
    for given in ("one", "two"):
        forked = run_ansible(
            "ansible-playbook", *words, cwd=tmp_path, env=env | {"CASPIAN_X": given}
        )
        assert forked.returncode == 2
        assert forked.stdout == done.stdout.replace("msg: one", f"msg: {given}")
        assert forked.stderr == done.stderr
