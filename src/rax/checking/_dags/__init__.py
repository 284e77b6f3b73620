# SPDX-License-Identifier: Apache-2.0
"""Stage 2: the DAGs, loaded as Airflow does, each file in a process of its own.

The author's code runs in those processes alone. The process that has Airflow forks them, and this
one asks it; what either answers is checked for form.
"""

from rax.checking._dags._check import check

__all__ = ["check"]
