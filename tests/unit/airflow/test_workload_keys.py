"""What the workers verify with is made of what the scheduler signs with."""

import base64

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter import workload_keys
from ansible_collections.caspian.airflow.plugins.filter.workload_keys import public_workload_keys


def encoded(*keys: bytes) -> str:
    return ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)


def test_the_public_halves_are_those_of_the_standard() -> None:
    """By the first two examples of RFC 8032, 7.1."""
    private = [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    ]
    public = [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ]
    given = encoded(*map(bytes.fromhex, private))
    assert public_workload_keys(given) == encoded(*map(bytes.fromhex, public))
    # As a person writes them.
    assert public_workload_keys(given.replace(",", " , ")) == encoded(*map(bytes.fromhex, public))


@pytest.mark.parametrize(
    "given", ["", "CANARY", "é", encoded(b"x" * 31), encoded(b"x" * 32) + ",", None]
)
def test_what_is_no_key_is_refused_and_not_shown(given: object) -> None:
    with pytest.raises(AnsibleFilterError, match="32 bytes in the base64 of URLs") as raised:
        public_workload_keys(given)
    assert "CANARY" not in str(raised.value)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_keys, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(AnsibleFilterError, match="no cryptography: install it there"):
        public_workload_keys(encoded(b"x" * 32))
