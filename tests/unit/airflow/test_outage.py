"""What follows from airflow_outage_seconds, and what is refused beside it."""

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter import outage as filters
from ansible_collections.caspian.airflow.plugins.plugin_utils import outage

ROOT = Path(__file__).resolve().parents[3]
# From the end of the time that costs nothing until a worker kills its tasks, in seconds:
# LOST_SECONDS without FENCE_SECONDS of src/rax/airflow/worker_guard.py.
FENCE_SECONDS = 30


@pytest.mark.parametrize("seconds", [60, 61, 64, 299, 300, 301, 900, 1800])
def test_tasks_outlive_an_outage_of_that_length(seconds):
    settings = filters.outage_settings(seconds)
    workers, scheduler = settings["workers"], settings["scheduler"]
    assert workers["execution_api_retry_wait_min"] == workers["execution_api_retry_wait_max"]
    call = (workers["execution_api_retries"] - 1) * workers["execution_api_retry_wait_min"]
    # One wait more, since an outage may begin just after a call has.
    assert seconds + outage.RETRY_SECONDS <= call <= seconds + 2 * outage.RETRY_SECONDS
    # The worker's guard comes before the task's own supervisor, and before the scheduler.
    assert workers["max_failed_heartbeats"] * call > seconds + FENCE_SECONDS
    assert scheduler["task_instance_heartbeat_timeout"] == seconds + 2 * FENCE_SECONDS
    # A token may have a fifth of its life left when an outage begins.
    assert settings["execution_api"]["jwt_expiration_time"] / 5 >= seconds + 2 * FENCE_SECONDS
    assert scheduler["task_queued_timeout"] >= seconds + 300


def test_the_figures_are_those_that_were_tried():
    settings = filters.outage_settings("300")
    assert settings["workers"] == {
        "execution_api_retries": 62,
        "execution_api_retry_wait_min": 5,
        "execution_api_retry_wait_max": 5,
        "execution_api_timeout": 5,
        "max_failed_heartbeats": 3,
    }
    assert settings["scheduler"]["task_instance_heartbeat_timeout"] == 360
    assert settings["execution_api"]["jwt_expiration_time"] == 3600
    assert settings["celery_broker_transport_options"]["visibility_timeout"] == 604800


def test_the_default_is_the_role_s():
    defaults = yaml.safe_load((ROOT / "roles/airflow/defaults/main.yml").read_text())
    assert defaults["airflow_outage_seconds"] == outage.DEFAULT_OUTAGE_SECONDS


WHOLE = "airflow_outage_seconds has to be a whole number of seconds"
BOUNDS = "it has to be from 60 to 1800"
LEAST = (
    "has to be at least {}, which follows from airflow_outage_seconds: take it out, or change that"
    " variable"
)
OURS = (
    "names an executor whose tasks fail while the broker is away: name"
    " rax.airflow.executor.CeleryExecutor"
)
MAPPING = "has to be a mapping: its keys are added to those that the workers need"
NOT_OURS = "may not change {}, which keeps tasks through an outage: take it out"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((seconds, None) for seconds in (60, "60", 300, 1800)),
        *((seconds, WHOLE) for seconds in (None, True, "", "5m", 300.5, -300, [300], {}, "٣٠٠")),
        (59, f"airflow_outage_seconds is 59: {BOUNDS}"),
        ("1801", f"airflow_outage_seconds is 1801: {BOUNDS}"),
        (0, f"airflow_outage_seconds is 0: {BOUNDS}"),
    ],
)
def test_seconds_within_bounds(seconds, expected):
    assert filters.outage_problems(seconds) == ([expected] if expected else [])
    if expected:
        with pytest.raises(AnsibleFilterError, match=f"^outage_settings: {expected}$"):
            filters.outage_settings(seconds)


@pytest.mark.parametrize(
    ("section", "option", "given", "expected"),
    [
        ("workers", "execution_api_retries", 61, LEAST.format(62)),
        ("workers", "execution_api_retries", "", LEAST.format(62)),
        ("workers", "execution_api_retries", "many", LEAST.format(62)),
        ("workers", "execution_api_retries", True, LEAST.format(62)),
        ("workers", "execution_api_retries", None, LEAST.format(62)),
        ("workers", "execution_api_retries", "62", None),
        ("workers", "execution_api_retry_wait_min", 0.5, LEAST.format(5)),
        ("workers", "execution_api_timeout", 30.0, None),
        ("workers", "min_heartbeat_interval", 1, None),
        ("scheduler", "task_instance_heartbeat_timeout", 300, LEAST.format(360)),
        ("scheduler", "task_instance_heartbeat_timeout", "361", None),
        ("execution_api", "jwt_expiration_time", "600", LEAST.format(3600)),
        ("celery_broker_transport_options", "visibility_timeout", 86400, LEAST.format(604800)),
        ("core", "executor", "CeleryExecutor", OURS),
        ("core", "executor", "LocalExecutor, CeleryExecutor", OURS),
        ("core", "executor", "a:airflow.providers.celery.executors.x.CeleryExecutor", OURS),
        ("core", "executor", "LocalExecutor;a=CeleryExecutor", OURS),
        ("core", "executor", "rax.airflow.executor.CeleryExecutor,KubernetesExecutor", None),
        ("core", "executor", "CeleryExecutor:rax.airflow.executor.CeleryExecutor", None),
        ("celery", "extra_celery_config", '{"worker_max_tasks_per_child": 9}', MAPPING),
        ("celery", "extra_celery_config", {"worker_max_tasks_per_child": 9}, None),
        ("celery", "extra_celery_config", {"imports": ["mine"]}, NOT_OURS.format("imports")),
        ("celery", "extra_celery_config", {"imports": "mine"}, NOT_OURS.format("imports")),
        (
            "celery",
            "extra_celery_config",
            {"imports": ["mine", "rax.airflow.worker_guard"]},
            None,
        ),
        (
            "celery",
            "extra_celery_config",
            {"task_publish_retry_policy": {"max_retries": 3}},
            NOT_OURS.format("task_publish_retry_policy"),
        ),
    ],
)
def test_settings_beside_it(section, option, given, expected):
    found = filters.outage_problems(300, {section: {option: given}})
    assert found == ([f"airflow_settings: [{section}] {option} {expected}"] if expected else [])


@pytest.mark.parametrize("given", [None, {}, "x", [], {"workers": None}, {"workers": "x"}])
def test_settings_of_no_form_are_not_its_business(given):
    assert filters.outage_problems(300, given) == []
