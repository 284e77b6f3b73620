"""What the gate blocks for: what Airflow reads of a release. Elsewhere it warns."""

import json

import pytest
from airflow_dag_sync import airflowignore
from airflow_dag_sync.errors import BlockedError
from airflow_dag_sync.gate import WAY_OUT, Gate
from airflow_dag_sync.scope import Scope
from airflow_dag_sync.settings import Settings

BROKEN = "def f(:\n"
DAG = "from airflow.sdk import DAG\n"

pytestmark = pytest.mark.remotes("local")


def link(remote, name, target):
    (remote.files / name).parent.mkdir(parents=True, exist_ok=True)
    (remote.files / name).symlink_to(target)


@pytest.fixture
def judged(gated, tmp_path):
    """Write the files of a release; return what the gate warns of, asked as a sync asks it."""

    def judge(files, dags_folder="dags"):
        release = tmp_path / "release"
        for name, content in files.items():
            (release / name).parent.mkdir(parents=True, exist_ok=True)
            (release / name).write_text(content)
        gated.settings_file.write_text(json.dumps(gated.settings | {"dags_folder": dags_folder}))
        return Gate(Settings.load(gated.settings_file)).check(release, None, tmp_path / "output")

    return judge


@pytest.mark.parametrize(
    ("dags_folder", "files", "blocking"),
    [
        ("dags", {"dags/b.py": BROKEN, "scripts/b.py": BROKEN}, "dags/b.py"),
        ("dags", {"lib/b.py": BROKEN, "library/b.py": BROKEN}, "lib/b.py"),
        ("dags", {"util/b.py": BROKEN, "b.py": BROKEN}, "util/b.py"),
        ("dags", {"configs/b.py": BROKEN, "dags2/b.py": BROKEN}, "configs/b.py"),
        ("airflow/dags", {"airflow/dags/b.py": BROKEN, "dags/b.py": BROKEN}, "airflow/dags/b.py"),
        (".", {"b.py": BROKEN}, "b.py"),
        (".", {"deep/er/b.py": BROKEN}, "deep/er/b.py"),
    ],
)
def test_what_blocks(judged, dags_folder, files, blocking):
    """The reason names what blocks, and the way out; what does not is not in it."""
    with pytest.raises(BlockedError) as caught:
        judged({"dags/a.py": "", **files}, dags_folder)
    assert str(caught.value) == f"{blocking}:1: invalid syntax ({WAY_OUT})"


def test_what_blocks_is_not_published(remote, gated, first):
    remote.write("dags/b.py", BROKEN)
    sha = remote.commit("two")
    output = gated.run(code=4)
    assert output == f"blocked {sha}: dags/b.py:1: invalid syntax ({WAY_OUT})\n"
    assert gated.published == first


def test_what_warns(remote, gated, first):
    """It is published, and said once: when it is, and in the status as long as it is."""
    remote.write("scripts/old.py", 'print "hello"\n')
    link(remote, "logs/latest", "/opt/airflow/logs/today")
    sha = remote.commit("two")
    output = gated.run()
    warning = (
        "logs/latest is a link that leads out of the repository, to /opt/airflow/logs/today; "
        "scripts/old.py:1: Missing parentheses in call to 'print'. Did you mean print(...)? "
        "(not read by Airflow)"
    )
    assert output == f"published {sha} (main)\nwarning of {sha}: {warning}\n"
    assert gated.status["warnings"] == [warning]
    assert gated.run() == f"unchanged {sha} (main)\n"
    assert gated.status["warnings"] == [warning]
    # Roll back and forth: the warnings are the release's.
    gated.run("rollback", first)
    assert gated.status["warnings"] == []
    assert f"warning of {sha}: {warning}\n" in gated.run("rollback", sha)


def test_only_a_few_warnings_of_many(remote, gated, first):
    for number in range(8):
        remote.write(f"scripts/{number}.py", BROKEN)
    remote.commit("two")
    assert " and 3 more (not read by Airflow)\n" in gated.run()
    assert gated.published != first


def test_ignored_by_airflow(remote, gated, first):
    remote.write("dags/templates/t.py", "{% for t in tables %}\n")
    remote.write("dags/.airflowignore", "templates/\n")
    second = remote.commit("two")
    assert f"published {second} (main)\nwarning of {second}: dags/templates/t.py" in gated.run()
    assert second != first
    # The file is as it was, and Airflow reads it from now on.
    (remote.files / "dags/.airflowignore").unlink()
    sha = remote.commit("three")
    assert gated.run(code=4).startswith(f"blocked {sha}: dags/templates/t.py:1: invalid syntax")
    assert gated.published == second


def test_no_folder_of_dags(remote, gated, first):
    remote.git("rm", "--quiet", "-r", "dags")
    remote.write("airflow/dags/team/a.py", DAG)
    remote.write("src/pipelines/a.py", DAG)
    remote.write("src/pipelines/helpers/b.py", "x = 1\n")
    remote.write("tests/dags/test_a.py", "x = 1\n")
    remote.git("add", "--all")
    remote.git("commit", "--quiet", "--message", "two")
    sha = remote.git("rev-parse", "HEAD")
    problem = "it has no folder dags, and DAGs are in airflow/dags, src/pipelines"
    assert gated.run(code=4) == f"blocked {sha}: {problem}: set dag_sync_dags_folder\n"
    assert gated.published == first
    # Also where no interpreter checks the files; and other settings are tried at once.
    gated.settings["gate_python"] = ""
    assert gated.run("--splay", code=4) == ""
    gated.settings["dags_folder"] = "airflow/dags"
    gated.run("--splay")
    assert gated.published == sha


def test_another_folder_of_dags_than_the_published_release_has(gated, first):
    """It stays published, and is not called fine, since Airflow finds no DAG in it any more."""
    gated.settings["dags_folder"] = "airflow/dags"
    problem = (
        f"{first} is published, and it has no folder airflow/dags, and DAGs are in dags: "
        "set dag_sync_dags_folder"
    )
    assert gated.run(code=2) == f"failed: {problem}\n"
    assert gated.status["error"] == problem
    assert gated.published == first
    gated.settings["dags_folder"] = "dags"
    assert f"unchanged {first} (main)\n" in gated.run()
    assert gated.status["error"] is None


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "no file looks like one of DAGs"),
        ({"x.py": "x = 1\n"}, "no file looks like one of DAGs"),
        ({"x.py": DAG, "tests/x.py": DAG}, "DAGs are in its root ('.')"),
        ({"etl/x.py": DAG, "etl/tests/x.py": DAG, "tests/x.py": DAG}, "DAGs are in etl"),
        ({"tests/x.py": DAG}, "DAGs are in tests"),
        ({"a/b/x/x.py": DAG, "a/b/y/x.py": DAG, "a/c/x.py": DAG}, "DAGs are in a/b, a/c"),
        ({"x/x.py": DAG, "y/x.py": DAG}, "DAGs are in x, y"),
        # Nothing there looks like one, and the name says so.
        ({"airflow/dags/a.py": "x = 1\n"}, "DAGs are in airflow/dags"),
        ({"a/dags/x.py": DAG, "a/dags/b/dags/x.py": DAG, "c/x.py": DAG}, "DAGs are in a/dags, c"),
    ],
)
def test_where_dags_are(remote, node, files, found):
    for name, content in {"README": "", **files}.items():
        remote.write(name, content)
    remote.git("add", "--all")
    remote.git("commit", "--quiet", "--message", "one")
    assert f": it has no folder dags, and {found}: set dag_sync_" in node.run(code=4)
    assert node.status["published"] is None


@pytest.fixture
def reads(tmp_path):
    """Make files and links of a release, and tell which of the paths Airflow reads."""

    def reads(paths, *, links=None, ignore=None, dags_folder="dags", syntax=airflowignore.GLOB):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        for name, target in (links or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(target)
        for name, text in (ignore or {}).items():
            (tmp_path / name).write_text(text)
        scope = Scope(tmp_path, dags_folder, syntax)
        return [path for path in paths if scope.reads(path)]

    return reads


@pytest.mark.parametrize(
    ("links", "ignore", "read"),
    [
        ({}, {}, []),
        # Links that Airflow follows, and one that it does not.
        ({"dags/team": "../team"}, {}, ["team/a.py", "team/tests/b.py"]),
        ({"dags/a.py": "../team/a.py"}, {}, ["team/a.py"]),
        ({"lib": "team"}, {}, ["team/a.py", "team/tests/b.py"]),
        ({"dags": "team"}, {}, ["team/a.py", "team/tests/b.py"]),
        ({"scripts/team": "../team"}, {}, []),
        # By the path that Airflow takes.
        ({"dags/team": "../team"}, {"dags/.airflowignore": "team/tests\n"}, ["team/a.py"]),
        ({"dags": "team"}, {"team/.airflowignore": "tests/\n"}, ["team/a.py"]),
        ({"dags/team": "../team"}, {"dags/.airflowignore": "team\n"}, []),
    ],
)
def test_links(reads, links, ignore, read):
    paths = ["team/a.py", "team/tests/b.py"]
    if "dags" not in links:
        paths.append("dags/x/y.py")
        read = [*read, "dags/x/y.py"]
    assert reads(paths, links=links, ignore=ignore) == read


def test_syntax_of_airflow(tmp_path):
    """The syntax is the one that Airflow on this host is configured to use."""
    file = tmp_path / "airflow.cfg"
    assert airflowignore.syntax_of(file) == "glob"
    for text, syntax in {
        "": "glob",
        "[core]\n": "glob",
        "[core]\ndag_ignore_file_syntax = regexp\nother = %(none)s\n": "regexp",
        "[core]\ndag_ignore_file_syntax =\n": "glob",
        "no ini": "glob",
    }.items():
        file.write_text(text)
        assert airflowignore.syntax_of(file) == syntax


PATHS = [
    "a.py", "b.py", "ab.py", "a b.py", "#1.py", "tests/a.py", "team/a.py", "team/tests/a.py",
    "team/x/y/a.py", "team/x/y/z/b.py", "[x].py", "team/tests.py",
]  # fmt: skip
# tests/airflow/test_airflowignore.py compares with Airflow itself.
IGNORED = {
    "tests": ["tests/a.py", "team/tests/a.py"],
    "tests/": ["tests/a.py", "team/tests/a.py"],
    "/tests": ["tests/a.py"],
    "/a.py": ["a.py"],
    "team/*/y": ["team/x/y/a.py", "team/x/y/z/b.py"],
    "team/**/a.py": ["team/a.py", "team/tests/a.py", "team/x/y/a.py"],
    "[!a].py": ["b.py", "team/x/y/z/b.py"],
    "*.py\n!a.py\nteam/a.py": [
        "b.py", "ab.py", "a b.py", "#1.py", "team/a.py", "team/x/y/z/b.py", "[x].py",
        "team/tests.py",
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", IGNORED)
def test_airflowignore(reads, text):
    paths = [f"dags/{path}" for path in PATHS]
    read = reads(paths, ignore={"dags/.airflowignore": f"{text}\n"})
    assert [path for path in paths if path not in read] == [
        f"dags/{path}" for path in IGNORED[text]
    ]


def test_airflowignore_in_a_folder(reads):
    """It is about what is below it, and goes on from those above."""
    paths = ["dags/a.py", "dags/b.py", "dags/team/a.py", "dags/team/b.py", "dags/team/x/c.py"]
    ignore = {"dags/.airflowignore": "a.py\n", "dags/team/.airflowignore": "!a.py\n/b.py\n/x\n"}
    assert reads(paths, ignore=ignore) == ["dags/b.py", "dags/team/a.py"]


def test_airflowignore_as_regexps(reads):
    """They are searched for in the path from the folder of DAGs on, wherever the file is."""
    paths = ["dags/a.py", "dags/team/a.py", "dags/team/b.py", "dags/x/b.py"]
    ignore = {"dags/.airflowignore": "^a\n(\n", "dags/team/.airflowignore": "team/b\n"}
    read = reads(paths, ignore=ignore, syntax=airflowignore.REGEXP)
    assert read == ["dags/team/a.py", "dags/x/b.py"]


RUN = "import airflow.sdk  # a DAG\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("dags/etl/b.py", "from .base import X\n", ("from .base import", "from etl.base import")),
        ("dags/b.py", "\nfrom .base import X\n", ("from .base import", "from base import")),
        ("dags/b.py", "from . import base\n", ("from . import", "import base")),
        ("dags/b.py", "from . import (a,\n  b as c)\n", ("from . import", "import a, b as c")),
        ("dags/b.py", "from . import *\n", ("from . import", None)),
        ("dags/a/b.py", "from . import base\n", ("from . import", "from a import")),
        ("dags/a/b/c.py", "from ..x.y import z\n", ("from ..x.y import", "from a.x.y import")),
        ("dags/a/b.py", "from ...lib import z\n", ("from ...lib import", "from lib import")),
        ("dags/b.py", "from ...x import z\n", ("from ...x import", None)),
        ("dags/my-team/b.py", "from .x import z\n", ("from .x import", None)),
        ("dags/a/__init__.py", "from .b import z\n", ("from .b import", "from a.b import")),
        # What is not run by itself, need not fail, or is no such import.
        ("lib/b.py", "from .base import X\n", None),
        ("dags/b.py", "try:\n    from .base import X\nexcept ImportError:\n    pass\n", None),
        ("dags/b.py", "def f():\n    from .base import X\n", None),
        ("dags/b.py", '"""\nfrom .base import X\n"""\n', None),
        ("dags/tests/b.py", "from .base import X\n", None),
    ],
)
def test_a_relative_import_of_a_file_that_airflow_runs(judged, name, content, expected):
    """The warning says what to write."""
    warnings = judged({"dags/.airflowignore": "tests/\n", name: content + RUN})
    if expected is None:
        assert warnings == []
        return
    relative, absolute = expected
    line = 1 + content.index("from") - content.lstrip("\n").index("from")
    instead = f"write '{absolute}'" if absolute else "give the module's whole name"
    assert warnings == [
        f"{name}:{line}: Airflow runs this file by itself, so that '{relative}' fails: {instead}, "
        "or name the file in .airflowignore if it has no DAG"
    ]


def test_a_release_with_such_an_import_is_published(remote, gated, first):
    """Others may import the file; the warning is said, and stays in the status."""
    remote.write("dags/etl/b.py", f"from .base import X\n{RUN}")
    sha = remote.commit("two")
    output = gated.run()
    (warning,) = gated.status["warnings"]
    assert warning.startswith("dags/etl/b.py:1: Airflow runs this file by itself, so that ")
    assert output == f"published {sha} (main)\nwarning of {sha}: {warning}\n"
    assert gated.published != first


def test_a_helper_with_a_relative_import(remote, gated, first):
    """A file that Airflow does not run is imported by others, where the import is fine."""
    remote.write("dags/etl/load.py", "from .base import X\n")
    sha = remote.commit("two")
    assert gated.run() == f"published {sha} (main)\n"
    assert gated.published != first
