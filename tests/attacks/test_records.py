"""Whoever writes a record in the vault reaches its connection only where that is meant."""

import copy
import io
import json
import logging
import pickle
import pprint
import traceback

import pytest

from rax import cli
from rax.alerting import _secrets as alert_secrets
from rax.credentials import connection_fields, get_credentials, secret_values
from rax.errors import MalformedCredentialError

NAME = "EBI-ETL-DEV-01"
SEED = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def deliver(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(tmp_path))

    def deliver(metadata=None, **fields):
        """Write a file as the refresh does, and read it."""
        content = {
            "user": "etl",
            "pass": "s3cr3t-canary",
            "host": "db",
            "url": "",
            "description": "",
            "metadata": metadata or {},
            **fields,
        }
        file = tmp_path / f"{NAME}.json"
        file.touch(0o600)
        file.write_text(json.dumps(content))
        return get_credentials(NAME)

    return deliver


# What people note of an account, and what reaches files, programs, code, or other hosts.
NOTES = {
    "Owner": "Data team",
    "email": "team@example.org",
    "Recovery code": "774411",
    "SSLMode": "disable",
    "__extra__": '{"host": "evil"}',
    "extra__postgres__sslmode": "disable",
    "header.X-Note": "note",
}
DANGEROUS = {
    "postgres": (
        "host hostaddr user password dbname passfile service servicefile sslkey sslcert sslrootcert"
        " sslcrl sslcrldir sslkeylogfile sslpassword options replication oauth_issuer iam redshift"
        " aws_conn_id sqlalchemy_query"
    ),
    "http": "proxies proxy cert srv_lookup verify_ssl Authorization Host Cookie",
    "smtp": "subject_template html_content_template access_token",
    "redis": "startup_nodes ssl_ca_certs ssl_keyfile ssl_certfile host password",
    "mysql": "local_infile unix_socket ssl init_command iam client",
    "odbc": "Driver driver DSN dsn UID PWD Server connect_kwargs sqlalchemy_scheme",
    "oracle": "dsn module thick_mode thick_mode_lib_dir thick_mode_config_dir",
    "ssh": "key_file private_key host_proxy_cmd ProxyCommand no_host_key_check",
    "sftp": "key_file private_key host_proxy_cmd no_host_key_check",
    "fs": "path",
    "sqlite": "path",
    "spark": "spark-binary deploy-mode",
    "anything_else": "timeout sslmode",
}


@pytest.mark.parametrize("conn_type", DANGEROUS)
def test_metadata_that_is_not_meant_for_the_connection(deliver, conn_type):
    """It reaches no extra, so neither libpq nor a header, and code reads it all the same."""
    notes = dict.fromkeys(DANGEROUS[conn_type].split(), "evil") | NOTES
    if conn_type == "http":
        del notes["header.X-Note"]
    credential = deliver(notes)
    assert connection_fields(credential, conn_type)["extra"] == {}
    assert credential["metadata"] == notes
    assert "evil" not in credential.uri(conn_type.replace("_", "-"))


@pytest.mark.parametrize(("conn_type", "metadata", "extra"), [
    ("postgres", {"sslmode": "require", "connect_timeout": "10", "application_name": "etl"},
     {"sslmode": "require", "connect_timeout": 10, "application_name": "etl"}),
    ("postgresql", {"sslmode": "require"}, {"sslmode": "require"}),
    ("postgres", {"extra.sslrootcert": "/etc/ssl/ca.pem", "extra.options": "-c search_path=x"},
     {"sslrootcert": "/etc/ssl/ca.pem", "options": "-c search_path=x"}),
    ("http", {"header.X-Team": "ebi", "timeout": "10", "verify": True},
     {"X-Team": "ebi", "timeout": 10, "verify": True}),
    ("http", {"header.X-Number": 1, "header.X-Flag": True}, {"X-Number": "1", "X-Flag": "true"}),
    ("http", {"extra.verify": "false", "extra.cert": "/etc/ssl/me.pem"},
     {"verify": False, "cert": "/etc/ssl/me.pem"}),
    # Airflow's hooks take any text for true.
    ("smtp", {"disable_tls": "false", "disable_ssl": "True", "timeout": 5},
     {"disable_tls": False, "disable_ssl": True, "timeout": 5}),
    ("redis", {"db": "3", "ssl": "true"}, {"db": 3, "ssl": True}),
    ("spark", {"extra.deploy-mode": "cluster"}, {"deploy-mode": "cluster"}),
])  # fmt: skip
def test_metadata_that_is_meant_for_the_connection(deliver, conn_type, metadata, extra):
    assert connection_fields(deliver(metadata), conn_type)["extra"] == extra


@pytest.mark.parametrize(("conn_type", "metadata", "message"), [
    ("postgres", {"extra.host": "evil"}, "metadata.extra.host of {} would replace a field"),
    ("postgres", {"extra.Password": "x"}, "metadata.extra.Password of {} would replace a field"),
    ("ssh", {"extra.host_proxy_cmd": "id"}, "metadata.extra.host_proxy_cmd of {} names a program"),
    ("ssh", {"extra.ProxyCommand": "id"}, "metadata.extra.ProxyCommand of {} names a program"),
    ("odbc", {"extra.driver": "/opt/x.so"}, "metadata.extra.driver of {} names a program"),
    ("oracle", {"extra.thick_mode_lib_dir": "/"}, "metadata.extra.thick_mode_lib_dir of {} names"),
    ("spark", {"extra.spark-binary": "x"}, "metadata.extra.spark-binary of {} names a program"),
    ("postgres", {"extra.": "x"}, "metadata.extra. of {} names no option"),
    ("postgres", {"sslmode": "a", "extra.sslmode": "b"}, "gives what other metadata gives too"),
    ("http", {"header.A": "a", "header.a": "b"}, "gives what other metadata gives too"),
    ("http", {"extra.X-Team": "x"}, "metadata.extra.X-Team of {} is no option of http"),
    ("http", {"header.verify": "x"}, "metadata.header.verify of {} is an option of http"),
    ("http", {"header.Proxies": "x"}, "metadata.header.Proxies of {} is an option of http"),
    ("http", {"header.A": "s3cr3t\r\nB: c"}, "metadata.header.A of {} has a value that no header"),
    ("http", {"header.A": "s3cr3t \u20ac"}, "metadata.header.A of {} has a value that no header"),
    ("http", {"header.A: b\r\nC": "s3cr3t"}, "metadata.header.… of {} has a name that no header"),
    ("http", {"verify": "/opt/s3cr3t.pem"}, "metadata.verify of {} is neither true nor false"),
    ("http", {"timeout": "s3cr3t"}, "metadata.timeout of {} is not a number"),
    ("http", {"schema": "https://evil/?s3cr3t="}, "metadata.schema of {} is neither http nor"),
    ("odbc", {"Encrypt": "no;Driver=/opt/s3cr3t.so"}, "metadata.Encrypt of {} has a character"),
    ("odbc", {"database": "x;Driver=/opt/s3cr3t.so"}, "metadata.database of {} has a character"),
    (None, {"conn_type": "../s3cr3t"}, "metadata.conn_type of {} is not the type of a connection"),
    (None, {"conn_type": "a\nb"}, "metadata.conn_type of {} is not the type of a connection"),
])  # fmt: skip
def test_marked_metadata_that_is_refused(deliver, conn_type, metadata, message):
    """The error names the key and never the value."""
    with pytest.raises(MalformedCredentialError) as caught:
        connection_fields(deliver(metadata), conn_type)
    assert message.format(NAME) in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("field", ["user", "pass", "host"])
def test_odbc_fields_are_no_options(deliver, field):
    credential = deliver({"conn_type": "odbc"}, **{field: "x;Driver=/opt/s3cr3t.so"})
    with pytest.raises(MalformedCredentialError, match=f"^{field} of {NAME} has a character"):
        connection_fields(credential)


# As a vault marks it, and a file from before marks were written.
MARKED = {"protected": ["metadata.Recovery PIN", "metadata.nested"]}
PROTECTED = [pytest.param(MARKED, id="marked"), pytest.param({}, id="no mark")]
METADATA = {"Recovery PIN": "774411-canary", "nested": {"a": [SEED]}, "port": 5432}


@pytest.mark.parametrize("mark", PROTECTED)
def test_what_the_vault_protects_is_not_shown(deliver, mark, capsys):
    credential = deliver(METADATA, description=f"with {SEED}", **mark)
    for options in ([], ["--json"]):
        assert cli.main(["credentials", "show", NAME, *options]) == 0
    shown = capsys.readouterr().out
    assert "774411" not in shown
    assert SEED not in shown
    assert shown.count("5432") == 2
    # Code reads it.
    assert credential["metadata"]["Recovery PIN"] == "774411-canary"
    assert credential["metadata"]["nested"]["a"] == (SEED,)


@pytest.mark.parametrize("mark", PROTECTED)
def test_what_the_vault_protects_is_masked_in_logs_and_alerts(deliver, mark):
    credential = deliver(METADATA, **mark)
    secrets = [*secret_values(credential)]
    assert {"774411-canary", SEED} < {*secrets}
    assert "5432" not in secrets
    text = f"PIN 774411-canary seed {SEED} port 5432"
    assert alert_secrets.hide(text) == "PIN *** seed *** port 5432"


def test_protected_fields_are_hidden(deliver, capsys):
    """KeePass can protect user names, URLs and notes too."""
    fields = {"user": "user-canary", "url": "https://url-canary/", "description": "note-canary"}
    credential = deliver(**fields, protected=[*fields])
    assert cli.main(["credentials", "show", NAME]) == 0
    assert cli.main(["credentials", "list"]) == 0
    shown = capsys.readouterr().out + repr(credential) + alert_secrets.hide(str({**fields}))
    assert "canary" not in shown
    assert {*fields.values()} < {*secret_values(credential)}


def _raise(credential, metadata):
    raise ValueError(f"{credential} {metadata}")


@pytest.mark.parametrize("mark", PROTECTED)
def test_nothing_prints_metadata(deliver, mark):
    credential = deliver(METADATA, **mark)
    metadata = credential["metadata"]
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    logger.warning("%s %r", metadata, dict(credential))
    try:
        _raise(credential, metadata)
    except ValueError:
        stream.write(traceback.format_exc())
    texts = [repr(metadata), f"{metadata}", pprint.pformat(metadata), pprint.pformat(credential)]
    texts += [repr(metadata["nested"]), stream.getvalue(), json.dumps({"m": metadata}, default=str)]
    assert repr(metadata) == "Metadata('Recovery PIN': ***, 'nested': ***, 'port': ***)"
    for text in texts:
        assert "774411" not in text
        assert SEED not in text
    assert b"774411" not in pickle.dumps(credential)
    with pytest.raises(TypeError, match="metadata cannot be pickled"):
        pickle.dumps(metadata)
    assert copy.deepcopy(metadata) is metadata


@pytest.mark.parametrize("protected", ["all", [1], {"pass": True}, None])
def test_a_mark_that_cannot_be_read(deliver, protected):
    with pytest.raises(MalformedCredentialError, match="protected is not a list of strings"):
        deliver(protected=protected)
