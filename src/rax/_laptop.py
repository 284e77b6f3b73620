# SPDX-License-Identifier: Apache-2.0
"""A DAG repository on a laptop: where it is, and the settings of the nodes for what runs there.

Whoever runs code of a repository takes them from here: ``rax run``, ``rax check`` and the plugin of
pytest. What only a laptop has is in the folder ``local`` of the repository, which git ignores.
"""

import os
from pathlib import Path

from rax.errors import CommandError

MARK = "rax.toml"
# What only a laptop has: credentials of test accounts, and configs that are merged over the others.
LOCAL = "local"
CREDENTIALS = f"{LOCAL}/credentials"
CONFIGS = f"{LOCAL}/configs"
# Where a node has its credentials, its settings and the state of both.
NODE = Path("/etc/airflow")


def marked_root(start: Path) -> Path | None:
    """Return the nearest folder from this one upwards that has a ``rax.toml``, or None."""
    return next((folder for folder in _upwards(start) if _is_marked(folder)), None)


def likely_root(start: Path) -> Path | None:
    """Return the nearest folder from this one upwards that looks like a DAG repository, or None.

    It has a ``rax.toml``, or the folders ``dags`` and ``configs``: so tests run in a repository
    that has no ``rax.toml`` yet, and nothing else does.
    """
    return next(
        (folder for folder in _upwards(start) if _is_marked(folder) or _has_dags(folder)), None
    )


def _upwards(start: Path) -> list[Path]:
    start = start.resolve()
    return [start, *start.parents]


def _is_marked(folder: Path) -> bool:
    return (folder / MARK).is_file()


def _has_dags(folder: Path) -> bool:
    return (folder / "dags").is_dir() and (folder / "configs").is_dir()


def find_root(start: Path | None = None) -> Path:
    """Return the repository that a folder is in, or by default the one whose ``./rax`` runs this.

    :raises CommandError: neither it nor a folder above has a ``rax.toml``
    """
    start = here() if start is None else start
    root = marked_root(start)
    if root is None:
        raise CommandError(
            f"{start.resolve()} is in no DAG repository: neither it nor a folder above has a {MARK}"
        )
    return root


def settings(root: Path, dags_folder: str) -> dict[str, str]:
    """Return the variables of the environment that nodes have, for the code of a repository.

    They are to be set before Airflow is imported. AIRFLOW_HOME is not among them: whoever runs
    something brings one that is not in the repository.
    """
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "True",
        "AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE": "rax.airflow.dag_files.might_contain_dag",
        "AIRFLOW__SECRETS__BACKEND": "rax.airflow.secrets.CredentialsBackend",
        "RAX_CONFIG_DIR": str(root / "configs"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def import_path(root: Path, dags_folder: str) -> list[str]:
    """Return what goes to the end of ``sys.path``, where nothing hides a module of Airflow."""
    return list(dict.fromkeys([str(root / dags_folder), str(root)]))


def local_settings(root: Path) -> dict[str, str]:
    """Return the variables that add what only this laptop has: credentials, and other configs.

    What the environment has of them already counts instead.
    """
    configs, overlay = root / "configs", root / CONFIGS
    folders = [configs, overlay] if overlay.is_dir() else [configs]
    return {
        "RAX_CREDENTIALS_DIR": os.environ.get("RAX_CREDENTIALS_DIR") or str(root / CREDENTIALS),
        "RAX_CONFIG_DIR": os.environ.get("RAX_CONFIG_DIR") or os.pathsep.join(map(str, folders)),
    }


def use_local() -> None:
    """Have this process see what ``local_settings`` names, if it is in a repository of a laptop."""
    root = None if NODE.exists() else marked_root(here())
    if root:
        os.environ |= local_settings(root)


def here() -> Path:
    """Return the repository whose ``./rax`` runs this, or else the current folder."""
    # The wrapper may have been called from anywhere.
    return Path(os.environ.get("RAX_REPOSITORY") or "")


def without_airflow(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment without settings of another Airflow, such as a cluster's database.

    Connections and variables that somebody has exported for a run stay.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.lstrip("_").startswith("AIRFLOW_")
        or name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))
    }


def cache_folder() -> Path:
    """Return where rax keeps on a laptop what it could make again: ``rax`` in XDG_CACHE_HOME."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "rax"
