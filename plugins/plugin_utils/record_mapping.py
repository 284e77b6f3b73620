# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the results of any lookup to the records that the vaults of this collection return.

Pure functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import plain_yaml, records

_TEXTS = ("user", "pass", "host", "url", "description")
_FIELDS = (*_TEXTS, "metadata", "protected")


class MappingError(AnsibleError):
    """The mapping, or what it is applied to, has not the form that it must have."""


def map_records(results: Any, names: Any, mapping: Any) -> list[dict[str, Any]]:
    """Return one record per name: `mapping` says where its fields are in the name's result.

    A result is a mapping, or a text that holds one as JSON or YAML. A name whose result is missing
    or incomplete gets {"name", "error"}; an error names fields and paths, never values. Raises
    MappingError for results, names or a mapping of another form.
    """
    results, names = _list(results, "results"), _list(names, "names")
    if len(results) != len(names):
        raise MappingError(
            f"{len(results)} results for {len(names)} names; the lookup has to"
            " return one for each name, in their order"
        )
    paths = _paths(mapping)
    protected = mapping.get("protected")
    found = []
    for name, result in zip(names, results, strict=True):
        try:
            found.append(_record(name, *_documents(result), paths, protected))
        except ValueError as error:
            found.append({"name": name, "error": str(error)})
    return found


def _list(value: Any, what: str) -> list[Any]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise MappingError(f"the {what} are not a list")
    return list(value)


def _paths(mapping: Any) -> dict[str, Any]:
    """Check the mapping and return its paths, each as a list of keys."""
    if not isinstance(mapping, Mapping):
        raise MappingError("the mapping is not a mapping of fields to paths")
    unknown = [str(field) for field in mapping if field not in _FIELDS]
    if unknown:
        raise MappingError(
            f"the mapping has unknown fields: {', '.join(unknown)} (known: {', '.join(_FIELDS)})"
        )
    if not ({"user", "pass"} <= {*mapping} and {"host", "url"} & {*mapping}):
        raise MappingError("the mapping needs user, pass, and host or url")
    protected = mapping.get("protected")
    if protected is not None and (
        isinstance(protected, str | Mapping)
        or not isinstance(protected, Iterable)
        or not all(isinstance(name, str) for name in protected)
    ):
        raise MappingError("protected is not a list of fields, such as description or metadata.pin")
    return {
        field: {key: _path(f"{field}.{key}", path) for key, path in where.items()}
        if field == "metadata" and isinstance(where, Mapping)
        else _path(field, where)
        for field, where in mapping.items()
        if field != "protected"
    }


def _path(field: str, path: Any) -> list[str]:
    keys = path.split(".") if isinstance(path, str) else path
    if (
        not isinstance(keys, Iterable)
        or isinstance(keys, Mapping)
        or not (keys := list(keys))
        or not all(isinstance(key, str) and key for key in keys)
    ):
        raise MappingError(
            f"the path of {field} is not a text like data.password or a list of keys"
        )
    return keys


def _documents(result: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what a lookup gave for one name as a mapping, and the same with texts as written."""
    # A lookup that was asked for this name alone gives a list, which is empty when it failed.
    if isinstance(result, list | tuple):
        if len(result) > 1:
            raise ValueError(f"the lookup returned {len(result)} results for this name")
        result = result[0] if result else None
    if result is None:
        raise ValueError("the lookup returned nothing for this name")
    typed, written = _parsed(result) if isinstance(result, str) else (result, result)
    if not isinstance(typed, Mapping):
        raise ValueError("the lookup's result is neither a mapping nor a text that holds one")
    return typed, written


def _parsed(text: str) -> tuple[Any, Any]:
    try:
        found = json.loads(text)
        return found, found
    except (ValueError, RecursionError):
        pass
    try:
        return plain_yaml.load(text), plain_yaml.load(text, as_written=True)
    except ValueError:
        return None, None


def _record(
    name: str,
    document: Mapping[str, Any],
    written: Mapping[str, Any],
    paths: Mapping[str, Any],
    protected: Iterable[str] | None,
) -> dict[str, Any]:
    values = {
        field: _text(field, path, _at(written, path))
        for field, path in paths.items()
        if field in _TEXTS
    }
    missing = [field for field in ("user", "pass", "host") if field in values and not values[field]]
    if values.get("url") and "host" in missing:
        missing.remove("host")
    if missing:
        what = ", ".join(f"{'.'.join(paths[field])} (for {field})" for field in missing)
        raise ValueError(f"the lookup's result has no {what}, or it is empty")
    return records.record(
        name,
        user=values["user"],
        password=values["pass"],
        host=values.get("host"),
        url=values.get("url"),
        description=values.get("description"),
        metadata=_metadata(document, paths),
        protected=protected,
    )


def _metadata(document: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    where = paths.get("metadata")
    if where is None:
        return {}
    if isinstance(where, Mapping):
        found = {key: _at(document, path) for key, path in where.items()}
    else:
        given = _at(document, where)
        if not isinstance(given, Mapping | None):
            raise ValueError(f"{'.'.join(where)} (for metadata) is not a mapping")
        # What is another field already, above all the password, is no metadata.
        fields = {path[-1] for field, path in paths.items() if path[:-1] == where}
        found = {key: value for key, value in (given or {}).items() if key not in fields}
    return {key: value for key, value in found.items() if value is not None}


def _at(document: Any, path: list[str]) -> Any:
    """Return what is at a path, None where it ends before."""
    for key in path:
        if isinstance(document, Mapping):
            document = document.get(key)
        elif isinstance(document, list | tuple) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _text(field: str, path: list[str], value: Any) -> str:
    # A password of digits is a number in JSON.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | None):
        raise ValueError(f"{'.'.join(path)} (for {field}) is not a text")
    return value or ""
