"""Makes a Python environment of the nodes' packages and of what tests a DAG repository.

It serves the authors of DAGs (environment.py) and the tests of this checkout (scripts/test), and
starts from git's checkout and a Python with venv, or with an `uv` that is there.
"""

import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "src"))  # Python looks beside this file alone.

from rax._printable import one_line  # noqa: E402 - see above

UV_LOCK = ROOT / "requirements/uv.txt"
# rax.cli._deployment reads it.
FACTS = "deployment.json"
MAX_REASON_CHARACTERS = 400
# What the account has set for other uses of uv and pip would install elsewhere, or not at all.
NOT_FOR_US = frozenset(
    {"PIP_PREFIX", "PIP_TARGET", "PIP_USER", "UV_NO_BUILD", "UV_NO_BUILD_PACKAGE", "UV_PYTHON",
     "UV_REQUIRE_HASHES", "UV_SYSTEM_PYTHON", "VIRTUAL_ENV"}
)  # fmt: skip
# What uv or pip say of a failure, and what to do then. The first that is found is told.
ADVICE = (
    (r"No space left|Disk quota", "make room on the disk"),
    (
        r"no trusted hash was provided",
        "what builds a package of the deployment's lock has no hash: have it added to"
        " requirements/build.in there",
    ),
    (
        r"must have a hash|Hashes are required",
        "the deployment's lock lacks a hash: have scripts/lock make it there",
    ),
    (
        r"(?i)hash mismatch|do not match the hashes",
        "what the index or the folder of wheels gave is not what the lock names: do not use it, and"
        " tell whoever runs it",
    ),
    (
        r"no wheels? with a matching|Failed to build",
        "the lock does not fit this machine, for which a package has no wheel: use one like the"
        " nodes",
    ),
    (
        r"(?i)network connectivity is disabled|network was disabled|error sending request|dns error"
        r"|failed to (fetch|download)|connection (refused|reset)|timed out|resolve",
        "the index was not reached: connect, or name one of your own in UV_DEFAULT_INDEX or a"
        " folder of wheels in UV_FIND_LINKS",
    ),
    (
        r"not found in the|was not found|no version of|No matching distribution",
        "your index (UV_DEFAULT_INDEX) or folder of wheels (UV_FIND_LINKS) lacks it: have it added",
    ),
)


class MakeError(Exception):
    """Why there is no environment; a sentence that says what to do."""


def lock_of(version: str) -> Path:
    """Return the lock of the nodes' packages for a version of Python such as ``3.11``.

    :raises MakeError: there is none
    """
    lock = ROOT / f"packages/requirements-py{version.replace('.', '')}.txt"
    if not lock.is_file():
        known = sorted(locked_versions())
        raise MakeError(
            f"the deployment has no packages for Python {version}: it has them for"
            f" {' and '.join(known) or 'none'}"
        )
    return lock


def locked_versions() -> Iterator[str]:
    """Yield the versions of Python that the nodes' packages are locked for."""
    for path in (ROOT / "packages").glob("requirements-py3*.txt"):
        yield f"3.{path.stem.removeprefix('requirements-py3')}"


def make(environment: Path, version: str, facts: Mapping[str, str] | None = None) -> None:
    """Make the environment, in the place of one that may be there.

    It is made beside it and moved there as the last step, so that it is never half there.

    :param facts: what rax is to know of its deployment; without it, rax is not installed
    :raises MakeError: it could not be made
    :raises OSError: the folder of the environment can't be written
    """
    locks = (lock_of(version), ROOT / f"requirements/authors-py{version.replace('.', '')}.txt")
    environment.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="new-", dir=environment.parent, ignore_cleanup_errors=True
    ) as folder:
        new = Path(folder, "environment")
        uv = _find_uv() or _install_uv(Path(folder, "uv"))
        python = _find_python(uv, version)
        # Its programs find their Python beside them, whatever the folder is called.
        _run(uv, "venv", "--no-config", "--relocatable", "--no-project", "--python", python, new)
        install = (
            uv,
            "pip",
            "install",
            "--no-config",
            "--system-certs",
            "--python",
            new / "bin/python",
        )
        tell("install the packages, which takes minutes where the cache of uv lacks them")
        _run(
            *install, "--require-hashes", *(f"--requirement={lock}" for lock in locks),
            f"--build-constraints={ROOT}/requirements/build.txt", "--require-build-hashes",
            "--preview-features=build-dependency-hashes",
        )  # fmt: skip
        if facts is not None:
            _run(*install, "--no-deps", "--offline", ROOT)
            (new / FACTS).write_text(json.dumps(facts) + "\n")
            _run(new / "bin/python", "-P", "-m", "rax", "--version")
        os.sync()
        if environment.exists():
            environment.rename(Path(folder, "old"))
        new.rename(environment)


def tell(text: str) -> None:
    """Say on standard error what is done now."""
    print(f"rax: {text}", file=sys.stderr, flush=True)


def _find_uv() -> Path | None:
    """Return an ``uv`` on PATH of the locked minor version, and not older in it."""
    found = shutil.which("uv")
    locked = re.search(r"^uv==(\d+)\.(\d+)\.(\d+)", UV_LOCK.read_text(), re.MULTILINE)
    if not found or not locked:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"uv (\d+)\.(\d+)\.(\d+)", said)
    if not version or version.groups()[:2] != locked.groups()[:2]:
        return None
    return Path(found) if int(version[3]) >= int(locked[3]) else None


def _install_uv(folder: Path) -> Path:
    tell("install uv, which installs the rest")
    probe = (sys.executable, "-Ic", "import ensurepip, venv")
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        raise MakeError(
            f"{sys.executable} lacks the module venv: install it (on Debian the package"
            " python3-venv), or the uv that the deployment's requirements/uv.txt names"
        )
    _run(sys.executable, "-m", "venv", folder)
    _run(
        folder / "bin/pip", "install", "--disable-pip-version-check", "--require-hashes",
        "--only-binary=:all:", f"--requirement={UV_LOCK}",
    )  # fmt: skip
    return folder / "bin/uv"


def _find_python(uv: Path, version: str) -> str:
    """Return an interpreter of that version: on PATH, or installed by uv for the account."""
    search = ("--system", "--python-preference", "system", "--no-python-downloads", "--no-project")
    try:
        return _run(uv, "python", "find", "--no-config", *search, f"cpython@{version}").strip()
    except MakeError:
        raise MakeError(
            f"Python {version} is not on this machine: install it, so that python{version} is on"
            f" PATH (or: uv python install {version}), or name in rax.toml another version that the"
            " deployment has packages for"
        ) from None


def _run(*command: str | Path) -> str:
    """Return the standard output of a command that ended well.

    :raises MakeError: it failed
    """
    ended = subprocess.run(
        [str(word) for word in command], env=_environ(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if ended.returncode:
        raise MakeError(_reason(ended.stderr or ended.stdout, Path(command[0]).name))
    return ended.stdout


@functools.cache
def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_FOR_US}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def _reason(output: str, program: str) -> str:
    """Return a sentence: what to do, and what the program says."""
    # Warnings and what went well come before.
    _, mark, after = output.partition("error: ")
    problem = mark + after if mark else output
    said = one_line(re.sub(r"[×├─╰▶│]", "", problem), MAX_REASON_CHARACTERS)
    advice = next((advice for found, advice in ADVICE if re.search(found, output)), "")
    return f"{advice}; {program} says: {said}" if advice else f"{program} failed: {said}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, metavar="VERSION", help="such as 3.11")
    parser.add_argument("environment", type=Path)
    options = parser.parse_args(arguments)
    try:
        make(options.environment.absolute(), options.python)
    except (MakeError, OSError) as error:
        print(f"packages: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
