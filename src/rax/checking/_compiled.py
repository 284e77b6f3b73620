# SPDX-License-Identifier: Apache-2.0
"""Python files that are taken apart, and none of which is run."""

import ast
import warnings

# What Python 3 says of the commonest statements of Python 2.
_PYTHON_2 = (
    "Missing parentheses in call to",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
)


class SourceError(Exception):
    """A file cannot be compiled; line 0 is the file as a whole."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def compiled(content: bytes, *, is_known: bool = False) -> ast.Module:
    """Return the tree of a file that this Python can run.

    :param is_known: whether it has been compiled before, which is not done again then
    :raises SourceError: it is no Python 3
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(content)
            if not is_known:
                compile(tree, "", "exec", dont_inherit=True)
    except SyntaxError as error:
        old = ": this is Python 2" if any(text in error.msg for text in _PYTHON_2) else ""
        raise SourceError(error.lineno or 0, f"{error.msg}{old}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceError(0, str(error) or type(error).__name__) from None
    return tree
