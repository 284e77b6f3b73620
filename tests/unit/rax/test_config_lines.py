"""Where a value of a config is, and what belongs to a credential."""

import pytest

from rax.config._lines import lines_of
from rax.config._secrets import find_connections

YAML = b"""\
a: &a
  b: 1
  "c": {d: 2}
list:
- x
- y: 1
merged:
  <<: *a
  own: 3
again: *a
1: z
"""


@pytest.mark.parametrize(("path", "line"), [
    ("a", 1), ("a.b", 2), ("a.c.d", 3), ("list", 4), ("list[0]", 5), ("list[1].y", 6),
    ("merged.own", 9), ("merged.b", 2), ("again", 10), ("again.b", 2), ("1", 11),
    ("list[2]", None), ("a.x", None), ("", 1), ("li", None),
])  # fmt: skip
def test_line_of_a_path(path, line):
    assert lines_of(YAML, [path]).get(path) == line


def test_many_aliases_take_no_time():
    rows = [f"k{n}: &k{n} {{<<: [{', '.join([f'*k{n - 1}'] * 9)}]}}" for n in range(1, 60)]
    content = "\n".join(["k0: &k0 {a: 1}", *rows]).encode()
    assert lines_of(content, ["k59.a"]) == {"k59.a": 1}


@pytest.mark.parametrize(("config", "found"), [
    ({"host": "db.example.org", "user": "etl"}, [""]),
    ({"db": {"Hostname": "db", "USERNAME": "etl", "port": 1}}, ["db"]),
    ({"a": [{"server": "x.y", "login": "etl"}]}, ["a[0]"]),
    # With a secret beside them, find_secrets() says it; one below is another's.
    ({"db": {"host": "x.y", "user": "etl", "password": "hunter2"}}, []),
    ({"db": {"host": "x.y", "user": "etl", "more": {"password": "hunter2"}}}, ["db"]),
    # What names something, or is nothing.
    ({"host": "DB-01", "user": "etl"}, []),
    ({"host": "x.y", "user": "${USER}"}, []),
    ({"host": "x.y", "user": ""}, []),
    ({"host": "x.y", "user": {"name": "etl"}}, []),
    ({"host": "x.y", "users": "etl"}, []),
    ({"host": "x.y"}, []),
    ({"user": "etl"}, []),
])  # fmt: skip
def test_what_belongs_to_a_credential(config, found):
    assert find_connections(config) == found


def test_the_name_of_a_credential_is_no_user():
    assert find_connections({"host": "x.y", "user": "etl-db"}, ["etl-db"]) == []
