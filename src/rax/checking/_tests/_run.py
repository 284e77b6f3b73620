# SPDX-License-Identifier: Apache-2.0
"""Programs that run the repository's code, and end with all that it has started."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import rax
from rax.errors import CommandError

# More than unit tests take; who has slower ones has another place for them.
MAX_SECONDS = 1800
_MAX_SAID_BYTES = 4000


def environment() -> dict[str, str]:
    """Return the variables for a program that is to have this rax, and to leave no __pycache__."""
    home = str(Path(rax.__file__).parents[1])
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    # Where it is installed, it is found, and must not come before what Python itself has.
    if "site-packages" not in home:
        given = os.environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{given}{os.pathsep}{home}" if given else home
    return variables


def run(words: list[str], root: Path, output: Path) -> tuple[int, str]:
    """Run a program in the repository; return its exit code, and the end of what it said.

    :raises CommandError: it does not end in time
    """
    with output.open("w+b") as file:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and programs that it has
            words, cwd=root, env=environment(), stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            raise CommandError(f"the tests did not end within {MAX_SECONDS} s") from None
        finally:
            # Also what a test has left behind, and all of it when a person interrupts.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_SAID_BYTES))
        return code, file.read().decode(errors="replace")
