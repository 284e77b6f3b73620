# SPDX-License-Identifier: Apache-2.0
"""What the messages about a config's YAML say: what was expected, and what to write instead."""

import re
from typing import Any

import yaml

from rax.config._plain_words import Surprise

# What PyYAML says, in C and in Python, and what it means to who wrote the line.
_MEANINGS = (
    (r"found unexpected end of stream", "a text in quotes has no end"),
    (r"unknown escape character", "\"…\" has a \\ in it: write '…', where a \\ is one"),
    (r"undefined alias", "refers to what no &name above it has: quote a text that begins with *"),
    (r"undefined tag handle", "has a tag, which begins with !: quote a text that begins with it"),
    (r"document start", "has more than one document (after ...)"),
    (r"sequence entries are not allowed", "a list begins in the line below its key"),
)
_NEEDS_QUOTES = re.compile(r"\s*(?:- +)*(?:[^\s:#]+: +|- +)?([@`%*&])")
_TWO_COLONS = re.compile(r"\s*(?:- +)*[^#'\"]*?: .*: ")
_TAG = "tag:yaml.org,2002:"
HINT_OF_SCHEMA = "; a schema with a date makes one of this text"


def explain(error: yaml.MarkedYAMLError, content: bytes) -> str:
    """Say what the parser expected, by the line that it stopped in."""
    problem = str(error.problem or error.context)
    if error.context == "expected a single document in the stream":
        return "has more than one document (---), where one is expected"
    if error.context and "duplicate anchor" in error.context:
        return "an anchor (&name) is there twice"
    lines = content.decode(errors="replace").splitlines()
    at = error.problem_mark.line if error.problem_mark else len(lines)
    line = lines[at] if at < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "is indented by a tab, where YAML takes spaces"
    cannot_begin = "cannot start any token" in problem or "alphabetic or numeric" in problem
    if cannot_begin and (match := _NEEDS_QUOTES.match(line)):
        return f"a text that begins with {match[1]} is expected in quotes"
    if "values are not allowed" in problem:
        if _TWO_COLONS.match(line):
            return "a text with ': ' in it is expected in quotes"
        return "'key: value' is not expected here: are line and indentation right?"
    return next((text for pattern, text in _MEANINGS if re.search(pattern, problem)), problem)


def tag(node: Any) -> str:
    """Describe a node's tag, and what to write instead."""
    name = str(node.tag).replace(_TAG, "!!")
    if name == "!!str":
        return "the tag !!str, where quotes are expected to say that it is a text"
    if name == "!!set":
        return "the tag !!set, where a list is expected"
    if name == "!vault":
        return "the tag !vault: a config holds no secret, it names the credential that does"
    shown = name if name.isascii() and name.isprintable() and len(name) <= 40 else "…"
    return f"the tag {shown}, where a value without a tag is expected"


def no_key(node: Any) -> str:
    """Say what is wrong with a key that is a list or a mapping."""
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return "a key is a text or a whole number: {{ … }} is expected in quotes"
    return "a key is a text or a whole number"


def quotes(word: str, found: Surprise) -> str:
    """Say how to write what is meant by a word that is read as something else."""
    advice = f'quote it, "{word}"' if len(word) <= 40 else "quote it"
    if found.instead is not None:
        return f"{advice}, or write {found.instead}"
    if found.meaning.startswith("a date"):
        return advice + HINT_OF_SCHEMA
    return advice


def is_cut_by_a_sign(content: bytes, mark: Any) -> bool:
    """Say whether a value is empty because it begins with #, as in `colour: #fff`."""
    lines = content.decode(errors="replace").splitlines()
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    return re.match(r"\s+#[^\s#]", rest) is not None


def shown(value: Any) -> str:
    """Name a value's kind."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return {int: "an int", float: "a float", str: "a str", list: "a list"}[type(value)]
