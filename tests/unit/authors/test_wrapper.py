"""The wrapper ./rax of a DAG repository: what it starts, and what it refuses."""

import json
import os
import subprocess
import sys

import pytest

from tests.unit.authors.standin import ROOT, VERSION, WRAPPER, git


def said(ended):
    """Return what the command of the stand-in says of its start."""
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_the_first_run_makes_an_environment_and_becomes_rax(laptop):
    first = laptop.run("check", "a b", "")
    started = said(first)
    assert started["arguments"] == ["check", "a b", ""]
    assert started["folder"] == str(laptop.folder)
    assert started["input"] == "typed"
    assert started["repository"] == str(laptop.root)
    assert [started["prefix"]] == [str(path) for path in laptop.environments]
    assert first.err == (
        "rax: make the environment of v1, once for all repositories that name it\n"
        "rax: install the packages, which takes minutes where the cache of uv lacks them\n"
    )


def test_later_runs_start_nothing_but_rax(made):
    before = made.log
    for name in ("git", "uv", "python3"):
        made.install(name, None)
    try:
        started = said(made.run("again", PYTHONPATH="/elsewhere", PYTHONHOME="/elsewhere"))
    finally:
        made.install("python3", os.path.realpath(sys.executable))
        made.watch("git")
        made.watch("uv")
    assert started["arguments"] == ["again"]
    assert started["input"] == "typed"
    assert started["repository"] == str(made.root)
    assert "/elsewhere" not in started["path"]
    assert str(made.folder) not in started["path"]
    assert made.log == before


def test_the_exit_code_is_that_of_rax(made):
    assert made.run("--fail").code == 7


def test_another_repository_of_the_same_pin_needs_no_network(made, deployment):
    other = made.add_repository("other")
    builds = [line for line in made.log if "--require-hashes" in line or "fetch" in line]
    hidden = deployment.root.rename(deployment.root.with_name("hidden"))
    try:
        started = said(made.run(program=other / "rax"))
    finally:
        hidden.rename(deployment.root)
    assert started["repository"] == str(other)
    assert [line for line in made.log if "--require-hashes" in line or "fetch" in line] == builds


@pytest.mark.parametrize("text", ["\n[check]\nplain_dags = true\n", "# a remark\n"])
def test_a_change_of_another_part_makes_nothing_anew(made, text):
    file = made.root / "rax.toml"
    file.write_text(file.read_text() + text)
    environments = made.environments
    assert said(made.run())["prefix"] == str(environments[0])
    assert made.environments == environments


@pytest.mark.parametrize(
    "text",
    [
        # Some of it only looks like the pin to whoever reads line by line.
        '[deployment]\nrepository = "{0}"\nref = "v1"\npython = "{1}"\n'
        'note = """\nref = "v9"\n"""\n',
        '#[deployment]\n#ref = "v9"\ndeployment = {{repository="{0}",ref="v1",python="{1}"}}\n',
        'deployment.repository = "{0}"\n"deployment".\'ref\' = "\\u00761"\n'
        'deployment.python="{1}"\n',
        '[deployment]\r\nrepository = "{0}"\r\nref = \'v1\' # "v9"\r\npython = "{1}"\r\n',
    ],
)
def test_any_form_of_toml_is_read_as_toml(made, text):
    file = made.root / "rax.toml"
    file.write_text(text.format(made.deployment.root, VERSION))
    environments = made.environments
    for _ in range(2):
        assert said(made.run())["prefix"] == str(environments[0])
    assert made.environments == environments


@pytest.fixture
def places(made, tmp_path):
    """Return ways to the wrapper: from where, and how it is called there."""
    (made.root / "dags/deep").mkdir(parents=True, exist_ok=True)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/link").symlink_to(made.root / "rax")
    (tmp_path / "again").symlink_to("a b/link")
    (tmp_path / "folder").symlink_to(made.root)
    return {
        "its folder": (made.root, "./rax"),
        "a subfolder": (made.root / "dags/deep", "../../rax"),
        "elsewhere": (tmp_path, str(made.root / "rax")),
        "a link": (tmp_path, "a b/link"),
        "a link to a link": (tmp_path / "a b", "../again"),
        "a linked folder": (tmp_path / "folder", "./rax"),
    }


@pytest.mark.parametrize(
    "case",
    ["its folder", "a subfolder", "elsewhere", "a link", "a link to a link", "a linked folder"],
)
@pytest.mark.parametrize("shell", [[], ["sh"], ["bash", "--posix"]])
def test_it_works_on_its_own_repository_from_anywhere(made, places, case, shell):
    folder, program = places[case]
    ended = subprocess.run(
        [*shell, program], cwd=folder,
        env={**made.environ, "PATH": f"{made.bin}:/bin", "CDPATH": "/:.."},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    started = json.loads(ended.stdout)
    assert (started["repository"], started["folder"]) == (str(made.root), os.path.realpath(folder))


@pytest.mark.parametrize("name", ["déjà vu", "a'b\"c$(touch x)", "-C", "a\nb"])
def test_any_name_of_a_folder_is_one(made, name):
    root = made.folder / name
    if not root.exists():
        made.add_repository(name)
    for _ in range(2):
        assert said(made.run(program=root / "rax"))["repository"] == str(root)


def test_a_relative_cache_is_none_as_xdg_says(made, tmp_path):
    (tmp_path / ".cache").symlink_to(made.cache)
    assert said(made.run(XDG_CACHE_HOME="cache", HOME=str(tmp_path)))
    assert not (made.folder / "cache/repositories/cache").exists()


def test_a_hook_of_git_does_not_turn_the_fetch_to_its_own_repository(laptop):
    git(laptop.folder, "init", "--quiet", str(laptop.root))
    index = laptop.root / ".git/index"
    said(
        laptop.run(
            GIT_DIR=f"{laptop.root}/.git", GIT_INDEX_FILE=str(index), GIT_WORK_TREE=str(laptop.root)
        )
    )
    assert not index.exists()
    assert not (laptop.root / ".git/FETCH_HEAD").exists()
    facts = json.loads((laptop.environments[0] / "deployment.json").read_text())
    assert facts == {
        "repository": str(laptop.deployment.root),
        "ref": "v1",
        "commit": laptop.deployment.commit,
        "python": VERSION,
    }


TOML = "rax: {root}/rax.toml is not TOML: "
REPOSITORY = (
    "rax: rax.toml: repository in [deployment] has to be https://host/path without a user, "
    "ssh://host/path, user@host:path, or a path that begins with / or .\n"
)
REF = "rax: rax.toml: ref in [deployment] has to be a tag or a full commit\n"
ABSENT = (
    "rax: {deployment} has no tag or commit {ref}: name one in rax.toml (a branch moves, so none is"
    " taken)\n"
)
PYTHON = 'rax: rax.toml: python in [deployment] has to be a version such as "3.11"\n'
NO_LOCK = (
    f"rax: the deployment has no packages for Python 3.9: it has them for {VERSION} and 3.99\n"
)
NO_PYTHON = (
    "rax: Python 3.99 is not on this machine: install it, so that python3.99 is on PATH (or: uv"
    " python install 3.99), or name in rax.toml another version that the deployment has packages"
    " for\n"
)
NO_RANGE = (
    "rax: {deployment} did not give v1..main; git says: invalid refspec 'refs/tags/v1..main'\n"
)
NO_REPOSITORY = (
    "rax: /nowhere did not give v1; git says: '/nowhere' does not appear to be a git"
    " repository fatal: Could not read from remote repository. Please make sure you have the"
    " correct access rights and the repository exists.\n"
)
NO_HOST = (
    "rax: https://git.invalid/x.git did not give v1; git says: unable to access"
    " 'https://git.invalid/x.git/': Could not resolve host: git.invalid\n"
)
NEVER = "0" * 40
# What rax.toml holds, and what is said of it. A text in the place of a dict is all of the file.
REFUSED = {
    "not TOML": (
        "a",
        TOML + "Expected '=' after a key in a key/value pair (at end of document)\n",
    ),
    "not UTF-8": (
        b"a = '\xff'",
        TOML + "'utf-8' codec can't decode byte 0xff in position 5: invalid start byte\n",
    ),
    "too deep": ("a = " + "[" * 9999, TOML + "maximum recursion depth exceeded\n"),
    "empty": ("", REPOSITORY),
    "no part": ("deployment = 3", REPOSITORY),
    "no ref": ('[deployment]\nrepository = "/x"\n', REF),
    "a number": ('[deployment]\nrepository = "/x"\nref = 1\n', REF),
    "no version": ('[deployment]\nrepository = "{deployment}"\nref = "v1"\n', PYTHON),
    "an odd version": ({"python": "../../etc"}, PYTHON),
    "a version without a lock": ({"python": "3.9"}, NO_LOCK),
    "a Python that is not here": ({"python": "3.99"}, NO_PYTHON),
    "no such tag": ({"ref": "v2"}, ABSENT),
    "a branch": ({"ref": "main"}, ABSENT),
    "a branch that is called as a tag is": ({"ref": "v9"}, ABSENT),
    "no such commit": ({"ref": NEVER}, ABSENT),
    "half a commit": ({"ref": "{commit:.12}"}, ABSENT),
    "a full name of git": ({"ref": "refs/tags/v1"}, ABSENT),
    "an option as ref": ({"ref": "--upload-pack=touch${{IFS}}x"}, REF),
    "a range": ({"ref": "v1..main"}, NO_RANGE),
    "two refs": ({"ref": "v1:refs/heads/main"}, REF),
    "an escape in ref": ({"ref": "v1\\u001b[31m"}, REF),
    "a command": ({"repository": "ext::sh -c touch% x"}, REPOSITORY),
    "a command without a blank": ({"repository": "ext::touch"}, REPOSITORY),
    "an option as repository": ({"repository": "--upload-pack=touch x"}, REPOSITORY),
    "an option as host": ({"repository": "ssh://-oProxyCommand=touch/x"}, REPOSITORY),
    "another option as host": ({"repository": "-oProxyCommand=touch:x"}, REPOSITORY),
    "plain http": ({"repository": "http://git.example.org/x.git"}, REPOSITORY),
    "git without encryption": ({"repository": "git://git.example.org/x.git"}, REPOSITORY),
    "a password": ({"repository": "https://user:secret@git.example.org/x.git"}, REPOSITORY),
    "a NUL": ({"repository": "/x\\u0000y"}, REPOSITORY),
    "a line feed": ({"repository": "/x\\ny"}, REPOSITORY),
    "no such repository": ({"repository": "/nowhere"}, NO_REPOSITORY),
    "a host that is none": ({"repository": "https://git.invalid/x.git"}, NO_HOST),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(laptop, case):
    content, problem = REFUSED[case]
    deployment = laptop.deployment
    known = {"deployment": deployment.root, "root": laptop.root, "commit": deployment.commit}
    if isinstance(content, dict):
        content = {key: value.format(**known) for key, value in content.items()}
        laptop.name(**content)
        known["ref"] = content.get("ref", "v1")
    elif isinstance(content, str):
        (laptop.root / "rax.toml").write_text(content.format(**known))
    else:
        (laptop.root / "rax.toml").write_bytes(content)
    ended = laptop.run("check")
    expected = problem.format(**known)
    told = [
        line for line in ended.err.splitlines(keepends=True) if "make the environment" not in line
    ]
    assert ("".join(told), ended.code, ended.out) == (expected, 3, "")
    assert laptop.environments == []
    assert not any(path.name == "x" for path in laptop.folder.rglob("x"))
    assert [path.name for path in laptop.cache.rglob("new-*")] == []


def test_a_commit_is_a_ref_too_also_where_the_server_gives_no_single_one(laptop):
    laptop.name(ref=laptop.deployment.older)
    # The protocol that a server of ssh speaks which does not take the variable GIT_PROTOCOL.
    said(
        laptop.run(
            GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="protocol.version", GIT_CONFIG_VALUE_0="0"
        )
    )
    assert len([line for line in laptop.log if "fetch" in line]) == 2


def test_an_annotated_tag_and_a_path_from_the_repository_are_taken(laptop):
    laptop.name(ref="v1+annotated", repository=os.path.relpath(laptop.deployment.root, laptop.root))
    said(laptop.run())
    facts = json.loads((laptop.environments[0] / "deployment.json").read_text())
    assert facts["repository"] == str(laptop.deployment.root)
    assert facts["commit"] == laptop.deployment.commit


def test_a_deployment_from_before_the_wrapper(laptop, tmp_path):
    old = tmp_path / "old"
    git(tmp_path, "init", "--quiet", str(old))
    git(old, "commit", "--quiet", "--allow-empty", "--message=x")
    git(old, "tag", "v1")
    laptop.name(repository=str(old))
    assert (
        laptop.run().err == f"rax: v1 of {old} is older than ./rax: name a newer one in rax.toml\n"
    )


# What a machine lacks, and what is said then.
LACKING = {
    "git": (["git"], "rax: git is missing: install it\n"),
    "Python": (
        ["python3", f"python{VERSION}"],
        "rax: python3 is missing, or older than 3.11: install one\n",
    ),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_said_where_a_program_is_missing(laptop, case):
    names, problem = LACKING[case]
    for name in names:
        laptop.install(name, None)
    ended = laptop.run()
    assert (ended.err, ended.code) == (problem, 3)


def test_an_old_python_is_passed_over(laptop):
    for name, code in (("python3.14", 1), ("python3.13", 127)):
        laptop.install(name, None)
        (laptop.bin / name).write_text(f"#!/bin/sh\necho old >&2\nexit {code}\n")
        (laptop.bin / name).chmod(0o755)
    if VERSION == "3.13":
        laptop.install("python3.13", os.path.realpath(sys.executable))
    assert "old" not in laptop.run("--version").err


def test_no_rax_toml(laptop):
    (laptop.root / "rax.toml").unlink()
    ended = laptop.run()
    assert ended.err == (
        f"rax: {laptop.root}/rax.toml: No such file or directory: it has to name the deployment\n"
    )
    assert ended.code == 3


def test_a_cache_that_can_not_be_written(laptop):
    (laptop.folder / "file").touch()
    cache = f"{laptop.folder}/file/cache"
    ended = laptop.run(XDG_CACHE_HOME=cache)
    assert ended.err == (
        f"rax: {laptop.folder}/file/cache: Not a directory: mend it, or name another folder in"
        " XDG_CACHE_HOME\n"
    )
    assert ended.code == 3


def test_a_cache_that_turned_read_only_serves(made):
    # Root may write anywhere, so a folder stands where the marks would be written.
    [environment] = made.environments
    (environment / "used").unlink()
    (environment / "used").mkdir()
    try:
        ended = made.run()
    finally:
        (environment / "used").rmdir()
    assert ended.err == ""
    assert said(ended)


def test_the_example_has_the_same_wrapper():
    example = ROOT / "examples/dag-repo/rax"
    assert example.read_bytes() == WRAPPER.read_bytes()
    assert os.access(example, os.X_OK)
    assert os.access(WRAPPER, os.X_OK)


def test_the_part_in_python_passes_the_linter():
    program = WRAPPER.read_text().partition("<<'END'\n")[2].removesuffix("END\n")
    # It is short, since a copy of it is in each repository: imports in one line, no types.
    left_out = "E401,I001,D103,RET503,S603,S606,S607,T201,PTH,E501"
    ended = subprocess.run(
        ["ruff", "check", "--quiet", f"--extend-ignore={left_out}", "--stdin-filename=x.py", "-"],
        input=program,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("", 0)
