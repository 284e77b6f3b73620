"""Stage 3 of `rax check`: the tests of a repository, by pytest and by unittest."""

import subprocess
import sys

import pytest

from rax.checking import _tests
from rax.checking._finding import Finding
from rax.checking._tests import _results, _run
from rax.checking._tests._results import FormError, Result
from rax.errors import CommandError

GOOD = """\
import os
import unittest

from lib import numbers
from rax.config import get_config


class GoodTest(unittest.TestCase):
    def test_what_a_node_has(self):
        self.assertEqual(get_config("a").limit, numbers.LIMIT)
        self.assertNotIn("AIRFLOW__CORE__EXECUTOR", os.environ)
        self.assertEqual(os.listdir(os.environ["RAX_CREDENTIALS_DIR"]), [])
"""
BY_HAND = """\
import unittest

from lib import numbers
from rax.config import get_config


class GoodTest(unittest.TestCase):
    def test_lib(self):
        self.assertEqual(numbers.LIMIT, 5)

    def test_config(self):
        self.assertEqual(get_config("a").limit, numbers.LIMIT)
"""
BAD = """\
import unittest

from lib import numbers


class BadTest(unittest.TestCase):
    def test_fails(self):
        self.assertEqual(numbers.LIMIT, 6)

    def test_raises(self):
        numbers.fail()

    @unittest.skip("later")
    def test_is_skipped(self):
        pass
"""
FILES = {
    "lib/__init__.py": "",
    "lib/numbers.py": "LIMIT = 5\n\n\ndef fail():\n    raise ValueError('no')\n",
    "configs/a.yaml": "limit: 5\n",
    "dags/.keep": "",
    "tests/test_good.py": GOOD,
}


@pytest.fixture
def outcome(repository, monkeypatch):
    def run(files, **options):
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "x")
        repository.write(FILES | files)
        before = set(repository.root.rglob("*"))
        found = _tests.check(repository.project(**options))
        assert set(repository.root.rglob("*")) == before
        return found

    return run


def test_what_fails_is_at_its_line(outcome):
    found = outcome({"tests/test_bad.py": BAD, "tests/test_broken.py": "import nosuch\n"})
    assert sorted(found.findings) == [
        Finding("lib/numbers.py", 5, "test", "test_raises failed: ValueError: no"),
        Finding("tests/test_bad.py", 8, "test", "test_fails failed: AssertionError: 5 != 6"),
        Finding("tests/test_broken.py", 1, "test", "tests.test_broken could not be run: "
                "ModuleNotFoundError: No module named 'nosuch'"),
    ]  # fmt: skip
    assert found.looked_at == "5 tests"
    assert b"<testcase" in found.junit


def test_tests_that_both_find(outcome):
    found = outcome({"tests/test_sub.py": GOOD}, unittest=True)
    assert found.findings == []
    assert found.names == (
        "tests/test_good.py::GoodTest::test_what_a_node_has",
        "tests/test_sub.py::GoodTest::test_what_a_node_has",
    )


def test_unittest_by_hand_lacks_the_configs_alone(repository):
    """docs/checking.md says which variable brings them."""
    repository.write(FILES | {"tests/test_good.py": BY_HAND})
    command = [sys.executable, "-m", "unittest", "discover", "tests"]
    environment = {k: text for k, text in _run.environment().items() if k != "RAX_CONFIG_DIR"}
    for variables, expected in (({}, "FAILED (errors=1)"), ({"RAX_CONFIG_DIR": "configs"}, "OK")):
        done = subprocess.run(
            command, cwd=repository.root, env=environment | variables, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.stderr.splitlines()[-1] == expected


def test_tests_that_one_alone_finds(outcome):
    found = outcome(
        {
            "tests/test_function.py": "def test_alone():\n    pass\n",
            "tests/deep/test_deep.py": GOOD,
            "tests/test_loads.py": "import unittest\n\n\ndef load_tests(loader, tests, pattern):\n"
            "    class Own(unittest.TestCase):\n        def check_it(self):\n            pass\n"
            "    return unittest.TestSuite([Own('check_it')])\n",
        },
        unittest=True,
    )
    assert [finding[:4] for finding in found.findings] == [
        ("tests/deep/test_deep.py", 9, "unittest",
         "pytest runs GoodTest::test_what_a_node_has, and unittest does not find it"),
        ("tests/test_function.py", 1, "unittest",
         "pytest runs test_alone, and unittest does not find it"),
        ("tests/test_loads.py", 0, "unittest",
         "unittest runs load_tests::<locals>::Own::check_it, and pytest does not find it"),
    ]  # fmt: skip


def test_no_tests_yet(repository):
    repository.write({"lib/a.py": "x = 1\n"})
    (finding,) = _tests.check(repository.project()).findings
    assert finding[:4] == ("", 0, "no-tests", "there are no tests yet")
    assert finding.warning


def test_tests_that_end_pytest(outcome):
    with pytest.raises(CommandError, match="pytest ended with 7 and no report"):
        outcome({"tests/test_exit.py": "import os\nos._exit(7)\n"})


def test_tests_that_hang(outcome, monkeypatch):
    monkeypatch.setattr(_run, "MAX_SECONDS", 1)
    with pytest.raises(CommandError, match="the tests did not end within 1 s"):
        outcome({"tests/test_hang.py": "import time\ntime.sleep(1000)\n"})


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"<a/>", b"<testsuites>", b"<!DOCTYPE a><testsuites/>",
     b"<!DOCTYPE a [<!ENTITY b 'c'>]><testsuites>&b;</testsuites>"],
)  # fmt: skip
def test_a_report_that_is_none(content):
    with pytest.raises(FormError):
        _results.read(content)


def test_the_parts_of_a_report():
    case = (
        '<testcase classname="tests.a.test_b.C" name="test_d[1]" file="tests/a/test_b.py"'
        ' line="{}"/>'
    )
    for line, expected in (("4", 5), ("x", 0), ("9" * 50, 0), ("", 0)):
        text = f"<testsuites><testsuite>{case.format(line)}</testsuite></testsuites>"
        name = "tests/a/test_b.py::C::test_d"
        assert _results.read(text.encode()) == [Result(name, "tests/a/test_b.py", expected)]
