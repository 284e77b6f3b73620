# SPDX-License-Identifier: Apache-2.0
"""Settings in the environment, which calls of microseconds ask for each time.

`os.environ.get` raises and catches two exceptions for what is not set, and that is what most
settings are: two of them took as long as the `os.stat` that a warm `get_credentials` is for.
"""

import os

_environ = os.environ
# What os.environ keeps its values in; asked only where it is what CPython has on Unix.
_values = getattr(_environ, "_data", None)
if not isinstance(_values, dict) or not all(isinstance(key, bytes) for key in _values):
    _values = None


def setting(name: str) -> str:
    """Return what the environment has by that name now, nothing where it has none."""
    if _values is None or os.environ is not _environ:
        return os.environ.get(name, "")
    value = _values.get(name.encode())
    return os.fsdecode(value) if value else ""
