# SPDX-License-Identifier: Apache-2.0
"""Where a cluster's API is: an address to which a password may be sent."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from rax.errors import CommandError

_LOCAL_NAMES = ("localhost", "ip6-localhost")
_MAX_URL_CHARACTERS = 500


class Address(NamedTuple):
    """The address of an API, and whether it is on this machine."""

    # Without a slash at its end.
    url: str
    is_local: bool


def address_of(url: str, whence: str) -> Address:
    """Return the address that a URL names.

    >>> address_of("https://airflow.example.org/", "--target")
    Address(url='https://airflow.example.org', is_local=False)

    :param whence: where the URL is said, for messages; of the URL itself nothing is repeated, since
        it may hold a password
    :raises CommandError: it is none, or a password would travel to it in the open
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise CommandError(f"{whence} is no URL: its host or its port is none") from None
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _MAX_URL_CHARACTERS:
        raise CommandError(f"{whence} has characters that no URL has, or too many of them")
    if parts.scheme not in ("http", "https") or not host:
        raise CommandError(
            f"{whence} is no URL of an API, such as https://airflow.example.org; a spec is named "
            "before --target"
        )
    if "@" in parts.netloc:
        raise CommandError(f"{whence} has an account in it: that is taken from a credential")
    if parts.query or parts.fragment:
        raise CommandError(f"{whence} goes on after ? or #, which no address of an API does")
    is_local = _is_local(host)
    if parts.scheme == "http" and not is_local:
        raise CommandError(
            f"{whence} begins with http://, by which the password would travel in the open: write "
            "https://, or lead a port of this machine there (ssh -L 8080:localhost:8080 HOST) and "
            "write http://localhost:8080"
        )
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port else ""
    return Address(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", is_local)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES
