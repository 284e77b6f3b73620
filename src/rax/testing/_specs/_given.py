# SPDX-License-Identifier: Apache-2.0
"""What a case is given: what all cases are, and its own merged over it."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rax.config import _files as config_files
from rax.config._files import near
from rax.config._merging import merged
from rax.errors import ConfigNotFoundError
from rax.testing._model import Answer, Change, Given, HttpSource
from rax.testing._specs import _files
from rax.testing._specs._document import Value
from rax.testing._specs._tasks import task_key

# The sections that start something that may be down.
_SERVERS = ("postgres", "sqlite", "http")
_DATABASES = ("postgres", "sqlite")


class Sections:
    """The sections of what is given, of all cases and of one: of equal names, that of the case."""

    def __init__(self, shared: Value | None, own: Value | None, top: Path) -> None:
        self._layers = [layer for layer in (shared, own) if layer is not None]
        self._top = top

    def given(self) -> Given:
        """Return what the case is given, after noting what it cannot be."""
        self._check_names()
        databases = {name: self._scripts(name) for name in _DATABASES}
        return Given(
            **databases,
            http={name: self._source(value) for name, value in self._named("http").items()},
            files=self._files(),
            configs=self._configs(),
            credentials={name: value.content for name, value in self._named("credentials").items()},
            connections={name: value.content for name, value in self._named("connections").items()},
            variables={name: _text(value) for name, value in self._named("variables").items()},
            environment={name: _text(value) for name, value in self._named("environment").items()},
            conf=self._conf(),
            logical_date=self._logical_date(),
            down=frozenset(value.content for value in self._listed("down")),
            meanwhile=self._meanwhile(),
        )

    def databases(self) -> set[str]:
        """Return the databases that a case may ask."""
        return {name for section in _DATABASES for name in self._named(section)}

    def _named(self, section: str) -> dict[str, Value]:
        return {key: value for layer in self._layers for key, value in layer.items(section)}

    def _listed(self, section: str) -> list[Value]:
        return [value for layer in self._layers for _index, value in layer.items(section)]

    def _last(self, section: str) -> Value | None:
        found = [value for layer in self._layers if (value := layer.get(section))]
        return found[-1] if found else None

    def _check_names(self) -> None:
        known: dict[str, str] = {}
        for section in _SERVERS:
            for name, value in self._named(section).items():
                if name in known:
                    value.refuse(f"{name} is in {known[name]} already, and in {section}")
                known[name] = section
        for value in self._listed("down"):
            if value.content not in known:
                hint = near(value.content, known)
                value.refuse(f"{value.content} is down, and in none of {', '.join(_SERVERS)}{hint}")

    def _scripts(self, section: str) -> dict[str, tuple[Path, ...]]:
        found = {}
        for name, value in self._named(section).items():
            values = [value] if isinstance(value.content, str) else []
            if isinstance(value.content, list):
                values = [inner for _index, inner in value.items()]
            paths = [_files.given(inner, self._top) for inner in values]
            found[name] = tuple(path for path in paths if path)
        return found

    def _source(self, value: Value) -> HttpSource:
        if isinstance(value.content, str):
            return HttpSource(folder=_files.folder(value, self._top))
        answers = [self._answer(request, inner) for request, inner in value.items()]
        return HttpSource(answers=tuple(answers))

    def _answer(self, request: str, value: Value) -> Answer:
        method, _space, path = request.partition(" ")
        headers = dict(value.content.get("headers", {}))
        body = b""
        bodies = [inner for key in ("json", "text", "file") if (inner := value.get(key))]
        if len(bodies) > 1:
            value.refuse(f"{request} has more than one of json, text and file")
        elif bodies:
            kind, content = bodies[0].steps[-1], bodies[0].content
            if kind == "file":
                file = _files.given(bodies[0], self._top)
                body = file.read_bytes() if file else b""
            else:
                body = (json.dumps(content) if kind == "json" else content).encode()
            if kind == "json" and "content-type" not in map(str.lower, headers):
                headers["Content-Type"] = "application/json"
        return Answer(method, path, value.content.get("status", 200), headers, body)

    def _files(self) -> dict[str, Path]:
        found: dict[str, Value] = {}
        for layer in self._layers:
            section = layer.get("files")
            is_list = section is not None and isinstance(section.content, list)
            for key, value in layer.items("files"):
                name = value.content if is_list else key
                if _files.check_name(value, name):
                    found[name] = value
                if is_list and value.content == _files.ABSENT:
                    value.refuse("absent takes a file away: write it as {name: absent}")
        paths = {
            name: _files.given(value, self._top)
            for name, value in found.items()
            if value.content != _files.ABSENT
        }
        return {name: path for name, path in paths.items() if path}

    def _configs(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Any] = {}
        for layer in self._layers:
            for name, value in layer.items("config"):
                try:
                    config_files.check_name(name)
                except ConfigNotFoundError as error:
                    value.refuse(str(error))
                found = merged(found, {name: value.content})
        return found

    def _conf(self) -> dict[str, Any] | None:
        conf = {key: value.content for key, value in self._named("conf").items()}
        return conf if self._last("conf") else None

    def _logical_date(self) -> datetime.datetime | None:
        value = self._last("logical_date")
        if value is None:
            return None
        try:
            date = datetime.datetime.fromisoformat(value.content)
        except ValueError:
            value.refuse('logical_date is no date, such as "2026-01-31T22:30:00Z"')
            return None
        return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)

    def _meanwhile(self) -> tuple[Change, ...]:
        return tuple(self._change(key, value) for key, value in self._named("meanwhile").items())

    def _change(self, key: str, value: Value) -> Change:
        known, statements = self.databases(), {}
        files: dict[str, Path | None] = {}
        for name, inner in value.items():
            if name == "files":
                for path, source in inner.items():
                    absent = source.content == _files.ABSENT
                    _files.check_name(source, path)
                    files[path] = None if absent else _files.given(source, self._top)
            elif name in known:
                statements[name] = inner.content
            else:
                inner.refuse(f"{name} is no database that the case is given{near(name, known)}")
        return Change(value.place, task_key(key), statements, files)


def _text(value: Value) -> str:
    """Return a text as it is, and the JSON of anything else."""
    return value.content if isinstance(value.content, str) else json.dumps(value.content)
