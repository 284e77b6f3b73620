"""Records of BeyondTrust Password Safe, from a fake that the vendor's own client accepts."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from tests import lookup_calls
from tests.fakes.beyondtrust import BASE, BeyondTrust, secret_id

ROOT = Path(__file__).resolve().parents[3]
LOOKUP = "caspian.airflow.beyondtrust"
CLIENT_ID = str(uuid.uuid4())
CLIENT_SECRET = "s3cret-" + secrets.token_hex(20)
KEY = "s3cret" + secrets.token_hex(64)
RUNAS_PASSWORD = "s3cret;] pässword"
# Runs calls (terms, variables, options) of the lookup, a line each, as a play does.
WORKER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
sys.path.insert(0, sys.argv[1])
from tests.lookup_calls import run
init_plugin_loader()
for line in sys.stdin:
    print(json.dumps(run(sys.argv[2], *json.loads(line))), flush=True)
"""


def secret(title, folder="Team/ETL", **fields):
    return {"Title": title, "FolderPath": folder, "Username": "u", "Password": "s3cret", **fields}


def account(system, name, **fields):
    return {"SystemName": system, "AccountName": name, "Password": "s3cret", **fields}


APP = "The app host=db1.corp:1433 tier=1"
DATA = {
    "clients": {CLIENT_ID: CLIENT_SECRET},
    "keys": {KEY: {"CORP\\svc": RUNAS_PASSWORD, "svc-free": None}},
    "secrets": [
        secret(
            "EBI-ETL-DEV-01",
            Username="etl",
            Password="s3cret {{ x }}",
            Urls=["postgresql://db1:5432/ebi"],
            Description="The nightly load env=prod",
            Notes="team: Data\nsecond line",
        ),
        secret("Own host", Username=" u ", Password=" s3cret\n", Notes="host=db2:1433"),
        secret("Urls", Urls=["https://db1/x", "https://db2/y"]),
        secret("Text", SecretType="Text", Text="s3cret text\n", Username=None, Notes="user=etl"),
        secret("Empty", Username=None, Password=""),
        secret("File", SecretType="File", FileName="x.pem", Content="s3cret"),
        secret("Slash/ed", Password="s3cret slashed"),
        secret("Twice", Password="s3cret deep"),
        secret("Twice", "Team", Password="s3cret shallow"),
        secret("Same", Id=secret_id(901)),
        secret("Same", Id=secret_id(902)),
        secret("Unseen", "Other"),
        secret("db1/etl", Password="s3cret, not an account"),
    ],
    "accounts": [
        account("db1", "etl"),
        account("db1", "app", Password="s3cret app", AccountDescription=APP),
        account("db2", "dba", DomainName="CORP", UserPrincipalName="dba@corp.example.org"),
        account("db2", "dba", Password="s3cret local", InstanceName="MAIN"),
        account("db3", "same"),
        account("db3", "same"),
        account("db3", "forbidden", Forbidden=True),
        account("db3", "unapproved", Unapproved=True),
        account("db3", "list", Password=["s3cret"]),
    ],
}
FOLDERS = ["Team/ETL", "Team"]


def environment():
    return {
        **lookup_calls.environment(),
        "ANSIBLE_LOCAL_TEMP": tempfile.gettempdir(),
        "COLUMNS": "1000",
    }


def command():
    return [sys.executable, "-c", WORKER, str(ROOT), LOOKUP]


@pytest.fixture(scope="module")
def fakes():
    with BeyondTrust(DATA) as fake:
        yield fake


@pytest.fixture
def fake(fakes):
    fakes.forget()
    fakes.data = DATA
    fakes.expire()
    fakes.releases.clear()
    fakes.issued.clear()
    fakes.signed_in = 0
    return fakes


@pytest.fixture(scope="module")
def password_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("beyondtrust") / "password"
    path.write_text(CLIENT_SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def options(fake, password_file):
    return {
        "url": fake.url,
        "ca_path": str(fake.ca_path),
        "client_id": CLIENT_ID,
        "password_file": str(password_file),
        "folders": FOLDERS,
        "timeout": 2,
        "retries": 2,
        "total_timeout": 20,
    }


@pytest.fixture(scope="module")
def worker():
    """Start the process that serves this file's calls: it takes long to start."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        ) as process,
    ):

        def call(*given):
            start = errors.seek(0, os.SEEK_END)
            process.stdin.write(json.dumps(given) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            errors.seek(start)
            assert answer, errors.read()
            return json.loads(answer), errors.read()

        yield call
        process.stdin.close()


@pytest.fixture
def look_up(fake, options, worker):
    def look_up(terms, **changes):
        """Return the result or {"error": …}; nothing is left behind, and nothing said too much."""
        answer, said = worker(terms, {}, {**options, **changes})
        assert_clean(fake, answer.get("error", "") + said)
        assert not said
        return answer

    return look_up


def assert_clean(fake, said):
    """Check that everything was signed out and checked in, and that no message has a secret."""
    assert fake.sessions == {}
    assert fake.open_releases() == []
    assert "s3cret" not in said
    assert "Traceback" not in said
    for value in fake.issued:
        assert value not in said


def calls(fake):
    """Return what was asked for, without queries."""
    return [
        f"{request['method']} {request['path'].partition('?')[0].removeprefix(BASE + '/')}"
        for request in fake.requests
    ]


TOKEN, SIGN_IN, SIGN_OUT = "POST Auth/connect/token", "POST Auth/SignAppIn", "POST Auth/Signout"
LIST = "GET secrets-safe/secrets"
SIGNED = [TOKEN, SIGN_IN]
ACCOUNT = [
    "GET ManagedAccounts",
    "POST Requests",
    "GET Credentials/1001",
    "PUT Requests/1001/checkin",
]


def record(name, **fields):
    return {
        "name": name,
        "user": "u",
        "pass": "s3cret",
        "host": "",
        "url": "",
        "description": "",
        "metadata": {},
        "protected": [],
        "expires_at": None,
        **fields,
    }


RECORDS = [
    pytest.param(
        record(
            "EBI-ETL-DEV-01",
            user="etl",
            host="db1",
            url="postgresql://db1:5432/ebi",
            description="The nightly load\nsecond line",
            metadata={"port": 5432, "env": "prod", "team": "Data"},
            **{"pass": "s3cret {{ x }}"},
        ),
        id="credential",
    ),
    pytest.param(
        record(
            "Own host",
            user=" u ",
            host="db2",
            metadata={"port": 1433},
            **{"pass": " s3cret\n"},
        ),
        id="own-host",
    ),
    pytest.param(
        record(
            "Urls",
            host="db1",
            url="https://db1/x",
            metadata={"urls": "https://db1/x https://db2/y"},
        ),
        id="several-urls",
    ),
    pytest.param(record("Text", user="etl", **{"pass": "s3cret text\n"}), id="text"),
    pytest.param(record("Empty", user="", **{"pass": ""}), id="empty"),
    pytest.param(record("Slash/ed", **{"pass": "s3cret slashed"}), id="slash"),
    pytest.param(record("Team/ETL/Twice", **{"pass": "s3cret deep"}), id="path"),
    pytest.param(record("Team/Twice", **{"pass": "s3cret shallow"}), id="other-path"),
    pytest.param(record("db1/etl", **{"pass": "s3cret, not an account"}), id="secrets-first"),
    pytest.param(
        record(
            "db1/app",
            user="app",
            host="db1.corp",
            description="The app",
            metadata={"port": 1433, "tier": "1"},
            **{"pass": "s3cret app"},
        ),
        id="account",
    ),
    pytest.param(
        record("DB2/corp\\dba", user="dba", host="db2", metadata={"domain": "CORP"}),
        id="account-of-a-domain",
    ),
    pytest.param(
        record("db2/dba@corp.example.org", user="dba", host="db2", metadata={"domain": "CORP"}),
        id="account-by-principal-name",
    ),
    pytest.param(
        record(
            "db2/dba",
            user="dba",
            host="db2",
            metadata={"instance": "MAIN"},
            **{"pass": "s3cret local"},
        ),
        id="account-of-an-instance",
    ),
]


@pytest.mark.parametrize("expected", RECORDS)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="plain"),
        pytest.param({"wrapped": True}, id="wrapped"),
        pytest.param({"unlisted": ["Password", "Text"]}, id="unlisted"),
    ],
)
def test_record(fake, look_up, data, expected):
    fake.data = {**DATA, **data}
    assert look_up([expected["name"]]) == {"result": [expected]}


def test_order_and_repeats(look_up):
    names = ["Text", "db1/app", "Empty", "Text"]
    assert [record["name"] for record in look_up(names)["result"]] == names


UNDELIVERABLE = [
    pytest.param("Nowhere", "no secret of the folders has this title or path", id="missing"),
    pytest.param("Unseen", "no secret of the folders has this title or path", id="other-folder"),
    pytest.param("text", "no secret of the folders has this title or path", id="case"),
    pytest.param(
        "db9/etl",
        "no secret of the folders and no managed account has this name",
        id="missing-account",
    ),
    pytest.param(
        "Twice",
        "2 secrets have this name, give the path of one:"
        f" Team/ETL/Twice (id {secret_id(7)}), Team/Twice (id {secret_id(8)})",
        id="two-titles",
    ),
    pytest.param(
        "Team/ETL/Same",
        "2 secrets have this name, give the path of one: "
        + ", ".join(f"Team/ETL/Same (id {i})" for i in sorted([secret_id(901), secret_id(902)])),
        id="two-paths",
    ),
    pytest.param(
        "File",
        f"the secret is a file (id {secret_id(5)}): keep it as a text or a credential",
        id="file",
    ),
    pytest.param("db3/same", "2 managed accounts have this name: ids 505, 506", id="two-accounts"),
    pytest.param(
        "db3/forbidden",
        "this user may not have it, or it waits for an approval"
        " (POST HOST /Requests: HTTP 403 Forbidden)",
        id="forbidden",
    ),
    pytest.param(
        "db3/unapproved",
        "this user may not have it, or it waits for an approval"
        " (GET HOST /Credentials/1001: HTTP 403 Forbidden)",
        id="unapproved",
    ),
    pytest.param("db3/list", "the vault's answer is not a password", id="not-a-password"),
]


@pytest.mark.parametrize(("name", "reason"), UNDELIVERABLE)
def test_one_name_fails(fake, look_up, name, reason):
    reason = reason.replace("HOST", f"localhost:{fake.port}")
    answer = look_up(["Text", name, "db1/app"], missing="report")
    text, failed, app = answer["result"]
    assert failed == {"name": name, "error": reason}
    assert (text["name"], app["pass"]) == ("Text", "s3cret app")
    fake.releases.clear()
    assert look_up([name])["error"] == f"{fake.url}: {name}: {reason}"


def test_nothing_in_a_folder(look_up):
    answer = look_up(["Nowhere"], folders=["Team/ETL", "Taem"])
    assert (
        "no secret of the folders has this title or path (nothing to be seen in Taem)"
        in (answer["error"])
    )


def test_managed_accounts_can_be_left_out(fake, look_up):
    answer = look_up(["db1/app"], managed_accounts=False)
    assert "no secret of the folders has this title or path" in answer["error"]
    assert "GET ManagedAccounts" not in calls(fake)


class TestCalls:
    """One session, one list of each folder, four requests for an account."""

    def test_a_folder_of_1000_secrets(self, fake, look_up):
        names = [f"Secret {number}" for number in range(1000)]
        fake.data = {**DATA, "secrets": [secret(name) for name in names]}
        assert len(look_up(names, folders=["Team/ETL"])["result"]) == 1000
        # The second list is empty: only then it is clear that the first was whole.
        assert calls(fake) == [*SIGNED, LIST, LIST, SIGN_OUT]
        assert fake.connections == 1

    def test_a_wrapped_folder_of_1000_secrets(self, fake, look_up):
        """The server says how many there are."""
        names = [f"Secret {number}" for number in range(1000)]
        fake.data = {**DATA, "secrets": [secret(name) for name in names], "wrapped": True}
        assert len(look_up(names, folders=["Team/ETL"])["result"]) == 1000
        assert calls(fake) == [*SIGNED, LIST, SIGN_OUT]

    def test_several_folders(self, fake, look_up):
        look_up(["Text", "Empty", "Team/Twice"])
        assert calls(fake) == [*SIGNED, LIST, LIST, SIGN_OUT]

    def test_an_account(self, fake, look_up):
        look_up(["db1/app"], folders=[])
        assert calls(fake) == [*SIGNED, *ACCOUNT, SIGN_OUT]
        (release,) = fake.releases
        assert (release.minutes, release.reason, release.option) == (5, "caspian.airflow", "reuse")

    def test_no_names(self, fake, look_up):
        assert look_up([]) == {"result": []}
        assert fake.requests == []

    def test_an_api_key_needs_no_token(self, fake, look_up):
        look_up(["Text"], folders=["Team/ETL"], **BY_KEY)
        assert calls(fake) == [SIGN_IN, LIST, SIGN_OUT]


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        pytest.param({}, 6, id="plain"),
        pytest.param({"wrapped": True}, 5, id="wrapped"),
        # The server gives less than it is asked for.
        pytest.param({"most": 1}, 13, id="smaller-pages"),
    ],
)
def test_pages(fake, look_up, data, pages):
    """The last of ten secrets is found, and the second of a pair."""
    names = [f"Secret {number}" for number in range(8)]
    listed = [secret(name) for name in (names[0], *names, "Last")]
    fake.data = {**DATA, "secrets": listed, **data}
    answer = look_up(
        [names[0], "Last", "Missing"], folders=["Team/ETL"], page_size=2, missing="report"
    )
    assert [record.get("error", "")[:9] for record in answer["result"]] == [
        "2 secrets",
        "",
        "no secret",
    ]
    lists = [call for call in calls(fake) if call == LIST]
    assert len(lists) == min(pages, len(listed) + 1)


def test_folders_whose_names_have_slashes(fake, look_up):
    fake.data = {**DATA, "secrets": [secret("A", "Team/R/D", Password="s3cret of a folder")]}
    answer = look_up(["A", "Team|R|D|A"], folders=["Team|R|D"], separator="|")
    assert [record["pass"] for record in answer["result"]] == ["s3cret of a folder"] * 2
    assert "separator=%7C" in fake.requests[2]["path"]


def test_a_secret_of_two_folders_is_one(look_up):
    """A folder that is named twice makes no duplicates."""
    (found,) = look_up(["Text"], folders=["Team/ETL", "Team/ETL"])["result"]
    assert found["pass"] == "s3cret text\n"


def test_an_open_request_is_used(fake, look_up):
    """What an earlier run left open doesn't conflict, and is checked in."""
    look_up(["db1/app"])
    (release,) = fake.releases
    release.is_open = True
    assert look_up(["db1/app"])["result"][0]["pass"] == "s3cret app"
    assert fake.releases == [release]


def test_request_options(fake, look_up):
    look_up(["db1/app"], duration=30, reason="Ticket 7 – nächtlich")
    (release,) = fake.releases
    assert (release.minutes, release.reason) == (30, "Ticket 7 – nächtlich")


BY_KEY = {"client_id": None, "runas": "svc-free", "password": KEY, "password_file": None}
BY_RUNAS = {**BY_KEY, "runas": "CORP\\svc", "runas_password": RUNAS_PASSWORD}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="client"),
        pytest.param(BY_KEY, id="key"),
        pytest.param(BY_RUNAS, id="key-and-password"),
    ],
)
def test_sign_in(fake, look_up, changes):
    assert look_up(["db1/app"], **changes)["result"][0]["pass"] == "s3cret app"
    assert fake.signed_in == 1


def test_all_cookies_come_back(fake, look_up):
    fake.data = {**DATA, "balanced": True}
    fake.faults = [{"match": CREDENTIALS, "kind": "expired", "times": 1}]
    assert look_up(["db1/app"])["result"][0]["pass"] == "s3cret app"
    assert fake.signed_in == 2


@pytest.mark.parametrize(
    "path",
    [pytest.param("", id="host"), pytest.param("/", id="slash"), pytest.param(BASE, id="path")],
)
def test_urls(fake, look_up, path):
    assert look_up(["Text"], url=fake.url + path)["result"][0]["user"] == "etl"


def test_options_from_variables_and_environment(fake, password_file, worker):
    variables = {
        "port": str(fake.port),
        "caspian_beyondtrust_url": "https://localhost:{{ port }}",
        "caspian_beyondtrust_runas": "CORP\\svc",
        "caspian_vault_password": KEY,
        "caspian_beyondtrust_runas_password": RUNAS_PASSWORD,
        "caspian_beyondtrust_folders": "Team/ETL,Team",
        "caspian_vault_ca_path": str(fake.ca_path),
    }
    answer, said = worker(["Team/Twice"], variables, {})
    assert answer["result"][0]["pass"] == "s3cret shallow"
    assert not said
    env = {
        "CASPIAN_BEYONDTRUST_URL": fake.url,
        "CASPIAN_BEYONDTRUST_CLIENT_ID": CLIENT_ID,
        "CASPIAN_BEYONDTRUST_FOLDERS": "Team",
        "CASPIAN_VAULT_PASSWORD_FILE": str(password_file),
        "CASPIAN_VAULT_CA_PATH": str(fake.ca_path),
    }
    done = subprocess.run(
        command(),
        input=json.dumps((["Twice"], {}, {})),
        env=environment() | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"][0]["pass"] == "s3cret shallow"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"client_id": None},
            "{url}: set either `client_id` (OAuth) or `runas` (API key).",
            id="nobody",
        ),
        pytest.param(
            {"runas": "svc-free"},
            "{url}: set either `client_id` (OAuth) or `runas` (API key).",
            id="both",
        ),
        pytest.param(
            {"password_file": None}, "{url}: the client secret is not given: set", id="no-secret"
        ),
        pytest.param({**BY_KEY, "password": None}, "{url}: the API key is not given", id="no-key"),
        pytest.param(
            {**BY_RUNAS, "runas_password": "s3cret\nline"},
            "{url}: the API key, `runas` or its password has a character that the API can't take",
            id="line-break",
        ),
        pytest.param(
            {**BY_RUNAS, "runas_password": "s3cret 試"},
            "{url}: the API key, `runas` or its password has a character that the API can't take",
            id="not-latin",
        ),
        pytest.param(
            {**BY_RUNAS, "runas_password_file": "/none"},
            "Both a runas password and a runas password file are given",
            id="two-passwords",
        ),
        pytest.param(
            {"password_file": None, "password": "s3cret-wrong"},
            "{url}: the sign-in is refused, check its options:"
            " POST {host} /Auth/connect/token: HTTP 400 Bad Request",
            id="wrong-secret",
        ),
        pytest.param(
            {**BY_RUNAS, "runas_password": "s3cret-wrong"},
            "{url}: the sign-in is refused, check its options:"
            " POST {host} /Auth/SignAppIn: HTTP 401 Unauthorized",
            id="wrong-password",
        ),
        pytest.param({"url": None}, "url", id="no-url"),
        pytest.param({"url": "http://localhost"}, "must begin with https://", id="http"),
        pytest.param({"url": "https://u:s3cret@localhost"}, "no user, password", id="user-in-url"),
        pytest.param({"url": "https://[::1"}, "not one like https://", id="not-a-url"),
        pytest.param(
            {"folders": [], "managed_accounts": False},
            "{url}: there is nothing to search: set `folders`.",
            id="nothing",
        ),
        pytest.param({"page_size": 0}, "page_size must be a number from 1", id="page-size"),
        pytest.param({"duration": 0}, "duration must be a number from 1", id="duration"),
        pytest.param({"separator": ""}, "separator must be one character.", id="separator"),
        pytest.param({"ca_path": "/none"}, "/none: the file of CA certificates", id="ca"),
        pytest.param({"missing": "ignore"}, "ignore", id="missing"),
    ],
)
def test_messages(fake, look_up, changes, message):
    answer = look_up(["Text"], **changes)
    assert message.format(url=fake.url, host=f"localhost:{fake.port}") in answer.get("error", "")


FOLDER_LIST, ACCOUNTS, RELEASE = "/secrets-safe/secrets", "/ManagedAccounts", "/Requests$"
CREDENTIALS, CHECK_IN, ALL = "/Credentials/", "/checkin$", ""


def patience(faults):
    """Return options under which a server that is silent takes no time."""
    hangs = any(fault["kind"] == "hang" for fault in faults)
    return {"timeout": 0.7, "retries": 1} if hangs else {}


def status(match, code, **more):
    return {"match": match, "kind": "status", "status": code, **more}


# Faults after which the records are delivered all the same, and how often the session was begun.
PASSING = [
    pytest.param([{"kind": "slow", "seconds": 0.05}], 1, id="slow"),
    pytest.param([{"match": FOLDER_LIST, "kind": "hang", "times": 1}], 1, id="hang_once"),
    pytest.param([status(FOLDER_LIST, 401, times=1)], 2, id="401_in_the_middle_folder"),
    pytest.param([status(ACCOUNTS, 401, times=1)], 2, id="401_in_the_middle_account"),
    pytest.param([status(RELEASE, 401, times=1)], 2, id="401_in_the_middle_request"),
    pytest.param([status(CREDENTIALS, 401, times=1)], 2, id="401_in_the_middle_credentials"),
    pytest.param([status(CHECK_IN, 401, times=1)], 2, id="401_in_the_middle_check_in"),
    pytest.param(
        [status(ACCOUNTS, 401, times=1), status(CHECK_IN, 401, times=1)], 3, id="401_twice"
    ),
    pytest.param(
        [{"match": CREDENTIALS, "kind": "expired", "times": 1}], 2, id="session_expired_credentials"
    ),
    pytest.param(
        [{"match": CHECK_IN, "kind": "expired", "times": 1}], 2, id="session_expired_check_in"
    ),
    pytest.param(
        [{"match": "Signout", "kind": "expired", "times": 1}], 1, id="session_expired_sign_out"
    ),
    pytest.param([status(FOLDER_LIST, 429, retry_after=1, times=1)], 1, id="429_with_retry_after"),
    pytest.param([status(ALL, 500, times=1)], 1, id="500_once_token"),
    pytest.param([status("SignAppIn", 500, times=1)], 1, id="500_once_sign_in"),
    pytest.param([status(RELEASE, 500, times=1)], 1, id="500_once_request"),
    pytest.param([status(CREDENTIALS, 500, times=1)], 1, id="500_once_credentials"),
    pytest.param([status(CHECK_IN, 500, times=1)], 1, id="500_once_check_in"),
    pytest.param([status("Signout", 500, times=1)], 1, id="500_once_sign_out"),
    # The server makes a request whose number is lost; asked again, it tells it again.
    pytest.param([{"match": RELEASE, "kind": "cut", "times": 1}], 1, id="cut_request"),
    pytest.param([{"match": CREDENTIALS, "kind": "reset", "times": 1}], 1, id="reset_credentials"),
    pytest.param([{"match": CHECK_IN, "kind": "reset", "times": 1}], 1, id="reset_check_in"),
    # What the answer to the sign-in holds is not needed.
    pytest.param([{"match": "SignAppIn", "kind": "truncated"}], 1, id="truncated_sign_in"),
    # The server ignores the offset: there is nothing new on the second page.
    pytest.param([{"match": FOLDER_LIST, "kind": "repeated_pages"}], 1, id="repeated_pages"),
]


@pytest.mark.parametrize(("faults", "sessions"), PASSING)
def test_passing_fault(fake, look_up, faults, sessions):
    fake.faults = faults
    answer = look_up(["Text", "db1/app"], page_size=20, **patience(faults))
    assert [found["pass"] for found in answer["result"]] == ["s3cret text\n", "s3cret app"]
    assert fake.signed_in == sessions


# Faults that end the lookup.
LASTING = [
    pytest.param([status("connect/token", 401)], "the sign-in is refused", id="401_token"),
    pytest.param([status("SignAppIn", 401)], "the sign-in is refused", id="401_at_sign_in"),
    pytest.param([status("SignAppIn", 403)], "the sign-in is refused", id="403_at_sign_in"),
    pytest.param(
        [status(FOLDER_LIST, 401)], "/secrets-safe/secrets: HTTP 401 Unauthorized", id="401_always"
    ),
    pytest.param(
        [status(CREDENTIALS, 401)], "/Credentials/1001: HTTP 401 Unauthorized", id="401_credentials"
    ),
    pytest.param(
        [status(FOLDER_LIST, 403)],
        "folder Team/ETL: this user may not have it, or it waits for an approval"
        " (GET {host} /secrets-safe/secrets: HTTP 403 Forbidden)",
        id="403_folder",
    ),
    pytest.param(
        [status(FOLDER_LIST, 404)],
        "folder Team/ETL: there is none, or this user may not see it",
        id="404_folder",
    ),
    pytest.param([status("", 404)], "/Auth/connect/token: HTTP 404 Not Found", id="404_url"),
    pytest.param(
        [status(FOLDER_LIST, 500)],
        "/secrets-safe/secrets: HTTP 500 Internal Server Error (tried 3 times)",
        id="500_always",
    ),
    pytest.param(
        [status(CREDENTIALS, 503)],
        "/Credentials/1001: HTTP 503 Service Unavailable (tried 3 times)",
        id="503_always",
    ),
    pytest.param(
        [status(FOLDER_LIST, 429, retry_after=3600)],
        "HTTP 429 Too Many Requests, and another attempt in",
        id="429_too_long",
    ),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "hang"}],
        "no answer within 0.7 s (tried 2 times)",
        id="hang_folder",
    ),
    pytest.param(
        [{"match": CREDENTIALS, "kind": "hang"}],
        "no answer within 0.7 s (tried 2 times)",
        id="hang_credentials",
    ),
    pytest.param([{"match": "token", "kind": "truncated"}], "is not JSON", id="truncated_token"),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "truncated"}], "is not JSON", id="truncated_folder"
    ),
    pytest.param([{"match": ACCOUNTS, "kind": "truncated"}], "is not JSON", id="truncated_account"),
    pytest.param(
        [{"match": RELEASE, "method": "POST", "kind": "content_type"}],
        "is not JSON",
        id="page_request",
    ),
    pytest.param(
        [{"match": CREDENTIALS, "kind": "truncated"}], "is not JSON", id="truncated_credentials"
    ),
    pytest.param([{"match": "token", "kind": "odd_object"}], "no access token", id="no_token"),
    pytest.param([{"match": "token", "kind": "odd_list"}], "no access token", id="list_for_token"),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "odd_object"}],
        "folder Team/ETL: the answer is not a list.",
        id="object_for_folder",
    ),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "odd_list"}],
        "folder Team/ETL: the list has something without an id.",
        id="no_ids_in_folder",
    ),
    pytest.param(
        [{"match": RELEASE, "method": "POST", "kind": "odd_object"}],
        "the answer to a request is not its number.",
        id="object_for_request",
    ),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "content_type"}],
        "is not JSON, or only a part of it (its content type is text/html)",
        id="wrong_content_type",
    ),
    pytest.param(
        [{"match": FOLDER_LIST, "kind": "endless_pages"}],
        "folder Team/ETL: the list does not end after 200 pages",
        id="endless_pages",
    ),
    pytest.param([{"match": CREDENTIALS, "kind": "cut"}], "connection broke", id="cut_credentials"),
    pytest.param(
        [status(FOLDER_LIST, 302, location="https://other.example/x")],
        "redirects are not followed",
        id="redirect",
    ),
]


@pytest.mark.parametrize(("faults", "message"), LASTING)
def test_lasting_fault(fake, look_up, faults, message):
    """The lookup ends, for all names, and leaves nothing behind."""
    fake.faults = faults
    answer = look_up(["Text", "db1/app"], missing="report", page_size=20, **patience(faults))
    assert message.format(host=f"localhost:{fake.port}") in answer.get("error", "")


# Faults that are one account's.
OF_ONE_NAME = [
    pytest.param(status(ACCOUNTS, 403), "this user may not have it", id="403_account"),
    pytest.param(
        status(ACCOUNTS, 404), "no secret of the folders and no managed account", id="404_account"
    ),
    pytest.param(
        {"match": ACCOUNTS, "kind": "odd_list"}, "no managed account", id="no_ids_in_account"
    ),
    pytest.param(
        {"match": CREDENTIALS, "kind": "odd_object"}, "not a password", id="object_for_password"
    ),
    pytest.param(status(RELEASE, 403), "this user may not have it", id="403_request"),
    pytest.param(status(RELEASE, 409), "another request for it is open", id="409_request"),
    pytest.param(status(CREDENTIALS, 403), "this user may not have it", id="403_credentials"),
    pytest.param(status(CREDENTIALS, 404), "there is none", id="404_credentials"),
    pytest.param(status(CREDENTIALS, 500), "HTTP 500", id="500_credentials"),
]


@pytest.mark.parametrize(("fault", "reason"), OF_ONE_NAME)
def test_fault_of_one_name(fake, look_up, fault, reason):
    fake.faults = [fault]
    text, app = look_up(["Text", "db1/app"], missing="report")["result"]
    assert text["pass"] == "s3cret text\n"
    assert reason in app["error"]


def test_request_whose_number_is_lost(fake, look_up):
    """The server has made it, the answer can't be read: it is found and checked in."""
    fake.faults = [{"match": RELEASE, "method": "POST", "kind": "trickle", "seconds": 3600}]
    answer = look_up(["db1/app"], folders=[], timeout=0.3, retries=1)
    assert "/Requests: no answer within 0.3 s (tried 2 times)" in answer["error"]
    assert len(fake.releases) == 1
    assert calls(fake)[-3:] == ["GET Requests", "PUT Requests/1001/checkin", SIGN_OUT]


def test_request_whose_number_is_wrong(fake, look_up):
    """Half of a number is one too."""
    fake.faults = [{"match": RELEASE, "method": "POST", "kind": "truncated"}]
    answer = look_up(["db1/app"], folders=[])
    assert "there is none, or this user may not see it" in answer["error"]
    assert calls(fake)[-4:] == [
        "PUT Requests/10/checkin",
        "GET Requests",
        "PUT Requests/1001/checkin",
        SIGN_OUT,
    ]


def test_other_requests_stay_open(fake, options, worker):
    """Of the user's requests, only those for the account are checked in."""
    look_up = {**options, "folders": []}
    worker(["db1/app", "db3/unapproved"], {}, {**look_up, "missing": "report"})
    (mine, other) = fake.releases
    mine.is_open = other.is_open = True
    fake.faults = [{"match": RELEASE, "method": "POST", "kind": "odd_object", "times": 1}]
    answer, _ = worker(["db1/app"], {}, look_up)
    assert "the answer to a request is not its number." in answer["error"]
    assert fake.open_releases() == [other]


def test_401_always_is_one_new_session(fake, look_up):
    fake.faults = [status(FOLDER_LIST, 401)]
    assert "HTTP 401 Unauthorized" in look_up(["Text"])["error"]
    assert calls(fake) == [*SIGNED, LIST, SIGN_OUT, *SIGNED, LIST, SIGN_OUT]


def test_server_that_finds_parts_of_names(fake, look_up):
    """The account of exactly this name is taken, and none if there is none."""
    accounts = [
        account("db1", "app", Password="s3cret app"),
        account("db11", "app"),
        account("db1", "app2"),
    ]
    fake.data = {**DATA, "accounts": accounts, "loose": True}
    found, missing = look_up(["db1/app", "db1/ap"], folders=[], missing="report")["result"]
    assert found["pass"] == "s3cret app"
    assert missing["error"] == "no secret of the folders and no managed account has this name"


def test_time_is_up(fake, look_up):
    """Check-in and sign-out have time of their own."""
    fake.faults = [{"match": CREDENTIALS, "kind": "hang"}]
    answer = look_up(["db1/app"], folders=[], timeout=30, total_timeout=2)
    assert "the time limit of 2 s for the whole lookup" in answer["error"]
    assert calls(fake)[-2:] == ["PUT Requests/1001/checkin", SIGN_OUT]


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        pytest.param(
            status(CHECK_IN, 503),
            "A request may be left open, which ends after 5 minutes: PUT",
            id="check-in",
        ),
        pytest.param(
            status("Signout", 503),
            "The session is not signed out, and ends when idle: POST",
            id="sign-out",
        ),
        pytest.param(
            status(CHECK_IN, 401),
            "A request may be left open, which ends after 5 minutes: PUT",
            id="check-in-refused",
        ),
    ],
)
def test_end_fails(fake, options, worker, fault, warning):
    """The records are good, so they are delivered; a warning says what was left behind."""
    fake.faults = [fault]
    answer, said = worker(["db1/app"], {}, {**options, "folders": []})
    assert answer["result"][0]["pass"] == "s3cret app"
    assert warning in said
    for value in ("s3cret", *fake.issued):
        assert value not in said


def test_lost_request_can_not_be_found(fake, options, worker):
    fake.faults = [{"match": RELEASE, "kind": "content_type"}]
    answer, said = worker(["db1/app"], {}, {**options, "folders": []})
    assert "POST localhost" in answer["error"]
    assert "A request may be left open, which ends after 5 minutes: GET" in said


def test_certificate_of_another_host(options, worker):
    with BeyondTrust(DATA, names=("other.example.org",)) as other:
        changes = {"url": other.url, "ca_path": str(other.ca_path)}
        answer, said = worker(["Text"], {}, {**options, **changes})
        assert "the server's certificate is not trusted: Hostname mismatch" in answer["error"]
        assert_clean(other, answer["error"] + said)
        assert other.requests == []


def test_unknown_authority(look_up):
    assert "the server's certificate is not trusted" in look_up(["Text"], ca_path=None)["error"]


def test_server_is_down(options, worker):
    with BeyondTrust(DATA) as gone:
        changes = {"url": gone.url, "ca_path": str(gone.ca_path), "retries": 1}
        gone.stop()
        gone.ca_path.parent.mkdir(exist_ok=True)
    answer, said = worker(["Text"], {}, {**options, **changes, "ca_path": options["ca_path"]})
    assert "/Auth/connect/token: no connection: Connection refused" in answer["error"]
    assert not said


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"match": CREDENTIALS, "kind": "hang"}, id="credentials"),
        pytest.param(
            {"match": RELEASE, "method": "POST", "kind": "trickle", "seconds": 3600}, id="request"
        ),
        pytest.param({"match": FOLDER_LIST, "kind": "hang"}, id="folder"),
    ],
)
def test_interrupted(fake, options, fault):
    """Control-C while the server is silent: nothing stays open."""
    fake.faults = [fault]
    with subprocess.Popen(
        command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        # Where the tests run in the background, Ctrl-C is ignored, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        given = {**options, "timeout": 60, "total_timeout": 90}
        process.stdin.write(json.dumps((["Text", "db1/app"], {}, given)) + "\n")
        process.stdin.flush()
        fake.wait_for(fault["match"])
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    # The interpreter shows what it was doing; in a play, Ansible says that it was interrupted.
    assert_clean(fake, output + errors.replace("Traceback", ""))
    assert fake.signed_in == 1


def test_in_a_playbook(fake, options, tmp_path):
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "vars": {
                        "records": f"{{{{ query('{LOOKUP}', 'Text', 'db1/app') }}}}",
                        **{
                            f"caspian_beyondtrust_{name}": options[name]
                            for name in ("url", "client_id", "folders")
                        },
                        "caspian_vault_password_file": options["password_file"],
                        "caspian_vault_ca_path": options["ca_path"],
                    },
                    "tasks": [
                        {
                            "ansible.builtin.assert": {
                                "that": "records | map(attribute='pass') == wanted"
                            },
                            "vars": {"wanted": ["s3cret text\n", "s3cret app"]},
                            "no_log": True,
                        }
                    ],
                }
            ]
        )
    )
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            "localhost,",
            playbook,
            "-vvvvv",
        ],
        env=environment() | {"HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_clean(fake, done.stdout + done.stderr)
