"""`rax credentials`: nothing secret is shown, and all that is wrong is told with what to do."""

import contextlib
import grp
import json
import os
import pwd
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax import cli
from rax.cli import _doctor, credentials
from rax.credentials import Credential

NAME = "EBI-ETL-DEV-01"
SECRET = "s3cr3t-canary"
NOBODY = 65534
# Ages that a slow machine tells in the same words.
KEPT_SECONDS = 2 * 3600 + 5 * 60
STALE_SECONDS = 2 * 86400 + 5 * 3600
REFRESH = "refresh the credentials (playbooks/refresh_credentials.yml"


def record(**changes):
    fields = {
        "user": "etl",
        "pass": SECRET,
        "host": "db.example.org",
        "url": f"postgresql://etl:{SECRET}@db.example.org/ebi",
        "description": "the nightly load",
        "metadata": {"port": 5432, "token": "t0k3n-canary"},
        "protected": [],
    }
    return fields | changes


def write(folder, name=NAME, content=None):
    file = folder / f"{name}.json"
    file.touch(0o600)
    file.write_text(json.dumps(record()) if content is None else content)
    return file


def source(state="current", age=60, error=None):
    good = age is not None
    return {
        "state": state,
        "error": error,
        "fingerprint": None,
        "changed_at": None,
        "last_good_at": stamp(age) if good else None,
    }


def stamp(age):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))


def write_status(folder, sources):
    file = folder.with_name(f"{folder.name}.status.json")
    file.write_text(json.dumps({"version": 1, "refreshed_at": stamp(0), "sources": sources}))
    file.chmod(0o440)
    return file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory as the refresh leaves it: a link to a generation, and a status."""
    generation = tmp_path / ".credentials/0f3a"
    generation.mkdir(mode=0o750, parents=True)
    link = tmp_path / "credentials"
    link.symlink_to(generation)
    write(link)
    write_status(link, {NAME: source()})
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(link))
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.delenv("RAX_CREDENTIALS_MAX_AGE", raising=False)
    monkeypatch.delenv("RAX_CREDENTIALS_STALE", raising=False)
    return link


@pytest.fixture
def rax(capsys):
    def run(*arguments):
        code = cli.main(["credentials", *arguments])
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        assert "t0k3n-canary" not in out + err
        return code, out, err

    return run


# list


def test_list(folder, rax):
    write(folder, "B", json.dumps(record(user="b\x1b[31m")))
    write(folder, "C", "{")
    write(folder, "D").chmod(0o644)
    write_status(
        folder,
        {NAME: source(age=3700), "B": source("kept", 90000, "no such record"),
         "E": source("missing", None, "its record lacks a host"), "F": source(age=3700)},
    )  # fmt: skip
    code, out, err = rax("list")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["NAME", "USER", "HOST", "AGE", "STATE"]
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in out.splitlines()[1:]]
    assert rows == [
        ["B", "b\\x1b[31m", "db.example.org", "1 d 1 h", "kept"],
        ["C", "-", "-", "-", "malformed"],
        ["D", "-", "-", "-", "insecure"],
        ["E", "-", "-", "-", "missing"],
        [NAME, "etl", "db.example.org", "1 h 1 min", "current"],
        ["F", "-", "-", "1 h 1 min", "missing"],
    ]


def test_what_a_copy_of_the_vault_has_confirmed(folder, rax, monkeypatch):
    """Its age is that of the copy, and all say so."""
    of_copy = source(age=STALE_SECONDS) | {"from_copy": True}
    copied = of_copy["last_good_at"]
    write_status(folder, {NAME: of_copy, "E": source()})
    said = f"current, confirmed against a copy of {copied}"
    code, out, _ = rax("list")
    assert code == 0
    assert [line.split("  ")[-1].strip() for line in out.splitlines()[1:]] == ["missing", said]
    assert "2 d 5 h" in out
    assert f"{said}\n" in rax("show", NAME)[1]
    found = {one["name"]: one for one in json.loads(rax("list", "--json")[1])}
    assert found[NAME]["copy_of"] == copied
    assert found[NAME]["age_seconds"] >= STALE_SECONDS
    write_status(folder, {NAME: of_copy})
    # A copy may be of any age, unless somebody says otherwise.
    assert rax("doctor")[0] == 0
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "1d")
    code, out, _ = rax("doctor")
    assert code == 1
    assert f"2 d 5 h ago, against a copy of the vault of {copied}, and 1 d are allowed" in out
    assert "run playbooks/refresh_credentials.yml on the controller, which renews the copy" in out


def test_list_for_programs(folder, rax):
    write_status(folder, {NAME: source(age=60), "E": source("missing", None, "no host")})
    code, out, _ = rax("list", "--json")
    assert code == 0
    found = json.loads(out)
    assert found[0] == {
        "name": "E", "user": None, "host": None, "age_seconds": None, "copy_of": None,
        "state": "missing", "problem": "no host",
    }  # fmt: skip
    assert 60 <= found[1].pop("age_seconds") < 90
    assert found[1] == {
        "name": NAME, "user": "etl", "host": "db.example.org", "copy_of": None,
        "state": "current", "problem": None,
    }  # fmt: skip


def test_a_secret_that_is_the_user_is_not_listed(folder, rax):
    """As with the tokens of some services."""
    write(folder, content=json.dumps(record(user=SECRET, host=f"etl:{SECRET}@db")))
    assert "  ***   etl:***@db  " in rax("list")[1]
    (found,) = json.loads(rax("list", "--json")[1])
    assert (found["user"], found["host"]) == ("***", "etl:***@db")


def test_an_age_that_the_settings_refuse_is_listed_all_the_same(folder, rax, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "1m")
    write_status(folder, {NAME: source(age=3600)})
    code, out, err = rax("list")
    assert (code, err) == (0, "")
    # Of the age, the hours alone: a second may pass before it is listed.
    row = out.splitlines()[1].split()
    assert (row[:5], row[-1]) == ([NAME, "etl", "db.example.org", "1", "h"], "current")


def test_without_a_status_ages_are_unknown(folder, rax):
    folder.with_name("credentials.status.json").unlink()
    code, out, _ = rax("list")
    assert code == 0
    assert out.splitlines()[1].split() == [NAME, "etl", "db.example.org", "-", "unknown"]


def test_without_a_directory_nothing_can_be_listed(tmp_path, rax, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "nowhere"))
    code, out, err = rax("list")
    assert (code, out) == (3, "")
    assert err.startswith(f"rax: {tmp_path}/nowhere: No such file or directory")


# show


@pytest.mark.usefixtures("folder")
def test_show(rax):
    code, out, _ = rax("show", NAME)
    assert code == 0
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["pass"] == "***"
    assert rows["url"] == "postgresql://etl:***@db.example.org/ebi"
    assert rows["metadata.port"] == "5432"
    assert rows["metadata.token"] == "***"
    assert rows["age"].startswith("1 min")
    assert rows["state"] == "current"


@pytest.mark.usefixtures("folder")
def test_show_for_programs(rax):
    code, out, _ = rax("show", NAME, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["pass"] == found["metadata"]["token"] == "***"
    assert found["metadata"]["port"] == 5432
    assert set(found) == {
        "name", "user", "host", "age_seconds", "copy_of", "state", "problem",
        "pass", "url", "description", "metadata",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "message"), [
    ("EBI-ETL-DEV-1", f"no credential 'EBI-ETL-DEV-1' in {{}}: it has {NAME}"),
    ("../x", "'../x' is not the name of a credential"),
])  # fmt: skip
def test_show_what_is_not_there(folder, rax, name, message):
    assert rax("show", name) == (3, "", f"rax: {message.format(folder)}\n")


def test_show_what_is_refused(folder, rax):
    (folder / f"{NAME}.json").chmod(0o666)
    code, out, err = rax("show", NAME)
    assert (code, out) == (3, "")
    assert "has the mode 0666, wider than 06" in err


@pytest.mark.parametrize(("changes", "field", "expected"), [
    ({"url": "https://u:p%40ss-word@h:1/x"}, "url", "https://u:***@h:1/x"),
    ({"url": "https://u:pa/ss@h/x"}, "url", "https://u:***@h/x"),
    ({"url": "https://u:p@ss@h/a@b"}, "url", "https://u:***@h/a@b"),
    ({"url": "https://h:8080/a@b"}, "url", "https://h:8080/a@b"),
    ({"url": "https://h/?a=1&api_token=abc&b=2"}, "url", "https://h/?a=1&api_token=***&b=2"),
    ({"url": "https://u@h/"}, "url", "https://u@h/"),
    ({"description": f"use {SECRET}!"}, "description", "use ***!"),
    ({"pass": "a b/c%", "description": "a%20b%2Fc%25"}, "description", "***"),
    ({"pass": "db", "description": "the db"}, "description", "the db"),
    ({"user": SECRET}, "user", "***"),
    ({"metadata": {"dsn": "x://u:pw@h"}}, "metadata", {"dsn": "x://u:***@h"}),
    ({"metadata": {"pwd": 1234, "pass_ok": True}}, "metadata", {"pwd": "***", "pass_ok": True}),
    ({"metadata": {"pin": 1234, "pass": "1234"}}, "metadata", {"pin": "***", "pass": "***"}),
    ({"metadata": {"a": {"key": "x", "b": ["s3cr3t-canary"]}}}, "metadata",
     {"a": {"key": "***", "b": ["***"]}}),
    ({"metadata": {"token": ""}}, "metadata", {"token": ""}),
    # The longest first: no secret leaves the end of one that begins with it.
    ({"metadata": {"tokens": ["s" * n for n in range(5, 12)]},
      "description": " ".join("s" * n for n in range(5, 12))}, "description",
     " ".join(["***"] * 7)),
])  # fmt: skip
def test_what_is_masked(changes, field, expected):
    assert credentials.masked(Credential(NAME, record(**changes)))[field] == expected


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(min_size=5, alphabet=st.characters(exclude_categories=["Cs"])),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_password_is_shown_wherever_it_is(password, before, after):
    text = before + password + after
    shown = credentials.masked(
        Credential(NAME, record(**{"pass": password, "description": text, "metadata": {"a": text}}))
    )
    for value in (shown["pass"], shown["description"], shown["metadata"]["a"]):
        assert password not in value or set(password) <= {"*"}


# doctor


@pytest.mark.usefixtures("folder")
def test_all_is_well(rax):
    code, out, err = rax("doctor")
    account = pwd.getpwuid(os.geteuid()).pw_name
    folder = os.environ["RAX_CREDENTIALS_DIR"]
    assert out == f"1 credential in {folder}, as {account} sees them: no problem\n"
    assert (code, err) == (0, "")


def damage(folder, kind):
    """Do something to a directory in order, and return what doctor says of it."""
    file, status = folder / f"{NAME}.json", folder.with_name("credentials.status.json")
    generation = folder.resolve()
    limit = "0640" if os.geteuid() == 0 else "0600"
    match kind:
        case "mode":
            file.chmod(0o644)
            return NAME, f"{file}: has the mode 0644, wider than {limit}", "rotate the password"
        case "link":
            file.unlink()
            file.symlink_to(write(folder.parent, "elsewhere"))
            return NAME, f"{file}: is not a regular file", REFRESH
        case "malformed":
            file.write_text("{")
            return NAME, f"{file}: is not JSON: line 1, column 2", REFRESH
        case "hard link":
            os.link(file, folder.parent / "elsewhere")
            return NAME, f"{file}: has 2 names", f"find / -samefile {file}"
        case "gone":
            file.unlink()
            return NAME, "was delivered, and is gone", "is it in credentials_sources"
        case "missing":
            file.unlink()
            write_status(folder, {NAME: source("missing", None, "no entry has this title")})
            return NAME, "there is no file: no entry has this title", "put the record right"
        case "kept":
            write_status(
                folder, {NAME: source("kept", KEPT_SECONDS, "it has no host"), "B": source()}
            )
            write(folder, "B")
            text = "the last good file of 2 h 5 min ago is kept: it has no host"
            return NAME, text, "put the record right in the vault"
        case "undeclared":
            write_status(folder, {})
            return NAME, "is not in the status", "declare it in credentials_sources"
        case "stale":
            write_status(folder, {NAME: source(age=STALE_SECONDS)})
            text = "the vault last confirmed a credential 2 d 5 h ago, and 1 d are allowed"
            return str(status), text, "journalctl -u caspian-refresh"
        case "one stale":
            write(folder, "B")
            write_status(folder, {NAME: source(age=STALE_SECONDS), "B": source()})
            return NAME, "the vault last confirmed it 2 d 5 h ago, and 1 d are allowed", REFRESH
        case "future":
            write_status(folder, {NAME: source(age=-3600)})
            return NAME, "when the vault last confirmed it is not known", "wrong clock"
        case "no status":
            status.unlink()
            return str(status), "does not exist, so no age is known", REFRESH
        case "damaged status":
            status.unlink()
            status.write_text("[]")
            return str(status), "is not a status of version 1", REFRESH
        case "open status":
            status.chmod(0o666)
            return str(status), "could have been written by others", REFRESH
        case "open directory":
            generation.chmod(0o770)
            return str(folder), "has the mode 0770: others may add and remove files", REFRESH
        case "open parent":
            folder.parent.chmod(0o777)
            text = "has the mode 0777: others may replace what is in it"
            return str(folder.parent), text, "chmod go-w"
        case "open generations":
            generation.parent.chmod(0o770)
            text = "has the mode 0770: others may replace what is in it"
            return str(generation.parent), text, "chmod go-w"


DAMAGES = [
    "mode", "link", "malformed", "hard link", "gone", "missing", "kept", "undeclared", "stale",
    "one stale", "future", "no status", "damaged status", "open status", "open directory",
    "open parent", "open generations",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_wrong_is_told_once_and_what_to_do(folder, rax, kind):
    what, problem, advice = damage(folder, kind)
    code, out, err = rax("doctor", "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["directory"] == str(folder)
    assert NAME in found["credentials"]
    (finding,) = found["problems"]
    assert finding["what"] == what
    assert problem in finding["problem"]
    assert advice in finding["advice"]
    code, out, err = rax("doctor")
    assert (code, err) == (1, "")
    first, second, third, last = out.splitlines()
    assert (first, second) == (what, f"  {finding['problem']}")
    assert third == f"    → {finding['advice']}"
    assert last.endswith("sees them: 1 problem")


def test_a_file_with_an_access_list(folder, rax, monkeypatch):
    """What others may read by an access list has a mode that looks right."""
    monkeypatch.setattr(os, "listxattr", lambda *_, **__: ["system.posix_acl_access"])
    code, out, _ = rax("doctor")
    assert code == 1
    assert f"{folder}/{NAME}.json: has an access list, by which others may read it" in out


def test_several_problems_of_one_credential_are_all_told(folder, rax):
    file = folder / f"{NAME}.json"
    file.chmod(0o644)
    os.link(file, folder.parent / "elsewhere")
    code, out, _ = rax("doctor")
    assert code == 1
    assert out.splitlines()[0] == NAME
    assert "0644" in out
    assert "has 2 names" in out
    assert out.endswith("2 problems\n")


def test_one_is_looked_at_and_the_directory_always(folder, rax):
    write(folder, "B", "{")
    assert rax("doctor", NAME)[0] == 0
    code, out, _ = rax("doctor", "B", "--json")
    assert code == 1
    assert json.loads(out)["credentials"] == ["B"]
    folder.parent.chmod(0o777)
    assert rax("doctor", NAME)[0] == 1


@pytest.mark.parametrize("name", ["EBI-ETL-DEV-1", "../x"])
def test_a_name_that_is_not_there_is_a_problem(rax, folder, name):
    code, out, _ = rax("doctor", name, "--json")
    assert code == 1
    (finding,) = json.loads(out)["problems"]
    assert finding["what"] == name
    assert repr(name) in finding["problem"]
    assert f"it has {NAME}" in finding["problem"] or name == "../x"
    assert "is it in credentials_sources" in finding["advice"]
    assert folder.exists()


@pytest.mark.parametrize(("make", "problem"), [
    (Path.exists, "does not exist"),
    (lambda path: path.symlink_to("x"), "is a link to x, which does not exist"),
    (lambda path: path.touch(), "is not a directory"),
    (lambda path: path.symlink_to(path), "cannot be looked at: Too many levels"),
])  # fmt: skip
def test_a_directory_that_is_none(tmp_path, monkeypatch, rax, make, problem):
    path = tmp_path / "credentials"
    make(path)
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(path))
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    code, out, err = rax("doctor", "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["credentials"] == []
    (finding,) = found["problems"]
    assert finding["what"] == str(path)
    assert problem in finding["problem"]
    assert REFRESH in finding["advice"]


def test_another_owner(folder, rax, monkeypatch):
    """Of a folder on the way, of the link and of the directory: each may lead readers astray."""
    monkeypatch.setattr(_doctor, "_trusted", lambda _: False)
    code, out, _ = rax("doctor", "--json")
    assert code == 1
    owner = pwd.getpwuid(os.geteuid()).pw_name
    found = {finding["what"]: finding["problem"] for finding in json.loads(out)["problems"]}
    assert found[str(folder.parent)] == f"belongs to {owner}, who may replace what is in it"
    assert found[str(folder)] == f"belongs to {owner}, who may replace the files"
    links = [f["problem"] for f in json.loads(out)["problems"] if "is a link that" in f["problem"]]
    assert links == [f"is a link that belongs to {owner}, who may lead it elsewhere"]


def test_a_limit_of_the_settings(folder, rax, monkeypatch):
    write_status(folder, {NAME: source(age=3600)})
    assert rax("doctor")[0] == 0
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "30m")
    code, out, _ = rax("doctor")
    assert code == 1
    assert re.search(r"confirmed a credential 1 h( \d+ s)? ago, and 30 min are allowed", out)
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "0")
    assert rax("doctor")[0] == 0


def test_a_limit_that_makes_no_sense(folder, rax, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "soon")
    code, out, err = rax("doctor")
    assert (code, out) == (3, "")
    assert err.startswith("rax: RAX_CREDENTIALS_MAX_AGE is 'soon'")
    assert folder.exists()


# As an account that may not read


def as_nobody(work, groups=()):
    """Return what a function finds in a process of another account."""
    read, write_to = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups(groups)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(write_to, json.dumps(work()).encode())
        os._exit(0)
    os.close(write_to)
    with os.fdopen(read) as answer:
        os.waitpid(child, 0)
        return json.loads(answer.read())


@pytest.fixture
def node():
    """A folder that every account may enter, as /etc/airflow is, with a group that reads."""
    if os.geteuid() != 0:
        pytest.skip("only root can try it with the eyes of another account")
    group = grp.getgrnam("daemon")
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    folder = top / "credentials"
    folder.mkdir()
    folder.chmod(0o750)
    os.chown(folder, 0, group.gr_gid)
    file = write(folder)
    os.chown(file, 0, group.gr_gid)
    file.chmod(0o440)
    status = write_status(folder, {NAME: source()})
    os.chown(status, 0, group.gr_gid)
    yield folder
    shutil.rmtree(top)


def examined():
    names, findings = _doctor.examine([])
    return [names, [list(finding) for finding in findings]]


def test_not_in_the_group(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    names, findings = as_nobody(examined)
    assert names == []
    directory = [finding for finding in findings if finding[0] == str(node)]
    ((_, problem, advice, kind),) = directory
    assert kind == "credentials-unreadable"
    assert problem == (
        "cannot be read by nobody: it has the mode 0750 and belongs to root and the group daemon,"
        " in which nobody is not"
    )
    assert advice.startswith("`sudo rax …` looks as the tasks do; or `sudo usermod -aG daemon nob")


def test_in_the_group(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    group = grp.getgrnam("daemon").gr_gid
    assert as_nobody(examined, [group]) == [[NAME], []]


def test_in_the_group_since_the_session_began(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    real = grp.getgrnam("daemon")
    joined = grp.struct_group((real.gr_name, "x", real.gr_gid, ["nobody"]))
    monkeypatch.setattr(grp, "getgrgid", lambda _: joined)
    _, findings = as_nobody(examined)
    assert [advice for what, _, advice, _ in findings if what == str(node)] == ["log in anew"]


def test_a_file_of_another_group(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    os.chown(node / f"{NAME}.json", 0, 0)
    names, findings = as_nobody(examined, [grp.getgrnam("daemon").gr_gid])
    assert names == [NAME]
    ((what, problem, _, _),) = findings
    assert what == NAME
    assert problem == (
        f"{node}/{NAME}.json: cannot be read by nobody: it has the mode 0440 and belongs to root"
        " and the group root, in which nobody is not"
    )


def test_a_mode_that_shuts_the_group_out(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    (node / f"{NAME}.json").chmod(0o400)
    node.parent.chmod(0o755)
    _, findings = as_nobody(examined, [grp.getgrnam("daemon").gr_gid])
    ((_, problem, advice, _),) = findings
    assert "it has the mode 0400 and belongs to root and the group daemon" in problem
    assert advice.endswith("which repairs its mode")


def test_a_directory_that_can_be_entered_and_not_listed(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    node.chmod(0o710)
    _, findings = as_nobody(examined, [grp.getgrnam("daemon").gr_gid])
    ((what, problem, advice, _),) = findings
    assert what == str(node)
    assert "it has the mode 0710" in problem
    assert advice.endswith("which repairs its mode")


def test_a_folder_on_the_way_that_cannot_be_entered(node, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(node))
    node.parent.chmod(0o700)
    names, findings = as_nobody(examined)
    assert names == []
    ((what, problem, advice, _), *_) = findings
    assert what == str(node.parent)
    assert problem.startswith("cannot be entered by nobody: it has the mode 0700 and belongs to")
    assert advice == f"`chmod g+x {node.parent}`, as its owner"
