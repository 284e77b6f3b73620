# SPDX-License-Identifier: GPL-3.0-or-later
"""What a word of YAML without quotes is: one rule, written twice, and no line means two things.

The library has it for configs (rax.config._plain_words), the collection for vaults (plain_yaml),
which cannot import each other.
"""

import re
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import plain_yaml, records
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rax.config import _plain_words, _yaml
from rax.errors import MalformedConfigError

ROOT = Path(__file__).resolve().parents[2]
REFUSED = "refused"
WORDS = {
    # As every reader reads them, and as they are written.
    "true": True, "false": False, "0": 0, "5432": 5432, "-5": -5, "999999999999999999": 10**18 - 1,
    "1.5": 1.5, "0.1": 0.1, "-0.25": -0.25, "3.0": 3.0, "0.00000005": 5e-8, "1.0e-30": 1e-30,
    "6.02e+23": 6.02e23, "0.30000000000000": REFUSED, "0.3": 0.3,
    # Texts to everybody, or at least to every reader that there is.
    "Oslo": "Oslo", "y": "y", "n": "n", "08:30": "08:30", "8080:80": "8080:80", "1.2.3": "1.2.3",
    "10.0.0.1": "10.0.0.1", "2026-1-5": "2026-1-5", "nUll": "nUll", "inf": "inf", "nan": "nan",
    "1,000": "1,000", "50 %": "50 %", "-": REFUSED, "0x": "0x", "1e": "1e", "--- x": "--- x",
    "-.5.": "-.5.",
    # YAML 1.1 has it otherwise.
    "NO": "false", "no": "false", "off": "false", "False": "false", "FALSE": "false",
    "yes": "true", "On": "true", "True": "true",
    "~": "null", "Null": "null", "NULL": "null",
    "22:30": "a number of base 60", "12:34:56": "a number of base 60",
    "190:20:30.15": "a number of base 60",
    "02142": "an octal number", "0644": "an octal number", "0x1F": "a hexadecimal number",
    "0b11": "a binary number", "1_000": "a number without its _", "0x_": "a hexadecimal number",
    "1.10": "a number without its last 0", "1.50": "a number without its last 0", "1.": "a number",
    ".5": "a number", "+1": "a number without its +", "+1.5": "a number without its +",
    "-0": "a number",
    ".inf": "infinity", "-.INF": "infinity", ".NaN": "no number (NaN)",
    "1234567890123456789": "a number of many digits", "9" * 50: "a number of many digits",
    "2026-01-31": "a date", "2026-02-30": "a date",
    "2026-01-31T08:10:04Z": "a date with a time", "2026-01-31 08:10:04": "a date with a time",
    "=": "a sign of YAML's own", "<<": "a sign of YAML's own",
    # YAML 1.2 has it otherwise.
    "1e3": "a number with an exponent", "1e-7": "a number with an exponent",
    "6.02e23": "a number with an exponent",
    "09": "a number without its first 0", "0o17": "an octal number",
}  # fmt: skip


def in_config(word):
    """Return the value of a line in a config, or the message that refuses it."""
    try:
        return _yaml.load(f"key: {word}\n".encode(), "c.yaml")["key"]
    except MalformedConfigError as error:
        return error


def in_note(word):
    return records.parse_metadata(f"key: {word}")[1]["key"]


@pytest.mark.parametrize(("word", "expected"), WORDS.items(), ids=repr)
def test_word(word, expected):
    """In a config it is what everybody reads, or refused; in a note, what is refused is a text."""
    config, note = in_config(word), in_note(word)
    if not isinstance(config, MalformedConfigError):
        assert (config, type(config)) == (expected, type(expected)) == (note, type(note))
        return
    assert (note, type(note)) == (word, str)
    if expected is not REFUSED:
        assert str(config).startswith(f"c.yaml:1: key is read as {expected}: quote it")


def same(config, note, word):
    """Whether a line means the same in both, or is refused in one of them."""
    if isinstance(config, MalformedConfigError):
        # Where the line is YAML, its comment is no part of the text.
        return note in (word, re.split(r"\s#", word, maxsplit=1)[0].rstrip())
    if isinstance(config, list | dict) or config is None:
        # A note has no such values.
        return note == word
    return (config, type(config)) == (note, type(note))


LIKELY = st.text("0123456789.-+_:eExoTZnyNtrufalsi~=<#'\"[ ", max_size=12)


@settings(deadline=None, max_examples=300)
@given(word=LIKELY)
@example(word="#fff")
@example(word="null")
@example(word="...")
@example(word="!!int 5")
@example(word="*a")
@example(word="= #")
def test_no_line_means_two_things(word):
    word = word.strip()
    assert same(in_config(word), in_note(word), word), (in_config(word), in_note(word))


@pytest.mark.parametrize("text", [
    "{a: !!int 5}", "{a: !vault x}", "{a: 1, a: 2}", "a: 1\n---\nb: 2\n",
    "{a: &x {b: 1}, c: {<<: *x}}", "a: {<<: 5}",
])  # fmt: skip
def test_a_document_of_a_vault_that_is_refused(text):
    """As in a config, where merging alone is possible: nothing of a vault needs it."""
    with pytest.raises(ValueError, match=r"^not YAML that can be read$"):
        plain_yaml.load(text)


def test_both_have_the_same_words():
    ours = {kind.value: pattern.pattern for kind, pattern in _plain_words._KINDS.items()}
    theirs = {kind.value: pattern.pattern for kind, pattern in plain_yaml._KINDS.items()}
    assert theirs == ours | {"merge": "<<"}


def test_the_table_of_the_docs():
    """Each word that it gives as an example is what it says."""
    table = (
        (ROOT / "docs/rax.md").read_text().partition("| without quotes |")[2].partition("\n\n")[0]
    )
    rows = [row.split("|")[1:-1] for row in table.splitlines()[2:]]
    assert len(rows) > 5
    for words, config, note in rows:
        for word in re.findall(r"`([^`]*)`", words):
            found = in_config(word)
            assert isinstance(found, MalformedConfigError) == ("refused" in config), word
            assert in_note(word) == (found if "the same" in note else word)
