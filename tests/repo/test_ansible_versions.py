# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of ansible-core that the collection is for: the locks decide, others say so."""

import re

from tests.repo.rules import layout_tests

LOCKS = ("requirements/refresh.txt", "requirements/deploy.txt", "requirements/dev.txt")
PAGES = ("README.md", "docs/contributing.md")


def series_of(tree, lock):
    """Return the series (2.19) of ansible-core that a lock has, the oldest first."""
    found = re.findall(r"^ansible-core==(\d+)\.(\d+)\.", tree.text(lock), re.MULTILINE)
    return [f"{major}.{minor}" for major, minor in sorted((int(x), int(y)) for x, y in found)]


def other_series(tree):
    """The control node, a person and the tests have the same."""
    wanted = series_of(tree, LOCKS[0])
    return [
        f"{lock}: ansible-core of {series_of(tree, lock)}, and {LOCKS[0]} has {wanted}"
        for lock in LOCKS
        if series_of(tree, lock) != wanted
    ]


def untrue_minimum(tree):
    """The oldest that is tested is what the collection and its roles ask for."""
    oldest = series_of(tree, LOCKS[0])[0]
    told = {"meta/runtime.yml": (tree.yaml("meta/runtime.yml") or {}).get("requires_ansible")}
    for role in tree.names("roles"):
        path = f"roles/{role}/meta/main.yml"
        told[path] = f">={tree.yaml(path)['galaxy_info']['min_ansible_version']}.0"
    return [
        f"{path}: it asks for {shown}, and the oldest that is locked is {oldest}"
        for path, shown in told.items()
        if shown != f">={oldest}.0"
    ]


def series_without_a_word(tree):
    return [
        f"{page}: no word of ansible-core {series}, which {LOCKS[0]} has"
        for page in PAGES
        for series in series_of(tree, LOCKS[0])
        if series not in tree.text(page)
    ]


LOCKED = "ansible-core==2.19.14 ; x \\\n    --hash=sha256:0\nansible-core==2.21.5 ; y \\\n"
ROLE = 'galaxy_info:\n  min_ansible_version: "2.19"\n'
GOOD = {
    **dict.fromkeys(LOCKS, LOCKED),
    **dict.fromkeys(PAGES, "ansible-core 2.19 and 2.21"),
    "meta/runtime.yml": 'requires_ansible: ">=2.19.0"\n',
    "roles/x/meta/main.yml": ROLE,
}
CASES = [
    (other_series, {**GOOD, LOCKS[1]: LOCKED[:30]}, "['2.19'], and"),
    (untrue_minimum, {**GOOD, "meta/runtime.yml": 'requires_ansible: ">=2.16.0"'}, ">=2.16.0, and"),
    (untrue_minimum, {**GOOD, "roles/x/meta/main.yml": ROLE.replace("19", "9")}, "roles/x/meta"),
    (series_without_a_word, {**GOOD, PAGES[0]: "ansible-core 2.19"}, "ansible-core 2.21"),
]

(
    test_the_repository_keeps_what_it_says_of_ansible,
    test_good_files_keep_it,
    test_each_rule_can_fail,
) = layout_tests(CASES, GOOD)
