# SPDX-License-Identifier: Apache-2.0
"""Texts made fit to be shown: without the secrets that a case is given, and without what steers."""

from rax._printable import printable
from rax.alerting._secrets import mask, secret_spellings
from rax.credentials import Credential
from rax.testing._model import Given

_EMPTY = {"user": "", "host": "", "pass": "", "url": "", "description": "", "metadata": {}}


class Mask:
    """Makes texts fit to be shown, of a case that is given this."""

    def __init__(self, given: Given) -> None:
        self._secrets = secret_spellings(
            Credential(name, _EMPTY | dict(fields)) for name, fields in given.credentials.items()
        )

    def __call__(self, text: str) -> str:
        return printable(str(mask(text, self._secrets)))
