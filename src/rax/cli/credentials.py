# SPDX-License-Identifier: Apache-2.0
"""``rax credentials``: what this machine has, without a password, and what is wrong with it."""

import argparse
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rax._laptop import use_local
from rax._layout import duration
from rax._printable import printable
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_group, complete
from rax.cli._output import write, write_json, write_table

if TYPE_CHECKING:
    from rax.cli._commands import Commands
    from rax.cli._credential_states import State
    from rax.credentials import Credential

_MASK = "***"
# The fields that argv may hold, which other accounts can list.
_OPTIONS = ("user", "host", "url", "description")
# Shorter ones would mask ordinary words; Airflow's own masker has the same rule.
_MIN_SECRET_CHARACTERS = 5
_USERINFO = re.compile(r"(://[^\s/?#:@]*):[^\s/?#]*@")
# Finds a password with a slash that should have been quoted, but not what looks like a port.
_MALFORMED_USERINFO = re.compile(r"(://[^\s/?#:@]*):(?!\d*[/?#])\S*@")
_QUERY = re.compile(r"([?&;][^=&;\s]*(?:pass|pwd|secret|token|key)[^=&;\s]*=)[^&;#\s]*", re.I)


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "credentials", "the credentials of this node, or of a laptop")
    add_command(
        group,
        "list",
        _list,
        "name, user and host of each credential, and how fresh it is",
        "AGE is the time since the vault last confirmed it; where the control node has a copy of\n"
        "the vault, since that was last the same as the vault, and STATE says so. STATE is what\n"
        "the last refresh or the file says:\n"
        "  current     as the vault has it\n"
        "  kept        the vault has no good record: the last good file stays\n"
        "  missing     there is no file\n"
        "  insecure, malformed, unreadable\n"
        "              the file is refused; `rax credentials doctor` says why\n"
        "  unknown     no refresh has written a status\n"
        "The exit code is 0 whatever the states are: `doctor` judges.",
    )
    show = add_command(
        group,
        "show",
        _show,
        "all fields of a credential, secrets as ***",
        "No option shows a password: whoever may read the file needs none.",
    )
    _add_names(show, "NAME", None, "of a credential")
    doctor = add_command(
        group,
        "doctor",
        _doctor,
        "explain all that is wrong with files, directory and freshness",
        "Stale is what the vault has not confirmed for longer than RAX_CREDENTIALS_MAX_AGE\n"
        "(seconds, or 90m, 12h, 7d). Where that is not set, it is what was not confirmed for a\n"
        "day; what a copy of the vault has confirmed may then be of any age.\n"
        "Exit code: 0 nothing is wrong, 1 something is: it says what to do.",
    )
    _add_names(doctor, "NAME", "*", "of credentials; default: all, and the directory")
    _add_set(group)


def _add_set(group: "Commands") -> None:
    command = add_command(
        group,
        "set",
        _set,
        "make or change a credential of this laptop",
        "It is local/credentials/NAME.json of the DAG repository that you are in: git ignores it,\n"
        "and only you can read it. RAX_CREDENTIALS_DIR names another folder.\n"
        "Give it a test account, never the password of production. The credentials of a node are\n"
        "the vault's, and this refuses to change them.\n"
        "What no option gives is asked for; the password is not shown. Of a credential that is\n"
        "there already, options change their own fields alone.\n"
        "With --stdin nothing is asked: standard input has the password in one line, or fields in\n"
        'JSON, such as {"pass": "…", "metadata": {"api_token": "…"}}. No option takes a secret,\n'
        "since other accounts can list the words of a command.",
    )
    _add_names(command, "NAME", None, "of a credential, as workflows call it")
    for name in _OPTIONS:
        command.add_argument(f"--{name}", metavar=name.upper(), help=f"{name}, without a secret")
    command.add_argument(
        "--meta",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="metadata, such as port=5432; once for each key, and KEY= takes it away",
    )
    command.add_argument(
        "--stdin", action="store_true", help="read the password, or JSON, from standard input"
    )


def _add_names(command: argparse.ArgumentParser, name: str, count: str | None, text: str) -> None:
    def names() -> list[str]:
        from rax.credentials import list_credentials

        return list_credentials()

    complete(command.add_argument("name", metavar=name, nargs=count, help=text), names)


def _list(options: argparse.Namespace) -> int:
    from rax.cli._credential_states import read_status, states

    leave_root()
    use_local()
    found = states(read_status())
    if options.json:
        write_json([_as_json(state) for state in found])
        return 0
    rows = []
    for state in found:
        user = host = "-"
        if state.credential:
            fields = masked(state.credential)
            user, host = str(fields["user"]), str(fields["host"])
        rows.append((state.name, user, host, duration(state.age), _state_and_copy(state)))
    write_table(("name", "user", "host", "age", "state"), rows)
    return 0


def _state_and_copy(state: "State") -> str:
    if not state.copy_of:
        return state.state
    return f"{state.state}, confirmed against a copy of {state.copy_of}"


def _as_json(state: "State") -> dict[str, Any]:
    fields = masked(state.credential) if state.credential else {}
    return {
        "name": state.name,
        "user": fields.get("user"),
        "host": fields.get("host"),
        "age_seconds": None if state.age is None else round(state.age),
        "copy_of": state.copy_of or None,
        "state": state.state,
        "problem": state.problem or None,
    }


def _show(options: argparse.Namespace) -> int:
    from rax.cli._credential_states import read_status, states
    from rax.credentials import get_credentials
    from rax.credentials._files import directory

    leave_root()
    use_local()
    # Of any age, since the age is shown.
    fields = masked(get_credentials(options.name, max_age=math.inf))
    (state,) = states(read_status(), [options.name])
    if options.json:
        write_json({**_as_json(state), **fields})
        return 0
    metadata = fields.pop("metadata")
    rows = [(key, str(value)) for key, value in fields.items()]
    rows += [(f"metadata.{key}", str(value)) for key, value in metadata.items()]
    rows += [
        ("file", str(directory() / f"{state.name}.json")),
        ("age", duration(state.age)),
        ("state", ": ".join(filter(None, [_state_and_copy(state), state.problem]))),
    ]
    write_table(("", ""), rows)
    return 0


def masked(credential: "Credential") -> dict[str, Any]:
    """Return the fields of a credential, without anything secret in them."""
    from rax.credentials._masking import is_secret_key, secret_values, spellings

    secrets = set(secret_values(credential))
    forms = {form for secret in secrets for form in spellings(secret)}
    long_forms = [form for form in forms if len(form) >= _MIN_SECRET_CHARACTERS]
    long_forms.sort(key=len, reverse=True)

    def without_secrets(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: without_secrets(item, name) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [without_secrets(item, key) for item in value]
        if value is None or value == "" or isinstance(value, bool):
            return value
        if key == "pass" or is_secret_key(key) or str(value) in secrets:
            return _MASK
        if not isinstance(value, str):
            return value
        for form in long_forms:
            value = value.replace(form, _MASK)
        return _without_url_passwords(value)

    fields: dict[str, Any] = without_secrets(credential)
    return fields


def _without_url_passwords(text: str) -> str:
    text, count = _USERINFO.subn(rf"\1:{_MASK}@", text)
    if not count:
        text = _MALFORMED_USERINFO.sub(rf"\1:{_MASK}@", text)
    return _QUERY.sub(rf"\1{_MASK}", text)


def _set(options: argparse.Namespace) -> int:
    from rax.cli import _given_credential as given
    from rax.cli._local_credentials import LocalCredentials

    local = LocalCredentials()
    old = local.read(options.name)
    fields = {name: getattr(options, name) for name in _OPTIONS}
    changes = given.by_options(fields, options.meta)
    if options.stdin:
        piped = given.by_pipe()
        metadata = {**piped.pop("metadata", {}), **changes.pop("metadata", {})}
        changes = {**piped, **changes, "metadata": metadata}
    elif old is None or not changes:
        changes |= given.by_person(old, changes)
    notes = local.write(options.name, changes)
    file = str(local.path / f"{options.name}.json")
    if options.json:
        write_json({"file": file, "notes": notes})
        return 0
    said = "made" if old is None else "changed"
    write("".join(f"{line}\n" for line in [*notes, f"{said} {file}, which only you can read"]))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from rax.cli._account import current
    from rax.cli._doctor import examine
    from rax.credentials._files import directory

    leave_root()
    use_local()
    names, findings = examine(options.name)
    if options.json:
        write_json(
            {
                "directory": str(directory()),
                "account": current(),
                "credentials": names,
                "problems": [finding._asdict() for finding in findings],
            }
        )
        return 1 if findings else 0
    last = ""
    for finding in findings:
        if finding.what != last:
            write(f"{printable(finding.what)}\n")
            last = finding.what
        write(f"  {printable(finding.problem)}\n    → {printable(finding.advice)}\n")
    count = "no problem" if not findings else f"{len(findings)} problem{'s' * (len(findings) > 1)}"
    looked = f"{len(names)} credential{'s' * (len(names) != 1)}"
    write(f"{looked} in {directory()}, as {current()} sees them: {count}\n")
    return 1 if findings else 0
