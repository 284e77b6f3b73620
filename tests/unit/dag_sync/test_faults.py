"""The program killed and out of space at every step, clocks that jump, remotes that hang."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A sweep runs the program some hundred times.
pytestmark = pytest.mark.timeout(600)

PROGRAM = Path(__file__).parents[3] / "roles/dag_sync/files/airflow_dag_sync"

# What stands in for the gate's checker says.
NOTHING_FOUND = """echo '{"problems": [], "relative": []}'"""
# Runs the program again and again, each time in a copy of itself: that spares the start of an
# interpreter, as it spares the time for the disk. Just before the step of the given number - a
# change to the file system, a command that writes - it is killed; or the disk is full from
# there on.
DRIVER = """
import errno, io, json, os, signal, sys, traceback

STEPS = {
    "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.utime", "subprocess.Popen",
}
MAKING = {"os.mkdir", "os.symlink"}
READING = {
    "cat-file", "config", "diff-files", "diff-tree", "for-each-ref", "grep", "ls-files",
    "ls-remote", "ls-tree", "rev-parse",
}
os.fsync = lambda descriptor: None

sys.path.insert(0, os.path.dirname(sys.argv[1]))
from airflow_dag_sync import __main__ as program

def run(output, fault, step, words):
    def hook(event, arguments):
        nonlocal step
        writes = (
            event == "open"
            and not isinstance(arguments[0], int)
            and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        reads = event == "subprocess.Popen" and READING.intersection(arguments[1])
        # Of a tree that is removed, only the top.
        inside = event in ("os.remove", "os.rmdir") and arguments[1] != -1
        if fault == "killed" and (event in STEPS or writes) and not reads and not inside:
            step -= 1
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        makes = writes and not os.path.lexists(arguments[0])
        if fault == "disk full" and (event in MAKING or makes):
            step -= 1
            if step <= 0:
                raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))

    sys.stdout = sys.stderr = open(output, "w", errors="replace")
    sys.argv[1:] = words
    sys.addaudithook(hook)
    code = 70
    try:
        code = program.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)

for line in sys.stdin:
    arguments = json.loads(line)
    child = os.fork()
    if not child:
        run(*arguments)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{code}\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def faulty(node, tmp_path):
    """Return a function that runs the program with a fault at a step; it returns code, output."""
    (tmp_path / "driver.py").write_text(DRIVER)
    node.wrap("sync", "exit 0")
    words = [sys.executable, "-IS", tmp_path / "driver.py", PROGRAM]
    environment = {"PATH": f"{node.bin}:{os.environ['PATH']}"}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as driver:

        def run(*arguments, fault=None, step=0):
            node.settings_file.write_text(json.dumps(node.settings))
            output = tmp_path / "output"
            words = ["--settings", str(node.settings_file), *arguments]
            driver.stdin.write(json.dumps([str(output), fault, step, words]) + "\n")
            code, told = int(driver.stdout.readline()), output.read_text()
            assert "Traceback" not in told, told
            return code, told

        yield run
        driver.stdin.close()


def sweep(node, run, arguments=(), fault="killed"):
    """Begin in the same state each time, with the fault one step later; yield after each fault."""
    begin = node.home.with_name("begin")
    shutil.copytree(node.home, begin, symlinks=True)
    for step in range(1, 200):
        shutil.rmtree(node.home)
        shutil.copytree(begin, node.home, symlinks=True)
        code, told = run(*arguments, fault=fault, step=step)
        yield step, code, told
        if code != -signal.SIGKILL and fault == "killed":
            return


@pytest.fixture
def history(remote, node):
    """Publish a commit, and make another one, which changes all there is; return both."""
    lib = remote.another("lib")
    (remote.files / "lib").mkdir()
    shas = []
    for content in ("one", "two"):
        sha = lib.commit(f"lib_{content}")
        remote.git("update-index", "--add", "--cacheinfo", f"160000,{sha},lib")
        remote.write(".gitmodules", '[submodule "x"]\n\tpath = lib\n\turl = ../lib.git\n')
        shas.append(remote.commit(content))
        if content == "one":
            node.run()
    # A gate that takes no time; what it says is tested elsewhere.
    node.wrap("python", f"cat >/dev/null; {NOTHING_FOUND}")
    node.settings |= {"gate_python": str(node.bin / "python"), "gate_command": ["true"]}
    return shas


def release_is_whole(node, contents):
    """Whether readers have one commit, and all of it."""
    content = contents[node.published]
    return (
        node.content == content
        and (node.link / "configs/a.yaml").read_text() == f"text: {content}\n"
        and (node.link / "lib/dags/a.py").read_text() == f"lib_{content}\n"
    )


def test_kill9_every_step_of_the_first_sync(remote, node, faulty):
    """The link is there or not, and never dangles; the next run converges."""
    sha = remote.commit("one")
    for step, code, told in sweep(node, faulty):  # noqa: B007 - used after it
        if node.link.is_symlink():
            assert (node.published, node.content) == (sha, "one")
        elif code != -signal.SIGKILL:
            raise AssertionError(told)
        else:
            assert faulty()[0] == 0
            assert (node.published, node.content) == (sha, "one")
            assert not node.leftovers
    assert code == 0
    assert 12 < step < 60


def test_kill9_every_step(node, faulty, history):
    """With a repair, a submodule and the gate on the way."""
    old, new = history
    contents = {old: "one", new: "two"}
    (node.link / "configs/a.yaml").unlink()
    for step, code, told in sweep(node, faulty):  # noqa: B007 - used after it
        # What was missing at the beginning is missing, or repaired.
        if node.published == old and not (node.link / "configs/a.yaml").exists():
            assert node.content == "one"
        else:
            assert release_is_whole(node, contents)
        if code == -signal.SIGKILL:
            assert faulty()[0] == 0
            assert node.published == new
            assert release_is_whole(node, contents)
            assert not node.leftovers
    assert (code, node.published) == (0, new), told
    assert 30 < step < 100


def test_kill9_every_step_of_a_gate_that_blocks(remote, node, faulty, first):
    """What is not right does not become right because its check was killed."""
    sha = remote.commit("two")
    node.settings["gate_command"] = ["false"]
    for step, code, _ in sweep(node, faulty):  # noqa: B007 - used after it
        assert (node.published, node.content) == (first, "one")
        if code == -signal.SIGKILL:
            assert faulty() == (4, f"blocked {sha}: false ended with 1\n")
            assert (node.published, node.content) == (first, "one")
            assert not node.leftovers
    assert code == 4
    assert 12 < step < 60


def test_kill9_every_step_of_a_rollback(node, faulty, history):
    """It has happened or not; then the pin says so, too."""
    old, new = history
    contents = {old: "one", new: "two"}
    node.run()
    (node.releases / old / "configs/a.yaml").unlink()
    pins = set()
    for step, code, told in sweep(node, faulty, ["rollback"]):  # noqa: B007 - used after it
        assert release_is_whole(node, contents)
        if code == -signal.SIGKILL:
            pinned = node.state.get("pinned")
            pins.add(pinned)
            assert pinned or node.published == new
            assert faulty()[0] == 0
            assert node.published == (pinned or new)
            assert release_is_whole(node, contents)
            assert not node.leftovers
    assert (code, node.published) == (0, old), told
    assert pins == {None, old}
    assert 12 < step < 60


def test_disk_full_every_step(node, faulty, history):
    """Nothing new can be made any more: from any moment on, and until the next run."""
    old, new = history
    contents = {old: "one", new: "two"}
    node.settings["metrics_file"] = str(node.home / "sync.prom")
    codes = []
    for _, code, told in sweep(node, faulty, fault="disk full"):
        codes.append(code)
        assert release_is_whole(node, contents)
        if code == 0:
            break
        assert (code, "No space left on device" in told) == (1, True)
        assert faulty()[0] == 0
        assert node.published == new
        assert release_is_whole(node, contents)
        assert not node.leftovers
    assert codes[-1] == 0
    assert 5 < len(codes) < 40


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


@pytest.mark.remotes("local")
@pytest.mark.parametrize("ended_by", ["time-out", "SIGTERM", "SIGKILL"])
def test_hung_remote(remote, node, first, tmp_path, wait_until, ended_by):
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
        assert output == ("", "failed: git fetch did not end within 1 s\n")
        assert process.returncode == 3
        assert node.status["error"] == "git fetch did not end within 1 s"
        # The next run asks first.
        assert node.run(code=3) == "failed: git ls-remote did not end within 1 s\n"
    else:
        assert process.returncode == (143 if ended_by == "SIGTERM" else -signal.SIGKILL)
    assert wait_until(lambda: not any(alive(pid) for pid in pids.read_text().split()))
    assert node.published == first
    # The lock went with it.
    node.settings |= remote.settings | {"timeout_seconds": 20}
    assert node.run().startswith(f"unchanged {first}")


@pytest.mark.remotes("local")
@pytest.mark.parametrize("scheme", ["ssh", "https"])
def test_silent_server(node, first, scheme):
    """It accepts the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        node.settings |= {
            "repository": f"{scheme}://127.0.0.1:{server.getsockname()[1]}/dags.git",
            "private_key": os.devnull if scheme == "ssh" else "",
            "known_hosts": os.devnull if scheme == "ssh" else "",
            "timeout_seconds": 1,
        }
        begin = time.monotonic()
        assert node.run(code=3) == "failed: git fetch did not end within 1 s\n"
        assert time.monotonic() - begin < 4
    assert node.published == first


@pytest.mark.remotes("local")
def test_slow_server_is_waited_for(remote, node):
    """Slow git with a long time-out."""
    node.over_ssh(remote, 'sleep 0.5\nexec sh -c "$command"')
    sha = remote.commit("one")
    node.run()
    assert node.published == sha


@pytest.mark.parametrize("command", ["fetch", "read-tree"])
def test_disk_full(remote, node, first, command):
    """In git: the last good release stays, and nothing partial."""
    (remote.files / "large").write_bytes(os.urandom(1 << 20))
    sha = remote.commit("two")
    before = {path.name for path in node.releases.iterdir()}
    # As a full disk does, it lets a file grow to a point only.
    node.wrap(
        "git",
        f'PATH=${{PATH#*:}}\ncase " $* " in *" {command} "*) ulimit -f 500; trap "" XFSZ ;; esac\n'
        'exec git "$@"',
    )
    assert node.run(code=3 if command == "fetch" else 1).startswith("failed: ")
    assert (node.published, node.content) == (first, "one")
    assert {path.name for path in node.releases.iterdir()} == before
    assert not node.leftovers
    node.bin.joinpath("git").unlink()
    node.run()
    assert node.published == sha
    assert (node.link / "large").stat().st_size == 1 << 20


# Runs the program with another time of day, for whatever asks or sets it.
CLOCK = """
import os, runpy, sys, time

jump = float(sys.argv[1])
sys.argv[:2] = []
now, utime = time.time, os.utime

def utime_now(path, times=None, **options):
    utime(path, (time.time(),) * 2 if times is None and "ns" not in options else times, **options)

time.time, os.utime = lambda: now() + jump, utime_now
runpy.run_path(sys.argv[0], run_name="__main__")
"""
YEAR = 365 * 86400


@pytest.fixture
def at(node, tmp_path):
    """Return a function that runs the program so many seconds from now."""
    (tmp_path / "clock.py").write_text(CLOCK)

    def run(jump, *arguments, code=0):
        driver = (tmp_path / "clock.py", str(jump), PROGRAM)
        return node.run(*arguments, code=code, driver=driver)

    return run


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_clock_jumps(remote, node, at, jump):
    """There and back: what should stay stays, and no age is negative."""
    node.settings |= {"keep_releases": 2, "keep_days": 7}
    shas = []
    for number, moment in enumerate([0, jump, jump, 0]):
        shas.append(remote.commit(f"{number}"))
        assert f"published {shas[-1]} (main)\n" in at(moment)
        # Whatever the time is, the published one and the one before it are there.
        assert {path.name for path in node.releases.iterdir()} >= set(shas[-2:])
        assert node.content == f"{number}"
        status = json.loads(at(jump - moment, "status"))
        assert status["age_seconds"] >= 0
        assert status["previous"] == (shas[-2] if number else None)
    assert at(0) == f"unchanged {shas[-1]} (main)\n"
    assert node.status["age_seconds"] < 60


def test_clock_jumps_back_and_retention(remote, node, at):
    """What was used last in the future is not kept for ever."""
    node.settings |= {"keep_releases": 1, "keep_days": 7}
    old = remote.commit("0")
    at(YEAR)
    for number in range(1, 3):
        remote.commit(f"{number}")
        at(YEAR)
    remote.commit("3")
    at(0)
    assert (node.releases / old).exists()
    remote.commit("4")
    assert f"removed {old}, last used 8 days ago\n" in at(8 * 86400)


def test_clock_jumps_and_the_error_of_the_hour(remote, node, first, tmp_path):
    """Said again when the hour is over, and at once when the clock is before the last time."""
    (tmp_path / "clock.py").write_text(
        CLOCK.replace("import os,", "import syslog, os,").replace(
            "now, utime", "syslog.syslog = lambda priority, text: print(text)\nnow, utime", 1
        )
    )

    def tick(jump):
        driver = (tmp_path / "clock.py", str(jump), PROGRAM)
        return len(node.run("--splay", code=3, driver=driver).splitlines())

    with remote.down():
        assert [tick(jump) for jump in (0, 0, 3500, 3700, 0, 0)] == [1, 0, 0, 1, 1, 0]
    assert node.published == first


def test_20000_files(remote, node):
    """Published, changed, repaired; the gate is asked about the one that changed."""
    blob = remote.git("hash-object", "-w", "--stdin", input="x = 1\n")
    names = [f"lib/{number % 100}/{number}.py" for number in range(20_000)]
    listing = "".join(f"100644 {blob}\t{name}\n" for name in names)

    def commit(content):
        other = remote.git("hash-object", "-w", "--stdin", input=f"{content}\n")
        remote.git("update-index", "--index-info", input=f"100644 {other}\tdags/a.py\n")
        tree = remote.git("write-tree")
        sha = remote.git("commit-tree", "-m", content, tree)
        remote.git("update-ref", "refs/heads/main", sha)
        return sha

    remote.git("update-index", "--index-info", input=listing)
    asked = node.home / "asked"
    node.wrap("python", f'tr "\\0" "\\n" >{asked}; echo "$*" >{asked}.arguments; {NOTHING_FOUND}')
    node.settings |= {"gate_python": str(node.bin / "python"), "keep_releases": 1, "keep_days": 0}
    # A slow disk takes its time for so many files.
    node.settings["timeout_seconds"] = 120
    first = commit("one")
    node.run()
    assert len(list(node.link.glob("lib/*/*.py"))) == 20_000
    assert asked.with_suffix(".arguments").read_text().endswith(" all\n")

    second = commit("two")
    assert f"removed {first}" in node.run()
    assert (node.published, node.content) == (second, "two")
    assert len(list(node.link.glob("lib/*/*.py"))) == 20_000
    assert asked.read_text().split() == ["dags/a.py"]
    assert [path.name for path in node.releases.iterdir()] == [second]
    assert not node.leftovers

    (node.link / names[0]).write_text("evil\n")
    (node.link / names[-1]).unlink()
    assert f"repaired {second}: edited {names[0]}, missing {names[-1]}" in node.run()
    assert node.run() == f"unchanged {second} (main)\n"
