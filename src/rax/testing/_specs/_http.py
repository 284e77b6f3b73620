# SPDX-License-Identifier: Apache-2.0
"""The HTTP sources of a case: a folder that is served, or answers that are fixed."""

import json
from pathlib import Path

from rax.testing._model import Answer, HttpSource
from rax.testing._specs import _files
from rax.testing._specs._document import Value

_MAX_BODY_BYTES = 10_000_000


def http_source(value: Value, top: Path, *, tls: bool) -> HttpSource:
    """Return a source, after noting what it cannot be.

    :param top: the folder of specs, which no file may be out of
    :param tls: whether its URL begins with https://
    """
    if isinstance(value.content, str):
        return HttpSource(folder=_files.given_folder(value, top), tls=tls)
    answers = tuple(_answer(key, inner, top) for key, inner in value.items())
    return HttpSource(answers=answers, tls=tls)


def _answer(request: str, value: Value, top: Path) -> Answer:
    method, _space, path = request.partition(" ")
    headers = dict(value.content.get("headers", {}))
    kinds = [kind for kind in ("json", "text", "file") if kind in value.content]
    if len(kinds) > 1:
        value.refuse(f"an answer has one body: {' and '.join(kinds)} are there")
    if kinds == ["json"] and "content-type" not in {header.lower() for header in headers}:
        headers["Content-Type"] = "application/json"
    body = _body(kinds[0], value.get(kinds[0]), top) if kinds else b""
    return Answer(method, path, value.content.get("status", 200), headers, body)


def _body(kind: str, value: Value | None, top: Path) -> bytes:
    if value is None:
        return b""
    if kind == "json":
        return json.dumps(value.content).encode()
    if kind == "text":
        return bytes(value.content, "utf-8")
    file = _files.given_file(value, top)
    if file is None:
        return b""
    try:
        with file.open("rb") as stream:
            body = stream.read(_MAX_BODY_BYTES + 1)
    except OSError as error:
        value.refuse(f"{value.content}: {error.strerror}")
        return b""
    if len(body) > _MAX_BODY_BYTES:
        value.refuse(f"{value.content} has more than {_MAX_BODY_BYTES:,} bytes: serve a folder")
    return body
