# SPDX-License-Identifier: Apache-2.0
"""``rax flow --keep``: the databases of a case stay up while a person looks at them."""

import contextlib
import sys
from collections.abc import Sequence

from rax._printable import printable


def wait(lines: Sequence[str]) -> None:
    """Show how to reach what stays up, and wait for Enter.

    :param lines: to be entered in a shell; where there is none, nothing stays up
    """
    if not lines:
        return
    sys.stdout.write("".join(f"    {printable(line)}\n" for line in lines))
    sys.stdout.write("Enter ends what stays up\n")
    sys.stdout.flush()
    # Without a terminal, nobody can look.
    with contextlib.suppress(EOFError):
        input()
