# SPDX-License-Identifier: Apache-2.0
"""What is left of a secret in a text that somebody has cut: its beginning, or its end.

A text is masked before this library cuts it; but it may have been cut before it came here, by a
driver, a log or another program.
"""

import re
from collections.abc import Iterable

MASK = "***"
# This many characters of a secret are masked anywhere in a text.
_LONG_PART_CHARACTERS = 16
# Fewer are masked only where a text was cut, since elsewhere they may be ordinary words. A whole
# secret needs as many to be masked.
_MIN_PART_CHARACTERS = 5
# Where a text may have been cut.
_CUTS = re.compile(r"\A|\Z|…+|\.\.\.+")
_MAX_CUTS = 1000
# Between a part of a secret and the cut there may be quotes, brackets and blanks.
_MAX_BETWEEN_CHARACTERS = 8


def without_parts(text: str, secrets: Iterable[str]) -> str:
    """Return the text with *** for beginnings and ends of these secrets.

    >>> without_parts("wrong key: hunt3r2hun…", ["hunt3r2hunt3r2"])
    'wrong key: ***…'
    """
    secrets = [secret for secret in secrets if len(secret) > _MIN_PART_CHARACTERS]
    for secret in secrets:
        if len(secret) > _LONG_PART_CHARACTERS:
            text = _without_long_parts(text, secret)
    return _without_short_parts(text, secrets)


def _without_long_parts(text: str, secret: str) -> str:
    head, tail = secret[:_LONG_PART_CHARACTERS], secret[-_LONG_PART_CHARACTERS:]
    at = text.find(head)
    while at >= 0:
        end, of = at + _LONG_PART_CHARACTERS, _LONG_PART_CHARACTERS
        while end < len(text) and of < len(secret) and text[end] == secret[of]:
            end, of = end + 1, of + 1
        text = f"{text[:at]}{MASK}{text[end:]}"
        at = text.find(head, at + len(MASK))
    at = text.rfind(tail)
    while at >= 0:
        begin, of = at, len(secret) - _LONG_PART_CHARACTERS
        while begin > 0 and of > 0 and text[begin - 1] == secret[of - 1]:
            begin, of = begin - 1, of - 1
        text = f"{text[:begin]}{MASK}{text[at + _LONG_PART_CHARACTERS :]}"
        at = text.rfind(tail, 0, begin)
    return text


def _without_short_parts(text: str, secrets: list[str]) -> str:
    sizes = range(_LONG_PART_CHARACTERS, _MIN_PART_CHARACTERS - 1, -1)
    heads = {secret[:size] for secret in secrets for size in sizes if size < len(secret)}
    tails = {secret[-size:] for secret in secrets for size in sizes if size < len(secret)}
    if not heads:
        return text
    found = []
    cuts = [*_CUTS.finditer(text)]
    if len(cuts) > _MAX_CUTS:
        cuts = cuts[: _MAX_CUTS // 2] + cuts[-_MAX_CUTS // 2 :]
    for cut in cuts:
        before, after = cut.start(), cut.end()
        for size in sizes:
            for end in range(before, max(before - _MAX_BETWEEN_CHARACTERS, size) - 1, -1):
                if text[end - size : end] in heads and _is_between(text[end:before]):
                    found.append((end - size, end))
            for begin in range(after, min(after + _MAX_BETWEEN_CHARACTERS, len(text)) + 1):
                if text[begin : begin + size] in tails and _is_between(text[after:begin]):
                    found.append((begin, begin + size))
    # From the end of the text, so that the other places stay where they are. Of those that end at
    # the same place, the longest comes first, and the others are within it.
    last = len(text)
    for begin, end in sorted(found, key=lambda place: (-place[1], place[0])):
        if end <= last:
            text = f"{text[:begin]}{MASK}{text[end:]}"
            last = begin
    return text


def _is_between(text: str) -> bool:
    return not any(char.isalnum() for char in text)
