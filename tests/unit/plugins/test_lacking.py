# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks: the question is run here, with the host's programs in the test's hands."""

import os
import subprocess

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import lacking

NOTHING = {"packages": [], "services": [], "paths": [], "links": [], "accounts": []}
AIRFLOW = {"name": "airflow", "group": "airflow", "home": "/home/airflow", "shell": "/bin/false"}
ENTRY = "airflow:x:1:2:a comment:/home/airflow:/bin/false"
PROGRAMS = {
    "dpkg-query": """
        for package; do
          case $package in
            redis) echo "package=redis installed" ;;
            removed) echo "package=removed config-files" ;;
            broken) echo "package=broken half-installed" ;;
          esac
        done
        echo "no packages found matching $package" >&2
        exit 1""",
    "systemctl": """
        case "$2 $3" in
          "is-active runs"|"is-enabled runs"|"is-active disabled"|"is-enabled stopped") exit 0 ;;
        esac
        exit 3""",
    "id": 'case $3 in airflow) echo "${GROUP_OF_AIRFLOW:-airflow}" ;; *) exit 1 ;; esac',
    "getent": """
        [ "$2" = airflow ] || exit 2
        case $1 in passwd) echo "$ENTRY" ;; *) exit 2 ;; esac""",
    "stat": 'echo "${OWNER_OF_LINKS:-root:root}"',
}


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks this machine, and returns what it said."""
    for name, text in PROGRAMS.items():
        tmp_path.joinpath(name).write_text(f"#!/bin/sh\n{text}\n")
        tmp_path.joinpath(name).chmod(0o755)

    def run(wanted, **variables):
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            lacking.question(NOTHING | wanted),
            env={"PATH": path, "ENTRY": ENTRY, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout

    return run


@pytest.mark.parametrize(
    ("wanted", "missing", "variables"),
    [
        ({}, {}, {}),
        ({"packages": ["redis"]}, {}, {}),
        ({"packages": ["removed", "redis", "broken", "unknown"]},
         {"packages": ["removed", "broken", "unknown"]}, {}),
        ({"services": ["stopped", "runs", "disabled", "unknown"]},
         {"services": ["stopped", "disabled", "unknown"]}, {}),
        ({"paths": ["/", "/nowhere", "/a path"]}, {"paths": ["/nowhere", "/a path"]}, {}),
        ({"accounts": [AIRFLOW]}, {}, {}),
        ({"accounts": [AIRFLOW]}, {"accounts": ["airflow"]}, {"GROUP_OF_AIRFLOW": "users"}),
        ({"accounts": [AIRFLOW | {"home": "/srv"}]}, {"accounts": ["airflow"]}, {}),
        ({"accounts": [AIRFLOW | {"shell": "/bin/sh"}]}, {"accounts": ["airflow"]}, {}),
        ({"accounts": [AIRFLOW | {"name": "other"}]}, {"accounts": ["other"]}, {}),
        # What a name could do to the question, or its answer.
        ({"paths": ["$(touch /x)", "a\npath=b"]}, {"paths": ["$(touch /x)", "a\npath=b"]}, {}),
        ({"services": ["runs; true", ""]}, {"services": ["runs; true", ""]}, {}),
    ],
)  # fmt: skip
def test_what_is_lacking(ask, wanted, missing, variables):
    complete = NOTHING | wanted
    assert lacking.lacking(complete, ask(complete, **variables)) == NOTHING | missing


def test_a_link_is_roots_and_leads_where_it_is_wanted(ask, tmp_path):
    link = tmp_path / "current"
    link.symlink_to("environments/b=c")
    wanted = [{"path": str(link), "to": to} for to in ("environments/b=c", "environments/b", "")]
    wanted.append({"path": str(tmp_path / "none"), "to": "x"})
    told = ask({"links": wanted})
    assert told == f"link={link}=environments/b=c\n"
    assert lacking.lacking(NOTHING | {"links": wanted}, told)["links"] == [
        *[str(link)] * 2,
        str(tmp_path / "none"),
    ]
    assert ask({"links": wanted}, OWNER_OF_LINKS="airflow:airflow") == ""


@pytest.mark.parametrize(
    "answer",
    [
        *("", "package=redis installed", "package=redis-server", "package=redis \n"),
        *("x\n" * 9, "\x1b[2Jpackage=redis", "service=redis"),
    ],
)
def test_what_is_told_in_another_way_is_lacking(answer):
    assert lacking.lacking(NOTHING | {"packages": ["redis"]}, answer)["packages"] == ["redis"]
