"""Asks an advisory service for what is known of versions of packages, through `uv audit`.

uv reads no requirements files for that yet, but its own lock. One is written that has what our
locks pin and nothing else; no index is asked. The forms of it and of the answer are those of the
version in requirements/uv.txt.
"""

import datetime
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from scripts.lib.locks.accepted import ADVISORY_ID
from scripts.lib.locks.requirements import LockError

SERVICE = "https://api.osv.dev/"
# Known to be vulnerable since 2014. Behind some mirrors and proxies, nothing is known of any
# package, which looks as if nothing were wrong.
CANARY = ("jinja2", "2.4.1")
MAX_SECONDS = 180
# What uv says where the service, not the question, is to blame.
_NO_ANSWER = re.compile(r"for url \(|cannot be performed in offline mode")
_FOUND = (0, 1)


class NoAnswerError(Exception):
    """Why nothing can be said of the packages."""


@dataclass(frozen=True)
class Advisory:
    """What is known of a version of a package; `fixed` are the versions that mend it.

    `published` is None where the service does not say when.
    """

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    published: datetime.date | None


def ask(pins: Collection[tuple[str, str]], service: str) -> list[Advisory]:
    """Return what the service knows of packages (name, version).

    Raises NoAnswerError where it doesn't answer, or does not know the canary either. Raises
    LockError for an address that is none, and for an answer that is not understood.
    """
    parts = urlsplit(service)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise LockError(
            "CASPIAN_ADVISORY_SERVICE has to be the address of a service like"
            f" {SERVICE}, without an account in it"
        )
    asked = {*pins, CANARY}
    code, answer, said = _run_uv(asked, service)
    if code not in _FOUND:
        # uv breaks its lines where it likes.
        reason = " ".join(said.split()).removeprefix("error: ").replace(" cause: ", ": ")
        if _NO_ANSWER.search(reason):
            raise NoAnswerError(f"no answer of {service}: {reason}")
        raise LockError(f"uv audit failed: {reason}")
    try:
        content = json.loads(answer)
        found = [_advisory(entry) for entry in content["vulnerabilities"]]
        count = content["summary"]["audited_packages"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise LockError(f"the answer of uv audit is not understood: {answer[:200]!r}") from None
    if count != len(asked):
        raise LockError(f"uv audit looked at {count} packages of {len(asked)}")
    if not found:
        raise NoAnswerError(
            f"{service} knows of nothing wrong with {CANARY[0]} {CANARY[1]}, which has been known"
            " to be vulnerable since 2014: that it knows of nothing wrong with the locks means"
            " nothing"
        )
    return [one for one in found if (one.package, one.version) in pins]


def _run_uv(pins: set[tuple[str, str]], service: str) -> tuple[int, str, str]:
    """Return the exit code, the answer, and what was said on stderr."""
    with tempfile.TemporaryDirectory(prefix="scripts-lock-") as folder:
        Path(folder, "pyproject.toml").write_text(
            '[project]\nname = "locks"\nversion = "0"\nrequires-python = ">=3.11"\n'
        )
        Path(folder, "uv.lock").write_text(_uv_lock(sorted(pins)))
        try:
            done = subprocess.run(
                [
                    "uv", "audit", "--quiet", "--no-config", "--system-certs", "--frozen",
                    "--preview-features=audit-command,json-output", "--output-format=json",
                    f"--service-url={service}", f"--directory={folder}",
                ],
                env={**os.environ, "UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "20"},
                capture_output=True, text=True, check=False, timeout=MAX_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"{service} did not answer in {MAX_SECONDS} s") from None
    return done.returncode, done.stdout, done.stderr


def _uv_lock(pins: list[tuple[str, str]]) -> str:
    # An index by a path that has nothing: of one by its address, uv would ask whether it has
    # withdrawn a package, one request for each.
    source = 'source = { registry = "." }'
    names = [f'name = "{name}", version = "{version}", {source}' for name, version in pins]
    wanted = "".join(f"    {{ {name} }},\n" for name in names)
    packages = "".join("\n[[package]]\n" + name.replace(", ", "\n", 2) + "\n" for name in names)
    return (
        'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "locks"\nversion = "0"\n'
        f'source = {{ virtual = "." }}\ndependencies = [\n{wanted}]\n{packages}'
    )


def _advisory(entry: dict[str, object]) -> Advisory:
    match entry:
        case {
            "dependency": {"name": str(package), "version": str(version)},
            "id": str(name),
            "aliases": list(aliases),
            "fix_versions": list(fixed),
        } if ADVISORY_ID.fullmatch(name):
            published = entry.get("published")
            return Advisory(
                package,
                version,
                name,
                tuple(sorted(one for one in aliases if ADVISORY_ID.fullmatch(one))),
                tuple(one for one in fixed if _is_version(one)),
                datetime.date.fromisoformat(str(published)[:10]) if published else None,
            )
    raise ValueError(entry)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
