"""The program's own tests, run on control1 with its real servers as the remote."""

import pytest

# Those whose outcome may depend on the server. What kills, tampers and gates needs none.
FILES = " ".join(
    f"tests/unit/dag_sync/test_{name}.py" for name in ("sync", "submodules", "remotes")
)


@pytest.fixture(scope="module")
def suite(lab):
    """Bring what they need, and return the command that runs them with one transport."""
    control1 = lab["control1"]
    control1.check_output("install -d -m 700 /srv/tests/remote")
    files = {
        "key": (lab.path / "dag_sync_key").read_text(),
        "known_hosts": (lab.path / "known_hosts").read_text(),
        "ca.pem": (lab.path / "tls/ca.pem").read_text(),
        "token": lab.token() + "\n",
    }
    for name, content in files.items():
        lab.put("control1", f"/srv/tests/remote/{name}", content, owner="root")
    variables = {
        "DAG_SYNC_SERVED": "/srv/git",
        "DAG_SYNC_SSH_URL": "ssh://git@control1",
        "DAG_SYNC_SSH_KEY": "/srv/tests/remote/key",
        "DAG_SYNC_KNOWN_HOSTS": "/srv/tests/remote/known_hosts",
        "DAG_SYNC_HTTPS_URL": "https://control1",
        "DAG_SYNC_CA": "/srv/tests/remote/ca.pem",
        "DAG_SYNC_TOKEN_USER": lab.token_user,
        "DAG_SYNC_TOKEN_FILE": "/srv/tests/remote/token",
    }
    given = " ".join(f"{name}={value}" for name, value in variables.items())

    def run(transport):
        return control1.run(
            f"cd /srv/tests/checkout && env {given} DAG_SYNC_REMOTES={transport}"
            f" /opt/tests/current/bin/python -m pytest -q -n 3 {FILES}"
        )

    return run


@pytest.mark.timeout(900)
@pytest.mark.parametrize("transport", ["ssh", "https"])
def test_the_program_s_own_tests(suite, transport):
    done = suite(transport)
    assert done.rc == 0, (done.stdout + done.stderr)[-8000:]
