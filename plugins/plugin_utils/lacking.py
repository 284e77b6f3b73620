# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks of what a role wants there: the question, and what its answer means.

Pure functions. The host names what it has, one to a line, and only what was asked for is looked
for in that: what is not named, or is named in some other way, is lacking. So a strange answer
costs a module that finds nothing to do, and a host can deceive about itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The fields of an account that are compared.
ACCOUNT = ("name", "group", "home", "shell")

# Each argument after the first is KIND=WHAT, and is printed if it is so; the first are packages,
# which one process is asked about.
SCRIPT = r"""
packages=$1; shift
[ -z "$packages" ] ||
  dpkg-query --show --showformat='package=${Package} ${db:Status-Status}\n' $packages |
    sed -n 's/ installed$//p'
for wanted; do
  what=${wanted#*=}
  case ${wanted%%=*} in
    service) systemctl --quiet is-active "$what" && systemctl --quiet is-enabled "$what" ;;
    path) [ -e "$what" ] ;;
    link)
      path=${what%%=*}
      [ "$(stat --format='%U:%G' "$path")=$(readlink "$path")" = "root:root=${what#*=}" ] ;;
    account)
      name=${what%%:*}
      [ "$name:$(id --group --name "$name"):$(getent passwd "$name" | cut -d: -f6,7)" = "$what" ] ;;
    *) false ;;
  esac && printf '%s\n' "$wanted"
done
exit 0
"""


def question(wanted: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the program that prints what a host has of what is wanted."""
    words = [word for kind in wanted if kind != "packages" for word in _words(wanted, kind)]
    return [
        "sh",
        "-c",
        f"exec 2>/dev/null{SCRIPT}",
        "lacking",
        " ".join(wanted["packages"]),
        *words,
    ]


def lacking(wanted: Mapping[str, Sequence[Any]], answer: str) -> dict[str, list[str]]:
    """Return what the host lacks of each kind, by name, in the order in which it is wanted."""
    found = set(answer.splitlines())
    return {
        kind: [
            _name(one)
            for one, word in zip(ones, _words(wanted, kind), strict=True)
            if word not in found
        ]
        for kind, ones in wanted.items()
    }


def _words(wanted: Mapping[str, Sequence[Any]], kind: str) -> list[str]:
    return [f"{kind.removesuffix('s')}={_what(kind, one)}" for one in wanted[kind]]


def _what(kind: str, one: Any) -> str:
    if kind == "accounts":
        return ":".join(one[field] for field in ACCOUNT)
    return f"{one['path']}={one['to']}" if kind == "links" else str(one)


def _name(one: Any) -> str:
    return str(one) if isinstance(one, str) else str(one.get("name") or one["path"])
