"""rax.toml: what it may say, and what is said of the rest."""

import os

import pytest

from rax.checking._settings import Flows, Settings
from rax.errors import CommandError

ALL = """
[deployment]
repository = "https://git.example.org/platform/caspian-deploy.git"
ref = "v0.1.0"
python = "3.11"
[check]
dags_folder = "airflow/dags"
plain_dags = true
credentials = "names.txt"
max_parse_seconds = 5
[flows]
required = true
max_seconds = 30
max_memory_mib = 512
[flows.unverified]
genes_daily = "it is another team's"
"""


def test_all_settings(repository):
    repository.write({"rax.toml": ALL})
    assert Settings.read(repository.root) == Settings(
        repository="https://git.example.org/platform/caspian-deploy.git",
        ref="v0.1.0",
        python="3.11",
        dags_folder="airflow/dags",
        plain_dags=True,
        credentials="names.txt",
        max_parse_seconds=5.0,
        flows=Flows(True, 30.0, 512.0, (("genes_daily", "it is another team's"),)),
    )


@pytest.mark.parametrize("content", [None, "", "[check]\n", "# nothing\n"])
def test_what_is_left_out_has_a_default(repository, content):
    if content is not None:
        repository.write({"rax.toml": content})
    assert Settings.read(repository.root) == Settings()


@pytest.mark.parametrize(("content", "problem"), [
    ("dags_folder = 'dags'\n", "'dags_folder' is unknown"),
    ("[chek]\n", "'chek' is unknown: did you mean check?"),
    ("check = 1\n", "check has to be a table, [check]"),
    ("[check]\ndag_folder = 'x'\n", "[check] 'dag_folder' is unknown: did you mean dags_folder?"),
    ("[check]\nref = 'x'\n", "[check] 'ref' is unknown"),
    ("[deployment]\nref = 1\n", "[deployment] ref has to be a text"),
    ("[deployment]\nref = ''\n", "[deployment] ref is empty, or has a character that cannot be"),
    ("[deployment]\nref = 'a\nb'\n", "is not TOML"),
    ('[deployment]\nref = "a\\nb"\n', "[deployment] ref is empty, or has a character that cannot"),
    ("[check]\nplain_dags = 'yes'\n", "[check] plain_dags has to be true or false"),
    ("[check]\nplain_dags = 1\n", "[check] plain_dags has to be true or false"),
    ("[check]\nmax_parse_seconds = true\n", "[check] max_parse_seconds has to be a number"),
    ("[check]\nmax_parse_seconds = 0\n", "is 0, and has to be more than 0 and at most 300"),
    ("[check]\nmax_parse_seconds = nan\n", "is nan, and has to be more than 0 and at most 300"),
    ("[check]\nmax_parse_seconds = 301\n", "is 301, and has to be"),
    ("[check]\ndags_folder = '/etc'\n", "is '/etc', and has to be a path below this folder"),
    ("[check]\ncredentials = '../x'\n", "is '../x', and has to be a path below this folder"),
    ("[check]\ncredentials = ['x']\n", "[check] credentials has to be a text"),
    ("[flows]\nrequire = true\n", "[flows] 'require' is unknown: did you mean required?"),
    ("[flows]\nmax_seconds = 0\n", "[flows] max_seconds is 0, and has to be more than 0"),
    ("[flows]\nunverified = ['a']\n",
     "[flows] unverified has to be a table of names and reasons"),
    ("[flows]\nunverified = {a = ''}\n", "[flows] unverified has to give the reason for a"),
    ("[flows.unverified]\na = true\n", "[flows] unverified has to give the reason for a"),
    ("[check\n", "is not TOML: Expected ']' at the end of a table"),
    (b"\xff", "is not TOML: 'utf-8' codec"),
    (b"#" * 5_000_001, "is larger than 5,000,000 bytes"),
])  # fmt: skip
def test_what_is_refused(repository, content, problem):
    repository.write({"rax.toml": content})
    with pytest.raises(CommandError) as raised:
        Settings.read(repository.root)
    assert str(raised.value).startswith("rax.toml: ")
    assert problem in str(raised.value)


def test_what_is_no_file(repository):
    os.mkfifo(repository.root / "rax.toml")
    with pytest.raises(CommandError, match=r"^rax\.toml: is not a regular file$"):
        Settings.read(repository.root)
    (repository.root / "rax.toml").unlink()
    (repository.root / "rax.toml").symlink_to("/etc/hostname")
    with pytest.raises(CommandError, match=r"^rax\.toml: is outside of this repository$"):
        Settings.read(repository.root)
