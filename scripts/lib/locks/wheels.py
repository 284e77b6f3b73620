"""Fills a folder with the files of all packages, for nodes that have no index."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from packaging.markers import default_environment

from scripts.lib.locks.content import Pin, pins_of
from scripts.lib.locks.requirements import LockError

PYTHONS = ("3.11", "3.13")
# What a node or the control node installs, by its Python.
NODE_LOCKS = {
    python: (
        f"packages/requirements-py{python.replace('.', '')}.txt",
        "requirements/refresh.txt",
        "requirements/uv.txt",
        "requirements/build.txt",
    )
    for python in PYTHONS
}
# glibc of Debian 12, the oldest that is supported.
MAX_GLIBC_MINOR = 36
MACHINES = ("x86_64", "aarch64")
# Takes the arguments after `pip download`.
Download = Callable[[list[str]], None]


def fill(
    folder: Path,
    python: str,
    machine: str,
    locks: dict[str, str],
    download: Download | None = None,
) -> Path:
    """Bring what locks (path → text) pin for a Python into a folder, and return that folder.

    Files that are there are not brought again. Raises LockError.
    """
    if machine not in MACHINES:
        raise LockError(f"--machine {machine}: it is one of {', '.join(MACHINES)}")
    target = folder / f"py{python.replace('.', '')}"
    target.mkdir(parents=True, exist_ok=True)
    download = download or pip_download
    common = [
        "--no-deps", "--require-hashes", f"--dest={target}", *platform_arguments(python, machine)
    ]  # fmt: skip
    for path, text in locks.items():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
            lock.write(without_markers(pins_of(text), python, machine))
            lock.flush()
            print(f"{path} for Python {python}", file=sys.stderr)
            download([*common, f"--requirement={lock.name}"])
    return target


def without_markers(pins: list[Pin], python: str, machine: str) -> str:
    """Return the pins for a Python as a lock: pip asks the markers of the Python that runs it."""
    environment: dict[str, str] = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "os_name": "posix",
    }
    return "".join(
        f"{pin.name}=={pin.version} {' '.join(pin.hashes)}\n"
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(environment)
    )


def platform_arguments(python: str, machine: str) -> list[str]:
    """Return how pip is told what the nodes are: it knows no newer glibc to include the older."""
    old = ["manylinux2014", "manylinux2010", "manylinux1"]
    kinds = [f"manylinux_2_{minor}" for minor in range(MAX_GLIBC_MINOR, 4, -1)] + old + ["linux"]
    return [
        f"--python-version={python}",
        "--implementation=cp",
        *(f"--platform={kind}_{machine}" for kind in kinds),
    ]


def pip_download(arguments: list[str]) -> None:
    """Run `pip download`, of a pip that comes with Python. Raises LockError."""
    with tempfile.TemporaryDirectory(prefix="scripts-lock-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/pip", "--disable-pip-version-check", "download", "--quiet"]
        if subprocess.run([*pip, *arguments], check=False).returncode:
            raise LockError("pip could not bring the files; what it said stands above")
