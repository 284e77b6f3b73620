# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels of few files, a package that comes as source, and locks of them."""

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path


def make_wheel(folder, name, version, files, requires=()):
    """Write a wheel with these files; return its entry in a lock that asks for it."""
    module = name.replace("-", "_")
    information = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {one}\n" for one in requires
    )
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {**files, f"{information}/METADATA": metadata, f"{information}/WHEEL": kind}
    record = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
    wheel = Path(folder, f"{module}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in {**files, f"{information}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via -r packages.in\n"


# Builds `good`, and is all that its build needs.
BACKEND = {
    "builder.py": """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/good-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("good.py", "")
        information = "Metadata-Version: 2.1\\nName: good\\nVersion: 1.0\\n"
        wheel.writestr("good-1.0.dist-info/METADATA", information)
        kind = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("good-1.0.dist-info/WHEEL", kind)
        wheel.writestr("good-1.0.dist-info/RECORD", "")
    return "good-1.0-py3-none-any.whl"
"""
}


def make_source(folder):
    """Write `good` as source, which `builder` builds; return its entry in a lock."""
    texts = {
        "pyproject.toml": '[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n',
        "PKG-INFO": "Metadata-Version: 2.1\nName: good\nVersion: 1.0\n",
    }
    path = Path(folder, "good-1.0.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(f"good-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"good==1.0 --hash=sha256:{digest}\n    # via -r packages.in\n"


def make_python(folder):
    """Write a Python whose environments are made in no time; return its path.

    Where it is to bring pip along, which takes seconds, there is one that notes what it is asked
    for, and brings uv: that of this checkout.
    """
    uv = Path(sys.executable).with_name("uv")
    python = Path(folder, "python")
    python.write_text(f"""#!/bin/sh
case "$*" in *--without-pip*) exec {sys.executable} "$@" ;; esac
mkdir -p "$4/bin"
cat >"$4/bin/pip" <<'PIP'
#!/bin/sh
echo "$@" >>{folder}/pip.log
ln -sf {uv} "$(dirname "$0")/uv"
PIP
chmod 755 "$4/bin/pip"
""")
    python.chmod(0o755)
    return str(python)
