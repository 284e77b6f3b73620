# SPDX-License-Identifier: Apache-2.0
"""One DAG file, loaded as Airflow's DAG processor does, in a process that is for it alone."""

import contextlib
import importlib.machinery
import importlib.util
import logging
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import get_unique_dag_module_name

from rax.airflow import _recording
from rax.airflow._outcomes import CHECK, SUMMARY, is_check, is_summary
from rax.checking._dags._answers import STANDARD
from rax.checking._dags._effects import Effects, own_file
from rax.workflow._shape import standard_summary

# More than any DAG file needs, and less than would bring the machine down.
MAX_MEMORY_BYTES = 4 * 2**30
_MAX_TEXT_CHARACTERS = 2000


class _TimeOver(BaseException):
    """The file is still being loaded."""


def load(file: str, root: str, path: list[str], seconds: float) -> dict[str, Any]:
    """Load a file, and say what came of it, as ``rax.checking._dags._answers.loaded`` takes it.

    :param file: its path
    :param root: the repository
    :param path: what goes to the end of ``sys.path``
    :param seconds: how long it may take
    """
    _limit()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.path += path
    sys.dont_write_bytecode = True
    effects = Effects(root)
    _recording.record_in(effects)
    effects.watch()
    made: list[tuple[Any, int]] = []
    _note_lines(made, file)
    began = time.process_time()
    error, module = None, None
    effects.is_on = True
    try:
        with _time(seconds):
            module = _run(file)
    except BaseException as problem:  # A file may raise anything, SystemExit too.
        error = _error(problem, root, seconds)
    effects.is_on = False
    spent = time.process_time() - began
    dags = [] if module is None else _dags(module, made)
    loaded = (getattr(one, "__file__", None) or "" for one in list(sys.modules.values()))
    own = {own_file(name, root) for name in loaded if isinstance(name, str)}
    return {
        "seconds": spent,
        "effects": effects.found,
        "error": error,
        "dags": dags,
        "loaded": sorted(name for name in own if name is not None),
    }


def _limit() -> None:
    for kind, most in ((resource.RLIMIT_DATA, MAX_MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


@contextlib.contextmanager
def _time(seconds: float) -> Iterator[None]:
    def end(_signal: int, _frame: FrameType | None) -> None:
        raise _TimeOver

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run(file: str) -> Any:
    """Run the file as Airflow's importer does, and return its module."""
    name = get_unique_dag_module_name(file)
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = name
    loader = importlib.machinery.SourceFileLoader(name, file)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # noqa: S101 - the loader is given
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _note_lines(made: list[tuple[Any, int]], file: str) -> None:
    """Note the line of the file at which each DAG is made."""
    finish = DAG.__attrs_post_init__

    def noting(dag: Any) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != file:
            frame = frame.f_back
        made.append((dag, frame.f_lineno if frame is not None else 0))
        finish(dag)

    DAG.__attrs_post_init__ = noting


def _dags(module: Any, made: list[tuple[Any, int]]) -> list[dict[str, Any]]:
    found = {id(value): value for value in vars(module).values() if isinstance(value, DAG)}
    found |= {id(dag): dag for dag, _module in DagContext.autoregistered_dags}
    # Whoever copies a DAG makes one without being seen.
    lines = {id(dag): line for dag, line in made}
    return [_dag(dag, lines.get(key, 0)) for key, dag in found.items()]


def _dag(dag: Any, line: int) -> dict[str, Any]:
    problem = cycle = ""
    try:
        dag.check_cycle()
    except Exception as error:  # Airflow's own code may raise anything.
        cycle = str(error)
    if not cycle:
        try:
            dag.validate()
            dag.resolve_template_files()
            DagSerialization.to_dict(dag)
        except Exception as error:  # So may an operator's.
            problem = _text(error)
    leaves = [task for task in dag.tasks if not task.downstream_task_ids]
    return {
        "id": str(dag.dag_id),
        "line": line,
        "cycle": cycle,
        "problem": problem,
        "summary": len(leaves) == 1 and is_summary(leaves[0]),
        # One with a cycle has no order.
        "tasks": [[str(task.task_id), _part(task)] for task in _ordered(dag, cycle)],
    }


def _ordered(dag: Any, cycle: str) -> list[Any]:
    return [] if cycle else list(dag.topological_sort())


def _part(task: Any) -> str:
    if is_summary(task):
        is_standard = getattr(task, "python_callable", None) is standard_summary
        return STANDARD if is_standard else SUMMARY
    return CHECK if is_check(task) else ""


def _error(problem: BaseException, root: str, seconds: float) -> dict[str, Any]:
    frames = _own_frames(problem.__traceback__, root)
    kind = type(problem)
    text = _text(problem)
    if isinstance(problem, _TimeOver):
        text = f"it is still being loaded after {seconds:g} s"
    elif isinstance(problem, SystemExit):
        text = f"{text}: it ends Python"
    elif isinstance(problem, SyntaxError) and (
        (broken := own_file(problem.filename or "", root)) is not None
    ):
        frames.append((broken, problem.lineno or 0))
    return {"module": kind.__module__, "kind": kind.__name__, "text": text, "frames": frames}


def _own_frames(trace: TracebackType | None, root: str) -> list[tuple[str, int]]:
    """Return the author's own steps to what was raised, from the file on inwards."""
    found = []
    for frame, line in traceback.walk_tb(trace):
        if (file := own_file(frame.f_code.co_filename, root)) is not None:
            found.append((file, line))
    return found


def _text(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # It is the author's own class.
        said = ""
    name = type(error).__name__
    return f"{name}: {said}"[:_MAX_TEXT_CHARACTERS] if said else name
