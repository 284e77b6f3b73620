"""The environment that ./rax makes: by two at once, after kills, and when something is missing."""

import sys
import time

import pytest

from scripts.authors import packages
from tests.unit.authors.standin import VERSION, Deployment, Laptop, wheel

INSTALLS = "*--require-hashes*"
# Where a first run is killed, when the program there has done its part.
POINTS = (
    "* init *", "* fetch *", "* checkout *", "--version", "python find *", "venv *", INSTALLS,
    "*--offline*",
)  # fmt: skip


def builds(laptop):
    return [line for line in laptop.log if "--require-hashes" in line]


def leftovers(laptop):
    return list((laptop.cache / "rax").glob("*/new-*"))


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("what was waited for has not come")


def test_of_two_at_once_one_makes_it_and_the_other_waits(laptop):
    other = laptop.add_repository("other")
    first = laptop.start(AT=INSTALLS, DO="wait")
    wait_for((laptop.folder / "waits").exists)
    second = laptop.start(program=other / "rax")
    assert second.stderr.readline() == "rax: another process makes the environment: wait for it\n"
    (laptop.folder / "go").touch()
    for process in (first, second):
        _, problem = process.communicate("", timeout=100)
        assert process.returncode == 0, problem
    assert len(builds(laptop)) == 1
    assert len(laptop.environments) == 1
    assert leftovers(laptop) == []


def test_a_run_that_was_killed_leaves_nothing_that_is_taken_for_whole(laptop):
    for point in POINTS:
        process = laptop.start(AT=point, DO="kill")
        process.communicate("", timeout=100)
        assert process.returncode == -9, point
        assert laptop.environments == [], point
    assert laptop.run().code == 0
    assert len(laptop.environments) == 1


def test_what_outlives_its_parent_does_not_get_into_the_way(laptop):
    killed = laptop.start(AT=INSTALLS, DO="orphan")
    killed.communicate("", timeout=100)
    assert killed.returncode == -9
    assert laptop.run().code == 0
    assert len(laptop.environments) == 1


def test_an_environment_whose_python_went_away_is_made_anew(laptop):
    assert laptop.run().code == 0
    [made] = laptop.environments
    (made / "bin/python").unlink()
    (made / "bin/python").symlink_to("/nowhere/python")
    (made / "old").touch()
    ended = laptop.run()
    assert ended.code == 0, ended.err
    assert not (made / "old").exists()
    assert leftovers(laptop) == []


# What a deployment has, what the run finds, and what it says.
LOCK = f"packages/requirements-py{VERSION.replace('.', '')}.txt"
OTHER = "tiny==1.0 --hash=sha256:" + "0" * 64 + "\n"
FAULTS = {
    "a wheel that is not what the lock names": (
        {LOCK: OTHER}, {},
        "rax: what the index or the folder of wheels gave is not what the lock names: do not use"
        " it, and tell whoever runs it; uv says: ",
    ),
    "a package that the index lacks": (
        {LOCK: OTHER.replace("tiny", "absent")}, {},
        "rax: your index (UV_DEFAULT_INDEX) or folder of wheels (UV_FIND_LINKS) lacks it: have it"
        " added; uv says: ",
    ),
    "a package without a hash": (
        {LOCK: "tiny==1.0\n"}, {},
        "rax: the deployment's lock lacks a hash: have scripts/lock make it there; uv says: error:"
        " In `--require-hashes` mode, all requirements must have a hash, but none were provided"
        " for: tiny==1.0\n",
    ),
    "a package for another Python": (
        {LOCK: "strange==1.0 --hash=sha256:{strange}\n"}, {},
        "rax: the lock does not fit this machine, for which a package has no wheel: use one like"
        " the nodes; uv says: ",
    ),
    "no network": (
        {LOCK: OTHER.replace("tiny", "absent")},
        {"UV_NO_INDEX": None, "UV_FIND_LINKS": None, "UV_DEFAULT_INDEX": "https://127.0.0.1:9/simple",
         "UV_HTTP_RETRIES": "0"},
        "rax: the index was not reached: connect, or name one of your own in UV_DEFAULT_INDEX or a"
        " folder of wheels in UV_FIND_LINKS; uv says: ",
    ),
    "an index that is not asked": (
        {LOCK: OTHER.replace("tiny", "unheard")},
        {"UV_NO_INDEX": None, "UV_FIND_LINKS": None, "UV_OFFLINE": "1"},
        "rax: the index was not reached: connect, or name one of your own in UV_DEFAULT_INDEX or a"
        " folder of wheels in UV_FIND_LINKS; uv says: ",
    ),
    "a full disk": (
        {}, {"AT": "venv *", "DO": "full"},
        "rax: make room on the disk; uv says: error: No space left on device (os error 28)\n",
    ),
    "a library that does not start": (
        {"src/rax/__main__.py": "raise SystemExit('no \\x1b[31m rax')"}, {},
        "rax: python failed: no \\x1b[31m rax\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Return a deployment to which faults are done."""
    return Deployment(tmp_path_factory.mktemp("faulty"))


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_said_of_a_fault_and_nothing_is_left(faulty, tmp_path, uv_cache, case):
    files, environ, problem = FAULTS[case]
    strange = wheel(faulty.wheels, "strange", "1.0", {}, tag="cp36-cp36m-win32")
    files = {name: text.replace("{strange}", strange[-65:-1]) for name, text in files.items()}
    before = {name: (faulty.root / name).read_text() for name in files}
    tag = f"v{len(case)}"
    faulty.write({**files, "README.md": case})
    faulty.save(tag)
    faulty.write(before)
    laptop = Laptop(tmp_path / "laptop", faulty, uv_cache)
    laptop.name(ref=tag)
    ended = laptop.run("check", **environ)
    steps = ("rax: make the environment", "rax: install the packages")
    told = [line for line in ended.err.splitlines(True) if not line.startswith(steps)]
    assert len(told) == 1
    assert told[0].startswith(problem)
    assert (ended.code, ended.out) == (3, "")
    assert laptop.environments == []
    assert leftovers(laptop) == []


def test_uv_comes_by_pip_where_it_is_not_on_path_or_of_another_version(laptop):
    laptop.install("uv", None)
    (laptop.bin / "uv").write_text("#!/bin/sh\n[ $1 = --version ] && echo uv 0.12.99\n")
    (laptop.bin / "uv").chmod(0o755)
    ended = laptop.run(PIP_USER="1", UV_SYSTEM_PYTHON="1", UV_REQUIRE_HASHES="1", VIRTUAL_ENV="/x")
    assert ended.code == 0, ended.err
    assert "rax: install uv, which installs the rest\n" in ended.err


@pytest.mark.parametrize(
    ("version", "taken"),
    [("0.13.9", True), ("0.13.10", True), ("0.13.8", False), ("0.14.0", False), ("1.13.9", False),
     ("0.1.39", False), ("", False)],
)  # fmt: skip
def test_which_uv_on_path_is_taken(tmp_path, monkeypatch, version, taken):
    lock = tmp_path / "uv.txt"
    lock.write_text("# x\nuv==0.13.9 \\\n    --hash=sha256:0\n")
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho 'uv {version} (x86_64)'\n")
    program.chmod(0o755)
    monkeypatch.setattr(packages, "UV_LOCK", lock)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages._find_uv() == (program if taken else None)


def test_a_python_without_venv(tmp_path, monkeypatch):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(packages.MakeError) as caught:
        packages._install_uv(tmp_path / "uv")
    assert str(caught.value) == (
        f"{python} lacks the module venv: install it (on Debian the package python3-venv), or the"
        " uv that the deployment's requirements/uv.txt names"
    )


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("  × Failed to download `a==1`\n  ╰─▶ Hash mismatch for `a`", "what the index"),
        ("error: Failed to fetch: `https://x`\n dns error: Name or service", "the index was not"),
        ("ERROR: Could not find a version\nERROR: No matching distribution found", "your index"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "what the"),
        ("error: failed to copy: No space left on device (os error 28)", "make room on the disk"),
        ("something else", "uv failed: something else"),
    ],
)
def test_the_advice_for_what_uv_and_pip_say(output, said):
    assert packages._reason(output, "uv").startswith(said)
