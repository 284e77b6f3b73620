"""What the text of a file says of itself, for `rax repository check`; no file is run."""

import textwrap

import pytest

from rax.checking._compiled import SourceError
from rax.checking._dags._airflow_moves import argument_instead, moved_to, provider
from rax.checking._source import read


def names(text):
    return [
        (f"{'.' * one.level}{one.module}", one.name, one.at_the_top)
        for one in read(textwrap.dedent(text).encode()).imports
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b, c", [("a.b", None, True), ("c", None, True)]),
        ("from a import b as x, c", [("a", "b", True), ("a", "c", True)]),
        ("from . import b", [(".", "b", True)]),
        ("from ..a import *", [("..a", "*", True)]),
        ("def f():\n    import a", [("a", None, False)]),
        ("class A:\n    import a", [("a", None, True)]),
        ("if x:\n    import a\nelse:\n    import b", [("a", None, True), ("b", None, True)]),
        ("with x:\n    for y in z:\n        import a", [("a", None, True)]),
        ("match x:\n    case 1:\n        import a", [("a", None, True)]),
        # These may fail, or are not run.
        ("try:\n    import a\nexcept ImportError:\n    import b", []),
        ("try:\n    import a\nfinally:\n    import b", [("b", None, True)]),
        ("try:\n    pass\nexcept* E:\n    pass\nelse:\n    import b", [("b", None, True)]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", [("b", None, True)]),
        ("if typing.TYPE_CHECKING:\n    import a", []),
        ("x = 'import a'", []),
        ("if x:\n    pass\n" + "elif x:\n    import a\n" * 90, [("a", None, True)] * 90),
    ],
)
def test_imports_that_must_succeed(text, expected):
    # Sorted by line; those of one line by name.
    assert names(text) == expected


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"x = 1\nprint 'a'\n", 2, "Missing parentheses in call to 'print'. .*: this is Python 2"),
        (b"try:\n  f()\nexcept A, e:\n  pass\n", 3, "multiple exception types .*: this is Python"),
        (b"os.chmod(p, 0755)\n", 1, "leading zeros in decimal integer.*: this is Python 2"),
        (b"def f(:\n", 1, "invalid syntax"),
        (b"x = '\xff'\n", 0, "utf-8"),
        (b"# coding: nonsense\n", 0, "unknown encoding"),
        (b"x = 1 \0\n", 0, "null bytes"),
        (b"return 1\n", 1, "'return' outside function"),
        (b"(" * 3000, 0, "too many nested parentheses"),
        (b"-" * 300_000 + b"1", 0, "recursion|MemoryError"),
    ],
)
def test_a_file_that_does_not_compile(content, line, problem):
    with pytest.raises(SourceError, match=problem) as raised:
        read(content)
    assert line in (raised.value.line, 0)


def test_what_it_needs_of_airflow():
    source = read(b"""
DAG("a", schedule_interval=None, **more)
airflow.DAG(dag_id="b")
@dag(schedule="@daily")
def f():
    Operator(conn_id="A", pool="small", postgres_conn_id=f"{x}")
    Operator(ssh_conn_id="B", pool=POOL)
    Hook.get_connection("C")
    Variable.get("v", default=None), Variable.get(name), models.Variable.get("w")
    get("x")
""")
    assert source.dag_arguments == [
        (2, "schedule_interval"),
        (3, "dag_id"),
        (4, "schedule"),
    ]
    assert source.connections == {"A", "B", "C"}
    assert source.variables == {"v", "w"}
    assert source.pools == {"small"}


def test_a_call_that_is_nested_too_deeply():
    """It is left out; the rest of the file is read."""
    chain = "x" + ".y()" * 250
    assert read(f"import a\n{chain}\n".encode()).imports[0].module == "a"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("airflow.contrib.operators.ssh_operator.SSHOperator", "write a provider's package"),
        ("airflow.utils.dates.days_ago", "write pendulum"),
        ("airflow.nowhere", "look it up in Airflow's release notes"),
        ("airflow", "look it up in"),
    ],
)
def test_where_it_moved(name, expected):
    assert moved_to(name).startswith(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("airflow.providers.ssh.hooks.ssh.SSHHook", "apache-airflow-providers-ssh"),
        ("airflow.providers.microsoft.azure.hooks", "apache-airflow-providers-microsoft-azure"),
        ("airflow.providers.my_sql", "apache-airflow-providers-my-sql"),
        ("airflow.providers.standard.operators.none", None),
        ("airflow.providers", None),
        ("airflow.operators.bash", None),
    ],
)
def test_provider(name, expected):
    assert provider(name) == expected


def test_arguments():
    assert argument_instead("schedule_interval") == "write schedule"
    assert argument_instead("default_view") == "leave it out"
