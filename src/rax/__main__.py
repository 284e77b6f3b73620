# SPDX-License-Identifier: Apache-2.0
"""``python -m rax``, and what a host runs that has the library without an environment of its own.

It is the command ``rax``.
"""

import sys


def main(_commit: str = "") -> int:
    """Run the command that the arguments of the process name; return its exit code."""
    from rax import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
