# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of a node that this collection uses, each checked for its form before it is used.

Facts are the node's own word: whoever is root there says anything, at any time, since the result of
any module may bring facts. So they are checked where they are used, at each use.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible import constants
from ansible_collections.caspian.airflow.plugins.plugin_utils.node_answers import (
    AnswerError,
    quoted,
)

# RFC 8709: an ed25519 key is its type and 32 bytes, each after its length in four bytes.
_ED25519 = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
_ED25519_BYTES = len(_ED25519) + 32
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
# No node has more addresses.
_MAX_ADDRESSES = 1000

INJECTED = (
    "inject_facts_as_vars is on in the settings of Ansible, so whatever a node says of itself would"
    " become variables of this run, and a hostile node could take the place of another: set"
    " inject_facts_as_vars = false in the section [defaults] of ansible.cfg, or"
    " ANSIBLE_INJECT_FACT_VARS=false in the environment"
)


def injection_problem() -> str | None:
    """Return why no facts may be used, None unless Ansible's settings make variables of them."""
    return INJECTED if constants.config.get_config_value("INJECT_FACTS_AS_VARS") else None


def checked(facts: Any) -> dict[str, Any]:
    """Return those of a node's facts that this collection uses.

    Takes Ansible's variable ``ansible_facts``. What a node does not say is left out. Raises
    AnswerError, which names the fact, where one has not the form that it must have.
    """
    if not isinstance(facts, Mapping):
        raise AnswerError("its facts are not a mapping")
    found = _mapping("", facts, _FACTS)
    # Ansible has them by names of interfaces, which a node chooses.
    networks = _networks(facts)
    return found | {"networks": networks} if networks else found


def measured(answer: Any) -> list[float]:
    """Return the clock at the question, the node's clock, and the MB of its disk and memory.

    Takes what the preflight's measurement printed on a node. Raises AnswerError where that is not
    four numbers.
    """
    words = answer.split() if isinstance(answer, str) else []
    if len(words) == 4 and all(_NUMBER.fullmatch(word) for word in words):
        return [float(word) for word in words]
    raise AnswerError(f"its clock, disk and memory are not four numbers: {quoted(answer)}")


def _mapping(path: str, value: Any, forms: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a mapping has of the keys of `forms`, each checked."""
    if not isinstance(value, Mapping):
        raise AnswerError(f"the fact {path} is not a mapping")
    found = {}
    for key, form in forms.items():
        if key not in value:
            continue
        name = f"{path}.{key}" if path else key
        if isinstance(form, Mapping):
            found[key] = _mapping(name, value[key], form)
            continue
        try:
            found[key] = form(value[key])
        except ValueError:
            raise AnswerError(
                f"the fact {name} has a form that it can not have: {quoted(value[key])}"
            ) from None
    return found


def _networks(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return address → network of all interfaces; entries of another form are left out."""
    entries: list[Any] = []
    for value in [value for value in facts.values() if isinstance(value, Mapping)]:
        # default_ipv4 and default_ipv6 are such entries themselves.
        entries += [value, value.get("ipv4")]
        for several in (value.get("ipv4_secondaries"), value.get("ipv6")):
            entries += several if isinstance(several, list | tuple) else []
    found = {}
    for entry in [entry for entry in entries[:_MAX_ADDRESSES] if isinstance(entry, Mapping)]:
        try:
            interface = ipaddress.ip_interface(f"{entry.get('address')}/{entry.get('prefix')}")
        except ValueError:
            continue
        if not getattr(interface, "scope_id", None):
            found[str(interface.ip)] = str(interface.network)
    return found


def _text(pattern: str) -> Callable[[Any], str]:
    form = re.compile(pattern, re.ASCII)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError
        return str(value)

    return check


def _number(most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        # Some numbers are texts in facts.
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        if isinstance(value, str) and not re.fullmatch("[0-9]{1,3}", value, re.ASCII):
            raise ValueError
        if not 0 <= int(value) <= most:
            raise ValueError
        return int(value)

    return check


def _ipv4(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return str(ipaddress.IPv4Address(value))


def _ipv6(value: Any) -> str:
    # A zone is a name that the node chooses.
    if not isinstance(value, str) or "%" in value:
        raise ValueError
    return str(ipaddress.IPv6Address(value))


def _list(form: Callable[[Any], str]) -> Callable[[Any], list[str]]:
    def check(value: Any) -> list[str]:
        if not isinstance(value, list | tuple) or len(value) > _MAX_ADDRESSES:
            raise ValueError
        return [form(entry) for entry in value]

    return check


def _ed25519_key(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    try:
        key = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError from None
    if not key.startswith(_ED25519) or len(key) != _ED25519_BYTES:
        raise ValueError
    # Written anew, since what follows a padding or stands between lines is not part of the key.
    return base64.b64encode(key).decode()


_WORD = _text(r"[A-Za-z0-9][A-Za-z0-9 ._+/()-]{0,63}")
_SMALL = _number(999)
# Names and forms as ansible.builtin.setup returns them.
_FACTS: dict[str, Any] = {
    "distribution": _WORD,
    "distribution_major_version": _WORD,
    "distribution_version": _WORD,
    "python_version": _text(r"[0-9]{1,3}(\.[0-9]{1,3}){1,2}[a-z0-9+]{0,16}"),
    "python": {
        "executable": _text(r"/[A-Za-z0-9._/+-]{1,255}"),
        "version": {"major": _SMALL, "minor": _SMALL},
    },
    "default_ipv4": {"address": _ipv4, "network": _ipv4, "prefix": _number(32)},
    "default_ipv6": {"address": _ipv6, "prefix": _number(128)},
    "all_ipv4_addresses": _list(_ipv4),
    "all_ipv6_addresses": _list(_ipv6),
    "ssh_host_key_ed25519_public": _ed25519_key,
}
