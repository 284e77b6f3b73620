# SPDX-License-Identifier: Apache-2.0
"""What is left of a secret in a text that somebody has cut: its beginning, or its end.

A text is masked before this library cuts it; but it may have been cut before it came here, by a
driver, a log or another program.
"""

import re
from collections.abc import Iterable

MASK = "***"
# So many characters of a secret are one anywhere. Fewer are where a text was cut, as few as a whole
# secret must have to be masked: elsewhere they would be ordinary words.
_TELLING = 16
_FEWEST = 5
_GAPS = re.compile(r"\A|\Z|…+|\.\.\.+")
# What may stand between a secret and the place of the cut: quotes, brackets, blanks.
_BETWEEN = 8
_MOST_GAPS = 1000


def without_parts(text: str, secrets: Iterable[str]) -> str:
    """Return the text with *** for beginnings and ends of these secrets.

    >>> without_parts("wrong key: hunt3r2hun…", ["hunt3r2hunt3r2"])
    'wrong key: ***…'
    """
    secrets = [secret for secret in secrets if len(secret) > _FEWEST]
    for secret in secrets:
        if len(secret) > _TELLING:
            text = _without_long_parts(text, secret)
    return _without_short_parts(text, secrets)


def _without_long_parts(text: str, secret: str) -> str:
    head, tail = secret[:_TELLING], secret[-_TELLING:]
    at = text.find(head)
    while at >= 0:
        end, of = at + _TELLING, _TELLING
        while end < len(text) and of < len(secret) and text[end] == secret[of]:
            end, of = end + 1, of + 1
        text = f"{text[:at]}{MASK}{text[end:]}"
        at = text.find(head, at + len(MASK))
    at = text.rfind(tail)
    while at >= 0:
        begin, of = at, len(secret) - _TELLING
        while begin > 0 and of > 0 and text[begin - 1] == secret[of - 1]:
            begin, of = begin - 1, of - 1
        text = f"{text[:begin]}{MASK}{text[at + _TELLING :]}"
        at = text.rfind(tail, 0, begin)
    return text


def _without_short_parts(text: str, secrets: list[str]) -> str:
    sizes = range(_TELLING, _FEWEST - 1, -1)
    heads = {secret[:size] for secret in secrets for size in sizes if size < len(secret)}
    tails = {secret[-size:] for secret in secrets for size in sizes if size < len(secret)}
    if not heads:
        return text
    found = []
    gaps = [*_GAPS.finditer(text)]
    if len(gaps) > _MOST_GAPS:
        gaps = gaps[: _MOST_GAPS // 2] + gaps[-_MOST_GAPS // 2 :]
    for gap in gaps:
        before, after = gap.start(), gap.end()
        for size in sizes:
            for end in range(before, max(before - _BETWEEN, size) - 1, -1):
                if text[end - size : end] in heads and _is_between(text[end:before]):
                    found.append((end - size, end))
            for begin in range(after, min(after + _BETWEEN, len(text)) + 1):
                if text[begin : begin + size] in tails and _is_between(text[after:begin]):
                    found.append((begin, begin + size))
    # From behind, so that the places before stay where they are; the longest of a place is first.
    last = len(text)
    for begin, end in sorted(found, key=lambda place: (-place[1], place[0])):
        if end <= last:
            text = f"{text[:begin]}{MASK}{text[end:]}"
            last = begin
    return text


def _is_between(text: str) -> bool:
    return not any(char.isalnum() for char in text)
