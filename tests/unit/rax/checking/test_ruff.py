"""PEP 8, pyflakes and Airflow's moves by ruff: whose settings count, and a ruff that is none."""

import os
import sys
import textwrap

import pytest

from rax.checking import _files
from rax.checking._files import _ruff
from rax.errors import CommandError

OLD = "from airflow.models import Variable\n\nx = Variable\n"
LONG = f"x = {'1' * 90}\n"
UNUSED = "import os\n"


def found(repository, **options):
    findings = _files.check(repository.project(**options)).findings
    return [(one.file, one.line, one.rule) for one in sorted(findings)]


@pytest.mark.parametrize(("files", "expected"), [
    ({}, []),
    ({"a.py": "x = 1\n"}, []),
    # Without settings: PEP 8 and pyflakes, and what Airflow 3 has moved.
    ({"a.py": UNUSED}, [("a.py", 1, "F401")]),
    ({"a.py": LONG}, [("a.py", 1, "E501")]),
    ({"a.py": "x = 1 \n"}, [("a.py", 1, "W291")]),
    ({"a.py": "def f():\n\treturn 1\n"}, [("a.py", 2, "W191")]),
    ({"a.py": OLD}, [("a.py", 3, "AIR311")]),
    ({"a.py": "import sys\n\nprint(sys, 'x')\n"}, [("a.py", 3, "format")]),
    # The repository's own say what is right, wherever they are.
    ({"a.py": LONG, "ruff.toml": "line-length = 100"}, []),
    ({"a.py": LONG, "pyproject.toml": "[tool.ruff]\nline-length = 100"}, []),
    ({"a.py": LONG, "pyproject.toml": "[tool.black]\nline-length = 100"}, [("a.py", 1, "E501")]),
    ({"a.py": LONG, "x/b.py": LONG, "x/.ruff.toml": "line-length = 100"}, [("a.py", 1, "E501")]),
    ({"a.py": LONG, "x/y/b.py": LONG, "ruff.toml": "line-length = 100",
      "x/pyproject.toml": ""}, []),
    ({"a.py": UNUSED, "ruff.toml": "lint.select = ['N']"}, []),
    ({"a.py": UNUSED, "ruff.toml": "extend = 'x/y.toml'",
      "x/y.toml": "lint.ignore = ['F401']"}, []),
    ({"a.py": UNUSED, "ruff.toml": "exclude = ['a.py']"}, []),
    ({"a.py": "x = 1 \ny = (\n", "ruff.toml": "exclude = ['a.py']"}, [("a.py", 2, "syntax")]),
    # What Airflow 3 has moved is found, unless they say otherwise.
    ({"a.py": OLD, "ruff.toml": "lint.select = ['F']"}, [("a.py", 3, "AIR311")]),
    ({"a.py": OLD, "ruff.toml": "lint.ignore = ['AIR311']"}, []),
    ({"a.py": OLD, "ruff.toml": "ignore = ['AIR3']"}, []),
    ({"a.py": OLD, "ruff.toml": "lint.per-file-ignores = {'a.py' = ['AIR']}"}, []),
    ({"a.py": OLD.replace("= Variable", "= Variable  # no" "qa: AIR311")}, []),
    # What cannot be run is said once, and nothing else of that file.
    ({"a.py": "import os\nx=(\n\t1\n"}, [("a.py", 2, "syntax")]),
    ({"a.py": "print 'x'\n", "b.py": "def f(:\n"}, [("a.py", 1, "syntax"), ("b.py", 1, "syntax")]),
    ({"a.py": "x = '\xff'\n".encode("latin-1")}, [("a.py", 1, "syntax")]),
    ({"a.py": "#" * 5_000_001}, [("a.py", 0, "unreadable")]),
    # This Python may run it, and the repository says that others have to.
    ({"a.py": "match 1:\n    case 1:\n        pass\n", "ruff.toml": "target-version = 'py39'"},
     [("a.py", 1, "syntax")]),
])  # fmt: skip
def test_what_is_found(repository, files, expected):
    assert found(repository.write(files)) == expected


@pytest.mark.parametrize(("settings", "line"), [
    ("[lint\n", 1),
    ("x = 1\n", 1),
    ("\nlint.select = ['XYZ']\n", 0),
    ("required-version = '>=99'", 0),
    ("lint.select = []", 0),
    ("extend = 'x.toml'", 0),
    ("extend = '../x.toml'", 0),
    ("extend = '/etc/passwd'", 0),
    ("extend = '~/x.toml'", 0),
    ("extend = '$HOME/x.toml'", 0),
    ("extend = 'ruff.toml'", 0),
])  # fmt: skip
def test_settings_that_are_wrong(repository, settings, line):
    repository.write({"a.py": UNUSED, "ruff.toml": settings})
    assert found(repository) == [("ruff.toml", line, "ruff-settings")]


def test_what_is_said(repository):
    repository.write({"a b.py": "import os\nx = 1 \n", "dags/c.py": "x=1\n",
                      "dags/ruff.toml": "lint.select = ['XYZ']"})  # fmt: skip
    said = [one[3:6] for one in sorted(_files.check(repository.project()).findings)]
    assert said == [
        ("`os` imported but unused", "Remove unused import: `os`", False),
        ("Trailing whitespace", "ruff format 'a b.py'", False),
        (
            "ruff does not take these settings: Unknown rule selector `XYZ` in `select` from "
            "`dags/ruff.toml`",
            "",
            False,
        ),
    ]


@pytest.mark.parametrize(("settings", "warning"), [
    (None, True), ("lint.select = ['F']", True), ("lint.select = ['ALL']", False),
    ("lint.extend-select = ['AIR3']", False), ("select = ['F', 'AIR']", False),
])  # fmt: skip
def test_what_still_works_is_a_warning(repository, settings, warning):
    repository.write({"a.py": OLD} | ({"ruff.toml": settings} if settings else {}))
    findings = _files.check(repository.project()).findings
    assert {one.rule: one.warning for one in findings}["AIR311"] is warning


def test_how_tasks_are_named_is_a_warning(repository):
    text = "from airflow.sdk import DAG\n\nwith DAG('a', schedule=None):\n    pass\nDAG('b')\n"
    repository.write({"a.py": text, "ruff.toml": "lint.select = ['F']\nexclude = ['x']"})
    findings = _files.check(repository.project()).findings
    assert {(one.line, one.rule, one.warning) for one in findings} >= {(5, "AIR002", True)}


def test_what_no_longer_works_is_a_problem(repository):
    repository.write({"a.py": "from airflow.utils.dates import days_ago\n\nx = days_ago(1)\n"})
    (finding,) = _files.check(repository.project()).findings
    assert (finding.rule, finding.warning) == ("AIR301", False)


@pytest.mark.parametrize("name", ["a\nb.py", "-x.py", "@x.py", "a:1:2.py", "é\x1b.py", b"\xff.py"])
def test_hostile_names(repository, name):
    repository.write({name: UNUSED})
    assert found(repository) == [(os.fsdecode(name), 1, "F401")]


def test_what_changed_alone_is_looked_at(repository):
    repository.write({"a.py": UNUSED, "b.py": UNUSED}).commit()
    repository.write({"b.py": UNUSED * 2, "c.py": UNUSED})
    files = {file for file, *_ in found(repository, since="HEAD")}
    assert files == {"b.py", "c.py"}


def test_many_files(repository, monkeypatch):
    """Their names do not fit into one command line."""
    monkeypatch.setattr(_ruff, "_MAX_NAMES_BYTES", 20)
    names = [f"{number:07}.py" for number in range(5)]
    repository.write(dict.fromkeys(names, UNUSED))
    assert found(repository) == [(name, 1, "F401") for name in names]


def test_nothing_is_written(repository, monkeypatch, tmp_path):
    """Whatever the repository's settings and the environment ask for."""
    settings = "fix = true\nunsafe-fixes = true\ncache-dir = 'cache'"
    repository.write({"a.py": UNUSED, "b.py": "x=1\n", "ruff.toml": settings})
    monkeypatch.setenv("RUFF_OUTPUT_FILE", str(tmp_path / "written"))
    monkeypatch.setenv("RUFF_CACHE_DIR", str(tmp_path / "written"))
    before = {path: path.read_bytes() for path in repository.root.rglob("*")}
    assert len(found(repository)) == 2
    assert {path: path.read_bytes() for path in repository.root.rglob("*")} == before
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["ruff.toml", "x.toml"])
def test_no_line_of_a_file_outside_is_quoted(repository, tmp_path, name):
    (tmp_path / "outside").write_text("a secret line\n")
    repository.write({"a.py": UNUSED, "ruff.toml": "extend = 'x.toml'"})
    (repository.root / name).unlink(missing_ok=True)
    (repository.root / name).symlink_to("../outside")
    (finding,) = _files.check(repository.project()).findings
    assert finding.file == "ruff.toml"
    assert "secret" not in str(finding)


def test_settings_above_and_of_a_person_do_not_count(repository, tmp_path, monkeypatch):
    (tmp_path / "ruff.toml").write_text("lint.ignore = ['F401']")
    (tmp_path / "home/ruff").mkdir(parents=True)
    (tmp_path / "home/ruff/ruff.toml").write_text("lint.ignore = ['F401']")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert found(repository.write({"a.py": UNUSED})) == [("a.py", 1, "F401")]


# A ruff that is none


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a program in the place of ruff."""

    def put(body):
        path = tmp_path / "bin/ruff"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable}\nimport json, sys, time\n{textwrap.dedent(body)}\n")
        path.chmod(0o755)
        monkeypatch.setattr(_ruff, "find_ruff", lambda: str(path))

    return put


ENTRY = (
    '{"filename": sys.argv[-1], "code": "F", "message": "x", "location": {"row": 1}, "fix": None}'
)


@pytest.mark.parametrize(("body", "problem"), [
    ("print('no JSON')", "ruff answered with something that is no list of findings"),
    ("print('{}')", ""),
    ("print('7')", "ruff answered with"),
    ("print('[7]')", "ruff answered with"),
    ("print('[' * 100000)", "ruff answered with"),
    (f"print(json.dumps([{ENTRY} | {{'message': 7}}]))", "ruff answered with"),
    (f"print(json.dumps([{ENTRY} | {{'filename': '/etc/passwd'}}]))", "ruff answered with"),
    (f"print(json.dumps([{ENTRY} | {{'location': {{'row': '1'}}}}]))", "ruff answered with"),
    (f"print(json.dumps([{ENTRY} | {{'location': None}}]))", "ruff answered with"),
    ("print('x' * 1001)", "ruff finds more than can be listed"),
    ("time.sleep(60)", "ruff check did not end within 1 s"),
    ("sys.exit('boom')", ""),
    ("sys.stderr.write('boom\\n'); sys.exit(101)", "ruff failed: boom"),
    ("sys.exit(101)", "ruff failed: it ended with 101"),
    ("sys.stderr.write('ruff failed\\n  Cause: no\\n 1 | x\\n'); sys.exit(2)", "ruff failed: no"),
])  # fmt: skip
def test_a_ruff_that_is_none(repository, fake, monkeypatch, body, problem):
    fake(body)
    monkeypatch.setattr(_ruff, "_MAX_SECONDS", 1)
    monkeypatch.setattr(_ruff, "_MAX_ANSWER_BYTES", 1000 + 200_000 * ("100000" in body))
    project = repository.write({"a.py": "x = 1\n"}).project()
    if not problem:
        # It has found nothing.
        assert _files.check(project).findings == []
        return
    with pytest.raises(CommandError, match=problem):
        _files.check(project)


def test_no_ruff(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        CommandError, match=r"there is no ruff in .* run \./rax check, which brings"
    ):
        _ruff.find_ruff()


def test_a_ruff_that_cannot_be_run(repository, monkeypatch, tmp_path):
    monkeypatch.setattr(_ruff, "find_ruff", lambda: str(tmp_path))
    with pytest.raises(CommandError, match="cannot be run: Permission denied"):
        _files.check(repository.write({"a.py": ""}).project())
