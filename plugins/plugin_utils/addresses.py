# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses by which nodes reach each other, of both versions of IP. Pure functions.

Facts are those that node_facts has checked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The last label is no number, since the name would then be taken for an IPv4 address.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}\Z)(?!(.*\.)?[0-9]+\.?\Z){_LABEL}(\.{_LABEL})*\.?")
LOOPBACK_NAME = re.compile(r"(?i)(.*\.)?localhost\.?")


def parse(text: str) -> Address | None:
    """Return the address that a text is, None where it is something else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def address_problem(given: Any) -> str | None:
    """Return why other nodes cannot reach a node by this name or address, None where they can."""
    text = str(given)
    address = parse(text)
    if address is None:
        if text.startswith("[") and parse(text.strip("[]")):
            return "is an address in brackets: write it without them"
        if not NAME.fullmatch(text):
            return "is neither a name nor an address; ansible_port takes a port other than 22"
        return None
    # A zone means something on one machine alone, and URLs and the files of ssh and PostgreSQL have
    # no place for it.
    if isinstance(address, ipaddress.IPv6Address) and (address.is_link_local or address.scope_id):
        return (
            "is link-local, which is an address together with a zone of one machine alone: give the"
            " node a global address or a unique local one (fd00::/8)"
        )
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return f"is an IPv4 address within IPv6: write it as {address.ipv4_mapped}"
    if address.is_unspecified or address.is_multicast:
        return "is not the address of one node"
    return None


def is_loopback(given: Any) -> bool:
    """Return whether each machine finds itself by this name or address."""
    address = parse(str(given))
    return address.is_loopback if address else bool(LOOPBACK_NAME.fullmatch(str(given)))


def addresses_of(facts: Mapping[str, Any]) -> list[Address]:
    """Return the addresses of a host that others can reach, in the facts' order."""
    given = [*facts.get("all_ipv4_addresses", ()), *facts.get("all_ipv6_addresses", ())]
    found = [parse(str(text)) for text in given]
    return [
        address
        for address in found
        if address and not address.is_loopback and not address_problem(address)
    ]


def main_address(facts: Mapping[str, Any], version: int) -> Address | None:
    """Return the address of a host's default route, or else the only one of that version of IP."""
    default = parse(str((facts.get(f"default_ipv{version}") or {}).get("address", "")))
    if default and not address_problem(default):
        return default
    others = [address for address in addresses_of(facts) if address.version == version]
    return others[0] if len(others) == 1 else None
