"""The program killed at every step, and remotes that hang."""

import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/dag_sync/files/airflow_dag_sync.py"

# Runs the program, and kills it just before the step of the given number: a change to the file
# system, a lock, or a command.
KILLER = """
import os, runpy, signal, sys

STEPS = {
    "fcntl.flock", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.utime",
    "subprocess.Popen",
}
left = int(sys.argv[1])

def hook(event, arguments):
    global left
    if event in STEPS or event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.argv[:2] = []
sys.addaudithook(hook)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("begin", ["fresh", "published"])
def test_kill9_every_step(remote, node, tmp_path, begin):
    """The link never dangles, and the next run converges."""
    old = remote.commit("one")
    if begin == "published":
        node.run()
    new = remote.commit("two")
    (tmp_path / "killer.py").write_text(KILLER)
    shutil.copytree(node.home, tmp_path / "begin", symlinks=True)
    contents = {old: "one", new: "two"}

    for step in range(1, 100):
        shutil.rmtree(node.home)
        shutil.copytree(tmp_path / "begin", node.home, symlinks=True)
        process = node.start(driver=(tmp_path / "killer.py", str(step), PROGRAM))
        output = "".join(process.communicate(timeout=20))
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        if begin == "published" or node.link.is_symlink():
            assert node.content == contents[node.published]
            assert (node.link / "configs/a.yaml").read_text() == f"{node.content}\n"
        node.run()
        assert (node.published, node.content) == (new, "two")
        assert (node.link / "configs/a.yaml").read_text() == "two\n"
        assert not node.leftovers
    assert 15 < step < 60


@pytest.mark.parametrize("command", ["fetch", "read-tree"])
def test_kill9_within_git(remote, node, first, command):
    """Killed while git works: what git had written by then is not taken for a release."""
    sha = remote.commit("two")
    node.wrap(
        "git",
        f'PATH=${{PATH#*:}}\ncase " $* " in *" {command} "*)\n'
        '  [ -z "$GIT_WORK_TREE" ] || echo half >"$GIT_WORK_TREE/half"\n'
        '  touch "$GIT_DIR/refs/sync/tip.lock"\n'
        "  kill -9 $PPID; sleep 60 ;;\n"
        'esac\nexec git "$@"',
    )
    assert node.run(code=-signal.SIGKILL) == ""
    assert (node.published, node.content) == (first, "one")
    assert bool(node.leftovers) == (command == "read-tree")
    node.bin.joinpath("git").unlink()
    node.run()
    assert (node.published, node.content) == (sha, "two")
    assert not (node.link / "half").exists()
    assert not node.leftovers


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("ended_by", ["time-out", "SIGTERM", "SIGKILL"])
def test_hung_remote(remote, node, first, tmp_path, ended_by):
    """The run ends within its time or when told to, and takes its children with it."""
    pids = tmp_path / "pids"
    # After kill -9 nobody is left to end ssh; it does so itself, with git gone from its pipe.
    wait = "cat >/dev/null" if ended_by == "SIGKILL" else "exec sleep 60"
    node.over_ssh(remote, f"echo $$ $PPID >{pids}\n{wait}")
    node.settings["timeout_seconds"] = 1 if ended_by == "time-out" else 20
    begin = time.monotonic()
    process = node.start()
    assert wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    if ended_by != "time-out":
        process.send_signal(getattr(signal, ended_by))
    output = process.communicate(timeout=10)
    assert time.monotonic() - begin < 4
    if ended_by == "time-out":
        assert output == ("", "failed: git ls-remote did not end within 1 s\n")
        assert process.returncode == 3
        assert node.status["error"] == "git ls-remote did not end within 1 s"
    else:
        assert process.returncode == (143 if ended_by == "SIGTERM" else -signal.SIGKILL)
    assert wait_until(lambda: not any(alive(pid) for pid in pids.read_text().split()))
    assert node.published == first
    # The lock went with it.
    node.settings |= {"repository": str(remote.path), "timeout_seconds": 20}
    assert node.run().startswith(f"unchanged {first}")


def test_silent_server(node, first):
    """A real ssh that is connected to a server which says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        node.settings |= {
            "repository": f"ssh://git@127.0.0.1:{server.getsockname()[1]}/dags.git",
            "private_key": os.devnull,
            "known_hosts": os.devnull,
            "timeout_seconds": 1,
        }
        begin = time.monotonic()
        assert node.run(code=3) == "failed: git ls-remote did not end within 1 s\n"
        assert time.monotonic() - begin < 4
    assert node.published == first


def test_slow_server_is_waited_for(remote, node):
    """Slow git with a long time-out."""
    node.over_ssh(remote, 'sleep 0.5\nexec sh -c "$command"')
    sha = remote.commit("one")
    node.run()
    assert node.published == sha


def test_disk_full(remote, node, first):
    """The last good release stays, and nothing partial."""
    (remote.files / "large").write_bytes(os.urandom(1 << 20))
    sha = remote.commit("two")
    before = {path.name for path in node.releases.iterdir()}
    # As a full disk does, it lets a file grow to a point only.
    node.wrap("git", 'PATH=${PATH#*:}\nulimit -f 500\ntrap "" XFSZ\nexec git "$@"')
    node.run(code=3)
    assert (node.published, node.content) == (first, "one")
    assert {path.name for path in node.releases.iterdir()} == before
    assert not node.leftovers
    node.bin.joinpath("git").unlink()
    node.run()
    assert node.published == sha
    assert (node.link / "large").stat().st_size == 1 << 20
