"""What must be right with a commit before it is published."""

import json
import os
import sys
from pathlib import Path

import pytest
from airflow_dag_sync.check_files import yaml_problem
from airflow_dag_sync.gate import WAY_OUT

CRON = "--splay"
BROKEN = "def f(:\n"


def count_in(node, calls):
    """Let another interpreter be the gate's: it notes which paths it is asked about."""
    node.wrap(
        "python",
        f'for argument in "$@"; do last=$argument; done\n'
        f'if [ "$last" = listed ]; then tee {calls}.paths; else echo all >{calls}.paths; fi |\n'
        f'{sys.executable} "$@"; code=$?\necho >>{calls}\n'
        f"tr '\\0' '\\n' <{calls}.paths >{calls}.asked; exit $code",
    )
    node.settings["gate_python"] = str(node.bin / "python")


@pytest.fixture
def calls(node, tmp_path):
    """Count how often the gate is at work."""
    file = tmp_path / "calls"
    file.touch()
    count_in(node, file)
    return lambda: len(file.read_text())


@pytest.fixture
def asked(tmp_path):
    """Return which paths the last gate was asked about."""
    return lambda: sorted((tmp_path / "calls.asked").read_text().split("\n"))


def own(node, script):
    """Let a script be the gate's own command."""
    node.wrap("check", script)
    node.settings["gate_command"] = [str(node.bin / "check")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("dags/b.py", BROKEN, "dags/b.py:1: invalid syntax"),
        ("util/b.py", "x = 1\n  y = 2\n", "util/b.py:2: unexpected indent"),
        ("lib/deep/er/b.py", "x = '\n", "lib/deep/er/b.py:1: unterminated string literal"),
        ("dags/b.py", "x = 1 \0\n", "dags/b.py: source code string cannot contain null bytes"),
        ("dags/b.py", "# coding: nonsense\n", "dags/b.py: unknown encoding"),
        ("configs/b.yaml", "a: 1\nb: [\n", "configs/b.yaml:3: "),
        ("configs/deep/b.yml", "a: 1\n\tb: 2\n", "configs/deep/b.yml:2: "),
        ("configs/b.yaml", "a: !!python/name:os.system\n", "configs/b.yaml:1: "),
        # What YAML takes, and rax.config does not.
        ("configs/b.yaml", "a: 1\nb: 2\na: 3\n", "configs/b.yaml:3: the key 'a' is there twice"),
        ("configs/b.yaml", "no: Oslo\n", "configs/b.yaml:1: a key is read as false"),
        ("configs/b.yaml", "- a\n", "configs/b.yaml: holds a list"),
        ("configs/b.yaml", "", "configs/b.yaml: holds nothing"),
        ("configs/b.yaml", "a: 1\n---\nb: 2\n", "configs/b.yaml:2: has more than one document"),
    ],
)
def test_gate_fail_blocks(remote, gated, first, name, content, problem):
    """The link stays, the exit code is 4, and the reason names file and line."""
    remote.write(name, content)
    sha = remote.commit("two")
    before = gated.link.lstat()
    output = gated.run(code=4)
    assert output.startswith(f"blocked {sha}: {problem}"), output
    assert (gated.published, gated.content) == (first, "one")
    assert gated.link.lstat().st_ino == before.st_ino
    status = gated.status
    assert (status["seen"], status["blocked"]["sha"]) == (sha, sha)
    assert status["error"] == output.strip()
    assert status["blocked"]["reason"].startswith(problem)
    # Nobody can get at it by its path either, and nothing of it stays.
    assert status["releases"] == [first]
    assert not gated.leftovers


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: 1\n", None),
        ("a: [\n", ":2: while parsing a flow node, did not find expected node content"),
        ("a: 1\n---\nb: 2\n", ":2: expected a single document in the stream, but found another"),
    ],
)
def test_config_without_rax(tmp_path, content, problem):
    """An interpreter that has no rax says what PyYAML says."""
    file = tmp_path / "a.yaml"
    file.write_text(content)
    found = yaml_problem(file, tmp_path)
    assert found == problem or found.startswith(problem)


def test_gate_first_commit_of_all(remote, gated):
    remote.write("dags/b.py", BROKEN)
    sha = remote.commit("one")
    assert gated.run(code=4).startswith(f"blocked {sha}: dags/b.py:1: ")
    assert not gated.link.is_symlink()
    assert gated.status["published"] is None


@pytest.mark.usefixtures("first")
def test_gate_names_a_few_of_many(remote, gated):
    for number in range(8):
        remote.write(f"dags/{number}.py", BROKEN)
    sha = remote.commit("two")
    output = gated.run(code=4)
    named = "; ".join(f"dags/{number}.py:1: invalid syntax" for number in range(5))
    assert output == f"blocked {sha}: {named} and 3 more ({WAY_OUT})\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tests/b.py", BROKEN),
        ("tests/deep/b.py", BROKEN),
        ("configs/b.txt", "a: [\n"),
        ("dags/b.yaml", "a: [\n"),
        ("dags/b.pyi", BROKEN),
        ("configs/b.yaml", "{}\n"),
        ("dags/b.py", ""),
        ("dags/b.py", "x = '\\d' is 'y'\n"),  # a warning
        ("dags/b.py", "raise SystemExit\n"),  # it is compiled, not run
        ("dags/ü \n.py", "x = 1\n"),
    ],
)
def test_gate_passes(remote, gated, first, name, content):
    remote.write(name, content)
    sha = remote.commit("two")
    assert gated.run() == f"published {sha} (main)\n"
    assert gated.published != first


def test_gate_exclude(remote, gated, first):
    """A changed setting counts at once, under cron too."""
    remote.write("dags/drafts/b.py", BROKEN)
    sha = remote.commit("two")
    gated.run(CRON, code=4)
    gated.settings["gate_exclude"] = ["tests/*", "dags/drafts/*"]
    gated.run(CRON)
    assert gated.published == sha != first


@pytest.mark.usefixtures("first")
def test_gate_is_asked_once(remote, node, calls):
    """The same commit is not tried again by cron; by hand it is, and when anything changed."""
    remote.write("dags/b.py", BROKEN)
    sha = remote.commit("two")
    outputs = [node.run(CRON, code=4) for _ in range(3)]
    assert calls() == 1
    since = node.status["blocked"]["since"]
    assert node.run(code=4).startswith(f"blocked {sha}: dags/b.py:1")
    assert calls() == 2
    assert outputs == ["", "", ""]

    # Another interpreter, in another folder.
    other = node.bin.with_name("other")
    other.mkdir()
    (other / "python").symlink_to(node.settings["gate_python"])
    node.settings["gate_python"] = str(other / "python")
    node.run(CRON, code=4)
    node.run(CRON, code=4)
    assert calls() == 3

    # An own command.
    node.settings["gate_command"] = ["true"]
    node.run(CRON, code=4)
    node.run(CRON, code=4)
    assert calls() == 4
    assert node.status["blocked"]["since"] == since
    assert node.status["failures"] == 8


def test_gate_fix_is_published(remote, node, first, calls):
    """A better commit is published, and `blocked` goes; so it does when the branch goes back."""
    file = remote.write("dags/b.py", BROKEN)
    bad = remote.commit("two")
    node.run(CRON, code=4)
    file.write_text("x = 1\n")
    good = remote.commit("three")
    output = node.run()
    assert f"published {good} (main)\nworks again, after failing since " in output
    status = node.status
    assert (status["published"], status["previous"]) == (good, first)
    assert (status["blocked"], status["error"]) == (None, None)

    remote.git("update-ref", "refs/heads/main", bad)
    node.run(CRON, code=4)
    assert node.status["blocked"]["sha"] == bad
    remote.git("update-ref", "refs/heads/main", good)
    before = calls()
    assert "works again" in node.run()
    assert node.status["blocked"] is None
    assert calls() == before


def test_gate_checks_what_changed(remote, node, calls, asked):
    remote.write("dags/same.py", "x = 1\n")
    gone = remote.write("dags/gone.py", "x = 1\n")
    remote.commit("one")
    node.run()
    assert asked() == ["", "all"]
    remote.write("dags/new.py", "x = 1\n")
    gone.unlink()
    remote.commit("two")
    node.run()
    assert asked() == ["configs/a.yaml", "dags/a.py", "dags/new.py"]

    # What did not pass is no measure: the difference to what readers have is checked.
    remote.write("dags/bad.py", BROKEN)
    remote.commit("three")
    node.run(code=4)
    remote.commit("four")
    assert "dags/bad.py:1" in node.run(code=4)

    # Nothing that the gate reads: the interpreter is not even started.
    (remote.files / "dags/bad.py").unlink()
    remote.commit("two")
    before = calls()
    node.run()
    assert calls() == before

    # Other terms: everything, once.
    node.settings["gate_exclude"] = []
    remote.commit("five")
    node.run()
    assert asked() == ["", "all"]


def test_gate_after_it_was_off(remote, node, first):
    """What was published without a gate has not passed it: all of the next one is checked."""
    remote.write("dags/b.py", BROKEN)
    second = remote.commit("two")
    node.run()
    node.settings["gate_python"] = sys.executable
    assert node.run() == f"unchanged {second} (main)\n"
    remote.commit("three")
    assert "dags/b.py:1" in node.run(code=4)
    assert node.published == second != first


def test_gate_after_the_state_was_lost(remote, gated, first):
    remote.write("dags/b.py", BROKEN)
    sha = remote.commit("two")
    gated.run(code=4)
    gated.state_file.unlink()
    assert gated.run(CRON, code=4) == ""
    assert gated.published == first
    assert gated.status["blocked"]["sha"] == sha


def test_gate_python_missing(remote, node, first):
    sha = remote.commit("two")
    node.settings["gate_python"] = "/opt/airflow/current/bin/python"
    output = node.run(code=2)
    assert output.startswith("failed: 'gate_python' /opt/airflow/current/bin/python is no program")
    assert node.published == first
    assert node.status["blocked"] is None
    node.settings["gate_python"] = sys.executable
    node.run()
    assert node.published == sha


def test_gate_python_without_yaml(remote, node, first):
    remote.commit("two")
    node.wrap("python", f'shift; exec {sys.executable} -IS "$@"')
    node.settings["gate_python"] = str(node.bin / "python")
    output = node.run(code=2)
    assert output == f"failed: 'gate_python' {node.bin}/python has no PyYAML\n"
    assert node.published == first


def test_gate_python_dies(remote, node, first):
    sha = remote.commit("two")
    node.wrap("python", "echo something; echo Aborted >&2; kill -9 $$")
    node.settings["gate_python"] = str(node.bin / "python")
    assert node.run(code=4) == f"blocked {sha}: the checks ended with -9: Aborted\n"
    assert node.published == first


def test_gate_command(remote, node, first):
    """It runs in the release, with an environment that is named."""
    seen = node.home / "seen"
    own(node, f"pwd >{seen}; cat dags/a.py >>{seen}; env >>{seen}; id -u >>{seen}")
    node.environment = {"SECRET": "hunter2", "PYTHONPATH": "/x", "HOME": "/x", "GIT_DIR": "/x"}
    node.settings["gate_python"] = sys.executable
    sha = remote.commit("two")
    node.run()
    assert node.published == sha != first
    release = node.releases / sha
    where, content, *variables, account = seen.read_text().splitlines()
    assert (where, content, account) == (str(release), "two", str(os.geteuid()))
    values = dict(variable.split("=", 1) for variable in variables)
    values.pop("_", None)
    assert values.pop("PATH").split(":")[0] == str(Path(sys.executable).parent)
    assert values == {
        "HOME": str(Path.home()),
        "LANG": "C.UTF-8",
        "RAX_RELEASE_DIR": str(release),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PWD": str(release),
    }


def test_gate_command_fails(remote, node, first):
    own(node, "echo checking; echo 'DAG a:  no owner' >&2; exit 3")
    sha = remote.commit("two")
    output = node.run(code=4)
    assert output == (f"blocked {sha}: {node.bin}/check ended with 3: checking; DAG a: no owner\n")
    assert node.published == first
    # It succeeds by hand once what it needs is there.
    own(node, "exit 0")
    assert node.run(CRON, code=4) == ""
    assert f"published {sha}" in node.run()


def test_gate_command_is_missing(remote, node, first):
    remote.commit("two")
    node.settings["gate_command"] = ["/no/such/check"]
    assert "/no/such/check" in node.run(code=4)
    assert node.published == first


def test_gate_command_after_the_files(remote, gated, first):
    """What does not compile is not run."""
    own(gated, f"touch {gated.home}/ran")
    remote.write("dags/b.py", BROKEN)
    remote.commit("two")
    gated.run(code=4)
    assert not (gated.home / "ran").exists()
    assert gated.published == first


def test_gate_command_touches_the_release(remote, node, first):
    """What it leaves, changes or removes there is not published, and is not called tampering."""
    own(
        node,
        "mkdir -p dags/__pycache__ empty .hid/deep; touch dags/__pycache__/a.pyc .hid/deep/x\n"
        "echo changed >dags/a.py; rm configs/a.yaml; chmod 777 dags",
    )
    sha = remote.commit("two")
    assert node.run() == f"published {sha} (main)\n"
    assert node.published != first
    assert node.content == "two"
    assert set(node.tree) == {b".", b"dags", b"dags/a.py", b"configs", b"configs/a.yaml"}
    assert (node.link / "dags").stat().st_mode & 0o777 == 0o750
    assert node.run() == f"unchanged {sha} (main)\n"
    assert node.status["repairs"] == 0


def test_gate_command_prints_much(remote, node, first):
    own(node, "yes 01234567 | head -n 2000000; echo the end; exit 1")
    remote.commit("two")
    output = node.run(code=4)
    assert output.endswith("; the end\n")
    assert len(output) < 1000
    assert len(node.state_file.read_text()) < 4000
    assert node.published == first


def lives(marker):
    """Find a process by a word of its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in file.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("child", ["sleep 61.5 &", "setsid sleep 61.5 & sleep 0.2"])
def test_gate_command_leaves_a_child(remote, node, first, wait_until, child):
    """The run does not wait for it, and it does not outlive the gate."""
    own(node, child)
    sha = remote.commit("two")
    node.run()
    assert node.published == sha != first
    assert wait_until(lambda: not lives(b"61.5"))


@pytest.mark.parametrize("what", ["gate_command", "gate_python"])
def test_gate_timeout(remote, node, first, wait_until, what):
    """It is killed with all that it started, and the link stays."""
    script = "sleep 62.5 & sleep 62.5"
    if what == "gate_command":
        own(node, script)
    else:
        node.wrap("python", script)
        node.settings["gate_python"] = str(node.bin / "python")
    node.settings["gate_timeout_seconds"] = 1
    sha = remote.commit("two")
    assert node.run(code=4) == f"blocked {sha}: the gate did not end within 1 s\n"
    assert wait_until(lambda: not lives(b"62.5"))
    assert node.published == first
    assert not node.leftovers


def test_gate_has_its_own_time(remote, node, first):
    """A gate that takes longer than the network may is waited for."""
    node.settings |= {"timeout_seconds": 1, "gate_timeout_seconds": 20}
    own(node, "sleep 1.5")
    sha = remote.commit("two")
    node.run()
    assert node.published == sha != first


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ({"dags/etc": "/etc"}, "dags/etc is a link that leads out of the repository, to /etc"),
        ({"dags/b.py": "/etc/passwd"}, "dags/b.py is a link that leads out"),
        ({"dags/up": "../.."}, "dags/up is a link that leads out of the repository, to ../.."),
        ({"lib": ".."}, "lib is a link that leads out of the repository, to .."),
        ({"dags/x": "../dags/../../x"}, "dags/x is a link that leads out"),
        # Through a folder that is a link itself: only seemingly inside.
        (
            {"deep/er/top": "../..", "util/out": "../deep/er/top/../x"},
            "util/out is a link that leads out",
        ),
        ({"dags/b.py": "gone.py"}, "dags/b.py: No such file"),
        ({"dags/b.py": "b.py"}, "dags/b.py: Too many levels of symbolic links"),
    ],
)
def test_link_that_leads_out(remote, gated, first, links, problem):
    for name, target in links.items():
        (remote.files / name).parent.mkdir(parents=True, exist_ok=True)
        (remote.files / name).symlink_to(target)
    sha = remote.commit("two")
    assert gated.run(code=4).startswith(f"blocked {sha}: {problem}")
    assert gated.published == first


def test_link_that_leads_out_later(remote, gated):
    """The link is old and was right; the folder on its way becomes a link."""
    remote.write("deep/er/way/file", "x")
    (remote.files / "lib").mkdir()
    (remote.files / "lib/out").symlink_to("../deep/er/way/../file2")
    remote.write("deep/er/file2", "x")
    first = remote.commit("one")
    gated.run()
    (remote.files / "deep/er/way/file").unlink()
    (remote.files / "deep/er/way").rmdir()
    (remote.files / "deep/er/way").symlink_to("../..")
    sha = remote.commit("two")
    assert gated.run(code=4).startswith(f"blocked {sha}: lib/out is a link that leads out")
    assert gated.published == first


def test_link_that_stays_inside(remote, gated, first):
    for name, target in {
        "latest": "configs/a.yaml",
        "dags/conf": "../configs",
        "dags/b.py": "a.py",
        "dags/self": ".",
        "deep/er/top": "../..",
        "dangling": "nothing/here",
        "tests/etc": "/etc",
    }.items():
        (remote.files / name).parent.mkdir(parents=True, exist_ok=True)
        (remote.files / name).symlink_to(target)
    sha = remote.commit("two")
    assert gated.run() == f"published {sha} (main)\n"
    assert (gated.link / "dags/conf/a.yaml").read_text() == "text: two\n"
    assert sha != first


def test_fetched_release_is_not_trusted(remote, gated, first):
    """A worker may bring what is not published; to publish it, it must pass."""
    remote.write("dags/b.py", BROKEN)
    sha = remote.commit("two")
    gated.run("fetch", sha)
    assert gated.run("rollback", sha, code=4).startswith(f"blocked {sha}: dags/b.py:1")
    assert gated.published == first
    assert gated.status["pinned"] is None
    gated.run("fetch", sha)
    gated.run(CRON, code=4)
    assert gated.published == first


def test_rollback_after_the_environment_changed(remote, gated, first):
    """What has passed once passes: in need, nobody waits for a check of the old."""
    remote.commit("two")
    gated.run()
    own(gated, "exit 1")
    gated.settings |= {"gate_python": "/no/such/python", "gate_exclude": []}
    with remote.down():
        gated.run("rollback")
    assert gated.published == first
    assert gated.run() == f"unchanged {first} (pinned until `airflow-dag-sync unpin`)\n"


def test_rollback_to_the_published_release(gated, first):
    """Pinning what readers have never takes it from them, whatever the gate says now."""
    gated.state_file.write_text(json.dumps({}))
    own(gated, "exit 1")
    gated.run("rollback", first, code=4)
    assert (gated.published, gated.content) == (first, "one")
