# SPDX-License-Identifier: Apache-2.0
"""What a word of YAML without quotes is: the one rule of configs and of vault notes.

Readers differ: PyYAML has YAML 1.1, where ``NO`` is false, ``22:30`` is 1350 and ``0644`` is 420;
most others have YAML 1.2, where these are a text, a text and 644. So a value is only what all of
them, and people, read alike and what prints as it is written; any other word is a text. One that
some reader takes for something else is refused in a config, and stays a text in a note.

The collection (plugins/plugin_utils/plain_yaml.py), which cannot import this, has the same
_KINDS; tests/repo/test_plain_words.py compares them.
"""

import re
from enum import Enum
from typing import Any, NamedTuple

import yaml


class Kind(Enum):
    """What a word without quotes is. None of these can be written as a tag in a file."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"


# A number of 18 digits fits into 64 bits, and a float keeps 15.
_KINDS = {
    Kind.NULL: re.compile(r"(?:null)?"),
    Kind.BOOL: re.compile(r"true|false"),
    Kind.INT: re.compile(r"0|-?[1-9][0-9]{0,17}"),
    Kind.FLOAT: re.compile(
        r"(?!-?[0-9.]{17})-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])(?:e[+-][0-9]{1,2})?"
    ),
}
_STARTS = {"": Kind.NULL, "n": Kind.NULL, "t": Kind.BOOL, "f": Kind.BOOL}

# YAML 1.2, core schema, as far as PyYAML takes it for a text.
_NUMBER_OF_1_2 = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
)
_MAX_DIGITS = 16


class Surprise(NamedTuple):
    """What a reader may take a word for, and what to write where that is meant."""

    meaning: str
    instead: str | None


def kind_of(word: str) -> Kind:
    """Say what a word without quotes is.

    >>> [kind_of(word).value for word in ("22", "1.5", "true", "", "NO", "1.10", "0644", "22:30")]
    ['int', 'float', 'bool', 'null', 'text', 'text', 'text', 'text']
    """
    first = word[:1]
    kind = _STARTS.get(first)
    if kind is None:
        if first not in "-0123456789":
            return Kind.TEXT
        kind = Kind.FLOAT if "." in word else Kind.INT
    return kind if _KINDS[kind].fullmatch(word) else Kind.TEXT


def value_of(word: str) -> Any:
    """Return the value of a word without quotes, which may be the text that it is.

    >>> [value_of(word) for word in ("22", "1.5", "true", "null", "NO", "1.10")]
    [22, 1.5, True, None, 'NO', '1.10']
    """
    kind = kind_of(word)
    if kind is Kind.INT:
        return int(word)
    if kind is Kind.FLOAT:
        return float(word)
    if kind is Kind.BOOL:
        return word == "true"
    return None if kind is Kind.NULL else word


def surprise(word: str) -> Surprise | None:
    """Say what another reader makes of a word that is a text here; None where all agree.

    >>> surprise("NO"), surprise("Oslo")
    (Surprise(meaning='false', instead='false'), None)
    >>> [surprise(word).meaning for word in ("22:30", "0644")]
    ['a number of base 60', 'an octal number']
    """
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(word[:1], ())
    tag = next((tag for tag, pattern in resolvers if pattern.match(word)), "")
    kind = tag.rpartition(":")[2]
    if kind == "null":
        return Surprise("null", "null")
    if kind == "bool":
        value = str(word.lower() in ("true", "yes", "on")).lower()
        return Surprise(value, value)
    if kind == "timestamp":
        return Surprise("a date" if len(word) == len("2026-01-31") else "a date with a time", None)
    if kind in ("merge", "value"):
        return Surprise("a sign of YAML's own", None)
    if not kind and not _NUMBER_OF_1_2.fullmatch(word):
        return None
    return Surprise(_number(word.lower()), "a plain number")


def _number(word: str) -> str:
    """Say what kind of number a word is that is no plain one."""
    digits = word.lstrip("+-")
    if ":" in word:
        return "a number of base 60"
    if digits.startswith(("0x", "0b")):
        return "a hexadecimal number" if digits[1] == "x" else "a binary number"
    if re.fullmatch("0o?[0-7_]+", digits):
        return "an octal number"
    if "inf" in word or "nan" in word:
        return "infinity" if "inf" in word else "no number (NaN)"
    if "_" in word:
        return "a number without its _"
    if "e" in word:
        return "a number with an exponent"
    if word[0] == "+":
        return "a number without its +"
    if re.fullmatch("[0-9]+[.][0-9]+0", digits):
        return "a number without its last 0"
    if re.fullmatch("0[0-9]+", digits):
        return "a number without its first 0"
    return "a number" if len(digits) < _MAX_DIGITS else "a number of many digits"
