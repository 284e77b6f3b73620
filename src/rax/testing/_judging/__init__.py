# SPDX-License-Identifier: Apache-2.0
"""The judge: what a case gave, beside what its spec expects of it.

Nothing here runs or asks anything: expectations, outputs and the files of goldens are compared, and
each Difference is fit to be shown. record() writes goldens, and nothing else is written.
"""

from rax.testing._judging._difference import Difference, Kind
from rax.testing._judging._judge import judge
from rax.testing._judging._record import Advice, Recording, record

__all__ = ["Advice", "Difference", "Kind", "Recording", "judge", "record"]
