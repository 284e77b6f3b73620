# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules with an argument that no log and no result may show, whatever `no_log` says."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from typing import Any

from ansible.module_utils.basic import AnsibleModule

_PR_SET_DUMPABLE = 4


class SecretModule(AnsibleModule):
    """A module one of whose arguments is kept from AnsibleModule.

    With `no_log` alone, its values are masked wherever they occur in the result: that garbles names
    which contain a user or a host, and takes minutes for thousands of values. And what fails
    before the module's own code begins still has all of them in its hands. AnsibleModule can't log,
    return or mask an argument that it never had.

    The argument of the name `secret` is found in the attribute `secret`; AnsibleModule gets
    `stand_in` for it, a value of the same type.
    """

    def __init__(self, secret: str, stand_in: object, **arguments: Any) -> None:
        self._secret_name = secret
        self._stand_in = stand_in
        self.secret: Any = None
        no_core_dumps()
        super().__init__(**arguments)
        if secret in self.params and self.secret is not None:
            self.params[secret] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

    def _load_params(self) -> None:
        super()._load_params()
        self.secret = self.params.get(self._secret_name)
        if self.secret is not None:
            self.params[self._secret_name] = self._stand_in


def no_core_dumps() -> None:
    """Keep the memory of this process from being written to a disk when it crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A limit does not hold for programs that the kernel pipes a core to.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
