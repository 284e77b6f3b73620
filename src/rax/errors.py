# SPDX-License-Identifier: Apache-2.0
"""The errors of rax: one root; they name file, source or key, never a value."""


class RaxError(Exception):
    """The root of every error that rax raises on purpose."""


class CredentialNotFoundError(RaxError):
    """This node has no credential of that name, or this account may not read it."""


class InsecureCredentialError(RaxError):
    """The file of a credential could have been read or written by others."""


class MalformedCredentialError(RaxError):
    """The file of a credential does not hold a credential."""


class ConfigNotFoundError(RaxError):
    """No root has a config of that name."""


class MalformedConfigError(RaxError):
    """The file of a config is not one YAML mapping inside its root."""


class ReleaseNotFoundError(RaxError):
    """A release of the DAG repository is not on this node and could not be brought."""


class AlertError(RaxError):
    """An alert could not be sent, or is not one that PagerDuty would take."""
