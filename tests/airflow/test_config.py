"""Configs as pydantic models, which come with Airflow, and as values that its tasks pass on."""

import json
import typing

import pydantic
import pytest
from airflow.sdk.serde import deserialize, serialize

from rax.config import get_config
from rax.errors import MalformedConfigError

SECRET = "s3cr3t-canary"


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path))
    (tmp_path / "good.yaml").write_text("source: EBI\nmonths: [1, 2]\ntarget: {table: flights}\n")
    (tmp_path / "bad.yaml").write_text(
        f"source: EBI\nmonths: [1, {SECRET}]\ntarget: {{tabel: {SECRET}}}\npassword: {SECRET}\n"
    )


class Target(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    table: str


class Daily(pydantic.BaseModel):
    source: str
    months: list[int]
    target: Target
    password: str = ""

    @pydantic.field_validator("password")
    @classmethod
    def refuse(cls, value):
        if value:
            raise ValueError(f"{value} is a secret")
        return value


def test_a_pydantic_model():
    daily = get_config("good", Daily)
    assert daily == Daily(source="EBI", months=[1, 2], target=Target(table="flights"))


def test_what_does_not_fit_a_pydantic_model():
    with pytest.raises(MalformedConfigError) as caught:
        get_config("bad", Daily)
    assert str(caught.value) == (
        "config bad does not fit Daily: months[1]: Input should be a valid integer, unable to "
        "parse string as an integer; target.table: Field required; "
        "target.tabel: Extra inputs are not permitted; password: value_error"
    )
    assert caught.value.__context__ is None


def test_a_pydantic_dataclass():
    @pydantic.dataclasses.dataclass
    class Short:
        source: str
        months: list[int]
        target: dict[str, str]
        password: typing.Annotated[str, pydantic.Field(max_length=3)] = ""

    assert get_config("good", Short).target == {"table": "flights"}
    with pytest.raises(MalformedConfigError) as caught:
        get_config("bad", Short)
    assert SECRET not in str(caught.value)


def test_a_config_passes_through_xcom():
    config = get_config("good")
    assert json.loads(json.dumps(config)) == {
        "source": "EBI",
        "months": [1, 2],
        "target": {"table": "flights"},
    }
    assert deserialize(serialize(config)) == config
