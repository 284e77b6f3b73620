# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of any lookup as records, for playbooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils import record_mapping


def vault_records(results: Any, names: Any, mapping: Any) -> list[dict[str, Any]]:
    """Return one record per name: `mapping` says where its fields are in the name's result.

    Raises AnsibleFilterError for results, names or a mapping of another form than documented.
    """
    try:
        return record_mapping.map_records(results, names, mapping)
    except record_mapping.MappingError as error:
        raise AnsibleFilterError(f"vault_records: {error}") from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → function."""
        return {"vault_records": vault_records}
