# SPDX-License-Identifier: Apache-2.0
"""Stage 3: the repository's own tests, run by pytest in another process."""

from rax.checking._tests._check import check

__all__ = ["check"]
