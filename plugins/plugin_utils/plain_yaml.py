# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML of vaults, in which a word without quotes is what it is in a config. Pure functions.

A word is a value only where every reader of YAML, and people, read it alike. Any other is a text;
a config in which it is refused, since some reader takes it for something else, can be mended by
who wrote it, a vault can't. The library (rax.config._plain_words), which cannot import this, has
the same _KINDS; tests/repo/test_plain_words.py compares them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import yaml


class Kind(Enum):
    """What a word without quotes is. None of these can be written as a tag in a text."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    # A text that << brings a mapping into is no YAML here.
    MERGE = "merge"


# A number of 18 digits fits into 64 bits, and a float keeps 15.
_KINDS = {
    Kind.NULL: re.compile(r"(?:null)?"),
    Kind.BOOL: re.compile(r"true|false"),
    Kind.INT: re.compile(r"0|-?[1-9][0-9]{0,17}"),
    Kind.FLOAT: re.compile(
        r"(?!-?[0-9.]{17})-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])(?:e[+-][0-9]{1,2})?"
    ),
    Kind.MERGE: re.compile("<<"),
}


def load(text: str, *, as_written: bool = False) -> Any:
    """Read a text, or raise ValueError where it is not YAML, has tags, or a key twice.

    With `as_written`, numbers and truth values are the texts that they are written as.

    >>> load("{version: 1.10, port: 5432, code: 0123, ratio: 1.5}")
    {'version': '1.10', 'port': 5432, 'code': '0123', 'ratio': 1.5}
    >>> load("{port: 5432, none: null}", as_written=True)
    {'port': '5432', 'none': None}
    """
    try:
        return yaml.load(text, Loader=_AsWrittenLoader if as_written else _Loader)  # noqa: S506 - safe ones
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser's own messages quote what it was reading.
        raise ValueError("not YAML that can be read") from None


def _constructors(types: dict[Kind, Any]) -> dict[Any, Any]:
    """Return what makes values of nodes: what is not in it, is refused."""
    words = {
        kind: lambda _loader, node, make=make: make(node.value) for kind, make in types.items()
    }
    return words | {
        "tag:yaml.org,2002:seq": yaml.SafeLoader.construct_yaml_seq,
        "tag:yaml.org,2002:map": yaml.SafeLoader.construct_yaml_map,
        None: yaml.SafeLoader.construct_undefined,
    }


_TEXTS: dict[Kind, Any] = {**dict.fromkeys(Kind, str), Kind.NULL: lambda _: None}
del _TEXTS[Kind.MERGE]
_VALUES = _TEXTS | {Kind.BOOL: lambda word: word == "true", Kind.INT: int, Kind.FLOAT: float}


class _Loader(yaml.SafeLoader):
    """A safe loader without tags."""

    yaml_constructors = _constructors(_VALUES)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Say what a node without a tag is; `implicit` says whether a scalar has no quotes."""
        if kind is not yaml.ScalarNode:
            return super().resolve(kind, value, implicit)
        kinds = (kind for kind, pattern in _KINDS.items() if pattern.fullmatch(value))
        return next(kinds, Kind.TEXT) if implicit[0] else Kind.TEXT

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a mapping with a key that is there twice."""
        keys = [
            (key.tag, key.value) for key, _value in node.value if isinstance(key, yaml.ScalarNode)
        ]
        if len({*keys}) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice")
        return super().construct_mapping(node, deep)


class _AsWrittenLoader(_Loader):
    """A loader of texts and nothing."""

    yaml_constructors = _constructors(_TEXTS)
