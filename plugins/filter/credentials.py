# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared sources of credentials, for playbooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import credential_sources
from ansible_collections.caspian.airflow.plugins.plugin_utils.credential_sources import Source


def credential_sources_for(sources: Any, places: Any, only: Any = ()) -> list[Source]:
    """Return the sources that a host receives which is, or is in, one of `places`.

    Where `only` names any, the others are left out. Raises AnsibleFilterError, which has all
    problems of the sources.
    """
    if isinstance(places, str) or not isinstance(places, Iterable):
        raise AnsibleFilterError("credential_sources_for: the hosts and groups are not a list")
    try:
        declared = credential_sources.parse(sources)
    except credential_sources.SourcesError as error:
        raise AnsibleFilterError(f"credential_sources_for: {error}") from None
    return credential_sources.for_places(declared, places, only)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"credential_sources_for": credential_sources_for}
