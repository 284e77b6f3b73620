"""Where Airflow says that a task ran, which is where the API server looks for its log."""

import socket

import pytest
from airflow.configuration import conf
from airflow.sdk.api import client
from airflow.utils import net
from airflow.utils.log.file_task_handler import FileTaskHandler

CALLABLE = "rax.airflow.host.reachable_host"


@pytest.mark.parametrize("asked", [net.get_hostname, client.get_hostname], ids=["core", "tasks"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("worker1.example.org", "worker1.example.org"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("", socket.getfqdn()),
        (None, socket.getfqdn()),
    ],
)
def test_a_host_is_filed_by_the_address_that_the_others_know(asked, address, expected, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__HOSTNAME_CALLABLE", CALLABLE)
    if address is None:
        monkeypatch.delenv("RAX_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAX_ADDRESS", address)
    assert asked() == expected


def test_an_address_of_ipv6_makes_a_url(tmp_path):
    """Airflow puts the host into the URL of a log as it is."""

    class Instance:
        hostname = "[2001:db8::1]"

    handler = FileTaskHandler(str(tmp_path))
    port = conf.get("logging", "worker_log_server_port")
    assert handler._get_log_retrieval_url(Instance(), "a/b.log")[0] == (
        f"http://[2001:db8::1]:{port}/log/a/b.log"
    )
