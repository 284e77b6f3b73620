# SPDX-License-Identifier: Apache-2.0
"""Values of a config that look like secrets."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

# apiKey, api_key and API-KEY are the words api and key.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PASSWORDS = {"password", "passwd", "passphrase", "passcode", "pwd", "secret"}
_JOINED = {"apikey", "apitoken", "authtoken", "accesstoken", "accesskey", "secretkey", "privatekey"}
# Names that end in one of these words are about a secret and hold none, such as password_file.
_ABOUT = {
    "age", "alias", "arn", "backend", "class", "column", "columns", "count", "credential",
    "credentials", "days", "endpoint", "env", "expiry", "field", "fields", "file", "folder", "id",
    "length", "manager", "max", "min", "mode", "name", "names", "path", "policy", "prefix", "ref",
    "reset", "size", "source", "store", "suffix", "ttl", "type", "uri", "url", "var", "variable",
    "vault", "version",
}  # fmt: skip
# What comes before "key" where that is a secret; a primary_key is none.
_KEY_OF = {
    "access", "account", "api", "app", "application", "auth", "client", "encryption", "fernet",
    "function", "hmac", "jwt", "license", "master", "private", "secret", "server", "service",
    "session", "shared", "signing", "ssh", "storage", "subscription", "write",
}  # fmt: skip
# What comes before "token" and "pass" where these are no secrets, as in page_token and first_pass.
_TOKEN_OF = {"page", "next", "continuation", "sync", "stop", "start", "end", "pad", "mask"}
_PASS_OF = {"first", "second", "last", "single", "multi", "by", "low", "high", "band"}

_LISTS = (list, tuple, set, frozenset)
_CONTAINERS = (Mapping, *_LISTS)

# Keys of a host, and of who logs in there.
_HOSTS = {"host", "hostname", "server", "address", "db_host", "dbhost"}
_USERS = {"user", "username", "login", "account", "db_user", "dbuser"}

# The name of a credential or of a variable: EBI-ETL-DEV-01, PAGERDUTY, DB_PASSWORD.
_NAME = re.compile(r"[A-Z][A-Z0-9]*([._-][A-Z0-9]+)+|[A-Z]+")
_PLACEHOLDER = re.compile(r"\$\{.*\}|\{\{.*\}\}|\{\w*\}|%\(\w+\)s|<.*>|\*+|x{3,}", re.DOTALL)
_TOKEN = re.compile(r"\S{8,}")
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/]{20,}={0,2}")

# Matched from the start of a word only: trying each of its letters would take time that grows with
# the square of the word's length.
_USERINFO = re.compile(r"(?<![A-Za-z0-9+.-])[0-9+.-]*([A-Za-z][A-Za-z0-9+.-]*)://([^\s/?#]*)@")
# In URLs of these schemes, the part before @ is a fixed user, or a container of Azure.
_HARMLESS_USERS = {"ssh", "git+ssh", "abfs", "abfss", "wasb", "wasbs"}
_ASSIGNED = re.compile(
    r"(?:^|[?&;\s])(?:\w*(?:password|passwd|pwd|secret|token|api_?key|access_?key)|sig)="
    r"([^\s&;'\"]+)",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\bPuTTY-User-Key-File-"
    r"|\bA(?:K|S)IA[0-9A-Z]{16}\b"
    r"|\bgh[opsu]_[A-Za-z0-9]{30,}|\bglpat-[\w-]{20,}|\bxox[abeprs]-[\w-]{10,}"
    r"|\bgithub_pat_\w{20,}|\bhooks\.slack\.com/services/\w+/\w+/\w+"
    r"|\bjdbc:oracle:\w+:[^\s/@{$]+/[^\s@{$]+@"
    r"|\bAIza[\w-]{35}\b|\bsk_live_\w{16,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
)


def find_secrets(config: Mapping[str, Any], names: Collection[str] = ()) -> list[str]:
    """Return the keys of a config whose values look like secrets; never a value.

    These are values of keys such as ``password``, ``api_key`` or ``token``, URLs with userinfo,
    texts with ``password=…`` in them, private keys and tokens of known forms. The names of
    credentials, in ``names`` or in capitals as ``EBI-ETL-DEV-01``, and placeholders such as
    ``${PASSWORD}`` are none.

    >>> find_secrets({"db": {"password": "hunter2", "port": 5432}, "primary_key": "id"})
    ['db.password']
    >>> find_secrets({"proxies": ["http://etl:hunter2@proxy.example.com/"]})
    ['proxies[0]']
    """
    return list(_search(config, "", "", set(names)))


def find_connections(config: Mapping[str, Any], names: Collection[str] = ()) -> list[str]:
    """Return the mappings of a config that have a host and a user of their own.

    Both belong to a credential, whose name the config has in their place. A mapping with a secret
    is left to find_secrets().

    >>> find_connections({"db": {"host": "db.example.org", "user": "etl"}, "user": "etl"})
    ['db']
    """
    return list(_connections(config, "", set(names)))


def is_secret_setting(key: str) -> bool:
    """Say whether the name of a key says that its value is secret.

    >>> [is_secret_setting(key) for key in ("dbPassword", "primary_key", "token_url")]
    [True, False, False]
    """
    return _kind(key).startswith(("password", "token"))


def _connections(value: Any, path: str, names: Collection[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        keys = {str(key).lower(): item for key, item in value.items() if _is_own(item, names)}
        if _HOSTS & {*keys} and _USERS & {*keys}:
            texts = {key: item for key, item in value.items() if not isinstance(item, _CONTAINERS)}
            if not any(_search(texts, "", "", names)):
                yield path
        for key, item in value.items():
            yield from _connections(item, f"{path}.{key}".lstrip("."), names)
    elif isinstance(value, _LISTS):
        for index, item in enumerate(value):
            yield from _connections(item, f"{path}[{index}]", names)


def _is_own(value: Any, names: Collection[str]) -> bool:
    """Return whether a value is a text that names nothing which is elsewhere."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and value not in names
        and not _NAME.fullmatch(value.strip())
        and not _PLACEHOLDER.fullmatch(value.strip())
    )


def _search(value: Any, path: str, kind: str, names: Collection[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            own = _kind(str(key))
            # What is below a plural is of its kind, as in passwords: {etl: …}. What is below a
            # singular is not, as in secret: {backend: …}.
            inherited = kind if kind.endswith("s") else ""
            yield from _search(item, f"{path}.{key}".lstrip("."), own or inherited, names)
    elif isinstance(value, _LISTS):
        for index, item in enumerate(value):
            yield from _search(item, f"{path}[{index}]", kind, names)
    elif isinstance(value, str):
        if value not in names and (_is_secret(value, kind) or _holds_secret(value)):
            yield path
    elif isinstance(value, int) and not isinstance(value, bool) and kind.startswith("password"):
        yield path


def _kind(key: str) -> str:
    """Return which kind of secret a key is of, in the plural where it is of several, or nothing."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not words or words[-1] in _ABOUT:
        return ""
    singular = [word.removesuffix("s") if word != "pass" else word for word in words]
    many = "s" * (words[-1] != singular[-1])
    before, last = words[-2:-1], singular[-1]
    if _PASSWORDS & {*singular}:
        return f"password{many}"
    if last in _JOINED or (last == "key" and _KEY_OF & {*before}):
        return f"token{many}"
    if last == "token" and not _TOKEN_OF & {*before}:
        return f"token{many}"
    if last == "pass" and not _PASS_OF & {*before}:
        return "password"
    return f"key{many}" if last == "key" else ""


def _is_secret(value: str, kind: str) -> bool:
    text = value.strip()
    if not kind or not text or _NAME.fullmatch(text) or _PLACEHOLDER.fullmatch(text):
        return False
    if kind.startswith("password"):
        return True
    pattern = _RANDOM if kind.startswith("key") else _TOKEN
    return pattern.fullmatch(text) is not None


def _holds_secret(value: str) -> bool:
    for match in _USERINFO.finditer(value):
        user, _colon, password = match[2].partition(":")
        secret = password or ("" if match[1].lower() in _HARMLESS_USERS else user)
        if secret and not _PLACEHOLDER.fullmatch(secret):
            return True
    assigned = (match[1] for match in _ASSIGNED.finditer(value))
    return any(not _PLACEHOLDER.fullmatch(text) for text in assigned) or bool(_KNOWN.search(value))
