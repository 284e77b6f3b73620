"""What `rax check` says: at a terminal, in JUnit files, in a page for a pull request."""

import json
import re
from xml.etree import ElementTree

import pytest

from rax import cli
from rax.checking import _markdown, _report, _stages
from rax.checking._finding import Finding, Outcome
from rax.errors import CommandError

GREEN = Outcome([], "3 files")
WRONG = Finding("dags/a.py", 3, "F401", "`os` imported but unused", "remove it")
ODD = Finding("", 0, "odd", "the repository\nis \x1b[31modd", warning=True)


@pytest.fixture
def check(repository, monkeypatch, capsys):
    """Run `rax check` with stages that a test makes up; return exit code, output and errors."""
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setattr(_stages.time, "monotonic", lambda: 0.0)

    def run(*ends, words=()):
        stages = []
        for number, end in enumerate(ends):

            def stage(_project, end=end):
                if isinstance(end, Exception):
                    raise end
                return end

            title = ("Files", "DAGs", "Tests")[number]
            stages.append(_stages.Stage(title.lower(), title, stage))
        monkeypatch.setattr(_stages, "STAGES", tuple(stages))
        code = cli.main(["check", str(repository.root), *words])
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(("ends", "code", "lines"), [
    ([GREEN], 0, ["Files  no problem in 3 files, 0.0 s", "no problem: ready to be merged"]),
    ([GREEN, Outcome([], "", "no Airflow")], 0,
     ["Files  no problem in 3 files, 0.0 s", "DAGs   skipped: no Airflow",
      "no problem: ready to be merged"]),
    ([Outcome([WRONG, WRONG], "3 files")], 1,
     ["dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "Files  1 problem in 3 files, 0.0 s", "1 problem: not ready to be merged"]),
    # A warning does not stand in the way.
    ([Outcome([ODD], "1 file")], 0,
     [r"odd warning: the repository is \x1b[31modd", "Files  1 warning in 1 file, 0.0 s",
      "1 warning: ready to be merged"]),
    ([Outcome([WRONG, ODD], "1 file"), GREEN], 1,
     [r"odd warning: the repository is \x1b[31modd",
      "dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "Files  1 problem and 1 warning in 1 file, 0.0 s",
      "DAGs   no problem in 3 files, 0.0 s",
      "1 problem and 1 warning: not ready to be merged"]),
    ([Outcome([WRONG._replace(details=("a  \x1b", "b" * 600))], "1 file")], 1,
     ["dags/a.py:3: F401 `os` imported but unused", r"    a \x1b", f"    {'b' * 499}…",
      "    → remove it", "Files  1 problem in 1 file, 0.0 s",
      "1 problem: not ready to be merged"]),
    # What cannot be done keeps nothing after it from being done.
    ([CommandError("no ruff\n\x1b"), Outcome([WRONG], "1 file")], 3,
     [r"Files  could not be done: no ruff \x1b",
      "dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "DAGs   1 problem in 1 file, 0.0 s",
      "1 problem, and it could not all be done: Files"]),
    ([Outcome([Finding("a\nb:1.py", 0, "r", "p", "x" * 600)], "1 file")], 1,
     [r"a\nb:1.py: r p", f"    → {'x' * 499}…",
      "Files  1 problem in 1 file, 0.0 s", "1 problem: not ready to be merged"]),
])  # fmt: skip
def test_for_people(check, ends, code, lines):
    ended, output, errors = check(*ends)
    assert (ended, output.splitlines(), errors) == (code, lines, "")


def test_of_many_findings_of_a_rule_some_are_shown(check):
    many = [WRONG._replace(line=line) for line in range(1, 1023)]
    _, output, _ = check(Outcome([*many, ODD], "1 file"))
    lines = output.splitlines()
    assert sum(line.startswith("dags/a.py") for line in lines) == _report.MAX_SHOWN
    assert "… and 1,002 more of F401" in lines
    assert lines[-1] == "1,022 problems and 1 warning: not ready to be merged"


@pytest.mark.parametrize(("environment", "tty", "colours"), [
    ({}, True, True),
    ({}, False, False),
    ({"NO_COLOR": "1"}, True, False),
    ({"NO_COLOR": ""}, True, True),
    ({"TERM": "dumb"}, True, False),
])  # fmt: skip
def test_colours_only_where_wanted(check, monkeypatch, environment, tty, colours):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: tty, raising=False)
    _, output, _ = check(Outcome([WRONG], "1 file"))
    assert ("\x1b[1mdags/a.py:3:\x1b[0m \x1b[31mF401\x1b[0m" in output) is colours
    assert ("\x1b[3" in output) is colours


def test_progress_at_a_terminal(check, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, output, _ = check(GREEN)
    assert output.startswith("Files …\r\x1b[KFiles  no problem in 3 files")


def test_for_programs(check, repository):
    code, output, _ = check(Outcome([WRONG], "1 file"), CommandError("no"), words=["--json"])
    assert code == 3
    assert json.loads(output) == {
        "path": str(repository.root),
        "stages": [
            {"name": "files", "looked_at": "1 file", "skipped": "", "failed": "", "seconds": 0.0,
             "findings": [{"file": "dags/a.py", "line": 3, "rule": "F401",
                           "problem": "`os` imported but unused", "advice": "remove it",
                           "warning": False, "details": [], "item": ""}]},
            {"name": "dags", "looked_at": "", "skipped": "", "failed": "no", "seconds": 0.0,
             "findings": []},
        ],
    }  # fmt: skip


def test_the_default_is_the_repository_of_the_wrapper(repository, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("RAX_REPOSITORY", str(repository.write({"a.py": "import os\n"}).root))
    assert cli.main(["check"]) == 1
    assert capsys.readouterr().out.startswith("a.py:1: F401")
    monkeypatch.delenv("RAX_REPOSITORY")
    (repository.root / "x").mkdir()
    monkeypatch.chdir(repository.root / "x")
    assert cli.main(["check"]) == 0


def test_what_cannot_be_begun(repository, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    repository.write({"rax.toml": "[chek]\n"})
    assert cli.main(["check", str(repository.root)]) == 3
    assert capsys.readouterr() == ("", "rax: rax.toml: 'chek' is unknown: did you mean check?\n")


def test_fast_leaves_out_the_tests(check):
    _, output, _ = check(GREEN, GREEN, GREEN, words=["--fast"])
    assert [line.split()[0] for line in output.splitlines()] == ["Files", "DAGs", "no"]


# JUnit

HOSTILE = Finding('a\n<b>&"\x1b\x00\ufffe\udcff]]>.py', 1, "<r>", "<p>&\x00\udcff]]>", "<x>\n")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def junit(folder, name="files"):
    """Return the cases of a stage: name, and what is in it; CI must be able to read the file."""
    text = (folder / f"rax-check-{name}.xml").read_text()
    (suite,) = ElementTree.fromstring(text)  # noqa: S314 - of the code under test
    cases = [(case.get("name"), [(inner.tag, inner.text) for inner in case]) for case in suite]
    assert int(suite.get("tests")) == len(cases) > 0
    for tag in ("failure", "error", "skipped"):
        count = sum(inner == tag for _, found in cases for inner, _ in found)
        assert int(suite.get({"failure": "failures", "error": "errors"}.get(tag, tag))) == count
    return cases


def test_junit_has_a_case_for_each_file(check, tmp_path):
    findings = [
        WRONG,
        WRONG._replace(line=5, advice=""),
        WRONG._replace(warning=True),
        ODD,
        HOSTILE,
    ]
    outcome = Outcome(findings, "2 files", names=("dags/a.py", "lib/b.py"))
    assert check(outcome, words=["--junit", str(tmp_path / "x/y")])[0] == 1
    name = r'a\n<b>&"\x1b\x00\ufffe\udcff]]>.py'
    assert junit(tmp_path / "x/y") == [
        ("dags/a.py", [
            ("failure", "dags/a.py:3: F401 `os` imported but unused\n→ remove it\n"
                        "dags/a.py:5: F401 `os` imported but unused\n"),
            ("system-out", "dags/a.py:3: F401 warning: `os` imported but unused\n→ remove it\n"),
        ]),
        ("lib/b.py", []),
        ("the repository",
         [("system-out", r"the repository: odd warning: the repository is \x1b[31modd" + "\n")]),
        (name, [("failure", f"{name}:1: <r> " + r"<p>&\x00\udcff]]>" + "\n→ <x>\n")]),
    ]  # fmt: skip


def test_junit_has_a_case_for_what_a_finding_is_about(check, tmp_path):
    findings = [WRONG._replace(item="a case", details=("one", "two")), WRONG]
    outcome = Outcome(findings, "1 case", names=("a case", "another"))
    check(outcome, words=["--junit", str(tmp_path / "x")])
    text = "dags/a.py:3: F401 `os` imported but unused\n"
    assert junit(tmp_path / "x") == [
        ("a case", [("failure", f"{text}    one\n    two\n→ remove it\n")]),
        ("another", []),
        ("dags/a.py", [("failure", f"{text}→ remove it\n")]),
    ]


@pytest.mark.parametrize(("end", "inside"), [
    (Outcome([], "0 files"), []),
    (Outcome([], "", "no tests"), [("skipped", None)]),
    (CommandError("no ruff\x1b"), [("error", None)]),
])  # fmt: skip
def test_junit_is_never_empty(check, tmp_path, end, inside):
    check(end, words=["--junit", str(tmp_path)])
    assert junit(tmp_path) == [("the repository", inside)]


def test_junit_of_a_stage_that_did_not_run_goes(check, tmp_path):
    check(GREEN, GREEN, GREEN, words=["--junit", str(tmp_path)])
    (tmp_path / "other.xml").write_text("")
    assert check(GREEN, GREEN, GREEN, words=["--junit", str(tmp_path), "--fast"])[0] == 0
    assert names_in(tmp_path) == [
        "other.xml", "rax-check-dags.xml", "rax-check-files.xml", "repository"
    ]  # fmt: skip


def test_no_report_of_an_earlier_check_is_left(check, repository, tmp_path):
    """CI reads what is there, also where a check cannot begin."""
    words = ["--junit", str(tmp_path / "x"), "--markdown", str(tmp_path / "summary.md")]
    check(GREEN, words=words)
    repository.write({"rax.toml": "[chek]\n"})
    assert check(GREEN, words=words)[0] == 3
    assert (names_in(tmp_path / "x"), names_in(tmp_path)) == ([], ["repository", "x"])


@pytest.mark.parametrize(("document", "is_used"), [
    (b"<testsuites><testsuite><testcase name='own'/></testsuite></testsuites>", True),
    (b"<testsuite><testcase name='own'/></testsuite>", True),
    (b"<testsuites><testsuite/></testsuites>", False),
    (b"<other><testcase/></other>", False),
    (b"<testsuite><testcase>", False),
    (b"", False),
])  # fmt: skip
def test_junit_that_a_stage_brings(check, tmp_path, document, is_used):
    check(Outcome([WRONG], "1 test", junit=document), words=["--junit", str(tmp_path)])
    written = (tmp_path / "rax-check-files.xml").read_bytes()
    assert (written == document) is is_used
    assert (b"F401" in written) is not is_used


# Markdown


def test_a_page_for_a_pull_request(check, tmp_path, monkeypatch):
    for name in (*_markdown._GITHUB, *_markdown._GITLAB):
        monkeypatch.delenv(name, raising=False)
    words = ["--markdown", str(tmp_path / "summary.md")]
    check(
        Outcome([WRONG, ODD], "1 file"),
        Outcome([], "", "no *tests*", table=(("workflow", "cases"), ("a|b", "2"))),
        CommandError("no"),
        words=words,
    )
    assert (tmp_path / "summary.md").read_text() == (
        "**rax check: 1 problem and 1 warning, and it could not all be done: Tests**\n\n"
        "| | | |\n| --- | --- | --- |\n"
        "| ❌ Files | 1 problem and 1 warning | 1 file |\n"
        "| ✅ DAGs | skipped | no &#42;tests&#42; |\n"
        "| ❌ Tests | could not be done | no |\n\n"
        "| workflow | cases |\n| --- | --- |\n| a&#124;b | 2 |\n\n"
        "- odd warning: <code>the repository is &#92;x1b&#91;31modd</code>\n"
        "- [<code>dags/a&#46;py&#58;3</code>](dags/a.py#L3) F401 "
        "<code>&#96;os&#96; imported but unused</code><br>→ <code>remove it</code>\n"
    )


HOSTILE_TEXTS = [
    "</code><script>alert(1)</script>", "[x](https://evil.example.org)", "| a | b |", "@everyone",
    "![x](https://evil.example.org/x.png)", "`x`", "**x**", "https://evil.example.org", "# x",
    "#1", "<!-- x", "a\n\n# x", "\x1b[31m", "\u202e", "&lt;b&gt;", "www.evil.example.org", "~~x~~",
    "\\", "javascript:alert(1)", ":smile:",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_nothing_is_markup(text):
    """What is left of a line without its own markup has letters and entities alone."""
    finding = Finding(text, 3, text, text, text)
    result = _stages.Result(_stages.STAGES[0], Outcome([finding], text), 0.0)
    *_, row, _, item = _markdown.page([result], "", "").splitlines()
    inside = r"((?:\w|[ ,/=?-]|&#\d+;)*)"
    assert re.fullmatch(rf"\| ❌ Files \| 1 problem \| {inside} \|", row)
    link = r"\[<code>(?:\w|[ ,/=?-]|&#\d+;)*</code>\]\([\w%./~-]+#L3\) "
    code = f"<code>{inside}</code>"
    assert re.fullmatch(f"- {link}{inside} {code}<br>→ {code}", item)


@pytest.mark.parametrize(("environment", "address"), [
    ({}, ""),
    ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b",
      "GITHUB_SHA": "4f2a" * 10}, "https://github.com/a/b/blob/" + "4f2a" * 10 + "/"),
    ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b"}, ""),
    ({"GITHUB_SERVER_URL": "javascript:x", "GITHUB_REPOSITORY": "a/b",
      "GITHUB_SHA": "4f2a88a"}, ""),
    ({"CI_PROJECT_URL": "https://x.org/a) [x](http://evil", "CI_COMMIT_SHA": "4f2a88a"}, ""),
    ({"CI_PROJECT_URL": "https://x.org/a", "CI_COMMIT_SHA": "x)"}, ""),
])  # fmt: skip
def test_where_links_lead(environment, address):
    assert _markdown.blob_address(environment) == address


def test_links_of_a_folder_of_a_repository(repository):
    repository.write({"my dags/a.py": ""}).commit()
    assert repository.project().prefix == ""
    repository.root /= "my dags"
    prefix = repository.project().prefix
    result = _stages.Result(_stages.STAGES[0], Outcome([WRONG], ""), 0.0)
    page = _markdown.page([result], "https://x.org/", prefix)
    assert "](https://x.org/my%20dags/dags/a.py#L3) " in page


def test_the_rows_of_a_table_are_bounded():
    outcome = Outcome([], "", table=(("workflow",), *((f"w{number}",) for number in range(150))))
    page = _markdown.page([_stages.Result(_stages.STAGES[0], outcome, 0.0)], "", "")
    assert page.endswith("| w99 |\n| &#8230; and 50 more |\n")


def test_a_page_is_not_too_long():
    findings = [WRONG._replace(rule=f"R{number}", advice="x" * 400) for number in range(400)]
    page = _markdown.page([_stages.Result(_stages.STAGES[0], Outcome(findings, ""), 0.0)], "", "")
    assert 50_000 < len(page) < 61_000
    assert re.search(r"\n- … and \d+ more\n\Z", page.replace("&#8230;", "…"))


# Files that cannot be written


@pytest.mark.parametrize("words", [["--junit", "file"], ["--markdown", "file/x"],
                                   ["--markdown", "folder"]])  # fmt: skip
def test_a_report_that_cannot_be_written(check, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    code, _, errors = check(GREEN, words=words)
    assert code == 3
    assert re.fullmatch(r"rax: (file|folder)\S* cannot be (written|removed): .*\n", errors)
    assert (tmp_path / "file").read_text() == "old"
    assert names_in(tmp_path) == ["file", "folder", "repository"]


def test_a_report_takes_the_place_of_an_old_one_as_a_whole(check, tmp_path):
    """A link there is replaced, and what it leads to stays."""
    (tmp_path / "other").write_text("old")
    (tmp_path / "summary.md").symlink_to("other")
    check(GREEN, words=["--markdown", str(tmp_path / "summary.md")])
    assert (tmp_path / "other").read_text() == "old"
    assert not (tmp_path / "summary.md").is_symlink()
