# SPDX-License-Identifier: GPL-3.0-or-later
"""What layout rules have in common: a rule takes a tree and returns what breaks it, a line each."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from tests.repo.tree import Tree

Rule = Callable[[Tree], list[str]]
# A rule, files that break it, and a part of what it then says.
Case = tuple[Rule, Mapping[str, str], str]
Tests = tuple[Callable, Callable, Callable]
# Rule → what may break it, as the beginning of its line before ": " → why it may.
Exceptions = Mapping[Rule, Mapping[str, str]]


def layout_tests(
    cases: Sequence[Case], good: Mapping[str, str], exceptions: Exceptions | None = None
) -> Tests:
    """Return three tests of a file's rules, for names that begin with `test_`.

    The repository keeps each rule, but for the exceptions, of which each has to be needed. Files
    that are as they should be break no rule. Each case breaks its rule, once.
    """
    rules = list(dict.fromkeys(rule for rule, *_ in cases))

    @pytest.mark.parametrize("rule", rules, ids=lambda rule: rule.__name__)
    def the_repository_keeps(rule, repository):
        found = compared(rule(repository), (exceptions or {}).get(rule, {}))
        assert not found, "\n".join(found)

    @pytest.mark.parametrize("rule", rules, ids=lambda rule: rule.__name__)
    def good_files_keep(rule, make_tree):
        assert rule(make_tree(good)) == []

    @pytest.mark.parametrize(
        ("rule", "files", "expected"), cases, ids=lambda value: getattr(value, "__name__", "")
    )
    def the_rule_can_fail(rule, files, expected, make_tree):
        (found,) = rule(make_tree({**good, **files}))
        assert expected in found

    return the_repository_keeps, good_files_keep, the_rule_can_fail


def compared(found: list[str], exceptions: Mapping[str, str]) -> list[str]:
    """Return what is found and no exception, and the exceptions that are not found."""
    names = {line.partition(": ")[0] for line in found}
    return [
        *(line for line in found if line.partition(": ")[0] not in exceptions),
        *(f"{name}: is no exception any longer" for name in exceptions if name not in names),
    ]
