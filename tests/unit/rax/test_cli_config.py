"""`rax config`: what a task gets, and from where."""

import json

import pytest
import yaml

from rax import cli
from rax.config import get_config

SHA = "4f2a" * 10
DAILY = """\
# A comment
source: EBI-ETL-DEV-01
target: {schema: public, table: flüge}
months: [1, 2]
since: "2026-01-31"
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
        "config": yaml.safe_load(DAILY),
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


WORDS = ["NO", "1e3", "0o17", "09", "~", "2026-01-31", "=", "", "#fff", "1.10", "*x", "22:30"]


def test_what_is_shown_is_a_config_again(rax, root, monkeypatch, tmp_path):
    """Texts that another reader would take for a number keep their quotes."""
    text = json.dumps({"a": WORDS, "c": 0.1, "NO": None}) + "\n"
    (root / "ebi/daily.yaml").write_text(text.replace('"c"', '"b": 0.0000001, "c"'))
    code, shown, err = rax("show", "ebi.daily")
    assert (code, err) == (0, "")
    (tmp_path / "again").mkdir()
    (tmp_path / "again/daily.yaml").write_text(shown)
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path / "again"))
    assert get_config("daily") == {"a": tuple(WORDS), "b": 1e-7, "c": 0.1, "NO": None}


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


def test_the_name_of_a_credential_is_no_secret(rax, root, tmp_path, monkeypatch):
    (tmp_path / "ebi-etl.json").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))
    (root / "ebi/daily.yaml").write_text("password: ebi-etl\n")
    assert rax("show", "ebi.daily")[1].endswith("password: ebi-etl\n")


# rax config check


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "dags-of-ebi/configs"
    (root / "ebi").mkdir(parents=True)
    (root / "ebi/good.yaml").write_text(DAILY)
    (root / "a.yaml").write_text("countries: [SE, NO]\nok: 1\nat: 22:30\n")
    (root / "ebi/z.yml").write_text("a: 1\n---\nb: 1\n")
    (root / "ebi/readme.txt").write_text("a: NO\n")
    (root / "leaves.yaml").symlink_to("/etc/passwd")
    return root.parent


def found_in(configs):
    return [
        f'{configs}/a.yaml:1: countries[1] is read as false: quote it, "NO", or write false',
        f'{configs}/a.yaml:3: at is read as a number of base 60: quote it, "22:30", or write a'
        " plain number",
        f"{configs}/ebi/z.yml:2: has more than one document (---), where one is expected",
        f"{configs}/leaves.yaml: is a link that leads out of {configs}",
    ]


@pytest.mark.parametrize("below", ["", "configs"])
def test_check_names_everything_in_a_folder(rax, repository, below):
    folder = repository / below
    lines = "".join(f"{line}\n" for line in found_in(repository / "configs"))
    assert rax("check", str(folder)) == (1, lines, "")
    found = json.loads(rax("check", str(folder), "--json")[1])
    assert found == {"files": 4, "problems": found_in(repository / "configs")}


def test_check_of_what_is_right(rax, root, repository, tmp_path, monkeypatch):
    assert rax("check") == (0, "1 files, nothing is wrong\n", "")
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{root}:{repository}/configs")
    assert rax("check")[0] == 1
    code, out, err = rax("check", str(root), str(tmp_path / "none"))
    assert (code, out, err) == (3, "", f"rax: there is no folder {tmp_path}/none\n")


def test_check_does_not_repeat_a_password(rax, repository):
    (repository / "configs/a.yaml").write_text("db: {password: 0123_4567}\napi_token: 0123_4567\n")
    _, out, _ = rax("check", str(repository))
    assert "a.yaml:1: db.password is read as something else than its text: quote it\n" in out
    assert "a.yaml:2: api_token is read as something else" in out
    assert "123" not in out
