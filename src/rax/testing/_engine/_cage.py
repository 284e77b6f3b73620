# SPDX-License-Identifier: Apache-2.0
"""What holds the process of a case, so that all ends with it: a process, or two, in between.

Where the kernel allows it, the case is in namespaces of its own. The first process of that tree is
ours: a task cannot kill it, and when it ends, the kernel ends all others, whatever they have done
to get away. Elsewhere, the process with Airflow is told to adopt what a case leaves, and ends it.
"""

import os
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn

from rax.testing._engine import _namespaces


def refusal() -> str:
    """Return why the kernel does not hold a case in namespaces; nothing where it does."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _leave(lambda: os.write(writing, _tried().encode()))
    os.close(writing)
    with open(reading, "rb") as answer:  # noqa: PTH123 - of a descriptor
        said = answer.read().decode()
    _code(child)
    return said


def hold(
    work: Callable[[], None], report: int, of_work: Iterable[int], *, namespaces: bool
) -> NoReturn:
    """Be what holds a process that works, in a process forked for that, and report how it ended.

    :param work: the work, which is called in a process of its own
    :param report: a pipe for how that has ended, as ``os.waitpid`` says it
    :param of_work: descriptors that the work alone keeps, so that it is known when it closes them
    """
    _leave(lambda: _hold(work, report, of_work, namespaces=namespaces))


def _hold(
    work: Callable[[], None], report: int, of_work: Iterable[int], *, namespaces: bool
) -> None:
    _namespaces.end_with_parent()
    os.setsid()
    if not namespaces:
        _watch(work, report, of_work)
        return
    if reason := _namespaces.enter():
        raise OSError(reason)
    first = os.fork()
    if not first:
        _leave(lambda: _be_first(work, report, of_work))
    _close(report, *of_work)
    os.waitpid(first, 0)


def _be_first(work: Callable[[], None], report: int, of_work: Iterable[int]) -> None:
    _namespaces.end_with_parent()
    _namespaces.show_own_processes()
    _watch(work, report, of_work)


def _watch(work: Callable[[], None], report: int, of_work: Iterable[int]) -> None:
    worker = os.fork()
    if not worker:
        _leave(lambda: _work(work, report))
    _close(*of_work)
    os.write(report, b"%d\n" % _code(worker))


def _work(work: Callable[[], None], report: int) -> None:
    _namespaces.end_with_parent()
    os.setsid()
    os.close(report)
    work()


def _code(worker: int) -> int:
    """Wait for a child, and for all that is left to this process meanwhile."""
    while True:
        ended, code = os.wait()
        if ended == worker:
            return code


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _tried() -> str:
    """Try whether namespaces can be had, in a process that is for that alone."""
    if reason := _namespaces.enter():
        return reason
    child = os.fork()
    if not child:
        _leave(_namespaces.show_own_processes)
    return "the kernel refuses a /proc of its own to a case" if _code(child) else ""


def _leave(do: Callable[[], object]) -> NoReturn:
    """Do something, and end this process, which is a fork: nothing of the other goes on in it."""
    code = 1
    # Kept here, since an author's code may put others in their places.
    leave = os._exit
    try:
        do()
        code = 0
    except BaseException:  # An author's code may raise anything, SystemExit too.
        traceback.print_exc()
    finally:
        leave(code)
