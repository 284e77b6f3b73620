# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository as the layout rules see it."""

from pathlib import Path
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Reads Ansible's own tags (vault, unsafe) as plain values."""


Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


class Runnable(str):
    """The text of a file that has the run bit."""

    __slots__ = ()


class Link(str):
    """In the place of a file's text, what a link leads to."""

    __slots__ = ()


class Tree:
    """The files that belong to the repository, and its links: paths relative to its root."""

    def __init__(self, root: Path, paths: list[Path]) -> None:
        self.root = root
        self.links = sorted(path for path in paths if (root / path).is_symlink())
        self.paths = sorted(
            path for path in paths if (root / path).is_file() and path not in self.links
        )

    def glob(self, *patterns: str) -> list[Path]:
        """Return the files that match one of the patterns; `**` is any number of folders."""
        return [path for path in self.paths if any(_matches(path, pattern) for pattern in patterns)]

    def text(self, path: Path | str) -> str:
        """Return a file's text; of one that is no text or not there, nothing."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            return ""

    def yaml(self, path: Path | str) -> Any:
        """Return a YAML file's value; of one that is not there, nothing."""
        file = self.root / path
        return yaml.load(file.read_text(), Loader) if file.exists() else None  # noqa: S506 - a SafeLoader

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's sub-folders that hold a file."""
        depth = len(Path(folder).parts)
        return sorted(
            {
                path.parts[depth]
                for path in self.paths
                if path.is_relative_to(folder) and len(path.parts) > depth + 1
            }
        )


def _matches(path: Path, pattern: str) -> bool:
    head, found, tail = pattern.partition("**/")
    if not found:
        return len(path.parts) == len(Path(pattern).parts) and path.match(pattern)
    return (not head or path.is_relative_to(head)) and path.match(tail)
