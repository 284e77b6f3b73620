# SPDX-License-Identifier: Apache-2.0
"""The errors of rax: one root; they name file, source or key, and no value of a credential."""

from rax._printable import printable


class RaxError(Exception):
    """The root of every error that rax raises on purpose."""

    def __str__(self) -> str:
        # The message may quote names and answers that anybody can have written.
        return printable(super().__str__(), lines=True)


class CredentialNotFoundError(RaxError):
    """This node has no credential of that name, or it cannot be looked at."""


class UnreadableCredentialError(CredentialNotFoundError):
    """The credentials, or the one of that name, may be there, but cannot be looked at."""


class InsecureCredentialError(RaxError):
    """The file of a credential could have been read or written by others."""


class MalformedCredentialError(RaxError):
    """The file of a credential does not hold a credential."""


class StaleCredentialError(RaxError):
    """The vault has not confirmed a credential for longer than the settings allow."""


class StaleCredentialWarning(UserWarning):
    """A credential is stale, and the settings only warn."""


class ConfigNotFoundError(RaxError):
    """No root has a config of that name."""


class MalformedConfigError(RaxError):
    """The file of a config is not one YAML mapping inside its root that all readers read alike."""


class ReleaseNotFoundError(RaxError):
    """A release of the DAG repository is not on this node and could not be fetched."""


class AlertError(RaxError):
    """An alert could not be sent, is none that PagerDuty would take, or its spool is unusable."""


class WorkflowError(RaxError):
    """A workflow is not put together as check → task → summary, or is asked for what it lacks."""


class CheckError(RaxError):
    """What a workflow needs does not answer, is not fresh or has no room."""


class CountsDifferError(RaxError):
    """Source and target do not hold the same numbers of rows."""


class RunFailedError(RaxError):
    """Something in a run has failed: its summary ends with this, so that the run fails too."""


class CommandError(RaxError):
    """A command of ``rax`` cannot do what it was asked."""


class ServiceError(RaxError):
    """What a case of a flow is given could not be started, filled or changed."""
