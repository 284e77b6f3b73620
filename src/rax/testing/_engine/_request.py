# SPDX-License-Identifier: Apache-2.0
"""What the process with Airflow is asked to do."""

from dataclasses import dataclass
from pathlib import Path

from rax.testing._model import Case, RunKind


@dataclass(frozen=True)
class Request:
    """A case that is to be run."""

    root: Path
    # Below the root.
    dags_folder: str
    # The id of the DAG, and the file that made it lately, which is asked first.
    workflow: str
    file: Path | None
    case: Case
    # A folder for this case alone, and one for all.
    folder: Path
    shared: Path
    # The empty metadata database.
    template: Path
    keep: bool
    # What all its processes may use together.
    max_memory_mib: float
    # Whether it is to be held in namespaces, if the kernel allows them.
    namespaces: bool

    @property
    def events(self) -> Path:
        """The folder of what the case tells of itself."""
        return self.folder / "events"

    @property
    def given(self) -> Path:
        """The folder of what the case is given."""
        return self.folder / "given"

    @property
    def memory(self) -> Path:
        """The folder of what ends with the namespaces of the case, where it has any."""
        return self.folder / "memory"

    @property
    def home(self) -> Path:
        """Airflow's home."""
        return self.folder / "airflow"

    def log(self, kind: RunKind) -> Path:
        """Return the file of what a run writes."""
        return self.folder / f"{kind}.log"

    def alerts(self, kind: RunKind) -> Path:
        """Return the folder of the events that PagerDuty would have got."""
        return self.folder / f"{kind}.alerts"
