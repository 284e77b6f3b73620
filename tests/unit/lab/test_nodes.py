# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/nodes, with what stands in for a container engine."""

import importlib.machinery
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from scripts.lib import engine, node_image

SCRIPT = Path(__file__).parents[3] / "scripts/nodes"
SUBNETS = "10.89.5.0/24 fd00:5::/64 "


class Engine(engine.Engine):
    """Podman, as far as scripts/nodes asks: which containers there are, their labels and states."""

    name = "podman"
    cgroup_v1 = False

    def __init__(self, *containers):
        """Take (node, number or None, is running, what systemd says) of the cluster `x`."""
        self.containers = {f"caspian-x-{name}": list(rest) for name, *rest in containers}
        self.calls = []

    def has(self, kind, name):
        return kind != "container" or name in self.containers

    def systemd_options(self):
        return []

    def __call__(self, command, *argv, **_):
        self.calls.append((command, *argv))
        if command == "ps":
            return "\n".join(self.containers)
        if command == "network":
            return SUBNETS
        if command == "run":
            name = argv[argv.index("--name") + 1]
            number = "".join(one for one in argv if "number=" in one).partition("number=")[2]
            self.containers[name] = [number, True, "running"]
        elif command == "start":
            self.containers[argv[0]][1] = True
        elif command == "rm":
            del self.containers[argv[-1]]
        elif command == "inspect":
            number, runs, _ = self.containers[argv[-1]]
            if "Labels" in argv[1]:
                return f"{number or '<no value>'}\n"
            if "Running" in argv[1]:
                return f"{str(runs).lower()}\n"
            return f"10.89.5.{number or 2} {f'fd00:5::{number}' if number else ''}\n"
        elif command == "exec":
            return self.execute(*argv)
        return ""

    def execute(self, *argv):
        name = next(one for one in argv if one in self.containers)
        _, runs, state = self.containers[name]
        assert runs, f"{name} is down"
        if "is-system-running" in argv:
            return f"{state}\n"
        if "is-active" in argv:
            return "active\nactive\n"
        return f"ssh-ed25519 KEY-{name} root" if "cat" in argv else ""

    def commands(self, command):
        return [argv for name, *argv in self.calls if name == command]


@pytest.fixture
def nodes():
    loader = importlib.machinery.SourceFileLoader("nodes", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("nodes", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def create(nodes, monkeypatch, tmp_path):
    """Create nodes of the cluster `x`; return the files for ssh that are written."""
    monkeypatch.setattr(nodes, "ROOT", tmp_path)
    monkeypatch.setattr(nodes, "LAB", tmp_path)
    monkeypatch.setattr(nodes, "MAX_BOOT_SECONDS", 0)
    monkeypatch.setattr(nodes, "make_image", lambda *_: "image")

    def make(podman, *names, like=None):
        nodes.create(podman, "x", list(names), "bookworm", [], ipv6=False, like=like)
        return [(tmp_path / "x" / name).read_text() for name in ("known_hosts", "ssh_config")]

    return make


def test_new_nodes_get_addresses_that_stay_theirs(create):
    podman = Engine()
    known, config = create(podman, "worker1", "worker2")
    given = [[one for one in argv if one.startswith("--ip")] for argv in podman.commands("run")]
    assert given == [["--ip=10.89.5.10", "--ip6=fd00:5::a"], ["--ip=10.89.5.11", "--ip6=fd00:5::b"]]
    assert known == (
        "worker1,fd00:5::10 ssh-ed25519 KEY-caspian-x-worker1\n"
        "worker2,fd00:5::11 ssh-ed25519 KEY-caspian-x-worker2\n"
    )
    assert re.findall(r"^Host (.*)\n  HostName (.*)$", config, re.MULTILINE) == [
        ("worker1", "fd00:5::10"),
        ("worker2", "fd00:5::11"),
    ]


@pytest.mark.parametrize(
    ("taken", "number"),
    [
        ([], 10),
        (["10", "11"], 12),
        (["11"], 10),
        # One that is down has no address at the moment, and one of an older lab has no number.
        (["10", None], 11),
    ],
)
def test_a_number_is_given_once(nodes, taken, number):
    podman = Engine(*((f"n{i}", one, False, "") for i, one in enumerate(taken)))
    assert nodes.free_number(podman, "x") == number


def test_a_cluster_may_be_full(nodes):
    podman = Engine(*((f"n{i}", str(i), True, "") for i in range(10, 251)))
    with pytest.raises(nodes.NodesError, match="the cluster x has no room for another node"):
        nodes.free_number(podman, "x")


def test_docker_chooses_addresses_itself(monkeypatch):
    docker = Engine()
    monkeypatch.setattr(docker, "name", "docker")
    assert docker.address_options("caspian-x", 10) == []


def test_all_nodes_that_are_down_are_started_again(create):
    """Also those that are not named; and a deployed node may have units that fail."""
    podman = Engine(
        ("control1", "10", False, "degraded"),
        ("worker1", "11", True, "degraded"),
        ("worker3", "12", False, "starting"),
    )
    known, _ = create(podman, "control1", "worker1")
    assert [argv[0] for argv in podman.commands("start")] == [
        "caspian-x-control1",
        "caspian-x-worker3",
    ]
    assert not podman.commands("run")
    assert [line.split(",")[0] for line in known.splitlines()] == ["control1", "worker1", "worker3"]


def test_a_new_node_has_to_boot_without_a_failure(create, monkeypatch):
    monkeypatch.setattr(Engine, "execute", lambda *_: "degraded\n")
    with pytest.raises(engine.NodesError, match="worker1 did not boot in 0 s"):
        create(Engine(), "worker1")


def test_a_node_may_begin_with_the_disk_of_another(create):
    """Its units may fail until it is deployed; host keys and a machine id it makes for itself."""
    podman = Engine(("worker1", "10", True, "running"))
    create(podman, "worker2", like="worker1")
    like = "localhost/caspian-x:like"
    assert podman.commands("commit") == [
        ["caspian-x-worker1", like],
        ["caspian-x.forgetting", like],
    ]
    forgetting, started = podman.commands("run")
    assert forgetting[-2:] == ["-c", "rm -f /etc/ssh/ssh_host_* && : > /etc/machine-id"]
    assert like in started
    assert "caspian-x.forgetting" not in podman.containers
    assert all("is-system-running" not in argv for argv in podman.commands("exec"))


def test_the_image_of_a_node_goes_with_its_cluster(nodes, monkeypatch, tmp_path):
    monkeypatch.setattr(nodes, "LAB", tmp_path)
    podman = Engine(("a", "10", True, ""))
    nodes.destroy(podman, "x", [])
    assert podman.commands("rmi") == [["localhost/caspian-x:like"]]


@pytest.mark.usefixtures("create")
def test_one_node_is_removed_while_another_is_down(nodes, tmp_path):
    podman = Engine(("a", "10", False, ""), ("b", "11", True, ""), ("c", "12", True, ""))
    (tmp_path / "x").mkdir()
    nodes.destroy(podman, "x", ["c"])
    assert (tmp_path / "x/known_hosts").read_text().startswith("b,")
    assert sorted(podman.containers) == ["caspian-x-a", "caspian-x-b"]


def test_an_image_is_named_after_what_is_in_it(monkeypatch):
    names = {node_image.image_name("bookworm"), node_image.image_name("trixie")}
    assert node_image.image_name("bookworm") in names
    for name, value in (("PACKAGES", [*node_image.PACKAGES, "git"]), ("PREPARE", "true")):
        with monkeypatch.context() as changed:
            changed.setattr(node_image, name, value)
            names.add(node_image.image_name("bookworm"))
    assert len(names) == 4
    assert all(re.fullmatch(r"localhost/caspian-node:[\w.-]+", name) for name in names)


@pytest.mark.parametrize("text", ["", "a b", "it's", "''", '$HOME `id` \\ "', "a\nb", "*"])
def test_shell_quote(text):
    command = f"printf %s {node_image.shell_quote(text)}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == (
        text.encode()
    )


def test_a_command_that_fails_is_told_with_the_end_of_its_reason(nodes):
    with pytest.raises(nodes.NodesError) as error:
        nodes.run("sh", "-c", "seq 20 >&2; exit 3")
    assert str(error.value) == "sh -c seq 20 >&2; exit 3 … failed with 3:\n16\n17\n18\n19\n20"
    assert nodes.run("sh", "-c", "echo out; exit 3", quiet=True) == "out\n"
