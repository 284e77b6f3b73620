"""Imports what a lock was made for, in the environment that was built from it: prove.py LOCK.

uv notes in a lock, below each package, which file asks for it (`# via -r requirements.in`), and
scripts/lock notes in its head which of these are not to be imported. What a package brings to
import is in the environment's own records. Packages that only others need are not imported by
themselves. It ends with 1, and a line for each package that can't be imported.
"""

import contextlib
import faulthandler
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==[^\s;\\]+( ; )?")
_NOT_IMPORTED = re.compile(r"^# Not imported: (.+)$", re.MULTILINE)
_ASKED = re.compile(r"^    #(?: via)? +-r \S")
# A module's file: pure Python, or compiled for this Python or for each (`.abi3`).
_MODULE = re.compile(r"([^\W\d]\w*)(?:\.py|(?:\.cpython-\w+-[\w-]+|\.abi3)?\.so)")
# What has more is no library: the package `ansible` has thousands, which other programs load.
_MAX_MODULES = 40
# What some authors pack by mistake. DAGs don't import it, and it needs what is not there.
_BESIDE = {"benchmarks", "docs", "example", "examples", "scripts", "test", "tests"}


def asked_for(lock: str) -> Iterator[tuple[str, bool]]:
    """Yield the packages that a lock says to import, and whether they are for each Python."""
    name, everywhere = "", True
    excepted = _NOT_IMPORTED.search(lock)
    left_out = excepted[1].split(", ") if excepted else []
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            name, everywhere = pin[1], not pin[2]
        elif name and _ASKED.match(line):
            if name not in left_out:
                yield name, everywhere
            name = ""


def modules_of(files: Iterable[PurePosixPath]) -> list[str]:
    """Return what the files of a package are imported as: the topmost folders and files of code.

    A folder without `__init__.py` may be shared with other packages, such as `airflow.providers`:
    then what is below it counts.
    """
    folders, single = set(), set()
    for file in files:
        parts = file.parts[:-1]
        module = _MODULE.fullmatch(file.name)
        if not module or not all(part.isidentifier() for part in parts):
            continue
        if module[1] == "__init__":
            folders.add(parts)
        else:
            single.add((*parts, module[1]))
    top = {
        parts
        for parts in folders | single
        if not any(parts[:size] in folders for size in range(len(parts)))
    }
    public = {parts for parts in top if not (parts[0].startswith("_") or parts[0] in _BESIDE)}
    found = sorted(".".join(parts) for parts in public or top)
    return found if len(found) <= _MAX_MODULES else []


def problem_of(name: str, *, everywhere: bool) -> str:
    """Import what a package brings; return what is wrong with it, or nothing."""
    try:
        files = importlib.metadata.distribution(name).files
    except importlib.metadata.PackageNotFoundError:
        return f"{name}: it is not installed" if everywhere else ""
    for module in modules_of(files or ()):
        try:
            # What it says of itself is of no interest, and a problem below says why.
            with contextlib.redirect_stdout(sys.stderr):
                importlib.import_module(module)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return f"{name}: `import {module}` fails: {reason[:500]}"
    return ""


def main() -> int:
    """Run the program; return its exit code."""
    # An extension that kills the process is named, too.
    faulthandler.enable()
    lock = Path(sys.argv[1]).read_text(encoding="utf-8")
    problems = [problem_of(name, everywhere=where) for name, where in asked_for(lock)]
    sys.stderr.writelines(f"{problem}\n" for problem in problems if problem)
    return 1 if any(problems) else 0


if __name__ == "__main__":
    sys.exit(main())
