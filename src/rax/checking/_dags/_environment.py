# SPDX-License-Identifier: Apache-2.0
"""What Airflow and the environment have, asked in the process that has Airflow.

Nothing of an author is loaded for it.
"""

import importlib
import importlib.util
import inspect
import sys
import warnings
from typing import Any

# The verdicts on an import of Airflow.
FINE, DEPRECATED, MISSING, NEEDS, FAILS = "fine", "deprecated", "missing", "needs", "fails"


def verdict(module: str, name: str | None) -> tuple[str, str]:
    """Import a module of Airflow, or a name of it; return the verdict and what it is about."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = importlib.import_module(module)
            if name is not None and name != "*" and not _has(found, module, name):
                return MISSING, f"{module}.{name}"
        except ModuleNotFoundError as error:
            lacking = error.name or ""
            if lacking.partition(".")[0] == "airflow":
                return MISSING, lacking if f"{module}.".startswith(f"{lacking}.") else module
            return NEEDS, lacking
        except Exception as error:  # Airflow's own code may raise anything.
            return FAILS, f"{type(error).__name__}: {error}"
    said = [str(one.message) for one in warned if one.category.__module__.startswith("airflow")]
    return (DEPRECATED, said[0]) if said else (FINE, "")


def _has(found: object, module: str, name: str) -> bool:
    if hasattr(found, name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "") == f"{module}.{name}":
            return False
        raise
    return True


def lacking(module: str, name: str | None) -> str | None:
    """Return the part of a module that the environment lacks; packages above it are loaded."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(module)
        if spec is None:
            return module
        # What is in a namespace, such as google.cloud, are other packages.
        inner = f"{module}.{name}" if name and name != "*" and spec.origin is None else ""
        return inner if inner and importlib.util.find_spec(inner) is None else None
    except ModuleNotFoundError as error:
        return error.name or module
    except Exception:  # A package may raise anything when it is loaded; it is here.
        return None


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer a question about the environment; ``_program`` has both forms."""
    from airflow._shared.module_loading.file_discovery import find_path_from_directory
    from airflow.sdk import DAG
    from airflow.version import version

    return {
        "version": version,
        "airflow": [verdict(module, name) for module, name in question["airflow"]],
        "others": [lacking(module, name) for module, name in question["others"]],
        "searched": list(find_path_from_directory(question["dags"], ".airflowignore")),
        "dag_arguments": list(inspect.signature(DAG).parameters),
    }
