# SPDX-License-Identifier: Apache-2.0
"""The secrets backend of the process that loads DAG files: it notes who asks, and has nothing."""

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend

from rax.checking._dags._effects import CONNECTION, VARIABLE, Effects

# What is noted goes here, in the process that loads a file.
_effects: Effects | None = None


def record_in(effects: Effects) -> None:
    """Note from now on in these."""
    global _effects
    _effects = effects


class RecordingBackend(BaseSecretsBackend):  # type: ignore[misc]  # Airflow is not here when types are checked
    """Airflow asks it for what a file wants before that has a task to want it in."""

    def get_variable(self, key: str, team_name: str | None = None) -> None:  # noqa: ARG002 - the interface is Airflow's
        """Note that a file asks for a Variable."""
        _note(VARIABLE, f"reads the Variable {key}")

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:  # noqa: ARG002 - the interface is Airflow's
        """Note that a file asks for a connection."""
        _note(CONNECTION, f"reads the connection {conn_id}")


def _note(kind: str, what: str) -> None:
    if _effects is not None:
        _effects.note(kind, what)
