# SPDX-License-Identifier: Apache-2.0
"""Which metadata of a credential become options of its connection.

Whoever writes a record in the vault must not reach more than this credential. So metadata is an
option where its type of connection has one of that name, and where that reaches no file, command,
code, or other host; or where its key says that it is meant for the connection:

``extra.NAME``
    the option NAME, whatever it is, but for what would replace a field of the record, and what
    names a program or code that is to be run
``header.NAME``
    the header NAME of a connection of the type http

All other metadata is for the code that asks for it.
"""

import re
from typing import TYPE_CHECKING, Any

from rax.errors import MalformedCredentialError

if TYPE_CHECKING:
    from rax.credentials._credential import Credential

# The metadata that are fields of a connection.
FIELDS = ("conn_type", "port", "database", "schema")

_OPTION, _HEADER = "extra.", "header."
# What a text is turned into, since Airflow's hooks take "false" for true.
_TEXT, _NUMBER, _FLAG = "text", "number", "flag"


def _options(texts: str = "", numbers: str = "", flags: str = "") -> dict[str, str]:
    kinds = ((_TEXT, texts), (_NUMBER, numbers), (_FLAG, flags))
    return {name: kind for kind, names in kinds for name in names.split()}


_SSH = _options("host_key", "conn_timeout cmd_timeout banner_timeout", "compress look_for_keys")

OPTIONS = {
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS, and `cursor`
    # of airflow/providers/postgres/hooks/postgres.py. Not those that name files (passfile, service,
    # sslkey, sslrootcert, sslkeylogfile, …), nor options, replication, hostaddr and oauth_*.
    "postgres": _options(
        "application_name fallback_application_name client_encoding cursor channel_binding"
        " gssencmode krbsrvname load_balance_hosts max_protocol_version min_protocol_version"
        " require_auth requirepeer ssl_max_protocol_version ssl_min_protocol_version sslcertmode"
        " sslmode sslnegotiation target_session_attrs",
        "connect_timeout keepalives keepalives_count keepalives_idle keepalives_interval"
        " sslcompression sslsni tcp_user_timeout",
    ),
    # airflow/providers/redis/hooks/redis.py; not startup_nodes, which are other hosts, and not the
    # files of ssl_ca_certs and the like.
    "redis": _options("ssl_cert_reqs", "db", "cluster ssl ssl_check_hostname"),
    # airflow/providers/smtp/hooks/smtp.py; not its templates, which are files that it would send.
    "smtp": _options(
        "auth_type from_email ssl_context", "timeout retry_limit", "disable_ssl disable_tls"
    ),
    # airflow/providers/http/hooks/http.py; not proxies, cert and srv_lookup. What else is in its
    # extras, the hook sends as a header.
    "http": _options(
        "", "timeout max_redirects", "allow_redirects check_response stream trust_env verify"
    ),
    # airflow/providers/mysql/hooks/mysql.py; not local_infile, by which a server reads files.
    "mysql": _options("charset cursor ssl_mode"),
    # airflow/providers/microsoft/mssql/hooks/mssql.py, which calls pymssql.connect().
    "mssql": _options("appname charset encryption tds_version", "login_timeout timeout"),
    # https://learn.microsoft.com/sql/connect/odbc/dsn-connection-string-attribute; not Driver,
    # which is a library by its path, and no other way to give a host, account or file.
    "odbc": _options(
        "APP ApplicationIntent Encrypt Language MultiSubnetFailover TrustServerCertificate WSID",
        "ConnectRetryCount ConnectRetryInterval KeepAlive KeepAliveInterval",
    ),
    # airflow/providers/oracle/hooks/oracle.py; not dsn, module and thick_mode_*.
    "oracle": _options("mode purity service_name sid", "", "events fetch_decimals fetch_lowercase"),
    # airflow/providers/ssh/hooks/ssh.py; not key_file, host_proxy_cmd and what accepts any host.
    "ssh": _SSH,
    # airflow/providers/sftp/hooks/sftp.py
    "sftp": _SSH,
    # airflow/providers/ftp/hooks/ftp.py
    "ftp": _options("", "", "passive"),
    # airflow/providers/imap/hooks/imap.py
    "imap": _options("ssl_context", "", "use_ssl"),
}

# Metadata of these names is no secret, in a file that does not say what the vault protects.
PLAIN = frozenset(FIELDS).union(*OPTIONS.values())

_HTTP = frozenset(OPTIONS["http"]) | {"cert", "proxies", "proxy", "srv_lookup", "verify_ssl"}
# RFC 9110: a token; and what a header's value is.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff][\x20-\x7e\x80-\xff]*)?")
_OF_RECORD = (
    *("host", "hostaddr", "server", "port", "user", "username", "login", "uid"),
    *("password", "passwd", "pwd", "dbname", "database"),
)
_PROGRAM = re.compile(
    r"(?:.*[_-])?(?:cmd|command|driver|driver_path|driver_class|lib_dir|plugin_dir|module|binary)"
    r"|.*proxycommand",
    re.IGNORECASE,
)


def extras(credential: "Credential", conn_type: str) -> dict[str, Any]:
    """Return what of the metadata the connection gets; see connection_fields()."""
    options = OPTIONS.get(conn_type, {})
    found: dict[str, Any] = {}
    for key, value in credential["metadata"].items():
        if key.startswith(_OPTION):
            name = key.removeprefix(_OPTION)
            _check_marked(credential, key, name, conn_type)
        elif key.startswith(_HEADER) and conn_type == "http":
            name = key.removeprefix(_HEADER)
            value = _header(credential, key, name, value)
        elif key in options:
            name = key
        else:
            continue
        others = [taken for taken in found if taken.lower() == name.lower()]
        if name in found or (key.startswith(_HEADER) and others):
            raise _malformed(credential, key, "gives what other metadata gives too")
        found[name] = _converted(credential, key, value, options.get(name))
    return found


def _check_marked(credential: "Credential", key: str, name: str, conn_type: str) -> None:
    if not name or name in OPTIONS.get(conn_type, {}):
        problem = "" if name else "names no option"
    elif name.lower() in _OF_RECORD:
        problem = "would replace a field of the record: set that field"
    elif _PROGRAM.fullmatch(name):
        problem = "names a program or code to run, which a record may not"
    elif conn_type == "http" and name not in _HTTP:
        problem = "is no option of http: a header is header.NAME"
    else:
        return
    if problem:
        raise _malformed(credential, key, problem)


def _header(credential: "Credential", key: str, name: str, value: Any) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise _malformed(credential, "header.…", "has a name that no header can have")
    if name.lower() in _HTTP:
        raise _malformed(credential, key, "is an option of http and can't be a header")
    # requests wants texts, and its own message would quote the value.
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, dict | list | tuple) or not _HEADER_VALUE.fullmatch(text):
        raise _malformed(credential, key, "has a value that no header can have, of one line")
    return text


def _converted(credential: "Credential", key: str, value: Any, kind: str | None) -> Any:
    """Return a value as the option wants it: what was typed into a vault may be a text."""
    text = value.strip().lower() if isinstance(value, str) else value
    if kind == _FLAG or (kind is None and text in ("true", "false") and key.startswith(_OPTION)):
        if isinstance(value, bool) or text in ("true", "false"):
            return text in (True, "true")
        raise _malformed(credential, key, "is neither true nor false")
    if kind == _NUMBER:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if isinstance(text, str) and re.fullmatch("[0-9]{1,9}", text):
            return int(text)
        raise _malformed(credential, key, "is not a number")
    if kind == _TEXT and not isinstance(value, str | int | float):
        raise _malformed(credential, key, "is not a text")
    return value


def _malformed(credential: "Credential", key: str, problem: str) -> MalformedCredentialError:
    return MalformedCredentialError(f"metadata.{key} of {credential.name} {problem}")
