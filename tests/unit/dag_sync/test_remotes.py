"""What is followed and fetched from a server, and how it is reached over https."""

import datetime
import http.server
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
from base64 import b64decode
from pathlib import Path

import pytest

TOKEN = "hunter2-canary"
local = pytest.mark.remotes("local")


# The newest tag


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        (["v1.9", "v1.10"], "v1.10"),
        # Any server lists them alike, and the program puts them in order.
        pytest.param(["v1.10", "v1.9"], "v1.10", marks=local),
        pytest.param(["v2.0-rc1", "v2.0"], "v2.0", marks=local),
        pytest.param(["v2.0-rc1", "v1.9"], "v2.0-rc1", marks=local),
        pytest.param(["v2.0-rc2", "v2.0-rc10"], "v2.0-rc10", marks=local),
        pytest.param(["v1.0.0", "v1.0.0.1"], "v1.0.0.1", marks=local),
        pytest.param(["v9", "w10", "x/v10"], "v9", marks=local),
    ],
)
def test_newest_tag(remote, node, tags, newest):
    """In the order of versions, whichever was made last, light or annotated."""
    shas = {}
    for number, tag in enumerate(tags):
        shas[tag] = remote.commit(tag)
        remote.git("tag", *(["--annotate", "--message", tag] if number % 2 else []), tag)
    remote.commit("no tag")
    node.settings["ref"] = "refs/tags/v*"
    assert node.run() == f"published {shas[newest]} (refs/tags/v*)\n"
    assert node.content == newest
    assert node.run() == f"unchanged {shas[newest]} (refs/tags/v*)\n"


def test_newest_tag_that_matches(remote, node):
    shas = [remote.commit(tag) for tag in ("v1.1", "v1.2", "v2.1")]
    for sha, tag in zip(shas, ("v1.1", "v1.2", "v2.1"), strict=True):
        remote.git("tag", tag, sha)
    remote.git("branch", "v1.3")
    node.settings["ref"] = "refs/tags/v1.?"
    node.run()
    assert node.published == shas[1]
    # The tag is deleted: the one before it is the newest again; and then there is none.
    remote.git("tag", "--delete", "v1.2")
    node.run()
    assert node.published == shas[0]
    remote.git("tag", "--delete", "v1.1")
    output = node.run(code=2)
    assert output == f"failed: {remote.url} has no tag that matches refs/tags/v1.?\n"
    assert (node.published, node.content) == (shas[0], "v1.1")
    remote.git("tag", "v1.0", shas[2])
    node.run()
    assert node.published == shas[2]


def test_newest_tag_of_a_shallow_repository(remote, node):
    for tag in ("v1.10", "v1.9"):
        remote.commit(tag)
        remote.git("tag", "--annotate", "--message", tag, tag)
    node.settings |= {"ref": "refs/tags/v*", "depth": 1}
    node.run()
    assert node.content == "v1.10"
    node.settings["ref"] = "v1.9"
    node.run()
    assert node.content == "v1.9"


def test_tag_moved(remote, node, first):
    remote.git("tag", "v1")
    node.settings["ref"] = "v1"
    node.run()
    sha = remote.commit("two")
    remote.git("tag", "--force", "--annotate", "--message", "x", "v1")
    node.run()
    assert node.published == sha != first


@pytest.mark.usefixtures("first")
def test_branch_deleted(remote, node, first):
    remote.commit("two", branch="other")
    remote.git("update-ref", "-d", "refs/heads/main")
    assert node.run(code=2) == f"failed: {remote.url} has no branch or tag main; it has other\n"
    assert node.published == first


def test_remote_replaced(remote, node, first):
    """At the same URL there is another repository, of which nothing is here."""
    other = remote.another("other")
    other.write("other", "other")
    sha = other.commit("elsewhere")
    shutil.rmtree(remote.path)
    other.path.rename(remote.path)
    node.run()
    assert (node.published, node.content) == (sha, "elsewhere")
    assert node.status["previous"] == first
    node.run("rollback")
    assert node.content == "one"


# Less than all of the history


def shallow(node):
    return (node.repository / "shallow").exists()


def commits(node):
    words = ["git", "--git-dir", node.repository, "rev-list", "--count", node.published]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def test_depth(remote, node):
    """Shallow, across updates, completed when it is 0 again, and shallow once more."""
    shas = [remote.commit(f"{number}") for number in range(5)]
    node.settings["depth"] = 1
    node.run()
    assert (commits(node), shallow(node)) == (1, True)
    shas += [remote.commit(f"{number}") for number in range(5, 8)]
    node.run()
    assert (node.published, node.content) == (shas[-1], "7")
    assert shallow(node)

    node.settings["depth"] = 0
    shas.append(remote.commit("8"))
    node.run()
    assert (node.published, commits(node), shallow(node)) == (shas[-1], 9, False)

    node.settings["depth"] = 2
    shas.append(remote.commit("9"))
    node.run()
    assert (node.published, node.content) == (shas[-1], "9")
    assert node.run() == f"unchanged {shas[-1]} (main)\n"

    # What is here needs no network, whatever is no more in reach.
    with remote.down():
        node.run("rollback", shas[4])
    assert node.content == "4"


def test_depth_and_a_commit_beyond_it(remote, node):
    """`fetch`, or a pinned commit, may be older than what is here."""
    shas = [remote.commit(f"{number}") for number in range(5)]
    node.settings["depth"] = 1
    node.run()
    assert node.run("fetch", shas[1]) == f"fetched {shas[1]}\n"
    assert (node.releases / shas[1] / "dags/a.py").read_text() == "1\n"
    node.settings["ref"] = shas[2]
    node.run()
    assert (node.published, node.content) == (shas[2], "2")


def test_depth_and_rewritten_history(remote, node):
    base = remote.commit("base")
    remote.commit("one")
    node.settings["depth"] = 1
    node.run()
    remote.git("update-ref", "refs/heads/main", base)
    sha = remote.commit("two")
    node.run()
    assert (node.published, node.content) == (sha, "two")


# Over https, here through a small server of our own


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Make an authority, and a server's certificate that it signed."""
    import trustme  # not on the nodes

    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    before = {"not_before": yesterday - datetime.timedelta(days=1), "not_after": yesterday}
    expired = ca.issue_cert("localhost", **before)
    expired.private_key_and_cert_chain_pem.write_to_path(folder / "expired.pem")
    return folder


class Server(http.server.ThreadingHTTPServer):
    """Runs git http-backend; wants a password; notes what it is asked."""

    daemon_threads = True

    def __init__(self, root, certificate):
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = root
        self.token = None
        self.redirect = None
        self.failures = 0
        self.seen = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"https://localhost:{self.server_port}"

    def handle_error(self, *_):
        """A client that does not trust this server goes away."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request of git."""

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        given = b64decode(secret).decode() if kind == "Basic" else None
        self.server.seen.append((self.path, given))
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
        elif self.server.redirect:
            self.send_response(302)
            self.send_header("Location", self.server.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.server.token and given != f"git:{self.server.token}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.serve()

    do_POST = do_GET  # noqa: N815 - the name is the base class's

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": urllib.parse.unquote(path),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        words = ["git", "http-backend"]
        done = subprocess.run(words, input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        headers = dict(lines) | {"Content-Length": str(len(content))}
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def serve(authority):
    """Return a function that serves a folder."""
    servers = []

    def start(root, certificate="server.pem"):
        servers.append(Server(root, authority / certificate))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(remote, node, serve, authority, tmp_path):
    """Let the node reach its remote over https, with a token."""
    server = serve(remote.folder)
    server.token = TOKEN
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    node.settings |= {
        "repository": f"{server.url}/remote.git",
        "ca_file": str(authority / "ca.pem"),
        "token_user": "git",
        "token_file": str(tmp_path / "token"),
    }
    return server


@local
def test_https_password_file(remote, node, server, first):
    """The token goes to the server, and nowhere else: no argument, no file, no message has it."""
    arguments = node.home.parent / "arguments"
    node.wrap(
        "git",
        f'tr "\\0" "\\n" </proc/$$/cmdline >>{arguments}; env >>{arguments}\n'
        'PATH=${PATH#*:}\nexec git "$@"',
    )
    sha = remote.commit("two")
    output = node.run()
    assert (node.published, output) == (sha, f"published {sha} (main)\n")
    assert first != sha
    assert f"git:{TOKEN}" in [given for _, given in server.seen]
    assert "fetch" in arguments.read_text().splitlines()
    files = [arguments, *(path for path in node.home.rglob("*") if path.is_file())]
    assert [path for path in files if TOKEN in path.read_bytes().decode(errors="replace")] == []


@local
def test_https_file_reload(remote, node, server, tmp_path):
    """The token is replaced on the server and in the file: the next run has the new one."""
    first = remote.commit("one")
    node.run()
    server.token = "another"
    output = node.run(code=3)
    assert output.startswith(f"failed: {server.url}/remote.git cannot be read: ")
    assert "Authentication failed" in output
    assert TOKEN not in output
    assert node.published == first
    (tmp_path / "token").write_text("another")
    assert "works again" in node.run()


@local
@pytest.mark.parametrize("token", ["wrong password", "none"])
def test_https_wrong_password(remote, node, server, token):
    """auth_revoked, and a password that nobody can be asked for."""
    remote.commit("one")
    if token == "none":
        node.settings |= {"token_user": "", "token_file": ""}
    else:
        Path(node.settings["token_file"]).write_text("wrong\n")
    output = node.run(code=3)
    assert "Authentication failed" in output or "could not read Username" in output
    assert not node.link.is_symlink()
    assert len(server.seen) < 5


@local
@pytest.mark.parametrize("token", ["missing", "empty"])
def test_https_token_file(node, server, token):
    path = Path(node.settings["token_file"])
    path.write_text("\n") if token == "empty" else path.unlink()
    reason = "is empty" if token == "empty" else ": No such file or directory"
    output = node.run(code=2)
    assert output.startswith(f"failed: 'token_file' {path}")
    assert output.endswith(f"{reason}\n")
    assert server.seen == []


@local
@pytest.mark.parametrize("ca", ["other.pem", None])
def test_https_authority(remote, node, server, authority, ca):
    """A server that no trusted authority knows is refused, before it gets the token."""
    remote.commit("one")
    node.settings["ca_file"] = str(authority / ca) if ca else ""
    assert "certificate" in node.run(code=3)
    assert server.seen == []


@local
def test_https_of_another_name(remote, node, server):
    """The certificate is for localhost."""
    remote.commit("one")
    node.settings["repository"] = f"https://127.0.0.1:{server.server_port}/remote.git"
    output = node.run(code=3)
    assert "127.0.0.1" in output
    assert "does not match" in output
    assert server.seen == []


@local
def test_https_expired(remote, node, server, serve):
    remote.commit("one")
    expired = serve(remote.folder, "expired.pem")
    node.settings["repository"] = f"{expired.url}/remote.git"
    assert "certificate" in node.run(code=3)
    assert node.status["published"] is None
    assert expired.seen == server.seen == []


@local
def test_https_flaky(remote, node, server, first):
    """It fails once, and the question makes up for it; and once more, and the next run does."""
    server.failures = 1
    sha = remote.commit("two")
    assert node.run() == f"published {sha} (main)\n"
    server.failures = 2
    sha = remote.commit("three")
    assert "503" in node.run(code=3)
    assert f"published {sha}" in node.run()
    assert node.published == sha != first


@local
def test_https_redirect(remote, node, server, serve):
    """Another server does not get the token, wherever it says that the repository is."""
    remote.commit("one")
    other = serve(remote.folder)
    other.token = "another"
    server.redirect = other.url
    node.run(code=3)
    assert other.seen
    assert [given for _, given in other.seen if given] == []


@local
@pytest.mark.usefixtures("server")
def test_https_submodule_elsewhere(remote, node, serve):
    """Nor does the server of a submodule."""
    lib = remote.another("lib")
    sha = lib.commit("lib")
    other = serve(remote.folder)
    (remote.files / "lib").mkdir()
    remote.git("update-index", "--add", "--cacheinfo", f"160000,{sha},lib")
    remote.write(".gitmodules", f'[submodule "x"]\n\tpath = lib\n\turl = {other.url}/lib.git\n')
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    assert (node.link / "lib/dags/a.py").read_text() == "lib\n"
    assert [given for _, given in other.seen if given] == []


@local
@pytest.mark.usefixtures("server")
def test_https_variables_are_not_used(remote, node):
    """A proxy or an authority of the environment is none of the settings'."""
    node.environment = {
        "https_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
        "GIT_SSL_CAINFO": "/dev/null",
        "GIT_SSL_NO_VERIFY": "1",
        "GIT_ASKPASS": "/bin/false",
    }
    sha = remote.commit("one")
    node.run()
    assert node.published == sha
    node.settings["ca_file"] = ""
    assert "certificate" in node.run(code=3)


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes connections on."""

    def log_message(self, *_):
        """Say nothing."""

    def do_CONNECT(self):
        self.server.seen.append(self.path)
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            pair = {self.connection: there, there: self.connection}
            while True:
                for ready in select.select(list(pair), [], [])[0]:
                    if not (data := ready.recv(1 << 16)):
                        return
                    pair[ready].sendall(data)


@local
def test_https_proxy(remote, node, server):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads = True
        proxy.seen = []
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        node.settings["proxy"] = f"http://127.0.0.1:{proxy.server_port}"
        sha = remote.commit("one")
        node.run()
        assert node.published == sha
        assert set(proxy.seen) == {f"localhost:{server.server_port}"}
        proxy.shutdown()
    assert node.run(code=3).startswith(f"failed: {server.url}/remote.git cannot be read: ")


# On a node, with the real servers alone


@pytest.mark.remotes("https")
def test_auth_wrong_password(remote, node, tmp_path):
    remote.commit("one")
    (tmp_path / "token").write_text("wrong\n")
    node.settings["token_file"] = str(tmp_path / "token")
    assert "Authentication failed" in node.run(code=3)


@pytest.mark.remotes("https")
def test_auth_file_reload(node, first, tmp_path):
    token = Path(node.settings["token_file"]).read_text()
    node.settings["token_file"] = str(tmp_path / "token")
    (tmp_path / "token").write_text("wrong\n")
    node.run(code=3)
    assert node.published == first
    (tmp_path / "token").write_text(token)
    node.run()
    files = [path for path in node.home.rglob("*") if path.is_file()]
    assert not [path for path in files if token.strip().encode() in path.read_bytes()]


@pytest.mark.remotes("https")
def test_authority_of_another(remote, node, tmp_path):
    remote.commit("one")
    node.settings["ca_file"] = str(tmp_path / "other.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=other"]
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "other.pem"]
    subprocess.run([*words, *files], check=True, capture_output=True)
    assert "certificate" in node.run(code=3)


@pytest.mark.remotes("ssh")
def test_auth_ssh_wrong_key(node, first, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    node.settings["private_key"] = str(key)
    assert "Permission denied" in node.run(code=3)
    assert node.published == first


@pytest.mark.remotes("ssh")
@pytest.mark.parametrize("known", ["unknown", "changed"])
def test_hostkey(node, first, tmp_path, known):
    """hostkey_changed: refused; so is a server whose key nobody has given."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text = Path(node.settings["known_hosts"]).read_text()
    kind, public, *_ = key.with_suffix(".pub").read_text().split()
    lines = [f"{line.split()[0]} {kind} {public}" for line in text.splitlines() if line.strip()]
    node.settings["known_hosts"] = str(tmp_path / "known_hosts")
    (tmp_path / "known_hosts").write_text("\n".join(lines) + "\n" if known == "changed" else "")
    assert "Host key verification failed" in node.run(code=3)
    assert node.published == first
