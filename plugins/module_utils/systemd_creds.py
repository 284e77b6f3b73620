# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command systemd-creds, which encrypts secrets for the units of this host."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile

from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import LockedFileError

# A TPM may take seconds; one that takes longer than this hangs.
MAX_SECONDS = 60
MAX_QUOTED_CHARACTERS = 200
# How a file begins that was encrypted with the key that everybody has (--with-key=null).
NULL_KEY = b"BYRp2vb1QySABUnaD46i"
HOST_KEY_VARIABLE = "SYSTEMD_CREDENTIAL_SECRET"
HOST_KEY = "/var/lib/systemd/credential.secret"


class UnableError(Exception):
    """This host can't encrypt; the message says why."""


class StuckError(LockedFileError):
    """systemd-creds does not end."""


@dataclasses.dataclass(frozen=True)
class Creds:
    """The command for the credential of one name.

    `host_key` is the file with the host's key, empty for the one that units are started with.
    """

    name: str
    host_key: str = ""

    def encrypt(self, content: bytes, key: str = "auto") -> bytes:
        """Return what the file is to hold, which is sure to be decrypted again."""
        done = self._run("encrypt", f"--with-key={key}", data=content)
        if done.returncode:
            last_line = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            said = last_line[:MAX_QUOTED_CHARACTERS]
            raise UnableError(f"`systemd-creds encrypt` ended with {done.returncode}: {said}")
        if self.decrypt(done.stdout) != content:
            raise UnableError("`systemd-creds decrypt` does not give back what it has encrypted")
        return done.stdout

    def predict(self, content: bytes) -> bytes:
        """Encrypt without a trace: the host's key, if there is none yet, is not made."""
        if os.path.lexists(os.environ.get(HOST_KEY_VARIABLE, HOST_KEY)):
            return self.encrypt(content)
        with tempfile.TemporaryDirectory() as scratch:
            other = dataclasses.replace(self, host_key=f"{scratch}/key")
            return other.encrypt(content, key="host")

    def decrypt(self, data: bytes) -> bytes | None:
        """Return the secret, None when this host does not open it under this name."""
        if data.startswith(NULL_KEY):
            return None
        try:
            done = self._run("decrypt", data=data)
        except UnableError:
            return None
        return None if done.returncode else done.stdout

    def _run(self, verb: str, *options: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
        """Run it from standard input to standard output: secrets are in no argument or file."""
        program = shutil.which("systemd-creds")
        if program is None:
            raise UnableError(
                "there is no systemd-creds on this host, which comes with systemd 250 and later"
            )
        environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_LOG_TARGET": "console"}
        if self.host_key:
            environment[HOST_KEY_VARIABLE] = self.host_key
        try:
            # `run_command` of a module has no time-out.
            # pylint: disable-next=ansible-bad-function
            return subprocess.run(  # noqa: S603 - found in PATH, arguments of ours
                [program, verb, f"--name={self.name}", *options, "-", "-"],
                input=data,
                capture_output=True,
                timeout=MAX_SECONDS,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            # The exception holds what a decryption has printed, so it is not passed on.
            raise StuckError(
                f"`systemd-creds {verb}` has not ended after {MAX_SECONDS} seconds, and nothing was"
                " changed: see whether the host's TPM answers; `encrypt: never` does without"
            ) from None
        except OSError as error:
            raise UnableError(f"systemd-creds can't be started: {error.strerror}") from None
