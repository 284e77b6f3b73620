"""Configs as instances of dataclasses and models, and what is said of those that do not fit."""

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NewType, Optional, Union

import pytest
import yaml

from rax.config import Config, CredentialName, get_config
from rax.errors import MalformedConfigError, RaxError

SECRET = "s3cr3t-canary"
Table = NewType("Table", str)


@dataclass(frozen=True)
class Target:
    table: Table
    schema: str = "public"


@dataclass(frozen=True, kw_only=True)
class Daily:
    known: ClassVar[int] = 1
    source: str
    target: Target
    months: tuple[int, ...]
    mode: Literal["full", "delta", 1] = "full"
    ratio: float = 0.5
    limit: int | None = None
    since: Annotated[datetime.date, "the first day"] | None = None
    pair: tuple[str, int] = ("a", 1)
    steps: list[Target] = field(default_factory=list)
    labels: dict[str, int | str] = field(default_factory=dict)
    tags: frozenset[Any] = frozenset()
    extra: Any = None
    made: str = field(default="", init=False)


LEAST = {"source": "EBI", "target": {"table": "flights"}, "months": [1, 2]}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path))

    def read(schema, values):
        (tmp_path / "ebi.yaml").write_text(yaml.safe_dump(values))
        return get_config("ebi", schema)

    return read


def test_defaults(read):
    assert read(Daily, LEAST) == Daily(source="EBI", target=Target("flights"), months=(1, 2))


def test_everything(read):
    values = LEAST | {
        "mode": 1,
        "ratio": 2,
        "limit": 7,
        "since": "2026-01-31",
        "pair": ["b", 2],
        "steps": [{"table": "a"}, {"table": "b", "schema": "s"}],
        "labels": {"a": 1, "b": "x"},
        "extra": {"deep": [1]},
    }
    daily = read(Daily, values)
    assert (daily.mode, daily.ratio, daily.limit) == (1, 2.0, 7)
    assert isinstance(daily.ratio, float)
    assert daily.since == datetime.date(2026, 1, 31)
    assert (daily.pair, daily.labels) == (("b", 2), {"a": 1, "b": "x"})
    assert daily.steps == [Target("a"), Target("b", "s")]
    assert type(daily.labels) is dict
    assert daily.extra.deep == (1,)


def test_each_call_has_an_instance_of_its_own(read):
    first = read(Daily, LEAST)
    first.labels["changed"] = 1
    assert get_config("ebi", Daily).labels == {}
    assert isinstance(get_config("ebi"), Config)


@pytest.mark.parametrize(("changes", "problem"), [
    ({"source": 7}, "source is of type int, where str is expected"),
    ({"source": None}, "source is nothing, where str is expected"),
    ({"target": "flights"}, "target is of type str, where Target is expected"),
    ({"target": {}}, "target.table is missing"),
    ({"target": {"table": ["a"]}}, "target.table is a list, where str is expected"),
    ({"target": {"tabel": "x", "table": "y"}}, "target.tabel is unknown: did you mean table?"),
    ({"moths": [1]}, "moths is unknown: did you mean months?"),
    ({"zzz": 1}, "zzz is unknown"),
    ({"made": "x"}, "made is unknown"),
    ({"known": 2}, "known is unknown"),
    ({7: 1}, "7 is unknown"),
    ({"months": [1, "two", True]},
     "months[1] is of type str, where int is expected; "
     "months[2] is of type bool, where int is expected"),
    ({"months": 1}, "months is of type int, where tuple[int, ...] is expected"),
    ({"months": {"a": 1}}, "months is a mapping, where tuple[int, ...] is expected"),
    ({"mode": "dleta"}, "mode is not one of 'full', 'delta', 1"),
    ({"mode": True}, "mode is not one of 'full', 'delta', 1"),
    ({"mode": ["full"]}, "mode is not one of"),
    ({"ratio": True}, "ratio is of type bool, where float is expected"),
    ({"ratio": "0.5"}, "ratio is of type str, where float is expected"),
    ({"limit": "7"}, "limit is of type str, where int is expected"),
    ({"limit": 7.0}, "limit is of type float, where int is expected"),
    ({"since": 20260131}, "since is of type int, where date is expected"),
    ({"since": "2026-02-30"}, 'since is a text, and no date such as "2026-01-31"'),
    ({"since": "20260131"}, 'since is a text, and no date such as "2026-01-31"'),
    ({"since": "2026-01-31 08:00"}, 'since is a text, and no date such as "2026-01-31"'),
    ({"pair": ["a"]}, "pair has 1 values, where 2 are expected"),
    ({"pair": ["a", "b"]}, "pair[1] is of type str, where int is expected"),
    ({"steps": [{"table": "a"}, {"schema": "b"}]}, "steps[1].table is missing"),
    ({"labels": {"a": [1]}}, "labels.a is a list, where int or str is expected"),
    ({"labels": {1: 1}}, "the key labels.1 is of type int, where str is expected"),
    ({"tags": [1, {"a": 1}]}, "tags has a value that a set cannot hold, such as a mapping"),
])  # fmt: skip
def test_what_does_not_fit(read, changes, problem):
    expected = f"config ebi does not fit Daily: {problem}"
    with pytest.raises(MalformedConfigError, match=f"^{re.escape(expected)}") as caught:
        read(Daily, LEAST | changes)
    assert caught.value.__context__ is None


def test_all_problems_at_once(read):
    with pytest.raises(MalformedConfigError) as caught:
        read(Daily, {"sorce": "x", "target": {}, "months": "y"})
    assert str(caught.value) == (
        "config ebi does not fit Daily: sorce is unknown: did you mean source or since?; "
        "source is missing; target.table is missing; "
        "months is of type str, where tuple[int, ...] is expected"
    )


def test_no_value_is_shown(read):
    @dataclass
    class Login:
        password: int
        user: Literal["etl"]

    with pytest.raises(MalformedConfigError) as caught:
        read(Login, {"password": SECRET, "user": SECRET, "other": SECRET})
    assert SECRET not in str(caught.getrepr(chain=True))


def test_unions(read):
    @dataclass
    class Csv:
        path: str
        separator: str = ","

    @dataclass
    class Query:
        sql: str

    @dataclass
    class Source:
        input: Csv | Query | str
        size: Union[float, int, None] = None  # noqa: UP007 - the old way is accepted as well
        name: Optional[str] = None  # noqa: UP045 - as above

    assert read(Source, {"input": {"path": "a"}}).input == Csv("a")
    assert read(Source, {"input": {"sql": "a"}}).input == Query("a")
    assert read(Source, {"input": "a"}).input == "a"
    assert type(read(Source, {"input": "a", "size": 1}).size) is int
    assert type(read(Source, {"input": "a", "size": 1.0}).size) is float
    with pytest.raises(MalformedConfigError, match="input is a mapping, where Csv or Query or str"):
        read(Source, {"input": {}})
    with pytest.raises(
        MalformedConfigError, match="size is of type str, where float or int or None is"
    ):
        read(Source, {"input": "a", "size": "x"})


def test_a_union_with_one_dataclass_says_what_is_wrong_inside(read):
    @dataclass
    class Query:
        sql: str

    @dataclass
    class Source:
        input: Query | str

    with pytest.raises(MalformedConfigError, match=r"input\.sq is unknown: did you mean sql\?"):
        read(Source, {"input": {"sq": "x"}})


@pytest.mark.parametrize(("kind", "value", "expected"), [
    (list, [1], [1]), (list[int], [1], [1]), (tuple, [1], (1,)), (tuple[()], [], ()),
    (set[str], ["a"], {"a"}), (frozenset[str], ["a"], frozenset("a")),
    (Sequence[str], ["a"], ("a",)), (dict, {"a": 1}, {"a": 1}),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (object, [1], (1,)), (None, None, None),
    (datetime.datetime, "2026-01-01T08:00", datetime.datetime(2026, 1, 1, 8)),
    (datetime.datetime, "2026-01-01 08:00:01Z",
     datetime.datetime(2026, 1, 1, 8, 0, 1, tzinfo=datetime.UTC)),
    (datetime.time, "22:30", datetime.time(22, 30)),
    (datetime.date | str, "2026-01-01", "2026-01-01"),
    (list[datetime.date | int], ["2026-01-01", 1], [datetime.date(2026, 1, 1), 1]),
    (list[list[int]], [[1]], [[1]]), (dict[int, str], {1: "a"}, {1: "a"}),
])  # fmt: skip
def test_kinds(read, kind, value, expected):
    made = read(dataclasses.make_dataclass("Made", [("x", kind)]), {"x": value})
    assert made.x == expected
    assert type(made.x) is type(expected)


DB = NewType("DB", CredentialName)


@pytest.mark.parametrize(("kind", "value", "expected"), [
    (CredentialName, "EBI-ETL-DEV-01", "EBI-ETL-DEV-01"),
    (CredentialName | None, "a", "a"), (CredentialName | None, None, None),
    (tuple[CredentialName, ...], ["a.b", "c_d"], ("a.b", "c_d")),
    (list[CredentialName] | int, ["a"], ["a"]),
    (dict[str, CredentialName], {"x y": "a"}, {"x y": "a"}),
    (dict[CredentialName, int], {"a": 1}, {"a": 1}),
    (Annotated[CredentialName, "of the database"], "a", "a"), (DB, "a", "a"),
    (Annotated[str, "a password"], "a b", "a b"),
    # A text that another member takes need not have the form.
    (str | CredentialName, "a b", "a b"), (CredentialName | Literal["*"], "*", "*"),
])  # fmt: skip
def test_a_name_of_a_credential_is_a_text(read, kind, value, expected):
    made = read(dataclasses.make_dataclass("Made", [("x", kind)]), {"x": value})
    assert made.x == expected
    assert type(made.x) is type(expected)


NO_NAME = (
    "cannot be the name of a credential: that has letters, digits, '.', '_' and '-', "
    "and begins with a letter or digit"
)


@pytest.mark.parametrize(("kind", "value", "problem"), [
    (CredentialName, SECRET + "!", f"x {NO_NAME}"),
    (CredentialName, "", f"x {NO_NAME}"),
    (CredentialName, "-a", f"x {NO_NAME}"),
    (CredentialName, "../a", f"x {NO_NAME}"),
    (CredentialName, "a\n", f"x {NO_NAME}"),
    (CredentialName | None, "a b", f"x {NO_NAME}"),
    (Annotated[CredentialName, "of the database"], "a b", f"x {NO_NAME}"),
    (DB, "a b", f"x {NO_NAME}"),
    (tuple[CredentialName, ...], ["a", "b c"], f"x[1] {NO_NAME}"),
    (dict[str, CredentialName], {"a": "b c"}, f"x.a {NO_NAME}"),
    (dict[CredentialName, int], {"a b": 1}, f"the key x.a b {NO_NAME}"),
    (CredentialName, 7, "x is of type int, where CredentialName is expected"),
    (CredentialName, ["a"], "x is a list, where CredentialName is expected"),
    (CredentialName | None, 7, "x is of type int, where CredentialName is expected"),
    (CredentialName | int, "a b", "x is of type str, where CredentialName or int is expected"),
    (tuple[CredentialName, ...], 7,
     "x is of type int, where tuple[CredentialName, ...] is expected"),
    (Annotated[int, "a number"], "a", "x is of type str, where int is expected"),
])  # fmt: skip
def test_what_cannot_be_the_name_of_a_credential(read, kind, value, problem):
    with pytest.raises(MalformedConfigError) as caught:
        read(dataclasses.make_dataclass("Made", [("x", kind)]), {"x": value})
    assert str(caught.value) == f"config ebi does not fit Made: {problem}"
    assert SECRET not in str(caught.getrepr(chain=True))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (dict, "is not a schema: it has to be a dataclass or a pydantic model"),
        (Target(Table("a")), "is not a schema"),
        ("Daily", "is not a schema"),
        (dataclasses.make_dataclass("Made", [("x", Path)]), "x cannot be Path in a schema"),
        (dataclasses.make_dataclass("Made", [("x", list[bytes])]), "cannot be bytes in a schema"),
        (
            dataclasses.make_dataclass("Made", [("x", list[complex])]),
            "cannot be complex in a schema",
        ),
        (
            dataclasses.make_dataclass("Made", [("x", "Nowhere")]),
            "types of Made cannot be resolved",
        ),
    ],
)
def test_what_is_no_schema(read, schema, message):
    with pytest.raises(RaxError, match=message) as caught:
        read(schema, {"x": ["a"]})
    assert type(caught.value) is RaxError


def test_a_dataclass_that_refuses(read):
    @dataclass
    class Range:
        first: int
        last: int

        def __post_init__(self):
            if self.last < self.first:
                raise ValueError("last is before first")

    @dataclass
    class Outer:
        range: Range

    with pytest.raises(MalformedConfigError) as caught:
        read(Outer, {"range": {"first": 2, "last": 1}})
    assert str(caught.value) == (
        "config ebi does not fit Outer: range is refused by ValueError: last is before first"
    )
    assert caught.value.__context__ is None


def test_a_dataclass_that_refuses_and_has_a_secret(read):
    @dataclass
    class Login:
        password: str

        def __post_init__(self):
            raise ValueError(f"{self.password} is too short")

    with pytest.raises(MalformedConfigError) as caught:
        read(Login, {"password": SECRET})
    assert str(caught.value) == "config ebi does not fit Login: it is refused by ValueError"


class ValidationError(ValueError):
    """As pydantic has it: its text has the input in it, its entries need not."""

    def errors(self, *, include_url, include_context, include_input):
        assert (include_url, include_context, include_input) == (False, False, False)
        return [
            {"loc": ("months", 1), "msg": "Input should be a valid integer", "type": "int_parsing"},
            {"loc": ("api_token",), "msg": f"Value error, {SECRET} is old", "type": "value_error"},
            {"loc": (), "msg": "Value error, neither fits", "type": "value_error"},
        ]


class Model:
    @classmethod
    def model_validate(cls, values):
        assert type(values) is dict
        if values.get("months") == [1, "x"]:
            raise ValidationError(SECRET)
        made = cls()
        made.values = values
        return made


def test_a_model(read):
    assert read(Model, {"a": [1, {"b": 2}]}).values == {"a": [1, {"b": 2}]}
    with pytest.raises(MalformedConfigError) as caught:
        read(Model, {"months": [1, "x"]})
    assert str(caught.value) == (
        "config ebi does not fit Model: months[1]: Input should be a valid integer; "
        "api_token: value_error; it: Value error, neither fits"
    )
    assert caught.value.__context__ is None


def test_a_model_in_a_dataclass(read):
    @dataclass
    class Outer:
        inner: Model

    assert read(Outer, {"inner": {"a": 1}}).inner.values == {"a": 1}
    with pytest.raises(MalformedConfigError, match=r"Outer: inner\.months\[1\]: Input should be"):
        read(Outer, {"inner": {"months": [1, "x"]}})
