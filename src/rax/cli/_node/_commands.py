# SPDX-License-Identifier: Apache-2.0
"""Programs of the node that are asked, each with a limited time."""

import os
import subprocess

# It must be less than what a whole question may take.
MAX_COMMAND_SECONDS = 20.0


class CommandFailedError(Exception):
    """A command has failed; its text says why."""


def run(*argv: str, quiet: bool = False) -> str | None:
    """Return what a command prints; None where it is not on this machine.

    With ``quiet``, a failure without a message is an empty answer.

    :raises CommandFailedError: it failed, or has not ended in time
    """
    done = completed(*argv)
    if done is None:
        return None
    if done.returncode and not (quiet and not done.stderr.strip()):
        said = done.stderr.strip() or done.stdout.strip() or "no word"
        raise CommandFailedError(f"{said.splitlines()[-1]} (exit code {done.returncode})")
    return done.stdout


def completed(*argv: str) -> subprocess.CompletedProcess[str] | None:
    """Return a command that has ended, whatever its exit code; None where it is not here.

    :raises CommandFailedError: it cannot be started, or has not ended in time
    """
    try:
        return subprocess.run(  # noqa: S603 - these are programs of the node itself
            argv, capture_output=True, text=True, errors="replace", check=False,
            timeout=MAX_COMMAND_SECONDS,
            # Times are read as UTC, and messages in one language.
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        )  # fmt: skip
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise CommandFailedError(f"no answer within {MAX_COMMAND_SECONDS:g} s") from None
    except OSError as error:
        raise CommandFailedError(error.strerror or type(error).__name__) from None
