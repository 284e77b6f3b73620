# SPDX-License-Identifier: Apache-2.0
"""Which files of the folder of DAGs Airflow runs: helpers and scripts beside DAGs it leaves alone.

Airflow asks this where ``[core] dag_discovery_safe_mode`` is on and ``might_contain_dag_callable``
names it::

    [core]
    might_contain_dag_callable = rax.airflow.dag_files.might_contain_dag

A task takes its file from the release whatever this says: only the search asks it.
"""

import zipfile
from pathlib import Path

# A file that makes DAGs has a word of each row in it, in any case. The first row has what DAGs are
# imported from, the second what makes one. Airflow's own guess knows only "airflow", and "dag" or
# "asset". The gate of airflow-dag-sync, which cannot import this, has the same words.
_SOURCES = (b"airflow", b"rax")
_MAKERS = (b"dag", b"asset", b"workflow")


def might_contain_dag(file_path: str, zip_file: zipfile.ZipFile | None = None) -> bool:
    """Return whether Airflow is to run a file of the folder of DAGs, or of an archive in it.

    :param file_path: the file, or a name in ``zip_file``
    :param zip_file: the open archive; an archive as a whole is always looked into
    :raises OSError: the file cannot be read; Airflow logs that and leaves the file out
    """
    if zip_file is not None:
        return looks_like_dags(zip_file.read(file_path))
    return zipfile.is_zipfile(file_path) or looks_like_dags(Path(file_path).read_bytes())


def looks_like_dags(content: bytes) -> bool:
    """Return whether the text of a file has the words that one with DAGs has.

    >>> looks_like_dags(b"from rax.workflow import workflow")
    True
    >>> looks_like_dags(b"LIMIT = 5")
    False
    """
    words = content.lower()
    return all(any(word in words for word in row) for row in (_SOURCES, _MAKERS))
