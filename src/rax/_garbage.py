# SPDX-License-Identifier: Apache-2.0
"""The search for garbage, in a process that loads a lot and is forked then."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def kept_for_forks() -> Iterator[None]:
    """Take it that what is loaded meanwhile stays: it is searched for garbage once, at the end.

    Searching while Airflow is imported takes a tenth of that, and each fork would copy what a
    search touches.
    """
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
