# SPDX-License-Identifier: Apache-2.0
"""``python -m rax.cli``, for an environment whose scripts are not in the PATH."""

import sys

from rax.cli import main

if __name__ == "__main__":
    sys.exit(main())
