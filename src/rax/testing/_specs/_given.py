# SPDX-License-Identifier: Apache-2.0
"""What a case is given, once all its sections are read."""

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rax.config import _files as config_files
from rax.config._files import near
from rax.config._merging import merged
from rax.errors import ConfigNotFoundError
from rax.testing._model import Change, Given
from rax.testing._specs import _files
from rax.testing._specs._document import Value
from rax.testing._specs._http import http_source
from rax.testing._specs._sections import Sections
from rax.testing._specs._tasks import task_key

# What a case itself sets, and where a spec says it instead.
_SET_BY_THE_CASE = re.compile(
    r"(?P<connections>AIRFLOW_CONN_.*)|(?P<variables>AIRFLOW_VAR_.*)|(?P<credentials>"
    r"RAX_CREDENTIALS_DIR)|(?P<config>RAX_CONFIG_DIR|RAX_RELEASE_DIR)|RAX_ALERTING_.*|"
    r"AIRFLOW_HOME|AIRFLOW__(?:CORE|DATABASE)__.*|HOME|TMPDIR|PYTHONPATH"
)


def given_of(sections: Sections, top: Path) -> Given:
    """Return what a case is given, after noting what it cannot be.

    :param top: the folder of specs, which no file may be out of
    """
    sections.check_names()
    return Given(
        postgres=_scripts(sections, "postgres", top),
        sqlite=_scripts(sections, "sqlite", top),
        http={
            name: http_source(value, top, tls=section == "https")
            for section in ("http", "https")
            for name, value in sections.named(section).items()
        },
        files=_case_files(sections, top),
        configs=_configs(sections),
        credentials=_contents(sections, "credentials"),
        connections=_contents(sections, "connections"),
        variables=_texts(sections, "variables"),
        environment=_environment(sections),
        conf=_contents(sections, "conf") if sections.last("conf") else None,
        triggers=_contents(sections, "triggers"),
        logical_date=_logical_date(sections.last("logical_date")),
        down=frozenset(sections.down()),
        meanwhile=tuple(
            _change(task, value, sections, top)
            for task, value in sections.named("meanwhile").items()
        ),
    )


def _scripts(sections: Sections, section: str, top: Path) -> dict[str, tuple[Path, ...]]:
    found = {}
    for name, value in sections.named(section).items():
        values = [value] if isinstance(value.content, str) else []
        if isinstance(value.content, list):
            values = [inner for _index, inner in value.items()]
        paths = [_files.given_file(inner, top) for inner in values]
        found[name] = tuple(path for path in paths if path)
    return found


def _case_files(sections: Sections, top: Path) -> dict[str, Path]:
    named: dict[str, Value] = {}
    for layer in sections.layers:
        for key, value in layer.items("files"):
            if isinstance(key, int) and value.content == _files.ABSENT:
                value.refuse("absent takes a file away in a mapping alone: {name: absent}")
            elif name := _files.case_path(value, value.content if isinstance(key, int) else key):
                named[name] = value
    present = {name: value for name, value in named.items() if value.content != _files.ABSENT}
    for name, value in present.items():
        if above := next((p for p in PurePosixPath(name).parents if str(p) in present), None):
            value.refuse(f"{name} is below {above}, which is a file, too")
    paths = {name: _files.given_file(value, top) for name, value in present.items()}
    return {name: path for name, path in paths.items() if path}


def _configs(sections: Sections) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Any] = {}
    for layer in sections.layers:
        for name, value in layer.items("config"):
            try:
                config_files.check_name(name)
            except ConfigNotFoundError as error:
                value.refuse(str(error))
            found = merged(found, {name: value.content})
    return found


def _contents(sections: Sections, section: str) -> dict[str, Any]:
    return {name: value.content for name, value in sections.named(section).items()}


def _texts(sections: Sections, section: str) -> dict[str, str]:
    """Return texts as they are, and what is none as JSON, as Airflow imports variables."""
    return {
        name: content if isinstance(content, str) else json.dumps(content)
        for name, content in _contents(sections, section).items()
    }


def _environment(sections: Sections) -> dict[str, str]:
    for name, value in sections.named("environment").items():
        if "\0" in str(value.content):
            value.refuse(f"{name} has a character that no environment variable has")
        if found := _SET_BY_THE_CASE.fullmatch(name):
            section = found.lastgroup
            instead = f": write it in given.{section}" if section else ""
            value.refuse(f"{name} is set by the case itself{instead}")
    return _texts(sections, "environment")


def _logical_date(value: Value | None) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        date = datetime.datetime.fromisoformat(value.content)
    except ValueError:
        value.refuse(f"{value.content} is a day or a time that there is not")
        return None
    return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)


def _change(task: str, value: Value, sections: Sections, top: Path) -> Change:
    databases, down, statements = sections.databases(), sections.down(), {}
    for name, inner in value.items():
        if name in down:
            inner.refuse(f"{name} is down in this case, and cannot be changed")
        if name in databases:
            statements[name] = inner.content
        elif name != "files":
            inner.refuse(f"{name} is no database that this case is given{near(name, databases)}")
    files: dict[str, Path | None] = {}
    for name, inner in value.items("files"):
        if path := _files.case_path(inner, name):
            is_absent = inner.content == _files.ABSENT
            files[path] = None if is_absent else _files.given_file(inner, top)
    return Change(value.place, task_key(task), statements, files)
