# SPDX-License-Identifier: Apache-2.0
"""The sync's gate takes for ignored what Airflow's own search leaves out."""

import pytest
from airflow._shared.module_loading.file_discovery import find_path_from_directory
from airflow_dag_sync.airflowignore import GLOB, NAME, REGEXP, IgnoreFiles

PATHS = [
    "a.py", "b.py", "ab.py", "a b.py", "#1.py", "tests/a.py", "team/a.py", "team/tests/a.py",
    "team/x/y/a.py", "team/x/y/z/b.py", "[x].py", "team/tests.py",
]  # fmt: skip
GLOBS = [
    "", "# a comment", "*", "*.py", "a.py", "a.py # with a comment", "/a.py", "tests", "tests/",
    "/tests", "team/tests", "team/*/y", "team/**/a.py", "**/a.py", "**/y", "team/**",
    "?.py", "[ab].py", "[!a].py", "[a-b].py", "[^b].py", r"\[x\].py", "a b.py", "a b.py  ",
    "*\n!a.py", "*.py\n!a.py\nteam/a.py", "tests/\n!tests/", "x/", "x", "/x", "team/", "/",
    "!a.py", "**", "te*ts", "team/x/*", "a*.py\r", "[", "[]", "a[", "team//tests", "[]x].py",
]  # fmt: skip
REGEXPS = ["", "a", "^a", r"tests/", "team/.*/a", r"\.py$", "(", "# a", "x/y\nb.py", "tests"]


@pytest.mark.parametrize(
    ("syntax", "text"),
    [*((GLOB, text) for text in GLOBS), *((REGEXP, text) for text in REGEXPS)],
)
@pytest.mark.parametrize("place", ["", "team"])
def test_it_ignores_what_airflow_ignores(tmp_path, syntax, text, place):
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / place / NAME).write_text(f"{text}\n")
    found = {*find_path_from_directory(tmp_path, NAME, syntax)}
    files = IgnoreFiles(tmp_path, syntax)
    ours = {str(tmp_path / path) for path in PATHS if not files.match(path)}
    assert ours == found
