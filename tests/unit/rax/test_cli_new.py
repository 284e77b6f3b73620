"""`rax new repository`: what it writes, where, and what it never touches."""

import ast
import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rax import cli, templates
from rax.checking._settings import Flows, Settings
from rax.templates import _deployment, _files, _repository

ROOT = Path(__file__).parents[3]
ADDRESS, REF = "https://git.example.org/platform/caspian-deploy.git", "v0.1.0"
KNOWN = ("--deployment", ADDRESS, "--ref", REF)
FILES = [
    ".gitattributes", ".gitignore", ".pre-commit-config.yaml", "README.md", "configs/.gitkeep",
    "dags/.gitkeep", "lib/__init__.py", "rax", "rax.toml", "ruff.toml", "tests/.gitkeep",
    "util/__init__.py",
]  # fmt: skip
CI = {
    "jenkins": ["Jenkinsfile", "ci/jenkins-job.yaml"],
    "github": [".github/workflows/check.yml"],
    "gitlab": [".gitlab-ci.yml"],
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No repository around, and none that the command is run for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAX_REPOSITORY", raising=False)


@pytest.fixture
def rax(capsys):
    """Run the command; return its exit code, output and error."""

    def run(*words):
        try:
            code = cli.main(["new", *map(str, words)])
        except SystemExit as error:
            code = error.code
        return code, *capsys.readouterr()

    return run


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def files_of(root):
    """Return {name: content} of a folder, without git's own."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def listed(output, title):
    """Return the names that the output has under a title."""
    lines = output.splitlines()
    if f"{title}:" not in lines:
        return []
    names = lines[lines.index(f"{title}:") + 1 :]
    end = next((index for index, line in enumerate(names) if not line.startswith("  ")), None)
    return [line.strip() for line in names[:end]]


# A repository of its own


@pytest.mark.parametrize(
    ("words", "systems"),
    [
        ((), ["jenkins"]),
        (("--ci", "none"), []),
        (("--ci", "github,gitlab"), ["github", "gitlab"]),
        (("--ci", "all"), ["jenkins", "github", "gitlab"]),
    ],
)
def test_a_new_repository(rax, tmp_path, words, systems):
    code, output, error = rax("repository", "team/dags", *KNOWN, *words)
    root = tmp_path / "team/dags"
    expected = sorted(FILES + [name for system in systems for name in CI[system]])
    assert (code, error) == (0, "")
    assert sorted(files_of(root)) == sorted(listed(output, "written")) == expected
    assert Settings.read(root) == Settings(ADDRESS, REF, "3.11", flows=Flows(required=True))
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    # Nothing of it is ignored, and git keeps all folders.
    assert sorted(git(root, "ls-files", "--others", "--exclude-standard").split()) == expected
    assert stat.S_IMODE((root / "rax").stat().st_mode) & 0o111 == 0o111
    assert not stat.S_IMODE((root / "rax.toml").stat().st_mode) & 0o111


def test_again_writes_nothing_and_says_so(rax, tmp_path):
    rax("repository", "dags", *KNOWN)
    before = files_of(tmp_path)
    code, output, _ = rax("repository", "dags", *KNOWN)
    assert code == 0
    assert output.endswith(f"nothing is missing in {tmp_path}/dags\n")
    assert files_of(tmp_path) == before


def test_the_keys_of_json(rax, tmp_path):
    code, output, _ = rax("repository", "dags", *KNOWN, "--ci", "none", "--json")
    found = json.loads(output)
    assert (code, found["root"], sorted(found["written"])) == (0, f"{tmp_path}/dags", FILES)
    assert [*found] == ["root", "written", "present", "missing", "notes"]


@pytest.mark.parametrize("name", ["with blanks", "line\nfeed", "'\"$(touch x)`", "日本", "-dash"])
def test_any_name_of_a_folder(rax, tmp_path, name):
    code, output, error = rax("repository", *KNOWN, "--", name)
    assert (code, error) == (0, "")
    assert sorted(files_of(tmp_path / name)) == sorted(FILES + CI["jenkins"])
    assert names_in(tmp_path) == [name]
    assert len(output.splitlines()) == 2 + len(FILES + CI["jenkins"])


def test_an_empty_clone_and_a_link_to_one(rax, tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", "clone")
    (tmp_path / "link").symlink_to("clone")
    code, _, _ = rax("repository", "link", *KNOWN)
    assert code == 0
    assert "rax.toml" in files_of(tmp_path / "clone")
    assert git(tmp_path / "clone", "symbolic-ref", "HEAD") == "refs/heads/trunk\n"


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("file", "file is there already, and is no folder"),
        ("dangling", "dangling is there already, and is no folder"),
        ("circle", "circle is there already, and is no folder"),
        ("file/dags", "file: File exists"),
        ("x" * 300, "File name too long"),
        ("/proc/nowhere/dags", "No such file or directory"),
        ("other/inside", "other/inside is inside of the repository"),
    ],
)
def test_what_cannot_be_a_repository(rax, tmp_path, folder, problem):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    git(tmp_path, "init", "--quiet", "other")
    before = names_in(tmp_path)
    code, output, error = rax("repository", folder, *KNOWN)
    assert (code, output) == (3, "")
    assert problem in error
    assert names_in(tmp_path) == before
    assert files_of(tmp_path) == {"file": b"kept"}


def test_a_repository_inside_of_another_that_is_one_itself(rax, tmp_path):
    git(tmp_path, "init", "--quiet", "other/inside")
    git(tmp_path, "init", "--quiet", "other")
    assert rax("repository", "other/inside", *KNOWN)[0] == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--ci", "travis"), "'travis' is none of jenkins, github, gitlab"),
        (("--ci", ""), "'' is none of"),
        ((), "following arguments are required: DIR"),
    ],
)
def test_a_wrong_command_line(rax, words, problem):
    code, _, error = rax("repository", *(("dags",) if words else ()), *words)
    assert code == 2
    assert problem in error


# A repository that is there


def test_one_that_has_only_a_readme_gets_the_rest(rax, tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/README.md").write_text("ours")
    code, output, _ = rax("repository", "dags", *KNOWN, "--ci", "none")
    rest = [name for name in FILES if name != "README.md"]
    assert code == 1
    assert listed(output, "there already") == ["README.md"]
    assert sorted(listed(output, "missing")) == rest
    assert output.endswith("to add what is missing: rax new repository dags --add\n")
    assert [*files_of(tmp_path)] == ["dags/README.md"]

    code, output, _ = rax("repository", "dags", *KNOWN, "--ci", "none", "--add")
    assert code == 0
    assert sorted(listed(output, "written")) == rest
    assert (tmp_path / "dags/README.md").read_text() == "ours"


def test_the_command_that_adds_needs_no_deployment_to_tell(rax, tmp_path, monkeypatch):
    monkeypatch.setattr(_deployment, "_CHECKOUT", tmp_path)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/README.md").write_text("ours")
    assert rax("repository", "dags")[0] == 1
    code, _, error = rax("repository", "dags", "--add")
    assert code == 3
    assert "the deployment is not known here: give its address with --deployment" in error
    assert [*files_of(tmp_path)] == ["dags/README.md"]


DAG = "from airflow.sdk import dag\n"


@pytest.mark.parametrize(
    ("files", "words", "missing"),
    [
        ({"dags/a.py": DAG}, (), ["configs/.gitkeep", "rax", "rax.toml"]),
        ({"dags/a.py": DAG, "configs/a.yaml": "a: 1\n"}, (), ["rax", "rax.toml"]),
        ({"own/a.py": DAG}, ("--dags-folder", "own"), ["configs/.gitkeep", "rax", "rax.toml"]),
        ({"a.py": DAG}, ("--dags-folder", "."), ["configs/.gitkeep", "rax", "rax.toml"]),
        ({"a.py": "", "b.txt": ""}, (), ["configs/.gitkeep", "dags/.gitkeep", "rax", "rax.toml"]),
    ],
)  # fmt: skip
def test_one_with_code_of_its_own_gets_what_it_needs(rax, tmp_path, files, words, missing):
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    words = ("repository", "own", *KNOWN, "--ci", "none", *words)
    code, output, _ = rax(*words)
    assert code == 1
    assert sorted(listed(output, "missing")) == missing
    assert ("needs dag_sync_dags_folder: " in output) == ("--dags-folder" in words)
    assert rax(*words, "--add")[0] == 0
    assert sorted(files_of(tmp_path / "own")) == sorted([*files, *missing])
    folder = words[words.index("--dags-folder") + 1] if "--dags-folder" in words else "dags"
    settings = Settings.read(tmp_path / "own")
    # Its workflows have no specs yet.
    assert (settings.dags_folder, settings.flows.required) == (folder, "b.txt" in files)
    code, output, _ = rax(*words)
    assert (code, listed(output, "missing")) == (0, [])


def test_ci_is_added_later(rax, tmp_path):
    rax("repository", "dags", *KNOWN, "--python", "3.13", "--ci", "none")
    (tmp_path / "dags/dags/a.py").write_text(DAG)
    code, output, _ = rax("repository", "dags", "--ci", "gitlab", "--add")
    assert (code, listed(output, "written")) == (0, [".gitlab-ci.yml"])
    assert "image: python:3.13-bookworm\n" in (tmp_path / "dags/.gitlab-ci.yml").read_text()


def test_dags_that_are_elsewhere_are_not_hidden_behind_an_empty_folder(rax, tmp_path):
    (tmp_path / "own/airflow/dags").mkdir(parents=True)
    (tmp_path / "own/airflow/dags/a.py").write_text(DAG)
    said = "files like DAGs are in airflow/dags, and there is no folder dags: name where they are"
    code, output, _ = rax("repository", "own", *KNOWN)
    assert code == 1
    assert said in output
    code, _, error = rax("repository", "own", *KNOWN, "--add")
    assert code == 3
    assert said in error
    assert [*files_of(tmp_path / "own")] == ["airflow/dags/a.py"]
    assert rax("repository", "own", *KNOWN, "--add", "--dags-folder", "airflow/dags")[0] == 0
    # Whoever means a new folder says so.
    (tmp_path / "own/rax.toml").unlink()
    assert rax("repository", "own", *KNOWN, "--add", "--dags-folder", "dags")[0] == 0
    assert (tmp_path / "own/dags/.gitkeep").exists()


@pytest.mark.parametrize("name", [".ruff.toml", "pyproject.toml"])
def test_settings_of_ruff_elsewhere_are_not_hidden(rax, tmp_path, name):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text("[tool.ruff]\nline-length = 79\n")
    _, output, _ = rax("repository", "own", *KNOWN)
    assert "ruff.toml" in listed(output, "there already")
    (tmp_path / "own" / name).rename(tmp_path / "own/other.toml")
    _, output, _ = rax("repository", "own", *KNOWN)
    assert "ruff.toml" in listed(output, "missing")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda own: (own / "configs").write_text(""), "configs of "),
        (lambda own: (own / "lib").symlink_to("nowhere"), "lib of "),
        (lambda own: (own / "util").symlink_to(own.parent), "util is a link that leads out of "),
    ],
)
def test_what_stands_where_a_folder_has_to_be(rax, tmp_path, make, problem):
    (tmp_path / "own").mkdir()
    make(tmp_path / "own")
    for words in ((), ("--add",)):
        code, output, error = rax("repository", "own", *KNOWN, *words)
        assert (code, output) == (3, "")
        assert problem in error
    assert len(names_in(tmp_path / "own")) == 1


@pytest.mark.parametrize(
    "folder", ["/etc", "../x", "a/../..", ".git", "a/.hidden", "a\nb", "\x1b[31m"]
)
def test_a_folder_of_dags_that_is_none(rax, tmp_path, folder):
    code, _, error = rax("repository", "dags", *KNOWN, "--dags-folder", folder)
    assert code == 3
    assert "is no path of a folder below the repository" in error
    assert names_in(tmp_path) == []


# Which deployment


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://etl:hunter2@git.example.org/a.git", "holds an account or a password"),
        ("https://hunter2@git.example.org/a.git", "holds an account or a password"),
        ("ssh://git:hunter2@git.example.org/a.git", "holds an account or a password"),
        ("--upload-pack=hunter2", "expected one argument"),
        ("-oProxyCommand=hunter2", "expected one argument"),
        ("https://[hunter2", "is no address that git takes"),
        ("https://a\nhunter2", "is no address that git takes"),
        ("hunter2" * 200, "is no address that git takes"),
        ("http://git.example.org/hunter2.git", "--deployment has to be https://host/path without"),
        ("ext::sh -c hunter2", "--deployment has to be https://host/path without"),
        ("hunter2.git", "--deployment has to be https://host/path without"),
    ],
)
def test_an_address_that_is_refused_is_not_shown(rax, tmp_path, address, problem):
    code, output, error = rax("repository", "dags", "--deployment", address, "--ref", REF)
    assert code in (2, 3)
    assert problem in error
    assert "hunter2" not in output + error
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "address", ["ssh://git@git.example.org/a.git", "git@host:a.git", './a"b\\c']
)
def test_an_address_is_written_as_it_is(rax, tmp_path, address):
    assert rax("repository", "dags", "--deployment", address, "--ref", REF)[0] == 0
    settings = tomllib.loads((tmp_path / "dags/rax.toml").read_text())
    assert settings["deployment"] == {"repository": address, "ref": REF, "python": "3.11"}


def test_what_is_written_is_what_the_wrapper_takes():
    wrapper = (Path(_deployment.__file__).parent / "repository/rax").read_text()
    program = wrapper.partition("<<'END'\n")[2].removesuffix("END\n")
    (forms,) = (
        node.value
        for node in ast.parse(program).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FORMS"
    )
    assert ast.literal_eval(forms) == _deployment.FORMS


@pytest.mark.parametrize("ref", ["a b", "a..b", "/a", "a\n", '"', "x" * 300, "ü"])
def test_a_ref_that_is_none(rax, tmp_path, ref):
    code, _, error = rax("repository", "dags", "--deployment", ADDRESS, "--ref", ref)
    assert code == 3
    assert "has not the form of a tag or a commit" in error
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("python", ["3", "2.7", "3.11.4", "py311", "3.111"])
def test_a_python_that_is_none(rax, python):
    code, _, error = rax("repository", "dags", *KNOWN, "--python", python)
    assert code == 3
    assert "has not the form of a version, such as 3.11" in error


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of a deployment, from a remote, that the library is in."""
    remote, folder = tmp_path / "remote", tmp_path / "checkout"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "remote")
    (remote / "packages").mkdir()
    (remote / "packages/requirements.in").write_text("")
    git(remote, "add", ".")
    git(remote, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "clone", "--quiet", "remote", "checkout")
    monkeypatch.setattr(_deployment, "_CHECKOUT", folder)
    return folder


def test_the_deployment_is_the_checkout_that_it_is_run_from(rax, tmp_path, checkout):
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert rax("repository", "one")[0] == 0
    found = Settings.read(tmp_path / "one")
    assert (found.repository, found.ref) == (f"{tmp_path}/remote", commit)
    git(checkout, "tag", "v1.0.0")
    git(checkout, "remote", "set-url", "origin", "https://hunter2@git.example.org/a.git")
    assert rax("repository", "two")[0] == 0
    found = Settings.read(tmp_path / "two")
    assert (found.repository, found.ref) == ("https://git.example.org/a.git", "v1.0.0")


def test_a_commit_that_only_the_checkout_has(rax, tmp_path, checkout):
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "Ours")
    code, _, error = rax("repository", "dags")
    assert code == 3
    assert "is at a commit that only it has: push it, or give --ref" in error
    assert not (tmp_path / "dags").exists()
    assert rax("repository", "dags", "--ref", REF)[0] == 0


@pytest.mark.usefixtures("checkout")
def test_the_deployment_is_that_of_the_repository_it_is_run_for(rax, tmp_path, monkeypatch):
    rax("repository", "one", *KNOWN, "--python", "3.13")
    monkeypatch.setenv("RAX_REPOSITORY", str(tmp_path / "one"))
    assert rax("repository", "two")[0] == 0
    assert Settings.read(tmp_path / "two") == Settings(ADDRESS, REF, "3.13", flows=Flows(True))
    assert rax("repository", "three", "--ref", "v2")[0] == 0
    assert Settings.read(tmp_path / "three") == Settings(ADDRESS, "v2", "3.13", flows=Flows(True))


# All or nothing


def test_what_cannot_all_be_written_is_not_begun(rax, tmp_path, monkeypatch):
    real = os.link
    for count in range(len(FILES)):
        left = iter(range(count))

        def link(source, target, left=left):
            if next(left, None) is None:
                raise OSError(28, "No space left on device")
            real(source, target)

        monkeypatch.setattr(os, "link", link)
        code, _, error = rax("repository", "a/dags", *KNOWN, "--ci", "none")
        assert code == 3
        assert "No space left on device" in error
        assert names_in(tmp_path) == []


def test_a_file_that_appears_meanwhile_stays(rax, tmp_path, monkeypatch):
    real = os.link

    def link(source, target):
        if target.name == "rax.toml":
            target.write_text("theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    code, _, error = rax("repository", "dags", *KNOWN)
    assert code == 3
    assert "rax.toml is there already: nothing is written" in error
    assert files_of(tmp_path) == {"dags/rax.toml": b"theirs"}


KILLED = """
import os, sys
from pathlib import Path
from rax import cli
real, left = os.link, iter(range(int(sys.argv[1])))
def link(source, target):
    if next(left, None) is None:
        os._exit(9)
    real(source, target)
os.link = link
sys.exit(cli.main(["new", "repository", "dags", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("count", [0, 1, 7, len(FILES) - 1])
def test_what_was_killed_is_whole_and_can_go_on(rax, tmp_path, count):
    rax("repository", "good", *KNOWN, "--ci", "none")
    good = files_of(tmp_path / "good")
    words = (*KNOWN, "--ci", "none")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(count), *words],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, check=False,
    )  # fmt: skip
    assert done.returncode == 9
    begun = files_of(tmp_path / "dags")
    whole = {name: text for name, text in begun.items() if not name.startswith(_files.ASIDE)}
    assert len(whole) == count
    assert whole.items() <= good.items()
    # With nothing there yet, it simply begins again.
    assert rax("repository", "dags", *words, *(("--add",) * bool(count)))[0] == 0
    assert files_of(tmp_path / "dags") == good
    assert (tmp_path / "dags/.git").is_dir()


def test_two_at_a_time(rax, tmp_path):
    (tmp_path / "dags").mkdir()
    with _files._staging(tmp_path / "dags"):
        code, _, error = rax("repository", "dags", *KNOWN)
    assert code == 3
    assert f"another rax new is at work in {tmp_path}/dags" in error
    assert names_in(tmp_path / "dags") == []


def test_git_that_fails(rax, tmp_path, monkeypatch):
    git_of_nothing = tmp_path / "bin"
    git_of_nothing.mkdir()
    monkeypatch.setenv("PATH", str(git_of_nothing))
    code, _, error = rax("repository", "dags", *KNOWN)
    assert code == 3
    assert "all files are in" in error
    assert "git init failed" in error


# The templates


def test_every_system_has_its_folder():
    folders = sorted(path.name for path in (templates.TEMPLATES / "ci").iterdir())
    assert sorted(templates.CI_SYSTEMS) == folders


def test_what_a_repository_with_code_needs_is_in_the_templates():
    assert set(_repository._NEEDED) <= set(FILES)


def test_the_script_needs_python_alone(tmp_path):
    """A laptop has no environment yet."""
    done = subprocess.run(
        [ROOT / "scripts/new-repository", "dags", *KNOWN],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(files_of(tmp_path / "dags")) == sorted(FILES + CI["jenkins"])
