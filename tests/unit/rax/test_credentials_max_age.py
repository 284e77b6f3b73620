"""How old a credential may be: the status file of the refresh, the argument and the settings."""

import json
import math
import os
import re
import time
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from rax import _file_identity
from rax.credentials import _freshness, credential_age, get_credentials
from rax.errors import (
    CredentialNotFoundError,
    RaxError,
    StaleCredentialError,
    StaleCredentialWarning,
)

NAME = "EBI-ETL-DEV-01"
HOUR = 3600


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    file = folder / f"{NAME}.json"
    file.touch(0o600)
    fields = dict.fromkeys(["user", "pass", "host", "url", "description"], "x")
    file.write_text(json.dumps(fields | {"metadata": {}}))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    for setting in ("RAX_CREDENTIALS_MAX_AGE", "RAX_CREDENTIALS_STALE"):
        monkeypatch.delenv(setting, raising=False)
    return folder


@pytest.fixture
def status(folder):
    """Write the status, as a refresh that many seconds ago has left it."""
    path = folder.with_name("credentials.status.json")

    def write(ago=None, mode=0o400, content=None, **source):
        if ago is not None:
            moment = datetime.fromtimestamp(time.time() - ago, UTC)
            source["last_good_at"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        if content is None:
            document = {"version": 1, "sources": {NAME: {"state": "current", **source}}}
            content = json.dumps(document).encode()
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


def test_age(status):
    status(ago=HOUR)
    assert HOUR <= credential_age(NAME) < HOUR + 60
    assert credential_age("ANOTHER") is None


@pytest.mark.parametrize(
    ("limit", "fresh"),
    [
        (None, True), (2 * HOUR, True), (2.0 * HOUR, True), (timedelta(hours=2), True),
        (math.inf, True), (timedelta.max, True), (10**400, True),
        (60, False), (0.5, False), (timedelta(minutes=1), False),
    ],
)  # fmt: skip
def test_max_age_is_seconds_or_a_timedelta(status, limit, fresh):
    status(ago=HOUR)
    if fresh:
        assert get_credentials(NAME, max_age=limit)["user"] == "x"
    else:
        with pytest.raises(StaleCredentialError):
            get_credentials(NAME, max_age=limit)


@pytest.mark.parametrize("limit", [0, -1, math.nan, True, "12h", timedelta(0), timedelta(-1)])
def test_an_argument_that_makes_no_sense(status, limit):
    status(ago=0)
    expected = f"max_age is {limit!r}: give seconds or a timedelta"
    with pytest.raises(RaxError, match=re.escape(expected)):
        get_credentials(NAME, max_age=limit)


def test_the_error_names_ages_and_the_reason_of_the_vault(status):
    status(ago=26 * HOUR, state="kept", error="the vault has no record of that name")
    expected = (
        rf"the vault last confirmed {NAME} 1 d 2 h ago "
        r"\(the vault has no record of that name\), and 12 h are allowed; "
        r"look at the last run of refresh_credentials\.yml"
    )
    with pytest.raises(StaleCredentialError, match=expected):
        get_credentials(NAME, max_age=12 * HOUR)


@pytest.mark.parametrize(("setting", "fresh"), [
    ("", True), ("0", True), ("0h", True), ("3700", True), ("90m", True), ("1.5h", True),
    (" 2 h ", True), ("7d", True), ("59m", False),
    ("3500", False), ("3500s", False), ("0.01d", False),
])  # fmt: skip
def test_the_setting(status, monkeypatch, setting, fresh):
    status(ago=HOUR)
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", setting)
    if fresh:
        get_credentials(NAME)
    else:
        with pytest.raises(StaleCredentialError):
            get_credentials(NAME)


@pytest.mark.parametrize("setting", ["soon", "-1", "12 hours", "1h30m", "inf", "nan", "1e3", "١"])
def test_a_setting_that_makes_no_sense(status, monkeypatch, setting):
    status(ago=0)
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", setting)
    expected = (
        f"RAX_CREDENTIALS_MAX_AGE is {setting!r}: give seconds, or a number with s, m, h or d"
    )
    with pytest.raises(RaxError, match=re.escape(expected)):
        get_credentials(NAME)
    # What the caller wants does not need it.
    assert get_credentials(NAME, max_age=60)["user"] == "x"


def test_the_argument_wins(status, monkeypatch):
    status(ago=HOUR)
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "1m")
    get_credentials(NAME, max_age=2 * HOUR)
    get_credentials(NAME, max_age=math.inf)
    monkeypatch.setenv("RAX_CREDENTIALS_MAX_AGE", "7d")
    with pytest.raises(StaleCredentialError):
        get_credentials(NAME, max_age=60)


def test_a_policy_that_makes_no_sense(status, monkeypatch):
    status(ago=0)
    monkeypatch.setenv("RAX_CREDENTIALS_STALE", "ignore")
    get_credentials(NAME)
    with pytest.raises(RaxError, match="RAX_CREDENTIALS_STALE is 'ignore': set it to 'raise' or"):
        get_credentials(NAME, max_age=60)


def test_warn_once_for_each_state_of_the_refresh(status, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_STALE", "warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for ago in (3 * HOUR, 2 * HOUR):
            status(ago=ago)
            for _ in range(3):
                assert get_credentials(NAME, max_age=60)["user"] == "x"
        status(ago=0)
        get_credentials(NAME, max_age=60)
    assert [one.category for one in caught] == [StaleCredentialWarning] * 2
    assert [one.filename for one in caught] == [__file__] * 2
    assert [re.match(r".*? h", str(one.message))[0] for one in caught] == [
        f"the vault last confirmed {NAME} {hours} h" for hours in (3, 2)
    ]


UNKNOWN = {
    "missing": (
        lambda write: write().unlink(),
        "does not exist (has refresh_credentials.yml run here?)",
    ),
    "not JSON": (lambda write: write(content=b"{"), "is damaged: it is not JSON"),
    "deep": (lambda write: write(content=b"[" * 100_000), "is damaged: it is not JSON"),
    "bytes": (lambda write: write(content=b"\xff"), "is damaged: it is not JSON"),
    "a list": (lambda write: write(content=b"[]"), "is not a status of version 1"),
    "newer": (lambda write: write(content=b'{"version": 2}'), "is not a status of version 1"),
    "no sources": (lambda write: write(content=b'{"version": 1}'), "is damaged: it has no sources"),
    "a source is a text": (
        lambda write: write(content=b'{"version": 1, "sources": {"A": ""}}'),
        "is damaged: it has no sources",
    ),
    "another source": (
        lambda write: write(content=b'{"version": 1, "sources": {}}'),
        "does not have it",
    ),
    "no time": (lambda write: write(last_good_at=None), "says that it never was"),
    "no time, and why": (
        lambda write: write(last_good_at=None, error="it has not been delivered"),
        "it has not been delivered",
    ),
    "a number": (lambda write: write(last_good_at=5), f"last_good_at of {NAME} is not a time"),
    "no such day": (
        lambda write: write(last_good_at="2026-02-30T00:00:00Z"),
        f"last_good_at of {NAME} is not a time",
    ),
    "future": (lambda write: write(ago=-HOUR), "it is in the future: look at the clock"),
    "others may write": (lambda write: write(ago=0, mode=0o666), "could have been written by"),
    "its group may write": (lambda write: write(ago=0, mode=0o660), "could have been written by"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_age_that_is_unknown_is_too_old(status, case):
    make, reason = UNKNOWN[case]
    make(status)
    assert credential_age(NAME) is None
    assert get_credentials(NAME)["user"] == "x", "no limit, no check"
    expected = rf"when the vault last confirmed {NAME} is not known: .*{re.escape(reason)}"
    with pytest.raises(StaleCredentialError, match=expected):
        get_credentials(NAME, max_age=7 * 24 * HOUR)


def test_a_status_that_is_no_regular_file(status, tmp_path):
    path = status(ago=0)
    path.rename(tmp_path / "elsewhere")
    for make, reason in (
        (lambda: path.symlink_to(tmp_path / "elsewhere"), "Too many levels of symbolic links"),
        (lambda: os.mkfifo(path), "is not a regular file"),
        (path.mkdir, "is not a regular file"),
    ):
        make()
        with pytest.raises(StaleCredentialError, match=reason):
            get_credentials(NAME, max_age=60)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_status_of_another_account(status, monkeypatch):
    status(ago=0)
    if os.geteuid() == 0:
        os.chown(status(ago=0), 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert credential_age(NAME) is None


def test_a_status_that_this_account_may_not_read(status, monkeypatch):
    status(ago=0)
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(".status.json"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StaleCredentialError, match=r"status\.json: Permission denied"):
        get_credentials(NAME, max_age=60)


def test_a_clock_that_was_put_right_a_little(status):
    status(ago=-30)
    assert credential_age(NAME) == 0
    get_credentials(NAME, max_age=1)


def test_a_status_is_parsed_once_and_a_new_one_seen(status, monkeypatch):
    monkeypatch.setattr(_file_identity, "_SETTLED_NS", -(10**18))
    status(ago=HOUR)
    get_credentials(NAME, max_age=2 * HOUR)
    parsed = []
    real = _freshness.read_status
    monkeypatch.setattr(_freshness, "read_status", lambda path: parsed.append(path) or real(path))
    get_credentials(NAME, max_age=2 * HOUR)
    assert parsed == []
    status(ago=0)
    get_credentials(NAME, max_age=60)
    assert len(parsed) == 1


def test_a_status_that_changes_right_after_a_read_is_seen(status, monkeypatch):
    """Within one tick of its clock, all times of a file are still those of what was read."""
    monkeypatch.setattr(_freshness, "identity", lambda status: status[:7])
    path = status(ago=HOUR, mode=0o600)
    assert credential_age(NAME) >= HOUR
    content = path.read_bytes()
    path.write_bytes(re.sub(rb"20\d\d-", b"2020-", content))
    assert credential_age(NAME) > 365 * 24 * HOUR


def test_the_age_of_what_cannot_be_a_name():
    with pytest.raises(CredentialNotFoundError, match="is not the name of a credential"):
        credential_age("../x")


def test_a_credential_that_cannot_be_read_comes_before_its_age():
    with pytest.raises(CredentialNotFoundError):
        get_credentials("ANOTHER", max_age=60)


def test_what_a_copy_of_the_vault_has_confirmed_is_as_old_as_the_copy(status):
    status(ago=3 * HOUR, from_copy=True)
    get_credentials(NAME, max_age=4 * HOUR)
    with pytest.raises(StaleCredentialError) as error:
        get_credentials(NAME, max_age=2 * HOUR)
    assert "a copy of the vault of 20" in str(error.value)
    assert str(error.value).endswith(
        "run refresh_credentials.yml on the controller, which renews it"
    )
