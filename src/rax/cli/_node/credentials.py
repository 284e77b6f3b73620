# SPDX-License-Identifier: Apache-2.0
"""The credentials of this node, and what doctor says of them."""

from rax._layout import duration
from rax.cli._node._part import ABSENT, Part, Problem


def credentials() -> Part:
    """Count the credentials; tell the first finding of each kind, and how many more."""
    from rax.cli._credential_states import age
    from rax.cli._doctor import Finding, examine
    from rax.credentials._files import directory

    try:
        directory().lstat()
    except FileNotFoundError:
        return ABSENT
    except OSError:
        # The reason is among the findings below.
        pass
    names, findings = examine([])
    ages = [seconds for name in names if (seconds := age(name)) is not None]
    oldest = max(ages, default=None)
    found = {
        "count": len(names),
        "oldest_age_seconds": None if oldest is None else round(oldest),
        "problems": len(findings),
    }
    confirmed = "" if oldest is None else f", the oldest confirmed {duration(oldest)} ago"
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    problems = []
    for kind, (first, *others) in kinds.items():
        more = f" ({len(others)} more)" if others else ""
        problems.append(
            Problem(
                "credentials",
                kind,
                f"{first.what}: {first.problem}{more}; `rax credentials doctor` says what to do",
            )
        )
    return Part(found, [f"{len(names)}{confirmed}"], problems)
