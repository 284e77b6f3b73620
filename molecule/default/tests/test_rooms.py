"""What accounts put in the place of files and directories, where root acts next.

One node, and each of its places at once; then site.yml, and what systemd and cron run as root.
"""

import json
import shlex
import subprocess

import pytest

NODE = "worker2"
HOME, LOGS, REFRESH = "/home/airflow", "/var/log/airflow", "/var/lib/caspian-refresh"
# All of root's: what links lead to, and what has a hard link.
VICTIMS = "/srv/victims"
CLEAN = f"rm -rf {VICTIMS} {LOGS}/old {LOGS}/link {LOGS}/dag_processor/attack /run/rooms.conf"


def as_account(account, script):
    return f"runuser --user={account} -- sh -euc {shlex.quote(script)}"


def deploy(cluster, playbook, *options):
    """Run a playbook for the node; return its exit code and what it said."""
    done = subprocess.run(
        ["ansible-playbook", playbook, "--limit", NODE, *options],
        cwd=cluster.root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.node(NODE)


@pytest.fixture(scope="module")
def victims(node):
    """Return a function that describes all that is root's: owner, mode, content, names."""
    make = (
        "mkdir -p programs state logs/deep; echo program > programs/rax; echo key > key;"
        " echo shadow > shadow; chmod 0640 shadow; echo old > logs/old;"
        " echo log > logs/deep/victim.log;"
        " touch --date='90 days ago' shadow logs/deep/victim.log logs/deep logs/old logs"
    )
    node.check_output(f"{CLEAN}; mkdir {VICTIMS} && cd {VICTIMS} && {make}")

    def look():
        programs = "/usr/local/bin /usr/local/bin/* /etc/airflow /etc/cron.d /etc/shadow"
        return node.check_output(
            f"cd {VICTIMS} && find . -printf '%p %U %G %m %s %Ts\\n' | sort &&"
            f" find . -type f | sort | xargs sha256sum; stat --format='%n %U %G %a' {programs}"
        )

    yield look
    node.check_output(CLEAN)


@pytest.fixture(scope="module")
def swapped(node, victims):
    """Swap what is in the rooms of both accounts; put it back at the end."""
    before = victims()
    node.check_output("systemctl stop airflow-worker cron")
    node.check_output(
        as_account(
            "airflow",
            f"cd {HOME}; mv alerts .kept-alerts; ln -s {VICTIMS}/programs alerts;"
            " mkdir -p airflow; rm -rf airflow/plugins; "
            f"ln -s {VICTIMS}/state airflow/plugins; ln -s {VICTIMS}/state cache",
        )
    )
    # As where the kernel does not protect hard links.
    node.check_output(
        f"mv {REFRESH}/.ssh {REFRESH}/.kept && mkdir -m 0700 {REFRESH}/.ssh &&"
        f" ln {VICTIMS}/key {REFRESH}/.ssh/authorized_keys &&"
        f" chown caspian-refresh: {REFRESH}/.ssh"
    )
    yield before
    node.check_output(
        f"cd {HOME}; rm -rf alerts cache airflow; mv .kept-alerts alerts;"
        f" cd {REFRESH}; rm -rf .ssh; mv .kept .ssh; systemctl start cron airflow-worker"
    )


@pytest.mark.timeout(300)
def test_the_deployment_gives_nothing_away(cluster, node, victims, swapped):
    folder = f"{VICTIMS}/logs"
    code, said = deploy(
        cluster,
        "site.yml",
        *(
            "-e",
            json.dumps({"airflow_log_directory": folder, "dag_sync_metrics_directory": folder}),
        ),
    )
    assert victims() == swapped
    assert code != 0
    said = " ".join(said.split())
    assert f"{HOME}/alerts is a link to '{VICTIMS}/programs' that airflow may have made" in said
    assert f"{folder}: it is there, belongs to root and is not taken away" in said
    assert node.check_output(f"stat --format=%F {HOME}/alerts") == "symbolic link"


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("swapped")
def test_a_metrics_folder_of_somebody_else_is_not_taken(cluster, victims):
    """What comes after the account: the sync's folder, on its own."""
    before = victims()
    playbook = cluster.lab / "rooms_sync.yml"
    playbook.write_text("- hosts: airflow\n  become: true\n  roles: [caspian.airflow.dag_sync]\n")
    try:
        code, said = deploy(
            cluster, str(playbook), "-e", f"dag_sync_metrics_directory={VICTIMS}/logs"
        )
    finally:
        playbook.unlink()
    assert code != 0
    assert f"{VICTIMS}/logs: it is there, belongs to root and is not taken away" in " ".join(
        said.split()
    )
    assert victims() == before


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("swapped")
def test_a_hard_link_in_the_place_of_the_keys_is_replaced(cluster, node, victims):
    before = victims()
    code, said = deploy(cluster, "playbooks/schedule_refresh.yml")
    assert code == 0, said
    assert victims() == before
    keys = f"{REFRESH}/.ssh/authorized_keys"
    assert node.check_output(f"stat --format='%U %a %h' {keys}") == "caspian-refresh 600 1"
    assert node.check_output(f"cat {keys}").startswith("restrict")
    # A link in the place of their folder.
    node.check_output(f"rm -r {REFRESH}/.ssh")
    node.check_output(as_account("caspian-refresh", f"ln -s {VICTIMS}/state {REFRESH}/.ssh"))
    code, said = deploy(cluster, "playbooks/schedule_refresh.yml")
    assert code != 0
    assert f"{REFRESH}/.ssh is a link to '{VICTIMS}/state'" in " ".join(said.split())
    assert victims() == before


def test_what_ages_the_logs_follows_nothing(node, victims):
    before = victims()
    node.check_output(
        as_account(
            "airflow",
            f"mkdir {LOGS}/old; ln -s {VICTIMS}/logs {LOGS}/link; cd {LOGS}/old; echo x > gone;"
            f" ln -s {VICTIMS}/logs link; ln -s {VICTIMS}/shadow file;"
            " touch --no-dereference --date='90 days ago' gone link file . ../link",
        )
    )
    # As where the kernel does not protect hard links.
    node.check_output(f"ln {VICTIMS}/shadow {LOGS}/old/hard")
    node.check_output("systemd-tmpfiles --create --clean /etc/tmpfiles.d/airflow.conf")
    # Where airflow_log_directory is below airflow's home, that may be a link as well.
    node.check_output(as_account("airflow", f"ln -sfn {VICTIMS}/logs {LOGS}/link"))
    node.run(
        f"sed 's,{LOGS},{LOGS}/link,' /etc/tmpfiles.d/airflow.conf > /run/rooms.conf;"
        " systemd-tmpfiles --create --clean /run/rooms.conf"
    )
    assert not node.file(f"{LOGS}/old/gone").exists, "nothing was aged, so nothing was tried"
    node.check_output(f"rm -rf {LOGS}/old {LOGS}/link")
    assert victims() == before


def test_what_rotates_the_logs_follows_nothing(node, victims):
    before = victims()
    folder = f"{LOGS}/dag_processor/attack"
    node.check_output(
        as_account(
            "airflow",
            f"mkdir -p {folder}/a; cd {folder}; echo x > a/real.log;"
            f" ln -s {VICTIMS}/shadow a/link.log; ln -s {VICTIMS}/logs/deep b;"
            f" ln -s {VICTIMS}/logs c",
        )
    )
    node.check_output(f"ln {VICTIMS}/shadow {folder}/a/hard.log")
    # It complains of what it may not open.
    node.run("logrotate --force /etc/logrotate.d/airflow")
    assert node.file(f"{folder}/a/real.log.1.gz").user == "airflow", "nothing was tried"
    node.check_output(f"rm -rf {folder}")
    assert victims() == before


# What Airflow imports

PLANTED = (
    "airflow/plugins/planted.py",
    "airflow/config/airflow_local_settings.py",
    "airflow/__init__.py",
    "rax/__init__.py",
    "plugins/planted.py",
    "config/airflow_local_settings.py",
    "multiprocessing/__init__.py",
    "sitecustomize.py",
    "usercustomize.py",
    ".local/lib/python3/site-packages/usercustomize.py",
)


@pytest.fixture
def planted(scheduler1):
    """Plant code wherever airflow may, and Python or Airflow might look; return what has run."""
    version = scheduler1.check_output(
        "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"
    )
    canary = f"{HOME}/canary"
    files = [f"{HOME}/{name.replace('python3/', f'python{version}/')}" for name in PLANTED]
    code = f"open({canary!r}, 'a').write(__file__ + ' in ' + open('/proc/self/cmdline').read())\n"
    script = "".join(
        f"mkdir -p $(dirname {file}); printf %s {shlex.quote(code)} > {file};" for file in files
    )
    scheduler1.check_output(as_account("airflow", script))
    yield lambda: scheduler1.run(f"cat {canary}").stdout.replace("\0", " ")
    scheduler1.check_output(
        f"cd {HOME} && rm -rf canary .local {' '.join({name.split('/')[0] for name in PLANTED})}"
    )


@pytest.mark.timeout(600)
def test_no_code_of_airflow_runs_in_what_decides(cluster, scheduler1, planted):
    for component in ("scheduler", "api-server"):
        environment = scheduler1.check_output(
            f"systemctl show --property=Environment --value airflow-{component}"
        )
        home = environment.partition("AIRFLOW_HOME=")[2].split()[0]
        for path in (home, f"{home}/plugins", f"{home}/config", home.rpartition("/")[0] or "/"):
            assert scheduler1.run(as_account("airflow", f"test -w {path}")).rc != 0, path
        assert scheduler1.run(as_account("airflow", f"mkdir {home}/plugins")).rc != 0
    scheduler1.check_output("systemctl restart airflow-scheduler airflow-api-server")
    prepare = "/usr/local/lib/airflow_prepare_database.py"
    scheduler1.check_output(
        f"""echo '{{"username": "x", "email": "x", "password": "x"}}' |"""
        f" airflow-env python {prepare} --check"
    )
    scheduler1.check_output("airflow-env python -m rax.airflow.health --help")
    scheduler1.check_output("airflow-env airflow plugins")
    spawned = "from multiprocessing import get_context as c; c('spawn').Process().start()"
    scheduler1.check_output(f"airflow-env python -c {shlex.quote(spawned)}")
    # By then they have imported all that they do.
    for port in (8974, 8080):
        cluster.wait(
            lambda port=port: f":{port} " in scheduler1.check_output("ss --listening --tcp -n"),
            240,
            f"scheduler or api-server listens on {port}",
        )
    assert planted() == ""
