# SPDX-License-Identifier: Apache-2.0
"""PEP 8, pyflakes and what Airflow 3 no longer has, as ruff finds them.

The repository's own settings say what is right. Where it has none for a file, this does, and no
settings of a person or of a folder above count: everybody is to be told the same.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rax._printable import one_line
from rax.checking._files._ruff_settings import RuffSettings, line_of, settings_of
from rax.checking._finding import Finding
from rax.errors import CommandError

# PEP 8 and pyflakes, for a repository that does not say what it wants.
_DEFAULT_RULES = "E,W,F"
_AIRFLOW_RULES = "AIR"
_MAX_SECONDS = 120
_MAX_ANSWER_BYTES = 64_000_000
_MAX_REASON_CHARACTERS = 500
# How many bytes of names one call gets: Linux takes 2 MiB with the environment.
_MAX_NAMES_BYTES = 500_000
# What ruff means by its exit codes: nothing, something, and a failure of its own or of a file.
_FINE, _FOUND, _FAILED = 0, 1, 2
# Findings that ruff format mends, mostly.
_LAYOUT = ("E1", "E2", "E3", "E501", "E70", "W1", "W2", "W3")
# What Airflow 3 no longer has; of its other rules, most are about what works today.
_REMOVED = ("AIR301", "AIR302", "AIR303")
_NONSENSE = "ruff answered with something that is no list of findings: is {} ruff?"


class _SettingsError(Exception):
    """Ruff does not take the settings of the repository."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def check(root: Path, files: tuple[str, ...]) -> Iterator[Finding]:
    """Yield what ruff finds in files of Python that can be compiled.

    :raises CommandError: there is no ruff, or it does not do what it is for
    """
    ruff = find_ruff()
    for settings, group in settings_of(root, files):
        if settings.problem is not None:
            yield settings.problem
            continue
        if settings.warning is not None:
            yield settings.warning
        for some in _batches(group):
            yield from _of_files(ruff, root, settings, some)


def find_ruff() -> str:
    """Return the path of ruff: that of this environment, or else the one on the path.

    :raises CommandError: there is none
    """
    here = str(Path(sys.executable).parent)
    found = shutil.which("ruff", path=here) or shutil.which("ruff")
    if found is None:
        raise CommandError(
            f"there is no ruff in {here} or on the path, and it checks the layout of files: "
            "run ./rax check, which brings it, or install ruff"
        )
    return found


def _batches(files: list[str]) -> Iterator[list[str]]:
    """Yield the files in groups whose names fit into one command line."""
    batch: list[str] = []
    left = _MAX_NAMES_BYTES
    for file in files:
        # A name may begin with a sign that means something else, and @ is one.
        word = f"./{file}"
        left -= len(os.fsencode(word)) + 1
        if left < 0 and batch:
            yield batch
            batch, left = [], _MAX_NAMES_BYTES
        batch.append(word)
    if batch:
        yield batch


def _of_files(ruff: str, root: Path, settings: RuffSettings, files: list[str]) -> Iterator[Finding]:
    isolated = ["--isolated"] if settings.file is None else []
    rules = [*isolated, "--no-fix"]
    rules += ["--select", _DEFAULT_RULES] if settings.file is None else []
    rules += ["--extend-select", _AIRFLOW_RULES]
    rules += ["--ignore", ",".join(settings.ignored)] if settings.ignored else []
    try:
        found = list(_ask(ruff, root, ["check", *rules], files))
        for one in found:
            # It stands in nobody's way who has not said that it should.
            works = one.rule.startswith(_AIRFLOW_RULES) and one.rule not in _REMOVED
            yield one._replace(warning=works and not settings.selects_airflow)
        # What is wrong with the layout has been said, by line.
        said = {f"./{one.file}" for one in found if one.rule.startswith(_LAYOUT)}
        if rest := [file for file in files if file not in said]:
            for one in _ask(ruff, root, ["format", "--check", *isolated], rest):
                problem = "is not laid out as ruff format does it, from this line on"
                advice = f"ruff format {shlex.quote(one.file)}"
                yield one._replace(rule="format", problem=problem, advice=advice)
    except _SettingsError as error:
        if settings.file is None:
            raise CommandError(f"ruff failed: {error}") from None
        problem = f"ruff does not take these settings: {error}"
        yield Finding(settings.file, error.line, "ruff-settings", problem)


def _ask(ruff: str, root: Path, words: list[str], files: list[str]) -> Iterator[Finding]:
    """Yield what ruff says of these files.

    Nothing is written: no cache, and no file that a setting or the environment names.
    """
    command = [ruff, *words, "--no-cache", "--force-exclude", "--output-format=json", "--", *files]
    environment = {key: text for key, text in os.environ.items() if not key.startswith("RUFF_")}
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(  # noqa: S603 - ruff, with names of files after --
                command, cwd=root, stdin=subprocess.DEVNULL, stdout=answer, stderr=said,
                check=False, timeout=_MAX_SECONDS, env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CommandError(
                f"ruff {words[0]} did not end within {_MAX_SECONDS} s: try it by hand"
            ) from None
        except OSError as error:
            raise CommandError(f"{ruff} cannot be run: {error.strerror}") from None
        content, reason = _content(answer), _content(said)
    if done.returncode not in (_FINE, _FOUND):
        raise _failure(done.returncode, os.fsdecode(reason).replace(f"{root}/", ""))
    try:
        entries = json.loads(content or b"[]")
        # A name that is no UTF-8 comes back with signs in place of what is not.
        names = {os.fsencode(file).decode(errors="replace"): file[2:] for file in files}
        for entry in entries:
            yield _finding(entry, root, names)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CommandError(_NONSENSE.format(ruff)) from None


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    content = file.read(_MAX_ANSWER_BYTES + 1)
    if len(content) > _MAX_ANSWER_BYTES:
        raise CommandError("ruff finds more than can be listed: run it by hand, folder by folder")
    return content


def _failure(code: int, said: str) -> Exception:
    """Return what to raise for a ruff that failed; what it quotes of files is left out."""
    lines = [line.strip() for line in said.splitlines()]
    causes = [line.removeprefix("Cause: ") for line in lines if line and "|" not in line]
    reason = one_line(causes[-1] if causes else f"it ended with {code}", _MAX_REASON_CHARACTERS)
    if code == _FAILED:
        return _SettingsError(line_of(said), reason)
    return CommandError(f"ruff failed: {reason}")


def _finding(entry: Any, root: Path, names: dict[str, str]) -> Finding:
    """Return what an entry of ruff's answer says.

    :raises ValueError, TypeError, KeyError: it is none
    """
    path, code, problem = entry["filename"], entry["code"], entry["message"]
    line, fix = entry["location"]["row"], entry["fix"]
    is_number = isinstance(line, int) and not isinstance(line, bool)
    if not (isinstance(path, str) and isinstance(problem, str) and is_number):
        raise TypeError
    file = names[f"./{os.path.relpath(path, root)}"]
    rule = code if isinstance(code, str) else "syntax"
    mended = fix.get("message") if isinstance(fix, dict) else None
    advice = mended if isinstance(mended, str) else ""
    if rule.startswith(_LAYOUT):
        advice = f"ruff format {shlex.quote(file)}"
    return Finding(file, line, "syntax" if rule == "invalid-syntax" else rule, problem, advice)
