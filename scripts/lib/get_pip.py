"""Installs pip into the environment that runs this; ansible-test downloads a program for that."""

import subprocess
import sys

# Options of that program which an installer of packages does not know.
UNKNOWN = ("--no-setuptools", "--no-wheel", "--disable-pip-version-check")

packages = [argument for argument in sys.argv[1:] if argument not in UNKNOWN]
install = ("uv", "pip", "install", "--no-config", "--system-certs", "--python", sys.executable)
subprocess.run([*install, *packages], check=True)
