"""What a case is given in files: its own, configs, credentials; and what it gives in tables."""

import csv
import io
import json
import os
import stat
import tempfile
from pathlib import Path

import pytest

from rax.config import get_config
from rax.credentials import get_credentials, list_credentials
from rax.errors import ServiceError
from rax.testing._model import Given, HttpSource
from rax.testing._outputs import Captured
from rax.testing._services import Services, _files, _tables
from rax.testing._services._credentials import merge, write_credentials
from rax.testing._services._files import Files
from rax.testing._services._overlay import write_configs

NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t-canary"
NOBODY = 65534


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.csv"
    path.write_bytes(b"a\n1\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_files_are_copied_and_are_as_given_after_each_start(work, source):
    files = Files(work, {"a.csv": source, "in/deep/b.csv": source})
    files.start()
    copied = work / "in/deep/b.csv"
    assert copied.read_bytes() == b"a\n1\n"
    assert stat.S_IMODE(copied.stat().st_mode) == 0o644
    copied.write_bytes(b"changed")
    work.joinpath("new").mkdir()
    work.joinpath("link").symlink_to(source)
    before = work.stat().st_ino
    files.stop()
    files.start()
    assert copied.read_bytes() == b"a\n1\n"
    assert sorted(path.name for path in work.iterdir()) == ["a.csv", "in"]
    # A process may have it as its current folder.
    assert work.stat().st_ino == before
    assert source.exists()


def test_a_link_that_a_task_has_made_is_not_written_through(work, source, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    work.joinpath("a.csv").symlink_to(outside)
    Files(work, {}).put("a.csv", source)
    assert outside.read_text() == "mine"
    assert work.joinpath("a.csv").read_bytes() == b"a\n1\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/motd", "/etc/motd is not below the folder of the case"),
        ("../x", "../x is not below the folder of the case"),
        ("a/../../x", "a/../../x is not below the folder of the case"),
        ("", " is not below the folder of the case"),
        ("out/x", "out/x is not below the folder of the case"),
    ],
)
def test_a_path_that_leads_out_is_neither_read_nor_written(work, source, tmp_path, path, message):
    work.joinpath("out").symlink_to(tmp_path)
    tmp_path.joinpath("x").write_text("outside")
    files = Files(work, {})
    assert files.read(path) == Captured(error=message)
    for given in (source, None):
        with pytest.raises(ServiceError) as raised:
            files.put(path, given)
        assert str(raised.value) == message
    assert tmp_path.joinpath("x").read_text() == "outside"


PATHS = ("folder", "pipe", "link", "large", "no", "no/no", "small/no")


def test_what_is_no_file_says_so(work, tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "MAX_FILE_BYTES", 2**20)
    work.joinpath("folder").mkdir()
    os.mkfifo(work / "pipe")
    work.joinpath("link").symlink_to(tmp_path / "source.csv")
    work.joinpath("inside").symlink_to("small")
    work.joinpath("small").write_text("x")
    work.joinpath("large").write_bytes(b"x" * (2**20 + 1))
    files = Files(work, {})
    found = {path: files.read(path) for path in PATHS}
    assert found == {
        "folder": Captured(error="folder is no regular file"),
        "pipe": Captured(error="pipe is no regular file"),
        "link": Captured(error="link is a link out of the folder of the case"),
        "large": Captured(error="large holds more than 1 MiB"),
        "no": Captured(),
        "no/no": Captured(),
        "small/no": Captured(),
    }
    assert files.read("inside") == Captured(b"x")


def test_a_file_that_cannot_be_copied_is_named(work, tmp_path):
    with pytest.raises(ServiceError, match=r"no\.csv, given as a\.csv, cannot be used: No such"):
        Files(work, {"a.csv": tmp_path / "no.csv"}).start()


@pytest.mark.parametrize("case", ["root", "ordinary"])
def test_a_folder_that_a_task_has_closed_is_removed(case):
    if case == "ordinary" and os.geteuid() != 0:
        pytest.skip("this is an ordinary account already")
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "a/b")
        inner.mkdir(parents=True)
        inner.joinpath("c").touch()
        inner.joinpath("link").symlink_to("/")
        for path in (inner, inner.parent):
            path.chmod(0)
        child = os.fork()
        if not child:
            code = 70
            try:
                if case == "ordinary":
                    for path in (folder, inner.parent, inner):
                        os.chown(path, NOBODY, NOBODY)
                    os.setuid(NOBODY)
                Files(Path(folder), {}).stop()
                code = len(os.listdir(folder))  # noqa: PTH208 - of all
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            Given(sqlite={NAME: ()}, http={NAME: HttpSource()}),
            f"{NAME} is given twice: a credential",
        ),
        (Given(files={"a" * 300: Path("/etc/hostname")}), "given as aaa"),
    ],
)
def test_what_cannot_be_started_is_told(tmp_path, given, message):
    folder = tmp_path / "case"
    folder.mkdir()
    with pytest.raises(ServiceError, match=message), Services(given, folder, tmp_path, tmp_path):
        pass


def test_a_folder_that_is_there_no_more_is_told(tmp_path):
    gone = tmp_path / "gone"
    with pytest.raises(ServiceError) as raised, Services(Given(), gone, tmp_path, tmp_path):
        pass
    assert str(raised.value) == f"what the case is given: {gone}: No such file or directory"


def test_configs_are_merged_and_read_back_the_same(tmp_path, monkeypatch):
    values = {
        "months": [1, 2],
        "words": ["NO", "22:30", "1.10", "~", "", " x", "a: b", "#", "é\u2028\x85", "1e3"],
        "numbers": [0, -5, 1.0, 1e-07, 1.5e20],
        "nothing": None,
        "truth": {"yes": True, "no": False},
        7: "seven",
    }
    write_configs(tmp_path / "over", {"ebi.flights.daily": values})
    repository = tmp_path / "configs/ebi/flights"
    repository.mkdir(parents=True)
    repository.joinpath("daily.yaml").write_text("months: [12]\nkept: 1\ntruth: {also: 1}\n")
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{tmp_path / 'configs'}:{tmp_path / 'over'}")
    config = get_config("ebi.flights.daily")
    assert json.loads(json.dumps(config)) == json.loads(
        json.dumps({"months": [1, 2], "kept": 1, **values, "truth": {"also": 1, **values["truth"]}})
    )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("../a", {}, "'../a' is not the name of a config: .*"),
        ("a", {"x": float("inf")}, "the config a that the case is given: x is read as infinity.*"),
        ("a", {"x": 10**30}, "the config a that the case is given: x is read as a number.*"),
        ("a", {"x": {1, 2}}, "the config a that the case is given: x has the tag .*"),
        ("a", {"x": object()}, "the config a that the case is given: .*"),
    ],
)
def test_a_config_that_no_file_could_hold_is_refused(tmp_path, name, values, message):
    with pytest.raises(ServiceError, match=message):
        write_configs(tmp_path, {name: values})


def test_credentials_are_those_of_the_case_alone(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    served = {"user": "etl", "pass": SECRET, "host": "127.0.0.1", "metadata": {"port": 1}}
    given = {"url": "https://x", "metadata": {"port": None, "schema": "s"}}
    write_credentials(folder, {NAME: merge(NAME, served, given), "B": merge("B", None, None)})
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    assert list_credentials() == ["B", NAME]
    found = get_credentials(NAME)
    assert (found["user"], found["pass"], found["url"]) == ("etl", SECRET, "https://x")
    assert dict(found["metadata"]) == {"schema": "s"}
    assert get_credentials("B")["pass"] == ""
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / f"{NAME}.json")]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (NAME, {"pas": SECRET}, f"the credential {NAME} has no field 'pas': did you mean pass?"),
        (NAME, {"pass": [SECRET]}, f"the credential {NAME} cannot be: pass is not a string"),
        (NAME, {"metadata": SECRET}, f"the credential {NAME} cannot be: metadata is not an object"),
        (
            NAME,
            {"metadata": {SECRET: {1}}},
            f"the credential {NAME} cannot be: JSON cannot hold it",
        ),
        ("../x", {}, "'../x' is not the name of a credential"),
    ],
)
def test_what_is_no_credential_is_refused_without_its_values(tmp_path, name, given, message):
    with pytest.raises(ServiceError) as raised:
        write_credentials(tmp_path / "credentials", {name: merge(name, None, given)})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "table",
    [b"a\n", b"a,b\n1,\n", b'a\n"x\ny"\n"q""\n"\n', b'"\n",b\n', b'a\n""\n\n'],
)
def test_sorting_keeps_each_row_whole(table):
    found = _tables.sort_rows(table)
    rows = [*csv.reader(io.StringIO(table.decode()))]
    assert sorted(csv.reader(io.StringIO(found.decode()))) == sorted(rows)
    assert next(csv.reader(io.StringIO(found.decode()))) == rows[0]
