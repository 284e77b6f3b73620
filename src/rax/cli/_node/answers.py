# SPDX-License-Identifier: Apache-2.0
"""Whether components that run also answer: their units would be active for ever."""

import configparser
import http.client
import os
import time
from pathlib import Path

from rax.cli._node._part import ABSENT, Part, Problem
from rax.cli._node._units import Unit, units

SETTINGS = Path("/etc/airflow/airflow.cfg")
MAX_REPLY_SECONDS = 10.0
# Airflow starts for half a minute on a small machine; until then, silence is no news.
MAX_START_SECONDS = 180
_MAX_REPLY_BYTES = 65536
# Component → where its address is in airflow.cfg, with Airflow's own default, and what is asked.
_ASKED = {
    "api-server": ("api", "host", "port", "8080", "/api/v2/version"),
    "scheduler": ("scheduler", "scheduler_health_check_server_host",
                  "scheduler_health_check_server_port", "8974", "/health"),
}  # fmt: skip


def answers() -> Part:
    """Ask each component that can be asked without a password and without Airflow."""
    running = {
        component: unit
        for component, unit in zip(
            _ASKED, units(*(f"airflow-{name}.service" for name in _ASKED)), strict=False
        )
        if unit.loaded and unit.active
    }
    if not running:
        return ABSENT
    path = Path(os.environ.get("AIRFLOW_CONFIG") or SETTINGS)
    settings = configparser.RawConfigParser()
    settings.read_string(path.read_text())
    found, lines, problems = {}, [], []
    for component, unit in running.items():
        problem = _silence(component, settings)
        starting = bool(problem) and _age(unit) < MAX_START_SECONDS
        found[component] = problem or "answers"
        lines.append(f"{component} {'is starting' if starting else problem or 'answers'}")
        if problem and not starting:
            look = f"{unit.name} is active, and {problem}: `journalctl -u {unit.name}`"
            problems.append(Problem(component, "silent", look))
    return Part(found, lines, problems)


def _silence(component: str, settings: configparser.RawConfigParser) -> str:
    """Return why a component is not well, and nothing if it is."""
    section, host_option, port_option, default_port, path = _ASKED[component]
    host = settings.get(section, host_option, fallback="")
    port = settings.get(section, port_option, fallback=default_port)
    # What listens on all addresses is asked at this machine's own.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared alone
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=MAX_REPLY_SECONDS)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read(_MAX_REPLY_BYTES)
        finally:
            connection.close()
    except TimeoutError:
        return f"{shown} does not answer within {MAX_REPLY_SECONDS:g} s"
    except OSError as error:
        return f"{shown} does not answer: {error.strerror or type(error).__name__}"
    except (http.client.HTTPException, ValueError):
        return f"{shown} does not answer as a server of Airflow does"
    # The scheduler says with 503 that its own heart does not beat.
    return "" if reply.status == 200 else f"{shown}{path} answers with the status {reply.status}"


def _age(unit: Unit) -> float:
    return time.time() - (unit.active_since or 0)
