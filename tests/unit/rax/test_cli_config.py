"""`rax config`: what a task gets, and from where."""

import json

import pytest
import yaml

from rax import cli

SHA = "4f2a" * 10
DAILY = """\
# A comment
source: EBI-ETL-DEV-01
target: {schema: public, table: flüge}
months: [1, 2]
since: 2026-01-31
steps:
  - {name: load, tables: [a, b]}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / f"releases/{SHA}/configs"
    (root / "ebi").mkdir(parents=True)
    (root / "ebi/daily.yaml").write_text(DAILY)
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("RAX_RELEASE_DIR", str(root.parent))
    return root


@pytest.fixture
def rax(capsys):
    def run(*arguments):
        code = cli.main(["config", *arguments])
        return code, *capsys.readouterr()

    return run


def test_show_is_yaml_and_says_where_it_is_from(rax, root):
    code, out, err = rax("show", "ebi.daily")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [f"# release {SHA}", f"# {root}/ebi/daily.yaml"]
    assert yaml.safe_load(out) == yaml.safe_load(DAILY)
    assert "months: [1, 2]\n" in out
    assert "table: flüge" in out


def test_show_for_programs(rax, root):
    code, out, _ = rax("show", "ebi.daily", "--json")
    assert code == 0
    assert json.loads(out) == {
        "name": "ebi.daily",
        "release": SHA,
        "files": [f"{root}/ebi/daily.yaml"],
        "masked": [],
        "config": yaml.safe_load(DAILY) | {"since": "2026-01-31"},
    }


def test_what_is_merged_is_shown_as_one(rax, root, tmp_path, monkeypatch):
    over = tmp_path / "over"
    (over / "ebi").mkdir(parents=True)
    (over / "ebi/daily.yaml").write_text("target: {table: t2}\n")
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{root}:{tmp_path}/nowhere:{over}")
    code, out, _ = rax("show", "ebi.daily")
    assert code == 0
    assert out.splitlines()[1:3] == [
        f"# {root}/ebi/daily.yaml",
        f"# merged over that: {over}/ebi/daily.yaml",
    ]
    assert yaml.safe_load(out)["target"] == {"schema": "public", "table": "t2"}


def test_what_json_lacks_is_text(rax, root):
    (root / "ebi/daily.yaml").write_text("a: [.inf, -.inf, .nan]\nb: !!set {x}\n")
    code, out, err = rax("show", "ebi.daily", "--json")
    assert (code, err) == (0, "")
    config = json.loads(out, parse_constant=pytest.fail)["config"]
    assert config == {"a": ["Infinity", "-Infinity", "NaN"], "b": ["x"]}
    code, out, err = rax("show", "ebi.daily")
    assert (code, err) == (0, "")
    assert out.endswith("a: [.inf, -.inf, .nan]\nb: [x]\n")


@pytest.mark.usefixtures("root")
def test_list(rax):
    assert rax("list") == (0, "ebi.daily\n", "")
    assert json.loads(rax("list", "--json")[1]) == ["ebi.daily"]


def test_a_name_that_is_not_there(rax, root):
    code, out, err = rax("show", "ebi.dayly")
    assert (code, out) == (3, "")
    assert err == f"rax: no config 'ebi.dayly' in {root}: did you mean ebi.daily?\n"


def test_a_file_that_is_broken(rax, root):
    (root / "ebi/daily.yaml").write_text("a: [\n")
    code, out, err = rax("show", "ebi.daily")
    assert (code, out) == (3, "")
    assert err.startswith(f"rax: {root}/ebi/daily.yaml:")


def test_a_machine_without_a_release(rax, tmp_path, monkeypatch):
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)
    monkeypatch.setenv("RAX_RELEASE_DIR", str(tmp_path / "nowhere"))
    code, out, err = rax("show", "ebi.daily")
    assert (code, out) == (3, "")
    assert err.startswith("rax: no config 'ebi.daily' in ")
    assert rax("list") == (0, "", "")


def test_a_value_that_looks_secret_is_masked(rax, root):
    (root / "ebi/daily.yaml").write_text(
        "source: EBI-ETL-DEV-01\nurl: postgresql://etl:hunter22@db/ebi\nparts:\n"
        "  - {db_password: hunter23, primary_key: id}\n"
    )
    code, out, err = rax("show", "ebi.daily")
    assert (code, err) == (0, "")
    assert out.splitlines()[2:4] == [
        "# url looks like a secret, so it is masked: a config names credentials and holds none",
        "# parts[0].db_password looks like a secret, so it is masked: a config names credentials"
        " and holds none",
    ]
    shown = yaml.safe_load(out)
    assert shown == {
        "source": "EBI-ETL-DEV-01",
        "url": "***",
        "parts": [{"db_password": "***", "primary_key": "id"}],
    }
    found = json.loads(rax("show", "ebi.daily", "--json")[1])
    assert found["config"] == shown
    assert found["masked"] == ["url", "parts[0].db_password"]


def test_a_value_of_a_set_is_masked_too(rax, root):
    (root / "ebi/daily.yaml").write_text("urls: !!set {'postgresql://etl:hunter22@db/ebi'}\n")
    for options in ((), ("--json",)):
        code, out, err = rax("show", "ebi.daily", *options)
        assert (code, err) == (0, "")
        assert "***" in out
        assert "hunter22" not in out


def test_the_name_of_a_credential_is_no_secret(rax, root, tmp_path, monkeypatch):
    (tmp_path / "ebi-etl.json").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))
    (root / "ebi/daily.yaml").write_text("password: ebi-etl\n")
    assert rax("show", "ebi.daily")[1].endswith("password: ebi-etl\n")
