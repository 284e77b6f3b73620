# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of itself, checked before anything uses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_facts as facts_of

# A line of ssh-keygen has the type, the key, and a comment that names the account.
_PUBLIC_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}( [A-Za-z0-9._@-]{1,255})?", re.ASCII)


def node_facts(facts: Any) -> dict[str, Any]:
    """Return those of a node's facts that this collection uses.

    Raises AnsibleFilterError, which names the fact, where one has not the form that it must have,
    and where Ansible's settings make variables of facts.
    """
    if problem := facts_of.injection_problem():
        raise AnsibleFilterError(f"node_facts: {problem}")
    try:
        return facts_of.checked(facts)
    except node_answers.AnswerError as error:
        raise AnsibleFilterError(f"node_facts: {error}") from None


def public_key(line: Any) -> str:
    """Return the line of an ed25519 public key that a node printed.

    Raises AnsibleFilterError where it is anything else.
    """
    if not isinstance(line, str) or not _PUBLIC_KEY.fullmatch(line):
        raise AnsibleFilterError(
            f"public_key: not one line with an ed25519 public key: {node_answers.quoted(line)}"
        )
    return str(line)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"node_facts": node_facts, "public_key": public_key}
