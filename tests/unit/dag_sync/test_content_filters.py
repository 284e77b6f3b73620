"""Files that are published as what stands for their content."""

import pytest

RULE = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 10\n"
ENCRYPTED = "\0GITCRYPT\0\x01\x02"
WAY_OUT = "those to be left as they are belong in dag_sync_gate_exclude"

pytestmark = pytest.mark.remotes("local")


def write(remote, files):
    for name, content in files.items():
        remote.write(name, content)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({".gitattributes": RULE, "a.bin": POINTER}, "files in git LFS are not supported (a.bin)"),
        (
            {"data/.gitattributes": RULE, "data/a.bin": POINTER},
            "files in git LFS are not supported (data/a.bin)",
        ),
        # The attribute was taken out, and the pointers stayed.
        ({"data/a b.csv": POINTER}, "files in git LFS are not supported (data/a b.csv)"),
        (
            {"a.csv": POINTER.replace("v1\n", "v1\next-0-a sha256:1\n").replace("\n", "\r\n")},
            "files in git LFS are not supported (a.csv)",
        ),
        (
            {".gitattributes": "C#1.bin filter=lfs\n", "C#1.bin": POINTER},
            "files in git LFS are not supported (C#1.bin)",
        ),
        (
            {".gitattributes": "*.key filter=git-crypt\n", "dags/a.key": ENCRYPTED},
            "files encrypted by git-crypt are not supported (dags/a.key)",
        ),
        ({"a.key": ENCRYPTED}, "files encrypted by git-crypt are not supported (a.key)"),
        (
            {".gitattributes": "*.txt filter=zip\n", "b.txt": "x", "c/a.txt": "x"},
            "files with the filter zip are not supported (b.txt, c/a.txt)",
        ),
        # A macro, and quoted patterns.
        (
            {".gitattributes": '[attr]packed filter=zip\n"a b.txt" packed\n', "a b.txt": "x"},
            "files with the filter zip are not supported (a b.txt)",
        ),
        (
            {".gitattributes": "*.z filter=zip\n", "a.bin": POINTER, "b.z": "x"},
            "files in git LFS are not supported (a.bin); "
            "files with the filter zip are not supported (b.z)",
        ),
    ],
)
def test_files_that_are_not_their_content(remote, node, first, files, problem):
    write(remote, files)
    sha = remote.commit("two")
    assert node.run(code=4) == f"blocked {sha}: {problem}; {WAY_OUT}\n"
    assert node.published == first


@pytest.mark.parametrize(
    "files",
    [
        # Rules without a file, and files that are what they are.
        {".gitattributes": RULE},
        {".gitattributes": RULE, "a.bin": "data"},
        {".gitattributes": RULE, "a.bin": ""},
        {".gitattributes": "*.key filter=git-crypt\n", "a.key": "plain"},
        {".gitattributes": "*.csv filter=zip\n*.csv !filter\n", "a.csv": "a,b"},
        {
            ".gitattributes": "*.csv filter=zip\n",
            "data/.gitattributes": "*.csv -filter\n",
            "data/a.csv": "a,b",
        },
        {".gitattributes": "*.txt filter\n", "a.txt": "x"},
        {".gitattributes": "# once *.bin filter=lfs\n*.txt text\n", "README": RULE},
        # It cleans what is committed, and changes nothing that is checked out.
        {".gitattributes": "*.ipynb filter=nbstripout\n", "a.ipynb": "{}"},
        # About pointers, and none.
        {"README": f"A pointer:\n{POINTER}", "a.txt": POINTER + "x" * 1000, "b.txt": POINTER[:50]},
        # What the gate is told to leave as it is.
        {
            "tests/a.bin": POINTER,
            "tests/.gitattributes": "* filter=zip\n",
            "tests/a.key": ENCRYPTED,
        },
    ],
)
def test_files_that_are_their_content(remote, node, first, files):
    write(remote, files)
    sha = remote.commit("two")
    assert node.run() == f"published {sha} (main)\n"
    assert sha != first


def test_attributes_of_a_file_that_stays(remote, node, first):
    """A rule that is new, or not overridden any longer, is about files that have passed before."""
    remote.write("data/a.txt", "x")
    remote.write("data/.gitattributes", "*.txt -filter\n")
    remote.write(".gitattributes", "*.txt filter=zip\n")
    second = remote.commit("two")
    node.run()
    assert node.published == second != first
    (remote.files / "data/.gitattributes").unlink()
    sha = remote.commit("three")
    problem = "files with the filter zip are not supported (data/a.txt)"
    assert node.run(code=4) == f"blocked {sha}: {problem}; {WAY_OUT}\n"
    node.settings["gate_exclude"] = ["data/*"]
    node.run("--splay")
    assert node.published == sha


def test_submodule_with_pointers(remote, node, first):
    """The attributes of a submodule count in its folder."""
    lib = remote.another("lib")
    write(lib, {".gitattributes": "*.z filter=zip\n", "a.z": "x", "b.bin": POINTER})
    theirs = lib.commit("lib_one")
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{theirs},vendor/lib")
    (remote.files / "vendor/lib").mkdir(parents=True)
    remote.write(".gitmodules", f'[submodule "x"]\n\tpath = vendor/lib\n\turl = {lib.url}\n')
    sha = remote.commit("two")
    output = node.run(code=4)
    assert output.startswith(f"blocked {sha}: files with the filter zip are not supported (vendor/")
    assert "files in git LFS are not supported (vendor/lib/b.bin)" in output
    assert node.published == first
