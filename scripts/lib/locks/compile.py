"""Makes the locks anew: all of them, or none."""

import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.lib.locks.conflicts import explain
from scripts.lib.locks.content import pins_of, signed
from scripts.lib.locks.recipe import Lock, compile_arguments
from scripts.lib.locks.requirements import Line, LockError, read_lines, refuse_future

# Takes the arguments after `uv pip compile`; returns the exit code, and what was said on stderr.
Compile = Callable[[list[str]], tuple[int, str]]


def make_locks(
    root: Path, locks: tuple[Lock, ...], more: list[str], today: datetime.date, uv: Compile
) -> list[str]:
    """Make the locks of a checkout, and return what changed in them, a line for each package.

    `more` is for uv, such as `--upgrade`. What is locked stays as it is unless it has to move. If
    one can't be made, none is touched, and LockError says why.
    """
    changes = []
    with tempfile.TemporaryDirectory(prefix="scripts-lock-") as folder:
        room = Path(folder)
        for lock in locks:
            lines = read_lines(lock.source, lambda name: (root / name).read_text())
            refuse_future(lines, today)
            (room / lock.path).parent.mkdir(exist_ok=True)
            before = (root / lock.path).read_text() if (root / lock.path).exists() else ""
            text = _compiled(lock, lines, before, room, more, uv)
            (room / lock.path).write_text(signed(text, lock, lines))
            changes += _changes(lock, before, text)
        for lock in locks:
            new = root / f"{lock.path}.new"
            shutil.copyfile(room / lock.path, new)
            new.replace(root / lock.path)
    return changes


def _compiled(
    lock: Lock, lines: list[Line], before: str, room: Path, more: list[str], uv: Compile
) -> str:
    output = room / lock.path
    if before:
        output.write_text(before)
    constraint = str(room / lock.constraint) if lock.constraint else ""
    arguments = compile_arguments(lock, lines, constraint, str(output))
    code, said = uv([*arguments, *more, lock.source])
    if code:
        python = "" if lock.universal else f" for Python {lock.python}"
        raise LockError(
            "\n".join(
                [
                    f"{lock.source} can't be locked{python}:",
                    *(f"  {sentence}" for sentence in explain(said, lines)),
                    "",
                    "uv's own words:",
                    said.rstrip(),
                ]
            )
        )
    # The lock that constrains this one is noted by its name in the checkout.
    return output.read_text().replace(f"{room}/", "")


def _changes(lock: Lock, before: str, text: str) -> list[str]:
    old, new = _versions(before), _versions(text)
    return [
        f"{lock.path}: {name} {old.get(name, 'new')} → {new.get(name, 'gone')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _versions(text: str) -> dict[str, str]:
    versions: dict[str, list[str]] = {}
    for pin in pins_of(text):
        versions.setdefault(pin.name, []).append(pin.version)
    return {name: ", ".join(found) for name, found in versions.items()}


def run_uv(arguments: list[str]) -> tuple[int, str]:
    """Run `uv pip compile`; return its exit code, and what it said on stderr."""
    done = subprocess.run(
        ["uv", "pip", "compile", *arguments], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr
