#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a secret for a systemd unit, encrypted where the host can."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_credential
short_description: Keep a secret for a systemd unit, encrypted where the host can
version_added: 0.1.0
description:
  - Writes a file that a unit loads with C(LoadCredentialEncrypted=) or C(LoadCredential=).
    C(systemd-creds) encrypts O(content) with the key of the host and its TPM2, as far as it has
    one, so that a copy of the file opens nowhere else.
  - The file belongs to root, has the mode 0400, and is written as M(caspian.airflow.files)
    writes its own; whatever of that has drifted is repaired.
  - Each encryption gives another ciphertext. The file is unchanged when what it holds decrypts to
    O(content), and written anew when it can't be decrypted, as on another machine, after damage
    or under another O(name).
options:
  name:
    description:
      - The credential's ID in the unit. It is part of the encryption; a unit that loads the file
        by another ID is refused.
      - Letters, digits and C(._@+-).
    type: str
    required: true
  path:
    description: Absolute path of the file. Its directory has to exist.
    type: str
    required: true
  content:
    description:
      - The secret, byte for byte; a final newline is not added.
      - Required with O(state=present); not empty and not over systemd's limit of 1 MiB.
    type: str
  encrypt:
    description:
      - V(auto) encrypts where C(systemd-creds) is there (systemd 250) and works, and else keeps
        the secret in plain, which RV(reason) then explains. Where the host still decrypts the file
        and yet can't encrypt another secret, the task fails rather than put that in plain.
      - V(always) fails where the secret can't be encrypted.
      - V(never) keeps it in plain.
    type: str
    choices: [auto, always, never]
    default: auto
  state:
    description: Whether the file is there.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description:
      - Predicts the change without writing. On a host that has never encrypted a credential,
        encryption is tried with a temporary key, because the first one makes the host's key.
    support: full
  diff_mode:
    description: Shows which of content, encryption, owner, group and mode change; no content.
    support: full
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Keep the vault's password for the refresh
  caspian.airflow.systemd_credential:
    name: vault_password
    path: /etc/caspian-refresh/vault_password
    content: "{{ vault_password }}"
  register: vault_credential

- name: Let the unit load it
  ansible.builtin.copy:
    content: |
      [Service]
      {{ vault_credential.directive }}=vault_password:/etc/caspian-refresh/vault_password
    dest: /etc/systemd/system/caspian-refresh.service.d/vault.conf
    mode: "0644"
"""

RETURN = r"""
changes:
  description: >-
    What was done, or would be done in check mode: V(created), V(removed), V(leftover) (a temporary
    file of a killed run was removed), or what was repaired: V(content), V(encryption), V(owner),
    V(group), V(mode), V(acl), V(links).
  returned: always
  type: list
  elements: str
  sample: [encryption]
encrypted:
  description: Whether the file is encrypted.
  returned: with O(state=present)
  type: bool
directive:
  description: The key of the unit's line that loads the file.
  returned: with O(state=present)
  type: str
  sample: LoadCredentialEncrypted
reason:
  description: Why the file is not encrypted; null when it is.
  returned: with O(state=present)
  type: str
  sample: there is no systemd-creds on this host, which comes with systemd 250 and later
"""

import dataclasses
import os
import re

from ansible.module_utils.common.validation import check_type_str
from ansible_collections.caspian.airflow.plugins.module_utils import locked_files
from ansible_collections.caspian.airflow.plugins.module_utils.locked_files import (
    Attributes,
    Changes,
    LockedFileError,
    MissingDirectoryError,
)
from ansible_collections.caspian.airflow.plugins.module_utils.secret_module import SecretModule
from ansible_collections.caspian.airflow.plugins.module_utils.systemd_creds import (
    Creds,
    StuckError,
    UnableError,
)

# systemd's CREDENTIAL_SIZE_MAX, and more than what becomes of that much by encryption and base64.
MAX_CONTENT_BYTES = 1024 * 1024
MAX_FILE_BYTES = 2 * MAX_CONTENT_BYTES
WANTED = Attributes(0, 0, 0o400)
# systemd takes others too, but space, % and quotes mean something else in the unit's line.
NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@+-]{1,255}")


@dataclasses.dataclass(frozen=True, repr=False)
class Held:
    """The bytes of a file, and the secret in them."""

    data: bytes
    content: bytes
    encrypted: bool


def read_file(name: str, dir_fd: int, content: bytes, creds: Creds, encrypt: str) -> Held | None:
    """Read the file, None when there is none."""
    found = locked_files.status(name, dir_fd)
    if found is None:
        return None
    data = locked_files.read(name, dir_fd) if found.st_size <= MAX_FILE_BYTES else b""
    if data == content:
        return Held(data, content, encrypted=False)
    try:
        secret = creds.decrypt(data)
    except StuckError:
        if encrypt != "never":
            raise
        secret = None
    return Held(data, data if secret is None else secret, encrypted=secret is not None)


def choose(
    module: SecretModule, content: bytes, held: Held | None, creds: Creds
) -> tuple[bytes, str | None]:
    """Return what the file is to hold, and why that is not encrypted, if so."""
    encrypt = module.params["encrypt"]
    if encrypt == "never":
        return content, "the task says `encrypt: never`"
    if held and held.encrypted and held.content == content:
        return held.data, None
    try:
        return creds.predict(content) if module.check_mode else creds.encrypt(content), None
    except UnableError as error:
        if encrypt == "always":
            raise LockedFileError(
                f"the secret can't be encrypted: {error} (`encrypt: auto` would keep it in plain)"
            ) from None
        if held and held.encrypted:
            raise LockedFileError(
                f"the file is encrypted, but a new secret can't be: {error}; nothing was changed"
                " (`encrypt: never` would keep it in plain)"
            ) from None
        return content, str(error)


def bring(
    module: SecretModule, name: str, dir_fd: int | None, content: bytes
) -> tuple[Changes, str | None]:
    """Write the file if it has to change; return kind → (found, wanted), and why it is in plain.

    Without a descriptor, its directory is still to come.
    """
    creds = Creds(module.params["name"])
    held = None
    if dir_fd is not None:
        held = read_file(name, dir_fd, content, creds, module.params["encrypt"])
    data, reason = choose(module, content, held, creds)
    if dir_fd is None or held is None:
        changes = {"created": ("absent", "present")}
    else:
        changes = locked_files.differences(name, held.data, WANTED, dir_fd)
        plain = "plain" if held.content == content else "plain or not for this host and name"
        if held.encrypted != (reason is None):
            changes["encryption"] = (
                "encrypted" if held.encrypted else plain,
                "encrypted" if reason is None else "plain",
            )
        if held.content != content:
            changes["content"] = ("another", "as given")
    if changes and dir_fd is not None and not module.check_mode:
        locked_files.replace(name, data, WANTED, dir_fd)
    return changes, reason


def checked_content(module: SecretModule) -> bytes:
    """Return the secret as bytes, if systemd would take it."""
    if module.secret in (None, ""):
        raise LockedFileError("content is missing or empty: give the secret, or state: absent")
    content = locked_files.encode(check_type_str(module.secret))
    if len(content) > MAX_CONTENT_BYTES:
        raise LockedFileError(
            f"content has {len(content)} bytes, and systemd takes credentials of up to"
            f" {MAX_CONTENT_BYTES} bytes"
        )
    return content


def present(module: SecretModule, directory: str, name: str) -> tuple[Changes, dict[str, object]]:
    """Bring the file in line; return kind → (found, wanted), and what else the module returns."""
    content = checked_content(module)
    changes: Changes = {}
    try:
        dir_fd = locked_files.open_directory(directory)
    except MissingDirectoryError:
        if not module.check_mode:  # A task before this one would have made it.
            raise
        more, reason = bring(module, name, None, content)
    else:
        try:
            changes |= locked_files.clear_leftovers(name, dir_fd, module.check_mode)
            more, reason = bring(module, name, dir_fd, content)
        finally:
            os.close(dir_fd)
    return changes | more, {
        "encrypted": reason is None,
        "directive": "LoadCredentialEncrypted" if reason is None else "LoadCredential",
        "reason": reason,
    }


def absent(module: SecretModule, directory: str, name: str) -> Changes:
    """Remove the file; return kind → (found, wanted)."""
    try:
        dir_fd = locked_files.open_directory(directory)
    except MissingDirectoryError:
        return {}
    try:
        return locked_files.remove(name, dir_fd, module.check_mode)
    finally:
        os.close(dir_fd)


def apply(module: SecretModule) -> tuple[Changes, dict[str, object]]:
    """Bring the file into its state; return kind → (found, wanted), and the result about it."""
    if not NAME.fullmatch(module.params["name"]):
        raise LockedFileError(
            f"name {module.params['name']!r}: a credential is called by up to 255 letters, digits"
            " and ._@+-"
        )
    directory, name = locked_files.split_path(module.params["path"])
    if module.params["state"] == "absent":
        return absent(module, directory, name), {}
    return present(module, directory, name)


def main() -> None:
    """Bring the file into its state."""
    module = SecretModule(
        secret="content",  # noqa: S106 - the name of an argument
        stand_in="",
        argument_spec={
            "name": {"type": "str", "required": True},
            "path": {"type": "str", "required": True},
            "content": {"type": "str", "no_log": True},
            "encrypt": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        changes, result = apply(module)
    except (LockedFileError, OSError) as error:
        module.fail_json(msg=f"{path}: {error}")
    module.exit_json(
        changed=bool(changes),
        changes=list(changes),
        diff=locked_files.changes_diff(path, changes),
        **result,
    )


if __name__ == "__main__":
    main()
