"""A tiny deployment repository and a DAG repository that names it, without a network."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WRAPPER = ROOT / "src/rax/templates/repository/rax"
VERSION = "{}.{}".format(*sys.version_info)
# What the deployment has of the true one, for the program that makes environments.
TRUE_FILES = (
    "scripts/authors/environment.py",
    "scripts/authors/packages.py",
    "src/LICENSE",
    "src/rax/_printable.py",
)
# The command rax of the tiny deployment: it says how it was started.
RAX = """\
import json, os, sys
import tiny
print(json.dumps({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "input": sys.stdin.read(),
    "repository": os.environ["RAX_REPOSITORY"], "prefix": sys.prefix, "path": sys.path,
}))
sys.exit(7 if "--fail" in sys.argv else 0)
"""
# Programs that the wrapper and what it starts find on PATH, and no others.
PROGRAMS = ("sh", "cmp", "readlink", "git")
# It logs how a program was started, and where a test wants that, kills all or its parent, waits or
# fails.
WATCHED = """\
#!/bin/sh
printf '%s\\n' "{name} $*" >>"{folder}/log"
case "$*" in
  $AT)
    case $DO in
      kill) "{program}" "$@"; kill -9 0 ;;
      orphan) kill -9 "$PPID" ;;
      wait) : >"{folder}/waits"; while [ ! -e "{folder}/go" ]; do /bin/sleep 0.05; done ;;
      full) echo "error: No space left on device (os error 28)" >&2; exit 2 ;;
    esac ;;
esac
exec "{program}" "$@"
"""


def wheel(
    folder: Path, name: str, version: str, files: dict[str, str], tag: str = "py3-none-any"
) -> str:
    """Write a wheel, and return its line of a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    lines = [
        f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items()
    ]
    files[f"{info}/RECORD"] = "".join(lines) + f"{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            member = zipfile.ZipInfo(inside)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def git(folder: Path, *words: str) -> str:
    """Run git, and return its output."""
    return subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", folder, *words],
        check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": "/"},
    ).stdout.strip()  # fmt: skip


class Deployment:
    """The deployment repository, with a tag, a branch and a lock for this Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "deployment"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        for name in TRUE_FILES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        short = VERSION.replace(".", "")
        tiny = wheel(self.wheels, "tiny", "1.0", {"tiny.py": "NAME = 'tiny'\n"})
        tool = wheel(self.wheels, "tool", "2.0", {"tool.py": ""})
        uv = f'#!/bin/sh\nexec {shutil.which("uv")} "$@"\n'
        self.write({
            "packages/requirements-py399.txt": tiny,
            f"packages/requirements-py{short}.txt": tiny,
            f"requirements/authors-py{short}.txt": tool,
            "requirements/authors-py399.txt": tool,
            "requirements/build.txt": tiny,
            "requirements/uv.txt": wheel(
                self.wheels, "uv", uv_version(), {f"uv-{uv_version()}.data/scripts/uv": uv}
            ),
            "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
            "src/rax/__init__.py": "",
            "src/rax/__main__.py": RAX,
        })  # fmt: skip
        git(folder, "init", "--quiet", "--initial-branch=main", str(self.root))
        self.older = self.save()
        self.write({"README.md": ""})
        self.commit = self.save()
        git(self.root, "tag", "v1")
        git(self.root, "tag", "--annotate", "--message=x", "v1+annotated")
        git(self.root, "branch", "refs/tags/v9")

    def write(self, files: dict[str, str]) -> None:
        """Write files of it."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def save(self, tag: str = "") -> str:
        """Commit all, and return the commit."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message=x")
        if tag:
            git(self.root, "tag", tag)
        return git(self.root, "rev-parse", "HEAD")


def uv_version() -> str:
    """Return the version of uv that this checkout locks."""
    return (ROOT / "requirements/uv.txt").read_text().partition("uv==")[2].partition(" ")[0]


@dataclass(frozen=True)
class Ended:
    """What became of a run."""

    code: int
    out: str
    err: str


class Laptop:
    """A DAG repository with the wrapper, and a machine with few programs."""

    def __init__(self, folder: Path, deployment: Deployment, uv_cache: Path) -> None:
        self.folder, self.deployment = folder, deployment
        self.root = folder / "dags"
        self.cache = folder / "cache"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.add_repository("dags")
        for name in PROGRAMS:
            self.install(name, shutil.which(name))
        python = os.path.realpath(sys.executable)
        self.install("python3", python)
        self.install(f"python{VERSION}", python)
        for name in ("git", "uv"):
            self.watch(name)
        self.environ = {
            "PATH": str(self.bin), "HOME": str(folder), "XDG_CACHE_HOME": str(self.cache),
            "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(deployment.wheels),
            "UV_CACHE_DIR": str(uv_cache), "UV_PYTHON_INSTALL_DIR": str(folder / "none"),
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(deployment.wheels), "AT": "-", "DO": "",
        }  # fmt: skip

    def add_repository(self, name: str) -> Path:
        """Make a DAG repository that names the deployment's tag."""
        root = self.folder / name
        root.mkdir()
        shutil.copy(WRAPPER, root / "rax")
        self.name(root=root)
        return root

    def name(self, root: Path | None = None, **values: str) -> None:
        """Write rax.toml."""
        named = {"repository": str(self.deployment.root), "ref": "v1", "python": VERSION} | values
        lines = [f'{key} = "{value}"\n' for key, value in named.items()]
        ((root or self.root) / "rax.toml").write_text("[deployment]\n" + "".join(lines))

    def install(self, name: str, program: str | None) -> None:
        """Let a program be on PATH; None takes it away."""
        (self.bin / name).unlink(missing_ok=True)
        if program:
            (self.bin / name).symlink_to(program)

    def watch(self, name: str) -> None:
        """Let a program be on PATH that is logged, and does what AT and DO say."""
        self.install(name, None)
        text = WATCHED.format(name=name, folder=self.folder, program=shutil.which(name))
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    @property
    def log(self) -> list[str]:
        """How git and uv were started."""
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def environments(self) -> list[Path]:
        """The environments that the wrapper would take."""
        return sorted((self.cache / "rax/environments").glob("*-py3*/"))

    def start(self, *arguments: str, program: Path | None = None, **environ: str | None):
        """Start ./rax; a variable that is None is not set."""
        variables = {k: v for k, v in (self.environ | environ).items() if v is not None}
        return subprocess.Popen(
            [program or self.root / "rax", *arguments], cwd=self.folder, text=True,
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, program: Path | None = None, **environ: str | None) -> Ended:
        """Run ./rax, which may read `typed` from its standard input."""
        process = self.start(*arguments, program=program, **environ)
        out, err = process.communicate("typed", timeout=100)
        return Ended(process.returncode, out, err)
