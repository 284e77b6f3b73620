# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the vault, on the controller, for what all hosts of the play receive.

What comes is handled as plain Python values in this one process: each use of a large structure in a
template would walk all of it, on every host.
"""

from __future__ import annotations

import datetime
import getpass
import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.caspian.airflow.plugins.plugin_utils import (
    credential_sources,
    node_answers,
    node_facts,
    record_mapping,
    vault_age,
)

_NOTHING = "The vault gave nothing, so no credential was changed on any node."


class ActionModule(ActionBase):
    """The action that Ansible looks up by its name."""

    _requires_connection = False
    supports_raw_params = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what was fetched as one JSON text, which no template looks into."""
        result = super().run(tmp, task_vars)
        if problem := node_facts.injection_problem():
            raise AnsibleActionFail(f"Nothing was changed: {problem}")
        variables = task_vars or {}
        # Validating them, or handing them back to the process that forked this one, would copy each
        # of thousands of texts.
        declared = self._task.args.pop("sources", None)
        _result, options = self.validate_argument_spec(
            {
                "only": {"type": "raw", "default": []},
                "vault": {"type": "str", "required": True},
                "vault_mapping": {"type": "dict", "default": {}},
                "vault_copy": {"type": "path", "default": ""},
                "vault_memory": {"type": "path", "default": ""},
                "secure_logging": {"type": "bool", "default": True},
            }
        )
        only = options["only"]
        groups = variables["groups"]
        try:
            sources = credential_sources.parse(declared, [*groups, *groups["all"]], only)
        except credential_sources.SourcesError as error:
            lines = "".join(f"\n- {problem}" for problem in error.problems)
            raise AnsibleActionFail(
                "Nothing was changed, since credentials_sources has to be put right first:" + lines
            ) from None
        hosts = variables["ansible_play_hosts_all"]
        groups_of = [variables["hostvars"][host]["group_names"] for host in hosts]
        places = {*hosts, *itertools.chain.from_iterable(groups_of)}
        wanted = credential_sources.for_places(sources, places)
        asked = credential_sources.for_places(wanted, places, only)
        names = list(dict.fromkeys(source["record"] for source in asked))
        result["started_at"] = _now()
        copy_of = _copied_at(options["vault_copy"])
        records = self._ask(names, options, variables) if names else []
        fetched = credential_sources.resolve(records, wanted, only)
        if copy_of:
            result["vault_copy_of"] = copy_of
        about = {
            "copy_of": copy_of,
            "declared": len(sources),
            "by": f"{getpass.getuser()}@{os.uname().nodename}",
        }
        result["fetched"] = json.dumps({**fetched, **about})
        if fetched["warnings"]:
            result["records_warned_of"] = fetched["warnings"]
        # Only this result holds secrets; the reason why nothing came is always shown.
        result["_ansible_no_log"] = options["secure_logging"]
        return result

    def _ask(
        self, names: list[str], options: dict[str, Any], variables: dict[str, Any]
    ) -> list[Any]:
        """Return the vault's records."""
        vault, mapping = options["vault"], options["vault_mapping"]
        # These are no argument of the task, since a password may be among them.
        given = self._templar.template(variables.get("credentials_vault_options") or {})
        lookup = self._shared_loader_obj.lookup_loader.get(
            vault, loader=self._loader, templar=self._templar
        )
        if lookup is None:
            raise AnsibleActionFail(
                f"credentials_vault is {vault}, and there is no lookup plugin of that name."
            )

        def ask(names: list[str], **more: Any) -> Any:
            return lookup.run(names, variables=variables, **{**more, **given})

        try:
            with vault_age.remembered(str(given.get("path") or ""), options["vault_memory"]):
                if mapping:
                    records = _mapped(ask, names, mapping)
                else:
                    records = list(ask(names, missing="report"))
            return records
        except record_mapping.MappingError as error:
            reason = f"credentials_vault_mapping: {error}"
        except vault_age.VaultFileError as error:
            reason = str(error)
        except AnsibleError as error:
            reason = error.message
        except Exception as error:
            # The words of someone else's code may quote anything.
            reason = f"{vault} failed with {type(error).__name__}."
        raise AnsibleActionFail(f"{_NOTHING} {node_answers.shown(reason)}") from None


def _copied_at(path: str) -> str:
    """Return when a copy was the same as the vault, or nothing for the vault itself."""
    try:
        return vault_age.copied_at(path) if path else ""
    except vault_age.VaultFileError as error:
        raise AnsibleActionFail(f"{_NOTHING} {node_answers.shown(error)}") from None


def _mapped(ask: Any, names: list[str], mapping: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a lookup that does not know our form."""
    try:
        # All names take one session, but such a lookup fails as a whole when one of them does.
        results = list(ask(names))
    except Exception:
        results = []
    reasons: dict[str, str] = {}
    if len(results) != len(names):
        results = [_alone(ask, name, reasons) for name in names]
    if len(reasons) == len(names):
        raise AnsibleActionFail(reasons[names[0]])
    return [
        record | {"error": reasons[record["name"]]} if record["name"] in reasons else record
        for record in record_mapping.map_records(results, names, mapping)
    ]


def _alone(ask: Any, name: str, reasons: dict[str, str]) -> list[Any]:
    """Return what the lookup has for one name; note in `reasons` why it failed."""
    try:
        return list(ask([name]))
    except AnsibleError as error:
        reasons[name] = error.message
    except Exception as error:
        reasons[name] = f"the lookup failed with {type(error).__name__}"
    return []


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
