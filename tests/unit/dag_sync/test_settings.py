"""What is refused before anything is done, and in which words."""

import json
import os
import pwd
from pathlib import Path

import pytest
import yaml
from airflow_dag_sync import urls
from airflow_dag_sync.__main__ import offset, run_as
from airflow_dag_sync.errors import MisconfiguredError, SyncError
from airflow_dag_sync.settings import Settings

ROLE = Path(__file__).parents[3] / "roles/dag_sync"
SHA = "0123456789abcdef0123456789abcdef01234567"
HTTPS = {"repository": "https://git.example.com/dags.git", "ca_file": "", "proxy": ""}


@pytest.mark.parametrize(
    "url",
    [
        "/srv/git/dags.git",
        "/srv/my dags@home:1.git",
        "file:///srv/git/dags.git",
        "https://git.example.com/team/dags.git",
        "https://git.example.com:8443/dags@2",
        "ssh://git@git.example.com/~team/dags.git",
        "ssh://git@[2001:db8::1]:2222/dags.git",
        "https://[2001:db8::1]:8443/dags.git",
        "git@git.example.com:team/dags.git",
        "git@[2001:db8::1]:team/dags.git",
        "control1:/srv/git/dags.git",
    ],
)
def test_urls_that_are_followed(url):
    assert urls.URL.fullmatch(url)
    assert not urls.URL_WITH_PASSWORD.match(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://token@git.example.com/dags.git",
        "https://user:secret@git.example.com/dags.git",
        "https://user:sec@ret@git.example.com/dags.git",
        "http://token@git.example.com/dags.git",
        "ssh://git:secret@git.example.com/dags.git",
        "git:secret@git.example.com:dags.git",
    ],
)
def test_urls_with_a_secret(url):
    assert urls.URL_WITH_PASSWORD.match(url)
    assert not urls.URL.fullmatch(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dags.git",
        "../dags.git",
        "http://git.example.com/dags.git",
        "git://git.example.com/dags.git",
        "ext::sh -c id",
        "fd::7",
        "--upload-pack=id",
        "-oProxyCommand=id:dags.git",
        "ssh://-oProxyCommand=id/dags.git",
        "ssh://git@-oProxyCommand=id/dags.git",
        "git@host:dags.git\n",
        "https://host/dags.git extra",
        "https://user:sec/ret@host/dags.git",
        "https://2001:db8::1/dags.git",
        "https://[fe80::1%25eth0]/dags.git",
        "ssh://git@2001:db8::1/dags.git",
        "git@[2001:db8::1:dags.git",
    ],
)
def test_urls_that_are_refused(url):
    assert not urls.URL.fullmatch(url)


@pytest.mark.parametrize(
    "ref",
    [
        "main", "HEAD", "v1.2.3", "refs/tags/v1", "feature/a-b_c", "größe", "a@b", "+1", SHA,
        "refs/tags/v*", "refs/tags/v?.*", "refs/tags/*", "refs/tags/team/*/v*",
    ],
)  # fmt: skip
def test_refs_that_are_followed(ref):
    assert urls.REF.fullmatch(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "", "-d", "--upload-pack=id", "a..b", "a b", "a\n", "main\n", "a:b", "a*", "a?",
        "a[b]", "a~1", "a^", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b",
        "@", "a@{1}", "v*", "refs/heads/v*", "refs/*", "refs/tags/v[0-9]", "refs/tags/",
        "refs/tags/v*/", "refs/tags/v*.lock", "refs/tags/v *", "refs/tags/-v*\n", "tags/v*",
    ],
)  # fmt: skip
def test_refs_that_are_refused(ref):
    assert not urls.REF.fullmatch(ref)


@pytest.mark.remotes("local")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": "x"}, "unknown key 'repo'"),
        ({"ref": None}, "no key 'ref'"),
        ({"ref": 1}, "'ref' is not a string"),
        ({"keep_days": "7"}, "'keep_days' is not a whole number"),
        ({"keep_days": True}, "'keep_days' is not a whole number"),
        ({"keep_releases": 0}, "'keep_releases' is less than 1"),
        ({"timeout_seconds": 0}, "'timeout_seconds' is less than 1"),
        ({"splay_seconds": -1}, "'splay_seconds' is less than 0"),
        ({"link": "airflow-git-dir"}, "'link' airflow-git-dir is not an absolute path"),
        ({"ref": "a..b"}, "'ref' 'a..b' is not the name of a branch or tag, nor refs/tags/PATTERN"),
        ({"repository": "ext::sh -c id"}, "is none of ssh://"),
        (
            {"repository": "git@host:dags.git"},
            "a repository over ssh needs 'known_hosts' and 'private_key'",
        ),
        ({"depth": -1}, "'depth' is less than 0"),
        ({"depth": 1.5}, "'depth' is not a whole number"),
        ({"gate_timeout_seconds": 0}, "'gate_timeout_seconds' is less than 1"),
        ({"submodules": 1}, "'submodules' is not true or false"),
        ({"gate_exclude": "tests/*"}, "'gate_exclude' is not a list of strings"),
        ({"gate_exclude": [1]}, "'gate_exclude' is not a list of strings"),
        ({"gate_command": "rax check"}, "'gate_command' is not a list of strings"),
        ({"gate_command": ["", "x"]}, "'gate_command' has an empty word"),
        ({"gate_command": ["x", ""]}, "'gate_command' has an empty word"),
        ({"gate_python": "/a\nb"}, "'gate_python' has more than one line"),
        ({"gate_python": "python3"}, "'gate_python' python3 is not an absolute path"),
        ({"metrics_file": "a.prom"}, "'metrics_file' a.prom is not an absolute path"),
        ({"allowed_signers": "a"}, "'allowed_signers' a is not an absolute path"),
        ({"openpgp_keys": "a"}, "'openpgp_keys' a is not an absolute path"),
        ({"ca_file": "/a"}, "'ca_file' is for a repository over https"),
        ({"proxy": "http://a:1"}, "'proxy' is for a repository over https"),
        (
            {"token_file": "/a", "token_user": "git"},
            "'token_file' is for a repository over https",
        ),
        (HTTPS | {"token_file": "/a"}, "'token_file' needs 'token_user'"),
        (HTTPS | {"token_file": "/a", "token_user": "a:b"}, "without blanks or a colon"),
        (HTTPS | {"token_file": "/a", "token_user": "a b"}, "without blanks or a colon"),
        (HTTPS | {"token_file": "/a", "token_user": "a\nb"}, "without blanks or a colon"),
        (HTTPS | {"token_file": "/a", "token_user": "a\x7fb"}, "without blanks or a colon"),
        (HTTPS | {"token_file": "a", "token_user": "a"}, "'token_file' a is not an absolute path"),
        (HTTPS | {"ca_file": "a"}, "'ca_file' a is not an absolute path"),
        (HTTPS | {"proxy": "proxy:3128"}, "'proxy' proxy:3128 is not http://host:port"),
    ],
)
def test_bad_settings(node, change, message):
    settings = node.settings | change
    node.settings_file.write_text(
        json.dumps({key: value for key, value in settings.items() if value is not None})
    )
    with pytest.raises(MisconfiguredError) as caught:
        Settings.load(node.settings_file)
    assert str(caught.value).startswith(f"{node.settings_file}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"ref": "refs/tags/v*", "depth": 1, "submodules": False, "metrics_file": "/a/b.prom"},
        {"gate_python": "/opt/python", "gate_command": ["rax", "check"], "gate_exclude": []},
        {"allowed_signers": "/a", "openpgp_keys": "/b"},
        HTTPS,
        HTTPS | {"token_file": "/a", "token_user": "x-access-token", "ca_file": "/b"},
        HTTPS | {"proxy": "http://proxy:3128"},
    ],
)
@pytest.mark.remotes("local")
def test_good_settings(node, change):
    node.settings_file.write_text(json.dumps(node.settings | change))
    settings = Settings.load(node.settings_file)
    for key, value in change.items():
        assert getattr(settings, key) == value


@pytest.mark.parametrize(
    "proxy",
    ["http://proxy:3128", "https://proxy.example.com:443/", "http://10.0.0.1:1", "http://[::1]:1"],
)
def test_proxies(proxy):
    assert urls.PROXY.fullmatch(proxy)


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy", "proxy:3128", "socks5://proxy:1080", "ftp://proxy:21", "http://", "http://:3128",
        "http://user@proxy:3128", "http://user:secret@proxy:3128", "http://proxy:port",
        "http://proxy:3128/path", "http://-proxy:3128", "http://proxy:3128\n", "http://pro xy:1",
    ],
)  # fmt: skip
def test_proxies_that_are_refused(proxy):
    assert not urls.PROXY.fullmatch(proxy)


@pytest.mark.remotes("local")
def test_token_leak_in_the_proxy(node):
    change = HTTPS | {"proxy": "http://user:hunter2@proxy:3128"}
    node.settings_file.write_text(json.dumps(node.settings | change))
    with pytest.raises(MisconfiguredError) as caught:
        Settings.load(node.settings_file)
    assert "'proxy' http://***@proxy:3128 is not" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("see 'https://x:y@host/': no", "see 'https://***@host/': no"),
        ("https://token@host/a", "https://***@host/a"),
        ("https://x:y@z@host/a", "https://***@host/a"),
        ("ssh://x:y@host/a", "ssh://***@host/a"),
        ("ssh://git@host:22/a x:y@host:a", "ssh://git@host:22/a ***@host:a"),
        ("git@host: Permission denied (publickey).", None),
        ("https://host/a: connection refused", None),
    ],
)
def test_masked(message, masked):
    assert str(SyncError(message)) == (masked or message)


def test_account_that_is_not_there(node):
    node.settings["user"] = "nobody-like-that"
    output = node.run(code=2)
    assert output == "failed: 'user' nobody-like-that: this host has no such account\n"
    assert not node.root.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON: "), ("[]", "does not hold one JSON object"), (None, "No such file")],
)
def test_bad_settings_file(tmp_path, text, message):
    file = tmp_path / "dag_sync.json"
    if text:
        file.write_text(text)
    with pytest.raises(MisconfiguredError, match=f"^{file}.*{message}"):
        Settings.load(file)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/dags.git",
        "https://hunter2@host/dags.git",
        "https://user:hun/hunter2@host/dags.git",
        "ssh://git:hunter2@host/dags.git",
        "git:hunter2@host:dags.git",
    ],
)
def test_token_leak_in_the_settings(node, url):
    node.settings_file.write_text(json.dumps(node.settings | {"repository": url}))
    with pytest.raises(MisconfiguredError) as caught:
        Settings.load(node.settings_file)
    assert "***@host" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_another_account(monkeypatch):
    done = []
    account = pwd.struct_passwd(("airflow", "x", 990, 991, "", "/home/airflow", "/x"))
    monkeypatch.setattr(pwd, "getpwnam", {"airflow": account}.__getitem__)
    for name in ("initgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *args, name=name: done.append((name, *args)))

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    run_as("airflow", only_reads=True)
    with pytest.raises(MisconfiguredError, match="run this as airflow or root"):
        run_as("airflow", only_reads=False)
    monkeypatch.setattr(os, "geteuid", lambda: 990)
    run_as("airflow", only_reads=False)
    assert not done

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    run_as("airflow", only_reads=False)
    assert done == [("initgroups", "airflow", 991), ("setgid", 991), ("setuid", 990)]


def test_jitter():
    """The starts of 100 nodes spread over the window, each always at the same place."""
    starts = [offset(f"worker{number}", 20) for number in range(100)]
    assert starts == [offset(f"worker{number}", 20) for number in range(100)]
    assert all(0 <= start < 20 for start in starts)
    assert max(sum(int(start) == second for start in starts) for second in range(20)) <= 12
    assert offset("worker1", 0) == 0


def test_the_role_writes_the_keys_that_the_program_knows():
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    keys = list(Settings.__annotations__)
    assert list(variables["__dag_sync_settings"]) == keys
