"""Runs rax in the environment that the rax.toml of a DAG repository names, and makes it if need be.

The wrapper ``./rax`` of such a repository (src/rax/templates/repository/rax) has brought this
checkout into its cache and starts this file from there, in whatever version the wrapper has come
with. So these are never changed: the arguments ROOT CACHE REPOSITORY REF and those of rax; the
file that the wrapper looks up, ``CACHE/repositories/ROOT/.rax``; and ``CACHE/environments/NAME``.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # Python looks beside this file alone.
sys.path.append(str(ROOT / "src"))

from rax._printable import one_line  # noqa: E402 - see above
from scripts.authors.packages import MakeError, make, tell  # noqa: E402 - see above

# What nobody has used for so long is removed when another environment is made.
MAX_UNUSED_SECONDS = 60 * 24 * 60 * 60
# What was begun so long ago is not being made any more.
MAX_MAKING_SECONDS = 24 * 60 * 60
MAX_TOML_BYTES = 65536
FAILED = 3
INTERRUPTED = 130
_OTHER_PYTHON = frozenset({"PYTHONPATH", "PYTHONHOME"})


def main(arguments: Sequence[str]) -> int:
    """Make what is lacking and become rax; return the exit code where that can't be."""
    root, folder, repository, ref, *words = arguments
    cache = Path(folder)
    try:
        text, version = read_version(Path(root), repository, ref)
        environment = cache / "environments" / f"{ROOT.name}-py{version.replace('.', '')}"
        if not is_whole(environment):
            make_once(environment, repository, ref, version)
            prune(cache, time.time())
        with contextlib.suppress(OSError):
            # Where nothing can be written, the next run is as slow as this one.
            record(cache, Path(root), environment, text)
    except MakeError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(
            f"{error.filename or folder}: {error.strerror}: mend it, or name another folder in"
            " XDG_CACHE_HOME"
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    return _become_rax(environment, words)


def read_version(root: Path, repository: str, ref: str) -> tuple[bytes, str]:
    """Return the text of rax.toml, and the version of Python that it names.

    :raises MakeError: it names none, or no longer what the wrapper has read in it
    """
    with (root / "rax.toml").open("rb") as file:
        text = file.read(MAX_TOML_BYTES)
    try:
        pin = tomllib.loads(text.decode())["deployment"]
        same = pin["ref"] == ref and repository in (
            pin["repository"],
            os.path.realpath(root / pin["repository"]),
        )
        version = pin.get("python")
    except (ValueError, KeyError, TypeError, AttributeError):
        same, version = False, None
    if not same:
        raise MakeError(f"{root}/rax.toml has just been changed: start ./rax again")
    if not isinstance(version, str) or not re.fullmatch(r"3\.[0-9]{1,2}", version):
        raise MakeError('rax.toml: python in [deployment] has to be a version such as "3.11"')
    return text, version


def is_whole(environment: Path) -> bool:
    """Tell whether an environment is there, and the Python that it was made with, too."""
    return os.access(environment / "bin/python", os.X_OK)


def make_once(environment: Path, repository: str, ref: str, version: str) -> None:
    """Make an environment, unless another process has made it meanwhile.

    :raises MakeError: it could not be made
    :raises OSError: the cache can't be written
    """
    environment.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock_file(environment).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another process makes the environment: wait for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_whole(environment):
            return
        tell(f"make the environment of {one_line(ref)}, once for all repositories that name it")
        command = ("git", "-C", str(ROOT), "rev-parse", "HEAD")
        head = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        facts = {"repository": repository, "ref": ref, "commit": head, "python": version}
        make(environment, version, facts)
        (environment / "used").touch()


def record(cache: Path, root: Path, environment: Path, text: bytes) -> None:
    """Let the wrapper find the environment for as long as rax.toml is this text.

    :raises OSError: it can't be written
    """
    (environment / "used").touch()
    file = _record_file(cache, root)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(prefix=".rax-", dir=file.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(environment.name.encode() + b"\n" + text)
    Path(new).replace(file)


def prune(cache: Path, now: float) -> None:
    """Remove the environments that nobody has used for long, and what goes with them.

    :param now: seconds since 1970
    """
    environments, deployments = cache / "environments", cache / "deployments"
    for path in _folders(environments):
        if _age_seconds(path / "used", now) > MAX_UNUSED_SECONDS:
            _remove(path)
    kept = {path.name for path in _folders(environments)}
    checkouts = {name.rpartition("-")[0] for name in kept}
    for path in (*environments.glob("new-*"), *deployments.glob("*")):
        # A checkout is kept with its environments; a young one may be about to get its first.
        if path.name not in checkouts and _age_seconds(path, now) > MAX_MAKING_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
    for place, _, files in os.walk(cache / "repositories"):
        if ".rax" in files:
            found = Path(place, ".rax")
            with found.open(errors="replace") as stream:
                name = stream.readline().strip()
            if name not in kept:
                found.unlink(missing_ok=True)


def _folders(environments: Path) -> list[Path]:
    return [path for path in environments.glob("*-py3*") if path.is_dir()]


def _age_seconds(path: Path, now: float) -> float:
    """Return the seconds since it was changed; of what is not there, none."""
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _remove(environment: Path) -> None:
    """Remove an environment, unless it is just being made."""
    with _lock_file(environment).open("w") as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It is never half there.
        gone = Path(tempfile.mkdtemp(prefix="new-", dir=environment.parent))
        environment.rename(gone / "environment")
        shutil.rmtree(gone, ignore_errors=True)


def _lock_file(environment: Path) -> Path:
    return environment.with_name(f"{environment.name}.lock")


def _record_file(cache: Path, root: Path) -> Path:
    return cache / "repositories" / root.relative_to("/") / ".rax"


def _become_rax(environment: Path, words: Sequence[str]) -> NoReturn:
    environ = {name: value for name, value in os.environ.items() if name not in _OTHER_PYTHON}
    python = str(environment / "bin/python")
    command = (python, "-P", "-m", "rax", *words)
    os.execve(python, command, {**environ, "PYTHONNOUSERSITE": "1"})  # noqa: S606 - no shell is wanted


def _fail(problem: str) -> int:
    print(f"rax: {one_line(problem)}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
