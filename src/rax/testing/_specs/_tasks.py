# SPDX-License-Identifier: Apache-2.0
"""Tasks as a spec names them: load, load[1], load[*]."""

from rax.testing._model import ALL, TaskKey


def task_key(text: str) -> TaskKey:
    """Return the task that a text names which has the form of one.

    >>> [task_key(text).map_index for text in ("load", "load[1]", "load[*]")]
    [None, 1, -1]
    """
    task_id, bracket, index = text.removesuffix("]").partition("[")
    if not bracket:
        return TaskKey(task_id)
    return TaskKey(task_id, ALL if index == "*" else int(index))
