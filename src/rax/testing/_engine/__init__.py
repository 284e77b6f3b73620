# SPDX-License-Identifier: Apache-2.0
"""The engine of ``rax flow``: it has imported Airflow once, and forks a process for each case.

What a task does in there reaches nothing but what its case is given, and leaves nothing behind.
"""

from rax.testing._engine._server import Server, ServerError

__all__ = ["Server", "ServerError"]
