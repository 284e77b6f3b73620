"""Pages of the docs, taken apart into their examples, and an author who does what they say."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
# A paragraph that begins with a path and ends with a colon says which file the next block is.
NAMED = re.compile(r"`([^`\s]*[./][^`\s]*)`.*:", re.DOTALL)
# What the events and lines of two runs differ in, besides what a page leaves out with an ….
SHAPED = {"run_id", "started", "timestamp"}


class PageError(Exception):
    """An example that no test would run."""


@dataclass(frozen=True)
class Block:
    """An example: a file, commands, a snippet of Python or a message of rax."""

    page: str
    line: int
    kind: str
    text: str
    path: str = ""

    def __str__(self):
        """Return the id of its test."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self):
        """The commands of a console, each with the output that is shown, or None."""
        found = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], None])
            elif not found:
                raise PageError(f"{self}: the commands of a console begin with $")
            else:
                found[-1][1] = (found[-1][1] or "") + line + "\n"
        return found


def parse(page, text):
    """Return the blocks of a page; one that is not known how to run is an error."""
    blocks, lines = [], iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        match = FENCE.match(line)
        if not match:
            if line.startswith("    "):
                raise PageError(f"{page}:{number}: code without a fence is run by no test")
            continue
        indent, fence, language = match.groups()
        inside = []
        for _, other in lines:
            if other.strip() == fence:
                break
            if other.strip() and not other.startswith(indent):
                raise PageError(f"{page}:{number}: the block ends before its fence does")
            inside.append(f"{other[len(indent) :]}\n")
        else:
            raise PageError(f"{page}:{number}: the block has no end")
        before = " ".join(previous_paragraph(text, number))
        blocks.append(block(page, number, language.strip(), "".join(inside), before))
    return blocks


def previous_paragraph(text, number):
    """Return the lines of the paragraph before a line."""
    before = [line.strip() for line in text.splitlines()[: number - 1]]
    while before and not before[-1]:
        before.pop()
    start = max((index for index, line in enumerate(before) if not line), default=-1)
    return before[start + 1 :]


def block(page, number, language, text, before):
    """Return the block of that language, after that paragraph."""
    named = NAMED.fullmatch(before)
    where = f"{page}:{number}"
    if named:
        path = PurePosixPath(named[1])
        if path.is_absolute() or ".." in path.parts:
            raise PageError(f"{where}: {path} is not in the repository")
        return Block(page, number, "file", text, str(path))
    if language == "console":
        made = Block(page, number, "console", text)
        if not made.commands:
            raise PageError(f"{where}: a console without commands")
        return made
    if language == "python":
        return Block(page, number, "snippet", text)
    if language == "json":
        message = json.loads(text)
        if isinstance(message, dict) and {"kind", "event_action"} & message.keys():
            return Block(page, number, "message", text)
    raise PageError(
        f"{where}: no test runs this: give a file its path (`lib/genes.py`: before the block), or "
        "make it console, python, or json that rax logs or sends"
    )


def tables(text):
    """Return the tables of a page: the rows of each, header first, as lists of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in table.splitlines()
            if line.strip("| -") or line.count("-") < 3
        ]
        for table in found
    ]


def code(cell):
    """Return what a cell of a table has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def matches(expected, output):
    """Tell whether an output is the one that is shown, whose … stands for anything.

    A line of its own stands for any lines, and inside of a line for any of its characters. Columns
    of a table may be further apart than they are shown.
    """
    pattern = ""
    for line in expected.splitlines():
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            literal = ".*?".join(map(re.escape, line.split("…")))
            pattern += re.sub(r"(?<!^)(\\ ){2,}", "  +", literal) + r"\n"
    return re.fullmatch(pattern, output.rstrip("\n") + "\n") is not None


def differences(expected, found, path=""):
    """Yield in what a message differs from the one that is shown."""
    if type(expected) is not type(found):
        yield f"{path}: {expected!r} is shown, it is {found!r}"
    elif isinstance(expected, dict):
        if expected.keys() != found.keys():
            yield f"{path}: the keys {sorted(expected)} are shown, they are {sorted(found)}"
        for key in expected.keys() & found.keys():
            yield from differences(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list):
        if len(expected) != len(found):
            yield f"{path}: {len(expected)} items are shown, there are {len(found)}"
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif not is_like(path.rpartition(".")[2], expected, found):
        yield f"{path}: {expected!r} is shown, it is {found!r}"


def is_like(key, expected, found):
    """Tell whether a value is the one that is shown, or one of another time and host."""
    if key in SHAPED:
        return re.sub(r"\d", "0", expected) == re.sub(r"\d", "0", found)
    if key == "source":
        return found == os.uname().nodename
    if key == "duration":
        return found >= 0
    if isinstance(expected, str) and "…" in expected:
        return matches(expected, found)
    return expected == found


class Author:
    """Who reads pages from the top, and does what they say on a laptop.

    A test module has a class of its own, made of a folder, for its fixture `author`.
    """

    def __init__(self, blocks, laptop):
        self.laptop = laptop
        self._blocks = blocks
        self._done = 0

    def reach(self, block):
        """Do all that comes before the block, once, and then what it says."""
        end = self._blocks.index(block) + 1
        while self._done < end:
            self._done += 1
            self.do(self._blocks[self._done - 1])

    def do(self, block):
        self.laptop.run(block)

    def finish(self):
        """Do all that the pages say, and return the laptop."""
        self.reach(self._blocks[-1])
        return self.laptop


@pytest.fixture(scope="module")
def author(request, tmp_path_factory):
    author = request.module.Author(tmp_path_factory.mktemp("author"))
    yield author
    author.laptop.close()
