# SPDX-License-Identifier: Apache-2.0
"""The options of the database's URLs, against whoever answers in the place of PostgreSQL."""

import re
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import psycopg
import psycopg2
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "CANARY"
SSL_REQUEST, CLEARTEXT = 80877103, 3
DRIVERS = {"psycopg2": (psycopg2.connect, psycopg2.OperationalError),
           "psycopg": (psycopg.connect, psycopg.OperationalError)}  # fmt: skip


def url_options():
    """Return what group_vars add to the URLs of the cluster's own database."""
    variables = yaml.safe_load((ROOT / "playbooks/group_vars/airflow.yml").read_text())
    return re.search(r"'(\?[^']+)'", variables["__caspian_database_options"])[1]


class Impostor:
    """A server in PostgreSQL's place that asks for the password itself, with or without TLS."""

    def __init__(self, context):
        self.context = context
        self.got = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        """Answer until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    self.answer(connection)
                except (OSError, struct.error):
                    continue

    def answer(self, connection):
        """Take a start-up, ask for the password and keep it."""
        length, code = struct.unpack("!II", connection.recv(8))
        if code == SSL_REQUEST:
            connection.sendall(b"S" if self.context else b"N")
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            length, _ = struct.unpack("!II", connection.recv(8))
        connection.recv(length - 8)
        connection.sendall(struct.pack("!cII", b"R", 8, CLEARTEXT))
        kind = connection.recv(1)
        if kind == b"p":
            (length,) = struct.unpack("!I", connection.recv(4))
            self.got = connection.recv(length - 4).rstrip(b"\0").decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a self-signed certificate, as the server's own is."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("protected", [True, False])
def test_an_impostor_gets_the_password_unless_the_options_forbid_it(
    driver, tls, protected, certificate
):
    """Without the options; with them, the password is not sent."""
    connect, error = DRIVERS[driver]
    impostor = Impostor(certificate if tls else None)
    options = url_options() if protected else ""
    with pytest.raises(error):
        connect(f"postgresql://airflow:{PASSWORD}@127.0.0.1:{impostor.port}/airflow{options}")
    impostor.listener.close()
    impostor.thread.join(10)
    assert impostor.got == (None if protected else PASSWORD)
