"""The JSON Schema of specs: editors complete by it, and it keeps to the rules of rax."""

import re

import jsonschema
import pytest
import yaml

from rax.credentials import _files as credential_files
from rax.testing import _specs
from tests.unit.rax.testing.test_spec_attacks import WHOLE
from tests.unit.rax.testing.test_spec_mistakes import ROWS, spec

SCHEMA = _specs.schema()
# What a rule of these refuses is told by the part's title.
RULES = ("type", "enum", "pattern", "minimum", "minProperties", "minItems", "propertyNames")


def parts(part, where=""):
    """Yield all schemas inside of one, with where they are."""
    yield where, part
    for key in ("properties", "$defs"):
        for name, inner in part.get(key, {}).items():
            yield from parts(inner, f"{where}/{key}/{name}")
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(part.get(key), dict):
            yield from parts(part[key], f"{where}/{key}")


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_what_is_read_is_right_in_an_editor_too():
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for document in (WHOLE, *(yaml.safe_load(spec(row[0], row[2])) for row in ROWS)):
        assert [*validator.iter_errors(document)] == []


def test_who_changes_the_schema_that_they_got_changes_it_for_nobody_else():
    _specs.schema()["properties"].clear()
    assert _specs.schema() == SCHEMA


@pytest.mark.parametrize(("where", "part"), [*parts(SCHEMA)])
def test_each_part_that_refuses_something_says_what_it_wants(where, part):
    assert "title" in part or not part.keys() & RULES, where
    # Editors of before 2020-12 know these keywords alone.
    assert not part.keys() & {"unevaluatedProperties", "dependentSchemas", "prefixItems"}


def test_a_credential_has_the_fields_that_files_of_credentials_have():
    fields = SCHEMA["$defs"]["given"]["properties"]["credentials"]["additionalProperties"]
    assert [*fields["properties"]] == [*credential_files.FIELDS, credential_files.PROTECTED]


def test_a_credential_is_named_by_the_rule_of_credentials():
    rule = SCHEMA["$defs"]["credential"]["pattern"]
    assert rule == f"^{credential_files._NAME.pattern}$"


def test_patterns_are_those_that_editors_know_too():
    """ECMAScript has no flags and no named groups of Python's form."""
    for where, part in parts(SCHEMA):
        if pattern := part.get("pattern"):
            re.compile(pattern)
            assert "(?P" not in pattern, where
            assert r"\Z" not in pattern, where
