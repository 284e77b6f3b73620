# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the lab's nodes, a plain Debian server: standard library alone, as scripts/nodes."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from scripts.lib.engine import Engine, NodesError, run, say

RELEASES = {"bookworm": "12", "trixie": "13"}
# What a plain Debian server has. The roles install everything else.
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "sudo"),
    *("cron", "iproute2", "ca-certificates", "procps", "logrotate"),
]
# Ansible logs in to the account `deploy`. Host keys and the machine id belong to a node, not to
# its image.
PREPARE = (
    "useradd --create-home --shell /bin/bash deploy"
    " && printf 'deploy ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/deploy"
    " && chmod 0440 /etc/sudoers.d/deploy"
    " && rm -f /etc/ssh/ssh_host_*"
    " && : > /etc/machine-id"
    " && systemctl mask systemd-udevd.service systemd-logind.service getty.target"
)


def image_name(release: str) -> str:
    """Return the image's name, which changes with what is in it."""
    what = hashlib.sha256(f"{release} {PACKAGES} {PREPARE}".encode()).hexdigest()[:12]
    return f"localhost/caspian-node:{release}-{what}"


def make_image(engine: Engine, release: str, folder: Path) -> str:
    """Make the nodes' image unless it is there, and return its name; `folder` is for its parts."""
    folder.mkdir(mode=0o700, exist_ok=True)
    # Of two clusters that begin at once, the second waits for what the first one makes.
    with (folder / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        name = image_name(release)
        if not engine.has("image", name):
            _make_image(engine, release, name, folder)
    return name


def _make_image(engine: Engine, release: str, name: str, folder: Path) -> None:
    base = f"docker.io/library/debian:{RELEASES[release]}"
    say(f"asking for {base}")
    if not engine.has("image", base):
        subprocess.run(
            [engine.name, "pull", "--quiet", base], capture_output=True, timeout=600, check=False
        )
    if engine.has("image", base):
        say(f"building {name} from it")
        recipe = (
            f"FROM {base}\nRUN apt-get update && apt-get install -y --no-install-recommends"
            f" {' '.join(PACKAGES)} && rm -rf /var/lib/apt/lists/*\nRUN {PREPARE}\n"
        )
        engine("build", "--tag", name, "-", stdin=recipe)
        return
    if not shutil.which("mmdebstrap"):
        raise NodesError(
            f"{base} could not be pulled, and mmdebstrap, which would build it, is not installed"
        )
    say(
        f"no registry answers: building Debian {release} with mmdebstrap (half a minute to a"
        " minute)"
    )
    archive = folder / f"{release}.tar"
    try:
        run(
            "mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
            f'--customize-hook=chroot "$1" sh -c {shell_quote(PREPARE)}', release, str(archive),
        )  # fmt: skip
        engine("import", str(archive), name)
    finally:
        archive.unlink(missing_ok=True)


# What a new node makes for itself, so that no other one has it.
FORGET = "rm -f /etc/ssh/ssh_host_* && : > /etc/machine-id"


def image_like(engine: Engine, network: str, container: str) -> str:
    """Make an image of what is on a node's disk now, and return its name.

    It has neither host keys nor a machine id. `network` is the cluster's, after which it is called.
    """
    name = like_name(network)
    say(f"making an image of what is on {container}")
    engine("commit", container, name)
    forgetting = f"{network}.forgetting"
    try:
        engine(
            "run", "--name", forgetting, "--network=none", *engine.limit_options(), name,
            "sh", "-c", FORGET,
        )  # fmt: skip
        engine("commit", forgetting, name)
    finally:
        engine("rm", "--force", "--volumes", forgetting, quiet=True)
    return name


def like_name(network: str) -> str:
    """Return the name of the image that a cluster has of one of its nodes."""
    return f"localhost/{network}:like"


def shell_quote(text: str) -> str:
    """Quote a text for sh inside single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"
