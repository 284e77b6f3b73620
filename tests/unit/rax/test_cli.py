"""The command `rax` itself: its help, exit codes, tables and completion."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rax
from rax import _layout, cli
from rax.cli import _account, _commands, _output
from rax.errors import CommandError, RaxError

SOURCE = Path(rax.__file__).parents[1]


@pytest.fixture(autouse=True)
def _stay_root(monkeypatch):
    """A test process must stay what it is, whatever accounts the machine has."""
    monkeypatch.setenv("RAX_ACCOUNT", "root")


def start(*arguments, program="from rax.cli import main; raise SystemExit(main())", **options):
    environment = {"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"], "RAX_ACCOUNT": "root"}
    environment |= options.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def run(*arguments, **options):
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def command(monkeypatch):
    """Let `rax try` run a function of the test."""

    def use(function):
        def add_parser(commands):
            _commands.add_command(commands, "try", function, "a try")

        module = type(sys)("rax.cli.attempt")
        module.add_parser = add_parser
        monkeypatch.setitem(sys.modules, "rax.cli.attempt", module)
        monkeypatch.setattr(cli, "_GROUPS", ("attempt",))
        return cli.main(["try"])

    return use


# Help and exit codes


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "usage: rax [-h] [--version] COMMAND"),
    (["credentials"], "usage: rax credentials [-h] COMMAND"),
    (["config"], "usage: rax config [-h] COMMAND"),
    (["alerts"], "usage: rax alerts [-h] COMMAND"),
])  # fmt: skip
def test_without_a_command_the_help_is_printed(capsys, arguments, says):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out.startswith(says)
    assert err == ""


def test_the_help_documents_groups_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert cli.EXIT_CODES in out
    for group in ("status", "credentials", "config", "alerts"):
        assert f"\n    {group}" in out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rax {rax.__version__}\n"


@pytest.mark.parametrize("arguments", [
    ["nosuch"], ["credentials", "nosuch"], ["credentials", "show"], ["config", "show"],
    ["--nosuch"], ["credentials", "list", "extra"], ["alerts", "flush", "--limit", "never"],
    ["alerts", "flush", "--limit", "0"], ["alerts", "flush", "--limit", "nan"],
])  # fmt: skip
def test_a_wrong_command_line(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: rax ")


@pytest.mark.parametrize("code", [0, 1])
def test_the_code_is_the_command_s(command, code):
    assert command(lambda _: code) == code


@pytest.mark.parametrize(("error", "line"), [
    (RaxError("no\n such   thing \x1b[31m"), "rax: no such thing \\x1b[31m\n"),
    (OSError(13, "Permission denied", "/etc/x"), "rax: /etc/x: Permission denied\n"),
])  # fmt: skip
def test_an_error_is_one_line(command, capsys, error, line):
    def fail(_):
        raise error

    assert command(fail) == 3
    assert capsys.readouterr() == ("", line)


def test_ctrl_c_ends_quietly(command, capsys):
    def fail(_):
        raise KeyboardInterrupt

    assert command(fail) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_gone_ends_it_quietly():
    program = (
        "import sys; from rax import cli; from rax.cli import status;"
        "status._status = lambda _: [sys.stdout.write('x' * 9999) for _ in range(99)] and 0;"
        "sys.exit(cli.main())"
    )
    process = start("status", program=program)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert err == ""


def test_an_encoding_that_lacks_a_character_is_no_error():
    program = (
        "from rax import cli; from rax.cli import _output, status;"
        "status._status = lambda _: _output.write('für 🔑\\n') or 0;"
        "raise SystemExit(cli.main())"
    )
    code, out, err = run("status", program=program, env={"PYTHONIOENCODING": "ascii"})
    assert (code, out, err) == (0, "f\\xfcr \\U0001f511\n", "")


def test_python_dash_m(monkeypatch):
    monkeypatch.chdir(SOURCE)
    done = subprocess.run(
        [sys.executable, "-m", "rax", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"rax {rax.__version__}\n"


def test_the_start_imports_little():
    """Neither Airflow nor what a command alone needs, since cron starts it every minute."""
    program = (
        "import sys; from rax import cli\n"
        "try: cli.main(['--version'])\n"
        "except SystemExit: pass\n"
        "wanted = {'airflow', 'yaml', 'argcomplete', 'pagerduty', 'subprocess', 'rax.alerting'}\n"
        "print(sorted(wanted & set(sys.modules)))"
    )
    assert run(program=program)[1].splitlines()[-1] == "[]"


def test_credentials_import_no_airflow(tmp_path):
    program = (
        "import sys; from rax import cli\n"
        "cli.main(['credentials', 'list'])\n"
        "print(sorted({'airflow', 'yaml', 'rax.alerting'} & set(sys.modules)))"
    )
    code, out, err = run(program=program, env={"RAX_CREDENTIALS_DIR": str(tmp_path)})
    assert (code, out.splitlines()[-1], err) == (0, "[]", "")


# The account


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize("account", ["nobody", "root"])
def test_root_becomes_the_account_of_the_tasks(monkeypatch, account):
    monkeypatch.setenv("RAX_ACCOUNT", account)
    monkeypatch.setenv("XDG_STATE_HOME", "/root/state")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([0, 1])
            _account.leave_root()
            places = [os.environ["HOME"], os.environ.get("XDG_STATE_HOME")]
            found = [_account.current(), *os.getresuid(), *os.getgroups(), *places]
            os.write(write, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    name, *ids, home, state = json.loads(os.read(read, 4096))
    os.close(read)
    os.close(write)
    assert name == account
    assert (0 in ids) == (account == "root")
    assert home == (os.environ["HOME"] if account == "root" else "/nonexistent")
    assert state == ("/root/state" if account == "root" else None)


def test_without_that_account_root_stays(monkeypatch):
    monkeypatch.delenv("RAX_ACCOUNT")
    monkeypatch.setattr(_account, "_DEFAULT_ACCOUNT", "no-such-account")
    before = os.getresuid()
    _account.leave_root()
    assert os.getresuid() == before


def test_a_named_account_that_does_not_exist(monkeypatch):
    monkeypatch.setenv("RAX_ACCOUNT", "no-such-account")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CommandError, match="RAX_ACCOUNT: there is no account 'no-such-account'"):
        _account.leave_root()


def test_other_accounts_stay_what_they_are(monkeypatch):
    monkeypatch.setenv("RAX_ACCOUNT", "no-such-account")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    _account.leave_root()
    assert _account.current() == "12345"


# Tables


@pytest.mark.parametrize(("columns", "expected"), [
    (None, ["NAME   TEXT", "a      " + "x" * 20, "bbbbb  y"]),
    (27, ["NAME   TEXT", "a      " + "x" * 20, "bbbbb  y"]),
    (20, ["NAME   TEXT", "a      " + "x" * 12 + "…", "bbbbb  y"]),
    (5, ["NAME   TEXT", "a      " + "x" * 7 + "…", "bbbbb  y"]),
])  # fmt: skip
def test_a_table_is_cut_where_it_is_widest(columns, expected):
    rows = [("a", "x" * 20), ("bbbbb", "y")]
    assert _layout.table(("name", "text"), rows, columns).splitlines() == expected


@given(
    st.lists(st.tuples(*[st.text(max_size=40)] * 3), min_size=1, max_size=5),
    st.integers(min_value=3 * 8 + 4, max_value=200),
)
def test_a_table_fits_and_its_columns_stand_below_each_other(rows, columns):
    lines = _layout.table(("a", "b", "c"), rows, columns).split("\n")
    assert len(lines) == len(rows) + 2, "no cell breaks a line"
    assert all(line.isprintable() for line in lines)
    assert all(_layout.width(line) <= columns for line in lines)


@pytest.mark.parametrize(("text", "columns", "expected"), [
    ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"),
    ("日本語", 4, "日…"), ("e\u0301" * 3, 3, "e\u0301" * 3), ("", 0, ""), ("x" * 10**6, 2, "x…"),
])  # fmt: skip
def test_cut(text, columns, expected):
    assert _layout.cut(text, columns) == expected


def test_into_a_pipe_nothing_is_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    _output.write_table(("", ""), [("a", "x" * 100)])
    assert capsys.readouterr().out == f"a  {'x' * 100}\n"


def test_in_a_terminal_its_width_counts(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _output.write_table(("", ""), [("a", "x" * 100)])
    assert capsys.readouterr().out == f"a  {'x' * 16}…\n"


# Completion


def test_without_argcomplete_the_tab_key_does_nothing(tmp_path):
    """Above all it does not run the command."""
    (tmp_path / "argcomplete.py").write_text("raise ImportError")
    environment = {"PYTHONPATH": f"{tmp_path}:{SOURCE}", "_ARGCOMPLETE": "1"}
    assert run("status", env=environment) == (3, "", "")


def completers(parser):
    """Return the completers below a parser, by the command that they belong to."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= completers(command)
        elif hasattr(action, "completer"):
            found[parser.prog] = action.completer
    return found


def test_names_are_offered(tmp_path, monkeypatch):
    (tmp_path / "EBI-ETL-DEV-01.json").touch()
    (tmp_path / "ebi").mkdir()
    (tmp_path / "ebi/daily.yaml").touch()
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path))
    offered = {name: offer(prefix="") for name, offer in completers(cli._parser()).items()}
    assert offered == {
        "rax credentials show": ["EBI-ETL-DEV-01"],
        "rax credentials doctor": ["EBI-ETL-DEV-01"],
        "rax credentials set": ["EBI-ETL-DEV-01"],
        "rax config show": ["ebi.daily"],
    }


def test_where_there_are_none_nothing_is_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("RAX_CONFIG_DIR", str(tmp_path / "nowhere"))
    assert not any(offer(prefix="") for offer in completers(cli._parser()).values())
