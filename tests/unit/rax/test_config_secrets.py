"""Which values of a config look like secrets, and which don't."""

import pytest

from rax.config import Config, find_secrets

TOKEN = "0a1B2c3D4e5F6a7B8c9D"


@pytest.mark.parametrize(("key", "value"), [
    ("password", "hunter2"), ("Password", "x"), ("db_password", "hunter2"),
    ("dbPassword", "hunter2"), ("DB-PASSWORD", "hunter2"), ("password_prod", "hunter2"),
    ("passwd", "x"), ("pwd", "x"),
    ("password2", "x"), ("password", 12345), ("passphrase", "correct horse battery staple"),
    ("pass", "hunter2"), ("db_pass", "hunter2"), ("secret", "hunter2"), ("client_secret", "x"),
    ("token", "abcdefgh"), ("api_token", TOKEN), ("apiToken", TOKEN), ("authToken", TOKEN),
    ("api_key", "abcdefgh"), ("apikey", "abcdefgh"), ("X-API-Key", "abcdefgh"),
    ("secret_access_key", TOKEN), ("private_key", "abcdefgh"), ("account_key", TOKEN + "=="),
    ("key", TOKEN), ("routing_key", "0123456789abcdef0123456789abcdef"),
    ("passwords", ["hunter2"]), ("passwords", {"etl": "hunter2"}), ("secrets", {"a": "x"}),
    ("url", "postgresql://etl:hunter2@db/ebi"), ("url", "https://ghtoken@github.com/a"),
    ("url", "https://sk0123:@api.example.org/"),
    ("command", "curl -u x http://a:b@c/"), ("dsn", "host=db password=hunter2"),
    ("dsn", "Driver={x};PWD=hunter2;"), ("url", "https://x.example.org/?a=1&api_key=abc"),
    ("pem", "-----BEGIN RSA PRIVATE KEY-----\nMII"), ("a", "AKIAIOSFODNN7EXAMPLE"),
    ("pem", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx"), ("ppk", "PuTTY-User-Key-File-2: ssh-rsa"),
    ("a", "github_pat_" + "a1" * 18), ("a", "https://hooks.slack.com/services/T0/B0/a1b2"),
    ("dsn", "jdbc:oracle:thin:scott/tiger@//db:1521/x"), ("b", "ghp_" + "a1" * 18),
    ("c", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc"),
])  # fmt: skip
def test_what_looks_like_a_secret(key, value):
    found = find_secrets({"first": {key: value}})
    inside = {list: "[0]", dict: ".etl" if key == "passwords" else ".a"}.get(type(value), "")
    assert found == [f"first.{key}{inside}"]


@pytest.mark.parametrize(("key", "value"), [
    ("primary_key", "id"), ("primary_key", "a_long_name_of_a_column_2"),
    ("key_columns", ["a", "b"]),
    ("key", "value"), ("sort_key", "created_at"), ("keys", ["a", "b"]),
    ("foreign_key", "flight_id"),
    ("routing_key", "ebi.flights.daily"), ("partition_key", "year=2013/month=12"),
    ("token_url", "https://login.example.org/oauth/token"), ("token_endpoint", "https://x.org/t"),
    ("max_tokens", 1000), ("max_tokens", "1000"), ("page_token", "next_page_token"),
    ("stop_token", "end_of_text"), ("tokenizer", "bert-base-uncased"), ("token", "EOF"),
    ("password_file", "/run/secrets/db"), ("password_env", "db_password"),
    ("secret_name", "ebi/etl"), ("secret", {"backend": "vault", "region": "north"}),
    ("password_length", 12), ("passwordless", "yes please"), ("password", ""), ("password", None),
    ("password", True), ("pass_rate", "ninety"), ("passengers", "many people"),
    ("first_pass", "full"),
    ("bypass", "everything"), ("compass", "north-west"), ("secretary", "somebody else"),
    ("api_key", ""), ("api_key_source", "vault-of-ebi"),
    ("password", "EBI-ETL-DEV-01"), ("secret", "PAGERDUTY"), ("token", "EBI_TOKEN"),
    ("passwords", ["EBI-ETL-DEV-01"]), ("credential", "EBI-ETL-DEV-01"), ("source", "ebi"),
    ("password", "${DB_PASSWORD}"), ("password", "{{ var.value.x }}"), ("password", "***"),
    ("password", "<from the vault>"), ("url", "postgresql://{user}:{password}@db/"),
    ("url", "https://example.org/a@b:c"), ("url", "https://example.org/?at=a@b"),
    ("url", "https://example.org"), ("mail", "etl@example.org"),
    ("git", "ssh://git@github.com/a/b"), ("git", "git@github.com:a/b"),
    ("lake", "abfss://container@account.dfs.core.windows.net/x"),
    ("sql", "select * from t where token = :token and a.password = b.password"),
    ("dsn", "jdbc:oracle:thin:@//db:1521/x"), ("dsn", "jdbc:oracle:thin:{user}/{pass}@db"),
    ("chat", "https://hooks.slack.com/services/"), ("cron", "*/5 * * * *"),
    ("key", "20130101T000000Z-20131231T000000Z"),
])  # fmt: skip
def test_what_does_not(key, value):
    assert find_secrets({key: value}) == []


@pytest.mark.timeout(5)
def test_a_long_word_is_searched_in_one_go():
    """Where each of its letters might begin a scheme, that would take minutes."""
    word = "a1" * 100_000
    assert find_secrets({"blob": word, "url": f"{word}://u:hunter2@h"}) == ["url"]


def test_all_of_them_are_named_in_order_and_none_is_shown():
    config = Config(
        {
            "db": {"password": "hunter2", "port": 5432},
            "steps": [{"url": "http://a:b@c"}, {"api_keys": ["abcdefgh", "abcdefghi"]}],
            1: {"token": TOKEN},
        },
        "x",
    )
    expected = ["db.password", "steps[0].url", "steps[1].api_keys[0]", "steps[1].api_keys[1]"]
    assert find_secrets(config) == [*expected, "1.token"]


def test_names_of_credentials_that_are_known():
    config = {"password": "ebi-etl-dev", "token": "ebi-etl-prod"}
    assert find_secrets(config) == ["password", "token"]
    assert find_secrets(config, names=["ebi-etl-dev", "ebi-etl-prod"]) == []
