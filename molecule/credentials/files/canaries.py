# SPDX-License-Identifier: GPL-3.0-or-later
"""Search a machine for secrets, which are the lines of standard input up to an empty one.

usage: canaries.py watch
           arguments and environments of all processes, until standard input ends
       canaries.py search ROOT...
           the files of these file systems, and the journal
       canaries.py search --newer FILE ROOT...
           those files alone that have changed since that one has

A secret is found as it stands, in hexadecimal, and in base64 wherever it begins. Prints JSON: where
something was found, never what.
"""

import base64
import json
import os
import re
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAUSE_SECONDS = 0.01
FILES_AT_ONCE = 500
PAGE = 4096


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield the ways in which a secret may be written."""
    yield secret
    yield secret.hex().encode()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret)
        # The characters that this secret alone decides.
        yield encoded[(offset * 8 + 5) // 6 : (offset + len(secret)) * 8 // 6]


def read_secrets() -> list[bytes]:
    """Read standard input up to an empty line and no further: who watches waits for its end."""
    secrets, line = [], b""
    while (byte := os.read(0, 1)) and (line or byte != b"\n"):
        if byte == b"\n":
            secrets.append(line)
            line = b""
        else:
            line += byte
    return secrets


def read(path: str) -> bytes:
    """Read a file of /proc, whose process may be gone.

    By system calls alone and few of them: all processes are looked at a hundred times in a second.
    """
    content = b""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            while part := os.read(file, PAGE):
                content += part
                if len(part) < PAGE:
                    break
        finally:
            os.close(file)
    except OSError:
        return b""
    return content


def say(line: str) -> None:
    """Write a line for whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def watch(pattern: re.Pattern[bytes]) -> dict[str, object]:
    """Look at all processes again and again."""
    found: dict[str, str] = {}
    # A process has the arguments and the environment that it began with, until it becomes another.
    seen: dict[str, bytes] = {}
    rounds = looked = 0
    # The first look is over when this line is there.
    while not rounds or not select.select([0], [], [], PAUSE_SECONDS)[0]:
        for process in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - paths cost more
            arguments = read(f"/proc/{process}/cmdline")
            if not arguments or seen.get(process) == arguments:
                continue
            seen[process] = arguments
            looked += 1
            for kind, content in (
                ("argv", arguments),
                ("environ", read(f"/proc/{process}/environ")),
            ):
                if pattern.search(content):
                    name = read(f"/proc/{process}/comm").decode().strip()
                    found[f"{kind} of {name}"] = process
        if not rounds:
            say("watching")
        rounds += 1
    return {"found": sorted(found), "looked": looked, "rounds": rounds}


def status(path: str) -> os.stat_result | None:
    """Return what a path is, unless it is gone; links are not followed."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def files(roots: list[str], newer: float) -> Iterator[str]:
    """Yield the files of the file systems that the roots are on."""
    for root in roots:
        device = Path(root).stat().st_dev
        for folder, folders, names in os.walk(root):
            inner = {name: status(f"{folder}/{name}") for name in folders}
            folders[:] = [name for name, found in inner.items() if found and found.st_dev == device]
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                found = status(path)
                if found and stat.S_ISREG(found.st_mode) and found.st_mtime >= newer:
                    yield path


def grep(needles: int, arguments: list[str], **settings: object) -> bytes:
    """Run grep with the needles out of a file that is in memory alone."""
    os.lseek(needles, 0, os.SEEK_SET)
    done = subprocess.run(
        ["grep", "--fixed-strings", "--text", f"--file=/proc/self/fd/{needles}", *arguments],
        pass_fds=[needles], stdout=subprocess.PIPE, check=False, **settings,
    )  # fmt: skip
    return done.stdout


def search(secrets: list[bytes], arguments: list[str]) -> dict[str, object]:
    """Look at all files and at the journal."""
    newer = 0.0
    if arguments[:1] == ["--newer"]:
        newer = Path(arguments[1]).stat().st_mtime
        arguments = arguments[2:]
    needles = os.memfd_create("needles")
    os.write(needles, b"\n".join(secrets) + b"\n")
    found: list[str] = []
    paths = sorted(set(files(arguments, newer)))
    for first in range(0, len(paths), FILES_AT_ONCE):
        some = paths[first : first + FILES_AT_ONCE]
        said = grep(
            needles, ["--files-with-matches", "--null", "--", *some], stderr=subprocess.DEVNULL
        )
        found += [os.fsdecode(path) for path in said.split(b"\0") if path]
    # A file may have a secret for its name.
    found += [path for path in paths if any(secret in os.fsencode(path) for secret in secrets)]
    journal = 0
    if not newer:
        # Whole, since the journal's own files are compressed.
        lines = subprocess.run(
            ["journalctl", "--all", "--output=export", "--no-pager"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        journal = lines.count(b"\nMESSAGE")
        if grep(needles, ["--count"], input=lines).strip() != b"0":
            found.append("the journal")
    return {"found": sorted(set(found)), "files": len(paths), "journal": journal}


def main() -> None:
    """Do what the arguments say."""
    secrets = [form for secret in read_secrets() for form in forms(secret)]
    if sys.argv[1] == "watch":
        result = watch(re.compile(b"|".join(map(re.escape, secrets))))
    else:
        result = search(secrets, sys.argv[2:])
    say(json.dumps(result))


if __name__ == "__main__":
    main()
