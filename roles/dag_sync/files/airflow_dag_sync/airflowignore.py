# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files .airflowignore: what Airflow leaves out of the folder of DAGs.

This follows Airflow's own search, which the gate cannot import: with the syntax "glob" the lines
are those of a .gitignore, with "regexp" they are searched for in the path below the folder. A
folder that is ignored is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = ".airflowignore"
GLOB, REGEXP = "glob", "regexp"
# What role airflow writes, and Airflow reads.
AIRFLOW_CFG = Path("/etc/airflow/airflow.cfg")

COMMENT = re.compile(r"\s*#.*")
# The parts of a glob: what is escaped, a set of characters, and the two signs.
TOKEN = re.compile(r"\\(.)|\[([!^]?)(\]?[^\]]*)\]|(\*+)|(\?)|(.)", re.DOTALL)


def syntax_of(configuration: Path = AIRFLOW_CFG) -> str:
    """Return the syntax that Airflow on this host is configured to use."""
    import configparser  # It is slow to load, and seldom needed.

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(configuration, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return GLOB
    return parser.get("core", "dag_ignore_file_syntax", fallback=GLOB).strip() or GLOB


@dataclass
class Rule:
    """A line of such a file."""

    pattern: re.Pattern[str]
    # Where the file is, for a pattern that is about paths below it; else it is about names.
    folder: str | None = None
    folders_only: bool = False
    ignores: bool = True


class IgnoreFiles:
    """All of these files in the folder of DAGs."""

    def __init__(self, folder: Path, syntax: str) -> None:
        self.folder = folder
        self.read = regexp_rules if syntax == REGEXP else glob_rules
        self.rules: dict[str, list[Rule]] = {}

    def match(self, path: str) -> bool:
        """Whether Airflow leaves a path below the folder out, or a folder that it is in."""
        rules: list[Rule] = []
        parts = path.split("/")
        for position in range(len(parts)):
            folder = "/".join(parts[:position])
            rules += self.rules_in(folder)
            inner = f"{folder}/{parts[position]}".lstrip("/")
            if is_ignored(inner, (self.folder / inner).is_dir(), rules):
                return True
        return False

    def rules_in(self, folder: str) -> list[Rule]:
        """Return the rules of the file in a folder, if there is one."""
        if folder not in self.rules:
            try:
                text = (self.folder / folder / NAME).read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            lines = (COMMENT.sub("", line) for line in text.split("\n"))
            self.rules[folder] = list(self.read(filter(None, lines), folder))
        return self.rules[folder]


def is_ignored(path: str, is_folder: bool, rules: Iterable[Rule]) -> bool:
    """Apply rules in their order: the last one that matches decides."""
    ignored = False
    for rule in rules:
        if rule.folders_only and not is_folder:
            continue
        if rule.folder is None:
            subject = path.rpartition("/")[2]
        else:
            subject = path.removeprefix(rule.folder).lstrip("/")
        if rule.pattern.search(subject):
            ignored = rule.ignores
    return ignored


def regexp_rules(lines: Iterable[str], folder: str) -> Iterator[Rule]:
    """Read lines as regular expressions about the whole path; Airflow skips those that are none."""
    del folder  # Wherever the file is, they are about paths below the folder of DAGs.
    for line in lines:
        try:
            yield Rule(re.compile(line), "")
        except re.error:
            continue


def glob_rules(lines: Iterable[str], folder: str) -> Iterator[Rule]:
    """Read lines as those of a .gitignore."""
    for line in lines:
        # A blank at the end counts when it is escaped.
        glob = re.sub(r"(?<!\\)\s+$", "", line)
        ignores = not glob.startswith("!")
        glob = glob if ignores else glob[1:]
        folders_only = glob.endswith("/")
        glob = glob.rstrip("/")
        if not glob:
            continue
        rooted = "/" in glob
        try:
            pattern = re.compile(rf"\A{translate(glob.lstrip('/'))}\Z", re.DOTALL)
        except re.error:
            continue
        yield Rule(pattern, folder if rooted else None, folders_only, ignores)


def translate(glob: str) -> str:
    """Write a glob as a regular expression: only ** goes through more than one folder."""
    parts = glob.split("/")
    expression = ""
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            expression += ".+" if last else "(?:.+/)?"
        else:
            expression += TOKEN.sub(translate_token, part) + ("" if last else "/")
    return expression


def translate_token(token: re.Match[str]) -> str:
    """Write a part of a glob as a part of a regular expression."""
    escaped, negation, characters, stars, question, plain = token.groups()
    if stars:
        return "[^/]*"
    if question:
        return "[^/]"
    if characters:
        inner = characters.replace("\\", "\\\\").replace("[", "\\[")
        inner = rf"\]{inner[1:]}" if inner.startswith("]") else inner
        return f"(?!/)[{'^' if negation else ''}{inner}]"
    return re.escape(escaped or plain or token[0])
