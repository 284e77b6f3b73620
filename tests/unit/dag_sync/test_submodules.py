"""Repositories inside of the repository."""

import shutil

import pytest
from airflow_dag_sync.urls import is_local, join_url

# For what does not depend on the server: molecule repeats the rest over ssh and https.
local = pytest.mark.remotes("local")


@pytest.fixture
def lib(remote):
    """Make the repository that is a submodule of the remote."""
    lib = remote.another("lib")
    lib.write("x.py", "x = 1\n")
    lib.commit("lib_one")
    return lib


def add(remote, path, url, sha):
    """Let the next commit have a submodule."""
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    # Git takes an empty folder for a submodule that is not checked out.
    (remote.files / path).mkdir(parents=True, exist_ok=True)
    if url is not None:
        with (remote.files / ".gitmodules").open("a") as file:
            file.write(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')


@pytest.fixture
def with_lib(remote, node, lib):
    """Publish a commit with the submodule `vendor/lib`; return its sha."""
    add(remote, "vendor/lib", lib.url, lib.git("rev-parse", "HEAD"))
    sha = remote.commit("one")
    node.run()
    return sha


def text(node, path):
    return (node.link / path).read_text()


def test_submodules_default(node, with_lib):
    """The submodule is part of the published tree, without anything of git."""
    assert node.published == with_lib
    assert text(node, "vendor/lib/x.py") == "x = 1\n"
    assert text(node, "vendor/lib/dags/a.py") == "lib_one\n"
    assert not (node.link / "vendor/lib/.git").exists()
    assert node.run() == f"unchanged {with_lib} (main)\n"


@pytest.mark.parametrize("url", ["../lib.git", "./../lib.git", "../../{folder}/lib.git"])
def test_submodules_relative(remote, node, lib, url):
    add(remote, "lib", url.format(folder=remote.folder.name), lib.git("rev-parse", "HEAD"))
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    assert text(node, "lib/x.py") == "x = 1\n"


def test_submodules_relative_below(remote, node):
    """`./` begins in the repository itself."""
    inner = remote.another("remote.git/inner")
    add(remote, "lib", "./inner.git", inner.commit("inner"))
    remote.commit("one")
    node.run()
    assert text(node, "lib/dags/a.py") == "inner\n"


@local
@pytest.mark.parametrize(
    ("base", "url", "joined"),
    [
        ("https://host/team/dags.git", "../lib.git", "https://host/team/lib.git"),
        ("https://host/team/dags.git/", "../lib.git", "https://host/team/lib.git"),
        ("https://host/team/dags.git", "../../other/lib.git", "https://host/other/lib.git"),
        ("https://host/team/dags.git", "./lib.git", "https://host/team/dags.git/lib.git"),
        ("ssh://git@host:22/~team/dags.git", "../lib.git", "ssh://git@host:22/~team/lib.git"),
        ("git@host:team/dags.git", "../lib.git", "git@host:team/lib.git"),
        ("git@host:team/dags.git", "../../lib.git", "git@host:lib.git"),
        ("git@host:dags.git", "../lib.git", "git@host:lib.git"),
        ("/srv/dags.git", "../lib.git", "/srv/lib.git"),
        ("https://host/team/dags.git", "https://other/lib.git", "https://other/lib.git"),
        ("https://host/team/dags.git", "", ""),
    ],
)
def test_join_url(base, url, joined):
    assert join_url(base, url) == joined


@local
@pytest.mark.parametrize("base", ["https://host/a/dags.git", "ssh://git@host/a", "git@host:a/b"])
def test_join_url_beyond_the_server(base):
    """However many `../` there are, no path of this host comes of it."""
    for count in range(12):
        assert not is_local(join_url(base, "../" * count + "srv/lib.git"))


@local
def test_submodules_off(remote, node, lib):
    """An empty folder stays, as git leaves it; nothing of the other repository is asked."""
    node.settings["submodules"] = False
    add(remote, "vendor/lib", "https://user:hunter2@host.invalid/x", lib.git("rev-parse", "HEAD"))
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    assert list((node.link / "vendor/lib").iterdir()) == []
    assert node.run() == f"unchanged {sha} (main)\n"
    (node.link / "vendor/lib/evil.py").touch()
    assert "added vendor/lib/evil.py" in node.run()
    assert (node.link / "vendor/lib").is_dir()
    assert node.run() == f"unchanged {sha} (main)\n"


def test_submodules_switched_on(remote, node, with_lib):
    """The setting counts from the next publication on, also for releases that are here."""
    node.settings["submodules"] = False
    sha = remote.commit("two")
    node.run()
    assert not list((node.link / "vendor/lib").iterdir())
    node.settings["submodules"] = True
    remote.git("update-ref", "refs/heads/main", with_lib)
    node.run()
    assert text(node, "vendor/lib/x.py") == "x = 1\n"
    assert sha != with_lib


@pytest.mark.parametrize("depth", [0, 1])
def test_submodules_shallow(remote, node, lib, depth):
    """A commit that is not the tip of its repository is found, whatever the depth."""
    node.settings["depth"] = depth
    old = lib.git("rev-parse", "HEAD")
    lib.write("x.py", "x = 2\n")
    lib.commit("lib_two")
    lib.commit("lib_three")
    add(remote, "lib", lib.url, old)
    remote.commit("one")
    node.run()
    assert text(node, "lib/x.py") == "x = 1\n"


def test_submodules_nested(remote, node, lib):
    """Also with a URL that is relative to the inner repository."""
    deepest = remote.another("deepest")
    deepest.write("y.py", "y = 1\n")
    add(lib, "inner", "../deepest.git", deepest.commit("deepest"))
    add(remote, "lib", "../lib.git", lib.commit("lib_two"))
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    assert text(node, "lib/inner/y.py") == "y = 1\n"


@local
def test_submodules_without_end(remote, node):
    """A repository that has itself as a submodule, in an older commit each time."""
    sha = remote.commit("0")
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{sha},me")
    (remote.files / "me").mkdir()
    remote.write(".gitmodules", f'[submodule "me"]\n\tpath = me\n\turl = {remote.url}\n')
    for number in range(12):
        remote.git("update-index", "--cacheinfo", f"160000,{sha},me")
        sha = remote.commit(f"{number}")
    node.settings["timeout_seconds"] = 60
    output = node.run(code=4)
    assert output == f"blocked {sha}: its submodules are more than 10 levels deep\n"


@local
@pytest.mark.parametrize("others", [False, True])
def test_submodules_without_an_entry(remote, node, lib, others):
    """An empty folder and one warning, as in git; the others are brought."""
    new = lib.git("rev-parse", "HEAD")
    if others:
        add(remote, "lib", lib.url, new)
    add(remote, "vendor/none", None, new)
    sha = remote.commit("one")
    output = node.run()
    warning = "vendor/none is a submodule without a URL in .gitmodules: it is empty"
    assert output.splitlines() == [f"published {sha} (main)", f"warning of {sha}: {warning}"]
    assert node.status["warnings"] == [warning]
    assert list((node.link / "vendor/none").iterdir()) == []
    assert (node.link / "lib/x.py").exists() == others
    # It is told once, and is no tampering.
    assert node.run() == f"unchanged {sha} (main)\n"
    (node.link / "dags/a.py").write_text("evil\n")
    assert node.run().splitlines()[1:] == [f"repaired {sha}: edited dags/a.py"]
    (node.link / "vendor/none").rmdir()
    assert node.run().splitlines()[1:] == [f"repaired {sha}: missing vendor/none"]
    assert node.status["warnings"] == [warning]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "no URL"),
        ("ext::sh -c 'touch ran'", "the URL ext::sh -c 'touch ran', which is not supported"),
        ("--upload-pack=touch ran", "which is not supported"),
        ("http://host.invalid/x.git", "the URL http://host.invalid/x.git, which is not supported"),
        ("git://host.invalid/x.git", "which is not supported"),
        ("ssh://-oProxyCommand=id/x", "which is not supported"),
        ("git@host.invalid:x.git", "its submodule lib needs 'private_key' and 'known_hosts'"),
        ("https://user:hunter2@host.invalid/x", "the URL https://***@host.invalid/x, which is not"),
        ("https://hunter2@host.invalid/x", "the URL https://***@host.invalid/x, which is not"),
        ("user:hunter2@host.invalid:x", "the URL ***@host.invalid:x, which is not"),
    ],
)
@pytest.mark.remotes("local", "https")
def test_submodules_url_that_is_refused(remote, node, first, url, told):
    add(remote, "lib", url, first)
    sha = remote.commit("two")
    output = node.run(code=4)
    assert output.startswith(f"blocked {sha}: its submodule lib ")
    assert told in output
    assert "hunter2" not in output + node.state_file.read_text()
    assert node.published == first
    assert not node.leftovers


@local
@pytest.mark.parametrize("url", ["{lib}", "file://{lib}"])
def test_submodules_of_this_host(remote, node, lib, url):
    """A remote repository names a path of the node, which whoever may push must not read."""
    first = remote.commit("one")
    if node.settings["repository"] == str(remote.path):
        node.over_ssh(remote)
    node.run()
    add(remote, "lib", url.format(lib=lib.path), lib.git("rev-parse", "HEAD"))
    sha = remote.commit("two")
    assert node.run(code=4).startswith(f"blocked {sha}: its submodule lib has the URL ")
    assert node.published == first


def test_submodules_commit_that_is_not_there(remote, node, lib, first):
    """Its server lacks it, until somebody pushes it."""
    away = lib.path.with_suffix(".copy")
    shutil.copytree(lib.path, away)
    new = lib.commit("lib_two")
    shutil.move(lib.path, lib.path.with_suffix(".new"))
    shutil.move(away, lib.path)
    add(remote, "lib", lib.url, new)
    sha = remote.commit("two")
    assert node.run(code=2) == f"failed: {lib.url} has no commit {new}\n"
    assert node.published == first
    shutil.rmtree(lib.path)
    shutil.move(lib.path.with_suffix(".new"), lib.path)
    node.run()
    assert node.published == sha


def test_submodules_server_down(remote, node, lib, with_lib):
    """The release that is here needs it no more; a new commit of it does."""
    with lib.down():
        assert node.run() == f"unchanged {with_lib} (main)\n"
        sha = remote.commit("two")
        node.run()
        assert node.published == sha
        add(remote, "vendor/lib", None, "1" * 40)
        remote.commit("three")
        url, way_out = (
            lib.url,
            "(dag_sync_submodules: false leaves the folders of all submodules empty)",
        )
        output = node.run(code=3)
        assert output.startswith(f"failed: its submodule vendor/lib: {url} cannot be fetched: ")
        assert output.endswith(f" {way_out}\n")
    assert node.published == sha


def test_submodules_change(remote, node, lib, with_lib):
    """Updated, moved, another one added, removed."""
    lib.write("x.py", "x = 2\n")
    new = lib.commit("lib_two")
    remote.git("update-index", "--cacheinfo", f"160000,{new},vendor/lib")
    remote.commit("two")
    node.run()
    assert text(node, "vendor/lib/x.py") == "x = 2\n"

    remote.git("rm", "--quiet", "--cached", "vendor/lib")
    shutil.rmtree(remote.files / "vendor")
    (remote.files / ".gitmodules").unlink()
    add(remote, "plugins/lib", lib.url, new)
    add(remote, "again", "../lib.git", new)
    remote.commit("three")
    node.run()
    assert text(node, "plugins/lib/x.py") == text(node, "again/x.py") == "x = 2\n"
    assert not (node.link / "vendor").exists()

    remote.git("rm", "--quiet", "--cached", "plugins/lib", "again")
    shutil.rmtree(remote.files / "plugins")
    shutil.rmtree(remote.files / "again")
    (remote.files / ".gitmodules").unlink()
    sha = remote.commit("four")
    node.run()
    assert {path.name for path in node.link.iterdir()} == {"dags", "configs"}
    # The first one is still whole.
    with remote.down(), lib.down():
        node.run("rollback", with_lib)
    assert text(node, "vendor/lib/x.py") == "x = 1\n"
    assert sha != with_lib


def test_submodules_repaired(remote, node, lib, with_lib):
    """Without network."""
    before = node.tree
    (node.link / "vendor/lib/x.py").write_text("evil\n")
    (node.link / "vendor/lib/dags/a.py").unlink()
    with remote.down(), lib.down():
        output = node.run(code=3)
    assert f"repaired {with_lib}: edited vendor/lib/x.py, missing vendor/lib/dags/a.py" in output
    assert node.tree == before


@local
def test_submodules_gated(remote, gated, lib, with_lib):
    """What is inside is checked like the rest."""
    gated.settings["dags_folder"] = "vendor/lib"
    lib.write("x.py", "def f(:\n")
    new = lib.commit("lib_two")
    remote.git("update-index", "--cacheinfo", f"160000,{new},vendor/lib")
    sha = remote.commit("two")
    assert gated.run(code=4).startswith(f"blocked {sha}: vendor/lib/x.py:1: ")
    assert gated.published == with_lib
