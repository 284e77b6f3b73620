# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between a node and Ansible's own output and process.

ansible-core prints a module's warnings, deprecations, errors and diffs as they come, escape
sequences included. 2.19 takes statistics out of any result in the process of all hosts, which a
wrong type ends; 2.21 drops some of the wrong types. Nothing of that has a plugin of its own to be
put right in: all that is printed passes Display.display and Display._log, all that a module returns
passes ActionBase._parse_returned_data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible._internal import _task
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers
from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line, printable

# Ansible's own colours.
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_MARK = "_caspian_guarded"
# What ansible-core makes of a module's answer, from 2.21 on.
_RESULT: Any = getattr(_task, "UnifiedTaskResult", None)


class Shown(str):
    """A text of several lines that was made printable and has Ansible's colours in it since."""

    __slots__ = ()


def install(display: Display) -> None:
    """Guard this process and those that it forks; a second call does nothing."""
    if hasattr(display, _MARK):
        return
    setattr(display, _MARK, True)
    _guard_display(display)
    _guard_diffs()
    _guard_results()


def shown(message: str) -> str:
    """Return what may be printed of a message: its first line begins where Ansible's lines do.

    Others are indented, since a node could tell in them of another one. A banner has an empty line
    before it.
    """
    text = printable(message.replace("\r\n", "\n"), lines=True)
    first, *rest = text.split("\n")
    if not rest or not first:
        return text
    return "\n".join([first, *(f"  {line}" if line[:1].strip() else line for line in rest)])


def _guard_display(display: Display) -> None:
    # In a forked process, these hand the text to the main one, which is guarded too.
    show, log = display.display, display._log

    def guarded_show(msg: Any, *args: Any, **options: Any) -> None:
        if isinstance(msg, Shown) or not isinstance(msg, str):
            show(msg, *args, **options)
        elif options.get("screen_only"):
            # It is the recap: names of the inventory and numbers, in colours.
            parts = _COLOUR.split(msg)
            parts[::2] = [shown(part) for part in parts[::2]]
            show("".join(parts), *args, **options)
        else:
            show(shown(msg), *args, **options)

    def guarded_log(msg: Any, *args: Any, **options: Any) -> None:
        log(shown(msg) if isinstance(msg, str) else msg, *args, **options)

    display.display = guarded_show  # type: ignore[method-assign]  # This is its purpose.
    display._log = guarded_log  # type: ignore[method-assign]  # This is its purpose.


def _guard_diffs() -> None:
    render = CallbackBase._get_diff

    def guarded_diff(self: CallbackBase, difflist: Any) -> str:
        diffs = difflist if isinstance(difflist, list) else [difflist]
        return Shown(render(self, [_diff(diff) for diff in diffs]))

    CallbackBase._get_diff = guarded_diff  # type: ignore[method-assign]  # This is its purpose.


def _diff(diff: dict[str, Any]) -> dict[str, Any]:
    """Return a diff of printable texts, whose lines cannot be taken for Ansible's."""
    clean: dict[str, Any] = _each_text(diff, lambda text: printable(text, lines=True))
    for key in ("before_header", "after_header"):
        if isinstance(clean.get(key), str):
            clean[key] = one_line(clean[key])
    if isinstance(clean.get("prepared"), str):
        clean["prepared"] = "".join(
            f"  {line}" for line in clean["prepared"].splitlines(keepends=True)
        )
    return clean


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_each_text(key, change): _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(item, change) for item in value]
    return value


def _guard_results() -> None:
    parse = ActionBase._parse_returned_data

    def guarded_parse(self: ActionBase, *args: Any, **options: Any) -> Any:
        try:
            result = parse(self, *args, **options)
            return _usable(result) if _RESULT is None else result
        except RecursionError:
            raise _unusable("it is nested too deeply") from None

    replaced = guarded_parse
    ActionBase._parse_returned_data = replaced  # type: ignore[method-assign]  # This is its purpose.
    if _RESULT is not None:
        # The object no longer tells what the module said: a wrong type has become another, or none.
        make = _RESULT.from_module_result_dict
        _RESULT.from_module_result_dict = staticmethod(lambda result: make(_usable(result)))


def _usable(result: Any) -> Any:
    """Return what a module returned, unless the process of all hosts would fall over it."""
    try:
        node_answers.module_result(result)
    except node_answers.AnswerError as error:
        raise _unusable(str(error)) from None
    return result


def _unusable(problem: str) -> AnsibleError:
    return AnsibleError(f"The module's answer cannot be used: {problem}.")
