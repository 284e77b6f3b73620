# SPDX-License-Identifier: Apache-2.0
"""Which cases are meant: by parts of their names, joined by ``and``, ``or`` and ``not``."""

import re
from collections.abc import Callable, Iterator

from rax.errors import CommandError

_WORDS = re.compile(r"[()]|[^\s()]+")
_OPERATORS = ("and", "or", "not", "(", ")")

_Test = Callable[[str], bool]


def choice(expression: str) -> Callable[[str], bool]:
    """Return what tells whether a name is meant, as the option ``-k`` of pytest does.

    A part is found in a name in any case. Unlike pytest's, it may have blanks.

    >>> is_meant = choice("genes and not (two months or down)")
    >>> is_meant("genes_daily::good"), is_meant("genes_daily::loads two months")
    (True, False)

    :raises CommandError: the expression says nothing
    """
    words = _WORDS.findall(expression)
    reading = _Reading(words)
    try:
        test = reading.either()
        if reading.word is not None:
            raise _FormError
    except _FormError:
        read = " ".join(words[: reading.position]) or "its begin"
        raise CommandError(
            f"-k {expression!r}: parts of names, joined by and, or and not, are expected; "
            f"it is wrong after {read}"
        ) from None
    return lambda name: test(name.casefold())


class _FormError(Exception):
    """The expression is none."""


class _Reading:
    def __init__(self, words: list[str]) -> None:
        self._words = words
        self.position = 0

    @property
    def word(self) -> str | None:
        return self._words[self.position] if self.position < len(self._words) else None

    def either(self) -> _Test:
        tests = [self._all()]
        while self._takes("or"):
            tests.append(self._all())
        return lambda name: any(test(name) for test in tests)

    def _all(self) -> _Test:
        tests = [self._one()]
        while self._takes("and"):
            tests.append(self._one())
        return lambda name: all(test(name) for test in tests)

    def _one(self) -> _Test:
        if self._takes("not"):
            test = self._one()
            return lambda name: not test(name)
        if self._takes("("):
            test = self.either()
            if not self._takes(")"):
                raise _FormError
            return test
        part = " ".join(self._part()).casefold()
        if not part:
            raise _FormError
        return lambda name: part in name

    def _part(self) -> Iterator[str]:
        while self.word is not None and self.word not in _OPERATORS:
            yield self.word
            self.position += 1

    def _takes(self, word: str) -> bool:
        if self.word != word:
            return False
        self.position += 1
        return True
