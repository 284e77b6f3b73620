# SPDX-License-Identifier: GPL-3.0-or-later
"""Role python_environment on this machine: builds from a folder of wheels, and the way back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.packages.wheel_testing import BACKEND, make_python, make_source, make_wheel

ROOT = Path(__file__).parents[3]
FILES = ROOT / "roles/python_environment/files"
TAG = f"py{sys.version_info[0]}{sys.version_info[1]}"


def deploy(folder, steps):
    """Run the role for each step's variables in one play; return, by step, what changed."""
    tasks = [
        {
            "name": f"step {number}",
            "ansible.builtin.include_role": {"name": "caspian.airflow.python_environment"},
            "vars": step,
        }
        for number, step in enumerate(steps)
    ]
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": True,
        "gather_subset": ["!all", "python"],
        "tasks": tasks,
    }
    (folder / "play.json").write_text(json.dumps([play]))
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        # The index of this machine must not help.
        "UV_OFFLINE": "1",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "node,", "play.json"],
        cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    found = []
    for task in json.loads(done.stdout)["plays"][0]["tasks"]:
        if task["task"]["name"].startswith("step "):
            found.append([])
        elif found:
            (result,) = task["hosts"].values()
            found[-1].append((task["task"]["name"].split(" : ")[-1], result.get("changed", False)))
    return found


@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="the role writes as root, as on a node")
def test_the_environment_before_is_put_into_use_again_without_a_build(tmp_path):
    """`git revert` brings the lock of the environment before, which the node has kept."""
    wheels = tmp_path / "wheels" / TAG
    wheels.mkdir(parents=True)
    (tmp_path / "uv.txt").write_text("uv==0.13.9\n")
    for version in ("1.0", "2.0"):
        lock = make_wheel(wheels, "demo-package", version, {"demo_package/__init__.py": ""})
        (tmp_path / f"{version}.txt").write_text(lock)
    common = {
        "python_environment_root": str(tmp_path / "opt"),
        "python_environment_python": make_python(tmp_path),
        "python_environment_uv_lock": str(tmp_path / "uv.txt"),
        "python_environment_cache": str(tmp_path / "cache"),
        "python_environment_archive_directory": str(tmp_path / "archives"),
    }
    first, second = (
        common | {"python_environment_lock": str(tmp_path / f"{version}.txt")}
        for version in ("1.0", "2.0")
    )
    of_wheels = {"python_environment_wheels": str(tmp_path / "wheels")}
    # On the way back, there is neither a wheel nor an index to build from.
    steps = [first | of_wheels, second | of_wheels, first, first]
    results = deploy(tmp_path, steps)
    built = (
        "build | Create the environment, install the locked packages and the package, and prove it"
    )
    flipped = "use | Make the wanted environment the current one"
    assert [(built, True) in step for step in results] == [True, True, False, False]
    assert [(flipped, True) in step for step in results] == [True, True, True, False]
    assert not [name for name, _ in results[2] if name.startswith("build |")]
    current = tmp_path / "opt/current"
    asked = [current / "bin/python", "-c", "import demo_package as d; print(d.__file__)"]
    assert str(current.resolve()) in str(
        Path(subprocess.check_output(asked, text=True).strip()).resolve()
    )
    assert [*current.glob("lib/*/site-packages/demo_package-*")] == [
        *current.glob("lib/*/site-packages/demo_package-1.0.dist-info")
    ]
    assert len([*(tmp_path / "opt/environments").iterdir()]) == 2
    # uv comes from the folder too.
    for line in (tmp_path / "pip.log").read_text().splitlines():
        assert f"--no-index --find-links={tmp_path}/opt/build/wheels --require-hashes" in line
    # What came with the build is of no use any more, and large.
    assert not [*(tmp_path / "opt/build").glob("wheels*")]


def build(tmp_path, lock, wheels, package="", build_lock=""):
    """Run build.sh on a lock and a folder of wheels; return its exit code and what it says."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "requirements.txt").write_text(lock)
    (folder / "build.txt").write_text(build_lock)
    (folder / "prove.py").write_bytes((FILES / "prove.py").read_bytes())
    subprocess.run(["tar", "-C", wheels, "-cf", folder / "wheels.tar", "."], check=True)
    done = subprocess.run(
        [
            "sh",
            FILES / "build.sh",
            folder,
            make_python(tmp_path),
            tmp_path / "new",
            "import sys",
            package,
            "wheels.tar",
        ],
        env={"PATH": os.environ["PATH"], "UV_NO_CONFIG": "1", "UV_CACHE_DIR": tmp_path / "cache"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "new/.complete").exists() == (done.returncode == 0)
    return done.returncode, done.stderr


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def test_what_can_not_be_imported_is_not_put_into_use(tmp_path, wheels):
    lock = make_wheel(wheels, "good", "1.0", {"good.py": "print('hello')"})
    lock += make_wheel(wheels, "bad", "1.0", {"bad/__init__.py": "import pkg_nosuch"})
    code, said = build(tmp_path, lock, wheels)
    assert code == 1
    assert "bad: `import bad` fails: ModuleNotFoundError: No module named 'pkg_nosuch'\n" in said


def test_what_does_not_go_together_is_not_put_into_use(tmp_path, wheels):
    lock = make_wheel(wheels, "other", "1.0", {"other.py": ""})
    # The package beside the lock, such as the library rax, is installed without what it needs.
    make_wheel(wheels, "beside", "1.0", {"beside.py": ""}, requires=["other>=2"])
    code, said = build(tmp_path, lock, wheels, "wheels/beside-1.0-py3-none-any.whl")
    assert code == 1
    assert "`other>=2`" in said


def test_a_wheel_that_is_not_that_of_the_lock_is_not_installed(tmp_path, wheels):
    lock = make_wheel(wheels, "good", "1.0", {"good.py": ""})
    make_wheel(wheels, "good", "1.0", {"good.py": "import os"})
    code, said = build(tmp_path, lock, wheels)
    assert code != 0
    assert "hash" in said.lower()
    assert "the proof" not in said


def test_what_builds_a_package_is_that_of_the_lock(tmp_path, wheels):
    lock = make_source(wheels)
    build_lock = make_wheel(wheels, "builder", "1.0", BACKEND)
    assert build(tmp_path, lock, wheels, build_lock=build_lock)[0] == 0


@pytest.mark.parametrize(
    ("build_lock", "reason"),
    [
        ("", "no trusted hash was provided for: `builder`"),
        (f"builder==1.0 --hash=sha256:{'0' * 64}\n", "Hash mismatch for `builder==1.0`"),
    ],
)
def test_what_builds_a_package_and_has_no_hash_is_not_run(tmp_path, wheels, build_lock, reason):
    lock = make_source(wheels)
    make_wheel(wheels, "builder", "1.0", {"builder.py": f"open({str(tmp_path / 'ran')!r}, 'w')"})
    code, said = build(tmp_path, lock, wheels, build_lock=build_lock)
    assert code != 0
    assert reason in " ".join(said.split())
    assert not (tmp_path / "ran").exists()
