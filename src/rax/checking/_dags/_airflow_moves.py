# SPDX-License-Identifier: Apache-2.0
"""Where that went which older ones of Airflow and Python had: what to write in its place."""

_STANDARD = "airflow.providers.standard"
# Of a module, or of a name in it, the longest that is here.
_MOVES = {
    "airflow.contrib": "a provider's package, such as airflow.providers.ssh",
    "airflow.hooks.S3_hook": "airflow.providers.amazon.aws.hooks.s3",
    "airflow.hooks.base_hook": "airflow.sdk: BaseHook",
    "airflow.hooks.dbapi_hook": "airflow.providers.common.sql.hooks.sql: DbApiHook",
    "airflow.hooks.http_hook": "airflow.providers.http.hooks.http",
    "airflow.hooks.mysql_hook": "airflow.providers.mysql.hooks.mysql",
    "airflow.hooks.postgres_hook": "airflow.providers.postgres.hooks.postgres",
    "airflow.macros": "the template's own macros, or airflow.sdk",
    "airflow.models.Connection": "airflow.sdk: Connection",
    "airflow.models.Variable": "airflow.sdk: Variable",
    "airflow.models.baseoperator.chain": "airflow.sdk: chain",
    "airflow.models.baseoperator.cross_downstream": "airflow.sdk: cross_downstream",
    "airflow.operators.BashOperator": f"{_STANDARD}.operators.bash: BashOperator",
    "airflow.operators.BranchPythonOperator": f"{_STANDARD}.operators.python: BranchPythonOperator",
    "airflow.operators.DummyOperator": f"{_STANDARD}.operators.empty: EmptyOperator",
    "airflow.operators.PythonOperator": f"{_STANDARD}.operators.python: PythonOperator",
    "airflow.operators.ShortCircuitOperator": f"{_STANDARD}.operators.python: ShortCircuitOperator",
    "airflow.operators.SimpleHttpOperator": "airflow.providers.http.operators.http: HttpOperator",
    "airflow.operators.bash_operator": f"{_STANDARD}.operators.bash",
    "airflow.operators.dagrun_operator": f"{_STANDARD}.operators.trigger_dagrun",
    "airflow.operators.dummy": f"{_STANDARD}.operators.empty: EmptyOperator",
    "airflow.operators.dummy_operator": f"{_STANDARD}.operators.empty: EmptyOperator",
    "airflow.operators.email_operator": "airflow.providers.smtp.operators.smtp: EmailOperator",
    "airflow.operators.http_operator": "airflow.providers.http.operators.http: HttpOperator",
    "airflow.operators.latest_only_operator": f"{_STANDARD}.operators.latest_only",
    "airflow.operators.mysql_operator":
        "airflow.providers.common.sql.operators.sql: SQLExecuteQueryOperator",
    "airflow.operators.postgres_operator":
        "airflow.providers.common.sql.operators.sql: SQLExecuteQueryOperator",
    "airflow.operators.python_operator": f"{_STANDARD}.operators.python",
    "airflow.operators.sensors": f"{_STANDARD}.sensors, or the provider's",
    "airflow.operators.slack_operator": "airflow.providers.slack.operators.slack",
    "airflow.operators.sql": "airflow.providers.common.sql.operators.sql",
    "airflow.operators.subdag": "a task group, airflow.sdk: task_group",
    "airflow.operators.subdag_operator": "a task group, airflow.sdk: task_group",
    "airflow.sensors.base_sensor_operator": "airflow.sdk: BaseSensorOperator",
    "airflow.sensors.external_task_sensor": f"{_STANDARD}.sensors.external_task",
    "airflow.sensors.sql": "airflow.providers.common.sql.sensors.sql",
    "airflow.utils.dates": "pendulum, such as pendulum.today('UTC').add(days=-1), or a fixed date",
    "airflow.utils.decorators.apply_defaults": "nothing in its place",
    "airflow.utils.helpers.chain": "airflow.sdk: chain",
}  # fmt: skip
# Names of providers that have two words.
_FAMILIES = ("apache", "atlassian", "cncf", "common", "dbt", "microsoft")
# Of Python 2, and of Python 3 until it left them out.
_PYTHON = {
    "ConfigParser": "configparser",
    "HTMLParser": "html.parser",
    "Queue": "queue",
    "StringIO": "io: StringIO",
    "cPickle": "pickle",
    "cStringIO": "io: StringIO",
    "cgi": "urllib.parse, or email.message",
    "commands": "subprocess",
    "cookielib": "http.cookiejar",
    "distutils": "setuptools, or packaging.version",
    "httplib": "http.client",
    "imp": "importlib",
    "md5": "hashlib",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
}
_ARGUMENTS = {
    "concurrency": "max_active_tasks",
    "fail_stop": "fail_fast",
    "schedule_interval": "schedule",
    "timetable": "schedule",
}


def provider(name: str) -> str | None:
    """Return the package that has a module of a provider, if it is one of Airflow's.

    >>> provider("airflow.providers.cncf.kubernetes.operators.pod")
    'apache-airflow-providers-cncf-kubernetes'
    """
    parts = name.split(".")
    if parts[:2] != ["airflow", "providers"] or len(parts) < 3 or parts[2] == "standard":
        return None
    words = parts[2:4] if parts[2] in _FAMILIES else parts[2:3]
    return "-".join(["apache-airflow-providers", *words]).replace("_", "-")


def moved_to(name: str) -> str:
    """Say what to write for a module or name of Airflow that is not there.

    >>> moved_to("airflow.operators.bash_operator")
    'write airflow.providers.standard.operators.bash'
    """
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if found := _MOVES.get(".".join(parts[:length])):
            return f"write {found}"
    return "look it up in Airflow's release notes, https://airflow.apache.org/docs/"


def of_old_python(module: str) -> str | None:
    """Say what to write for a module that older ones of Python had, if it is one.

    >>> of_old_python("urllib2")
    'write urllib.request'
    """
    instead = _PYTHON.get(module)
    return f"write {instead}" if instead else None


def argument_instead(name: str) -> str:
    """Say what to do with an argument of DAG that is no longer there."""
    instead = _ARGUMENTS.get(name)
    return f"write {instead}" if instead else "leave it out"
