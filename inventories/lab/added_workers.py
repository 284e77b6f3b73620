#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers that hosts.yml does not name: those that `scripts/demo worker3` has added.

A program that Ansible runs for its inventory. What scripts/nodes has written for ssh says which
nodes the cluster has; one whose name begins with `worker` is a worker.
"""

import json
import os
import re
import sys
from pathlib import Path

LAB = Path(__file__).resolve().parents[2] / ".lab"


def workers(ssh_config: Path) -> list[str]:
    """Return the names of the workers in a file of scripts/nodes, none where there is no file."""
    text = ssh_config.read_text() if ssh_config.exists() else ""
    return re.findall(r"^Host (worker[a-z0-9-]*)$", text, re.MULTILINE)


if __name__ == "__main__":
    cluster = os.environ.get("CASPIAN_LAB") or "demo"
    hosts = workers(LAB / cluster / "ssh_config")
    json.dump({"worker": {"hosts": hosts}, "_meta": {"hostvars": {}}}, sys.stdout)
