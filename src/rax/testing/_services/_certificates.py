# SPDX-License-Identifier: Apache-2.0
"""The certificates of a case's sources, of an authority that is the case's own."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any, NamedTuple

from rax.errors import ServiceError
from rax.testing._services._ports import ADDRESS

# A case that is kept may stay for some days.
_VALID = datetime.timedelta(days=30)
_HOST = "localhost"


class Certificates(NamedTuple):
    """Files in the folder of a case."""

    # What is to be trusted.
    authority: Path
    # The certificate of all sources, and its key.
    server: Path


def certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate of it for the sources; nobody gets the authority's key.

    :raises ServiceError: what makes them is not installed
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ServiceError(
            "a case has a source in https, and cryptography is not installed"
        ) from None
    key, own = (ec.generate_private_key(ec.SECP256R1()) for _each in range(2))
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    identity = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
    authority = (
        _begun("the sources of a case", own.public_key(), "the sources of a case")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(identity, critical=False)
    )
    names = [x509.DNSName(_HOST), x509.IPAddress(ipaddress.ip_address(ADDRESS))]
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity)
    server = (
        _begun("a source", key.public_key(), "the sources of a case")
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issued_by, critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Certificates(
        _written(folder / "authority.pem", _signed(authority, own)),
        _written(folder / "source.pem", private + _signed(server, own)),
    )


def _begun(subject: str, public_key: Any, issuer: str) -> Any:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
    )


def _name(text: str) -> Any:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _signed(builder: Any, key: Any) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization

    found: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return found


def _written(file: Path, content: bytes) -> Path:
    file.touch(0o600)
    file.write_bytes(content)
    return file
