# SPDX-License-Identifier: Apache-2.0
"""Cases on a staging cluster: the real workers, sources and targets, by Airflow's REST API.

A case runs there if its spec says so. What a spec gives it on a laptop is the cluster's own, what a
cluster cannot be asked for is left out, and both are told.
"""

from rax.testing._staging._address import Address, address_of
from rax.testing._staging._cases import StagedCases
from rax.testing._staging._client import Client
from rax.testing._staging._databases import Databases
from rax.testing._staging._portable import Portable, portable, reason_against

__all__ = [
    "Address",
    "Client",
    "Databases",
    "Portable",
    "StagedCases",
    "address_of",
    "portable",
    "reason_against",
]
