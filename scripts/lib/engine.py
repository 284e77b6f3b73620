# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of this machine, for scripts/nodes: standard library alone."""

import ipaddress
import os
import resource
import shutil
import subprocess
from pathlib import Path


class NodesError(Exception):
    """Something a person has to look at; its text is shown without a traceback."""


def run(*argv: str, stdin: str | None = None, quiet: bool = False) -> str:
    """Run a command and return its standard output.

    Raises NodesError with the command and the end of its error output when it fails.
    """
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode and not quiet:
        reason = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise NodesError(f"{' '.join(argv[:4])} … failed with {done.returncode}:\n{reason}")
    return done.stdout


def say(text: str) -> None:
    """Tell the user what goes on, at once."""
    print(f"nodes: {text}", flush=True)


class Engine:
    """The container engine of this machine: the one place that knows podman from docker."""

    def __init__(self) -> None:
        """Choose podman where it is installed, docker otherwise."""
        for name in ("podman", "docker"):
            if (
                shutil.which(name)
                and not subprocess.run([name, "info"], capture_output=True, check=False).returncode
            ):
                self.name = name
                break
        else:
            raise NodesError(
                "no container engine answers here: install podman (apt-get install podman) or start"
                " docker"
            )
        if self.name == "podman" and os.geteuid() != 0:
            # Without root, podman's nodes have no addresses that ssh could reach.
            raise NodesError("podman's nodes need root: run the same command with sudo")
        self.cgroup_v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()

    def __call__(self, *argv: str, stdin: str | None = None, quiet: bool = False) -> str:
        """Run one command of the engine."""
        # crun refuses hybrid cgroups; runc takes them.
        runtime = ["--runtime", "runc"] if self.name == "podman" and self.cgroup_v1 else []
        return run(self.name, *runtime, *argv, stdin=stdin, quiet=quiet)

    def has(self, kind: str, name: str) -> bool:
        """Tell whether an image, network or container of that name exists."""
        return not subprocess.run(
            [self.name, kind, "inspect", name], capture_output=True, check=False
        ).returncode

    def address_options(self, network: str, number: int) -> list[str]:
        """Return what gives a container the address of that number in each subnet of a network.

        Otherwise it would get other ones whenever it starts, while the cluster that is deployed on
        it knows the first. Docker keeps addresses only in subnets that the user has chosen.
        """
        if self.name != "podman":
            return []
        shown = self(
            "network", "inspect", "--format", "{{range .Subnets}}{{.Subnet}} {{end}}", network
        )
        addresses = [ipaddress.ip_network(subnet)[number] for subnet in shown.split()]
        return [f"--ip{'6' if one.version == 6 else ''}={one}" for one in addresses]

    def limit_options(self) -> list[str]:
        """Return the limits that any container gets.

        A machine that lacks CAP_SYS_RESOURCE can't raise its own limits.
        """
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return [f"--ulimit=nofile={open_files}:{open_files}", "--ulimit=nproc=30000:30000"]

    def systemd_options(self) -> list[str]:
        """Return what a container needs so that systemd and its sandboxing work inside."""
        options = [
            # The unit files' own sandboxing is silently dropped without these two.
            "--cap-add=SYS_ADMIN",
            "--cap-add=SYS_PTRACE",
            *self.limit_options(),
        ]
        if self.name == "podman":
            options += ["--systemd=always", "--security-opt=unmask=ALL"]
        else:
            options += [
                "--tmpfs=/run",
                "--tmpfs=/tmp:exec",
                "--security-opt=systempaths=unconfined",
                "--security-opt=apparmor=unconfined",
                "--cgroupns=host" if self.cgroup_v1 else "--cgroupns=private",
            ]
        if self.cgroup_v1:
            options.append("--volume=/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw")
        return options
