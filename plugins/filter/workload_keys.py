# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public halves of the keys that sign workloads, for the role airflow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    # Ansible needs it, but lists a plugin also where it is not installed.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

KEY_BYTES = 32


def public_workload_keys(keys: Any) -> str:
    """Return the public keys of private ones, in the same form and order."""
    if not HAS_CRYPTOGRAPHY:
        raise AnsibleFilterError(
            "public_workload_keys: Ansible's Python has no cryptography: install it there"
        )
    return ",".join(_public_half(one.strip()) for one in str(keys).split(","))


def _public_half(key: str) -> str:
    try:
        private = base64.b64decode(key, b"-_", validate=True)
    except (binascii.Error, ValueError):
        private = b""
    if len(private) != KEY_BYTES:
        raise AnsibleFilterError(
            "airflow_workload_keys: a key has to be 32 bytes in the base64 of URLs, with a comma"
            " between two of them"
        )
    public = Ed25519PrivateKey.from_private_bytes(private).public_key()
    return base64.urlsafe_b64encode(public.public_bytes_raw()).decode()


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"public_workload_keys": public_workload_keys}
