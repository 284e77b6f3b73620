# SPDX-License-Identifier: Apache-2.0
"""Under which name Airflow files this host: the API server reads the logs of its tasks there."""

import os
import socket


def reachable_host() -> str:
    """Return the address by which the other nodes reach this one, as a URL has it.

    That is ``RAX_ADDRESS``, which the deployment sets, and an address of IPv6 is in brackets there.
    Without it, this is what the host finds out about its own name, which others need not know.
    Airflow calls this for ``[core] hostname_callable``.
    """
    return os.environ.get("RAX_ADDRESS") or socket.getfqdn()
