# SPDX-License-Identifier: Apache-2.0
"""The type of a field that holds the name of a credential."""

from typing import Annotated, Any, TypeAlias


class _Mark:
    """What the type of a text has with it where the text is the name of a credential."""

    def __repr__(self) -> str:
        return "the name of a credential"


# To whoever reads or writes such a field, it is a str.
CredentialName: TypeAlias = Annotated[str, _Mark()]


def names_credential(kind: Any) -> bool:
    """Return whether a type is CredentialName, whatever else an author has annotated it with."""
    return any(isinstance(one, _Mark) for one in getattr(kind, "__metadata__", ()))
