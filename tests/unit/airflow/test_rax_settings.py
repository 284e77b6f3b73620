"""What role airflow tells the library rax, and refuses to: rendered, and read as on a node."""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import run_ansible

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/airflow"
ODD = "a\"b\\c$d`e'f #;% ü !{x} $(id) \\n  z "
GIVEN = {
    "airflow_environment_name": 'lab "2"',
    "airflow_alerting_credential": "PAGERDUTY",
    "airflow_credentials_max_age_seconds": 43200,
    "airflow_credentials_stale": "warn",
    "airflow_environment": {"ODD": ODD, "NUMBER": 3, "EMPTY": ""},
    "airflow_connections": {"postgres_default": "EBI-ETL-DEV-01", "a.b": "X"},
    "airflow_settings": {
        "workers": {"execution_api_timeout": 9},
        "celery": {"extra_celery_config": {"worker_max_tasks_per_child": 7}},
    },
}
REFUSED = [
    ("airflow_settings", {"celery": {"Result_Backend": "x"}}, "Result_Backend may not be changed"),
    (
        "airflow_settings",
        {"celery": {"celery_config_options": "x", "sync_parallelism": 2}},
        "[celery] celery_config_options may not be changed",
    ),
    ("airflow_environment", {"RAX_WORKLOAD_KEYS": "x"}, "a place of their own: RAX_WORKLOAD_KEYS."),
    ("airflow_connections", {"a": "../x"}, "to names of credentials, and does not for ['a']"),
    ("airflow_connections", {"a": ""}, "to names of credentials, and does not for ['a']"),
    ("airflow_connections", {"a b": "X"}, "an id that Airflow does not take"),
    ("airflow_connections", {"a": "X", "b": "Y\n"}, "does not for ['b']"),
    ("airflow_alerting_credential", "../x", "is not the name of a credential: ../x"),
    ("airflow_credentials_max_age_seconds", -1, "airflow_credentials_max_age_seconds is negative"),
    ("airflow_environment", {"A-B": "x"}, "a place of their own: A-B."),
    ("airflow_environment", {"RAX_ENVIRONMENT": "x"}, "a place of their own: RAX_ENVIRONMENT."),
    ("airflow_environment", {"PATH": "x"}, "a place of their own: PATH."),
    ("airflow_environment", {"AIRFLOW__CORE__A": "x"}, "of their own: AIRFLOW__CORE__A."),
    ("airflow_environment", {"AIRFLOW_CONN_A": "x"}, "a place of their own: AIRFLOW_CONN_A."),
    ("airflow_environment", {"A": "b\nc"}, "without a password; it is not so with A"),
    ("airflow_environment", {"A": ["b"]}, "without a password; it is not so with A"),
    ("airflow_environment", {"A": True}, "without a password; it is not so with A"),
    ("airflow_environment", {"A": None}, "without a password; it is not so with A"),
    (
        "airflow_environment",
        {"A": "http://me:CANARY@proxy"},
        "without a password; it is not so with A",
    ),
    ("airflow_outage_seconds", 30, "airflow_outage_seconds is 30: it has to be from 60 to 1800"),
    (
        "airflow_workers_restarted_at_once",
        0,
        "airflow_workers_restarted_at_once has to be at least",
    ),
    (
        "airflow_settings",
        {"scheduler": {"task_instance_heartbeat_timeout": 300}},
        "airflow_settings: [scheduler] task_instance_heartbeat_timeout has to be at least 360",
    ),
    ("airflow_environment_name", "", "airflow_environment_name has to be one line, and not empty"),
    (
        "airflow_environment_name",
        "a\nb",
        "airflow_environment_name has to be one line, and not empty",
    ),
]
TAKEN = [
    {},
    GIVEN,
    {
        "airflow_environment": {
            "HTTPS_PROXY": "http://proxy.example.org:3128",
            "RAX_CONFIG_DIR": "/x",
        }
    },
    {"airflow_connections": {r"a#!().:/\-b": "a.b_c-1"}},
]


COMMON = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "ansible_facts": {
        "python": {"version": {"major": 3, "minor": 11}},
        "python_version": "3.11.2",
        "default_ipv4": {"address": "127.0.0.1"},
    },
    "airflow_components": ["worker"],
    "airflow_api_url": "http://api.example.org",
    "airflow_lock": str(ROOT / "pyproject.toml"),
}
PREFLIGHT = {
    "ansible.builtin.include_role": {
        "name": "caspian.airflow.airflow",
        "tasks_from": "preflight",
        "public": True,
    }
}


SIGNING = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
SECRETS = {
    "airflow_database_url": "sqlite://DATABASE",
    "airflow_broker_url": "redis://BROKER",
    "airflow_workload_keys": SIGNING,
    "airflow_fernet_key": "FERNET",
    "airflow_jwt_secret": "JWT",
    "airflow_api_secret_key": "API",
}
# The public half of the key.
PUBLIC = "rwaj4ykXFOTzVsGcmxXNGVHsbmZiqne-B1R_KJODNB0="
TOLD = {
    "api-server": {"DATABASE", "FERNET", "JWT", "API"},
    "scheduler": {"DATABASE", "BROKER", SIGNING, "FERNET", "JWT"},
    "dag-processor": {"DATABASE", "FERNET"},
    "triggerer": {"DATABASE", "FERNET", "API"},
    "worker": {"BROKER", PUBLIC, "API"},
    "cli": {"DATABASE", "BROKER", "FERNET", "JWT", "API"},
    "maintenance": {"DATABASE"},
}


def play(folder, hosts, *tasks):
    """Run the tasks on hosts {name: variables}."""
    (folder / "play.yml").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
    )
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    paths = {
        "airflow_home": str(folder / "home"),
        "__airflow_etc": str(folder),
        "__airflow_current": str(folder / "current"),
    }
    done = run_ansible(
        "ansible-playbook",
        *("-i", folder / "hosts.json", folder / "play.yml"),
        *("--extra-vars", json.dumps(COMMON | paths)),
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Return the folder with what the role writes, as it is on a node."""
    folder = tmp_path_factory.mktemp("node")
    files = ("airflow.cfg", "rax.env", "rax", "completion", "cron")
    lookup = f"lookup('ansible.builtin.template', '{ROLE}/templates/"
    rendered = ", ".join(
        [f"'{name}': {lookup}{name}.j2')" for name in files]
        + [
            f"'{name}.env': {lookup}component.env.j2',"
            f" template_vars={{'__airflow_component': '{name}'}})"
            for name in TOLD
        ]
    )
    render = {
        "ansible.builtin.copy": {
            "content": f"{{{{ {{{rendered}}} | to_json }}}}",
            "dest": str(folder / "rendered.json"),
            "mode": "0600",
        },
        "vars": SECRETS,
    }
    play(folder, {"node": GIVEN}, PREFLIGHT, render)
    for name, text in json.loads((folder / "rendered.json").read_text()).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "current/bin").mkdir(parents=True)
    (folder / "home/alerts").mkdir(parents=True)
    return folder


def stub(node, name, script):
    program = node / "current/bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def run(*command, **environment):
    environment = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_sh_reads_what_was_given(node):
    read = run("sh", "-c", f"set -a; . {node}/rax.env; exec env -0").rstrip("\0").split("\0")
    expected = {
        "ODD": ODD,
        "NUMBER": "3",
        "EMPTY": "",
        "RAX_ACCOUNT": "airflow",
        "RAX_ENVIRONMENT": 'lab "2"',
        "RAX_ALERTING_CREDENTIAL": "PAGERDUTY",
        "RAX_ALERTING_SPOOL": f"{node}/home/alerts",
        "RAX_CREDENTIALS_MAX_AGE": "43200",
        "RAX_CREDENTIALS_STALE": "warn",
    }
    assert expected.items() <= dict(line.split("=", 1) for line in read).items()


@pytest.mark.parametrize("component", TOLD)
def test_a_component_is_told_its_own_secrets_alone(node, component):
    values = re.findall(r'="(?:\w+://)?([^"]*)"\n', (node / f"{component}.env").read_text())
    assert set(values) == TOLD[component]
    assert len(values) == len(TOLD[component])


def test_airflow_reads_the_backend_and_its_connections(node):
    settings = configparser.ConfigParser()
    settings.read(node / "airflow.cfg")
    assert settings["secrets"]["backend"] == "rax.airflow.secrets.CredentialsBackend"
    assert json.loads(settings["secrets"]["backend_kwargs"]) == {
        "connections": GIVEN["airflow_connections"]
    }


def test_airflow_reads_how_long_to_wait_and_what_a_user_adds(node):
    settings = configparser.ConfigParser()
    settings.read(node / "airflow.cfg")
    assert settings["core"]["executor"] == "rax.airflow.executor.CeleryExecutor"
    assert settings["workers"]["execution_api_retries"] == "62"
    assert settings["workers"]["execution_api_timeout"] == "9"
    assert json.loads(settings["celery"]["extra_celery_config"]) == {
        "imports": ["rax.airflow.worker_guard"],
        "task_publish_retry_policy": {
            "interval_max": 0.4,
            "interval_start": 0.2,
            "interval_step": 0.2,
            "max_retries": None,
        },
        "worker_max_tasks_per_child": 7,
    }


def test_the_command_has_the_variables_and_its_arguments(node):
    stub(node, "rax", 'printf "%s|" "$RAX_ENVIRONMENT" "$ODD" "$@"')
    assert run(node / "rax", "config", "show", "a b", "") == f'lab "2"|{ODD}|config|show|a b||'


def test_the_command_runs_for_those_who_may_not_read_the_variables(node, tmp_path):
    stub(node, "rax", 'printf "%s" "${RAX_ENVIRONMENT-none} $1"; exit 3')
    command = tmp_path / "rax"
    command.write_text((node / "rax").read_text().replace(f"{node}/rax.env", f"{node}/missing"))
    done = subprocess.run(["sh", command, "x"], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stdout) == (3, "none x")


@pytest.mark.parametrize(
    ("kept", "started"),
    [
        ([], False),
        ([".0123456789abcdef.tmp", ".problems", "dropped", "refused/1.json"], False),
        (["0000000000000001.json"], True),
    ],
)
def test_cron_starts_nothing_while_no_alert_is_kept(node, tmp_path, kept, started):
    (line,) = [line for line in (node / "cron").read_text().splitlines() if line.startswith("*")]
    *when, account, command = line.split(" ", 6)
    assert (when, account) == (["*"] * 5, "airflow")
    # To cron, a percent sign ends the command.
    assert "%" not in command
    alerts = tmp_path / "alerts"
    for name in kept:
        (alerts / name).parent.mkdir(parents=True, exist_ok=True)
        (alerts / name).touch()
    rax, logger = tmp_path / "rax", tmp_path / "logger"
    for program in (rax, logger):
        program.write_text(f'#!/bin/sh\necho "$0 $*" >>{tmp_path}/started\n')
        program.chmod(0o755)
    command = command.replace("/usr/local/bin/rax", str(rax)).replace(
        f"{node}/home/alerts", str(alerts)
    )
    printed = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert (printed.stdout, printed.stderr) == (b"", b"")
    assert (tmp_path / "started").exists() is started
    if started:
        assert sorted((tmp_path / "started").read_text().splitlines()) == [
            f"{logger} -t airflow-alerts",
            f"{rax} alerts flush --quiet",
        ]


def test_bash_completes_as_the_environment_says(node):
    stub(node, "register-python-argcomplete", 'echo "complete -F _environment $1"')
    completes = run("bash", "-c", f". {node}/completion; complete -p rax").strip()
    assert completes == "complete -F _environment rax"


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """Return what the preflight says to each of REFUSED and TAKEN."""
    folder = tmp_path_factory.mktemp("preflight")
    given = [*({name: value} for name, value, _ in REFUSED), *TAKEN]
    said = "{{ ansible_failed_result.msg }}"
    play(
        folder,
        {f"host{number}": variables for number, variables in enumerate(given)},
        {
            "block": [PREFLIGHT, {"ansible.builtin.set_fact": {"said": "nothing"}}],
            "rescue": [{"ansible.builtin.set_fact": {"said": said}}],
        },
        {
            "ansible.builtin.copy": {
                "content": "{{ ansible_play_hosts | map('extract', hostvars, 'said') | to_json }}",
                "dest": str(folder / "said.json"),
                "mode": "0600",
            },
            "run_once": True,
        },
    )
    said = json.loads((folder / "said.json").read_text())
    assert len(said) == len(given)
    return said


def test_preflight_refuses(refusals):
    for (name, value, expected), said in zip(REFUSED, refusals, strict=False):
        assert expected in said, (name, value)
        assert "CANARY" not in said


def test_preflight_takes_the_rest(refusals):
    assert refusals[len(REFUSED) :] == ["nothing"] * len(TAKEN)
