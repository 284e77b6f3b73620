"""Load what stations have measured, and write their averages.

api_answers, target_answers → create_tables → list_stations → load (one per station)
→ write_averages → choose → alarm or no_alarm → report
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
from airflow.sdk import task
from rax.alerting import trigger
from rax.config import get_config
from rax.credentials import get_credentials
from rax.errors import CheckError
from rax.workflow import Summary, answers, check, compare_counts, summary, workflow

from lib import measurements

CONFIG = get_config("measurements")
TABLES = """
CREATE TABLE IF NOT EXISTS measurements (
    id integer PRIMARY KEY, station text NOT NULL, taken_at timestamptz NOT NULL,
    celsius numeric(4, 1)
);
CREATE TABLE IF NOT EXISTS totals (station text PRIMARY KEY, number integer NOT NULL)
"""
UPSERT = """
INSERT INTO measurements VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET taken_at = excluded.taken_at, celsius = excluded.celsius
"""
TOTAL = """
INSERT INTO totals VALUES (%s, %s)
ON CONFLICT (station) DO UPDATE SET number = excluded.number
"""
AVERAGES = """
SELECT station, round(avg(celsius), 2)::text FROM measurements
WHERE station = ANY(%s) GROUP BY station
"""

log = logging.getLogger(__name__)


@contextmanager
def transaction() -> Iterator[Any]:
    """Give a cursor; what is done by it is committed as a whole, or not at all."""
    found = get_credentials(CONFIG.database)
    connection = psycopg2.connect(
        host=found["host"], port=found["metadata"]["port"], user=found["user"],
        dbname=found["metadata"]["database"], password=found["pass"],
    )  # fmt: skip
    with closing(connection), connection, connection.cursor() as cursor:
        yield cursor


@workflow(
    schedule=None,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
)
def measurements_hourly() -> None:
    """Declare the tasks."""

    @check
    def api_answers() -> None:
        """Abort when there is no station to ask."""
        if not measurements.stations(CONFIG.api):
            raise CheckError("No station is active")

    @check
    def target_answers() -> None:
        """Abort when the database cannot be used."""
        answers(CONFIG.database)

    @task
    def create_tables() -> None:
        """Make the tables where they are missing."""
        with transaction() as cursor:
            cursor.execute(TABLES)

    @task
    def list_stations() -> list[str]:
        """Return the stations that measure."""
        return measurements.stations(CONFIG.api)

    @task
    def load(station: str) -> dict[str, Any]:
        """Insert or update what a station has measured."""
        rows = list(measurements.measurements(CONFIG.api, station))
        with transaction() as cursor:
            cursor.executemany(UPSERT, rows)
            cursor.execute(TOTAL, (station, len(rows)))
        return {"station": station, "rows": len(rows)}

    @task
    def write_averages(names: list[str]) -> str:
        """Write the average of each station into the target."""
        with transaction() as cursor:
            cursor.execute(AVERAGES, (names,))
            measurements.write_averages(Path(CONFIG.target), cursor.fetchall())
        return CONFIG.target

    @task.branch
    def choose() -> str:
        """Say whether somebody has to look."""
        with transaction() as cursor:
            cursor.execute("SELECT max(celsius) FROM measurements")
            hottest = cursor.fetchone()[0]
        return "alarm" if hottest is not None and hottest > CONFIG.alarm_celsius else "no_alarm"

    @task(retries=0)
    def alarm() -> None:
        """Tell of the heat."""
        trigger("A station is too hot", severity="warning", dedup_key="measurements/heat")

    @task
    def no_alarm() -> None:
        """Leave people in peace."""

    @summary
    def report(summary: Summary) -> dict[str, Any] | None:
        """Compare what the API has with what is stored."""
        if summary.aborted:
            return None
        names = measurements.stations(CONFIG.api)
        expected = {name: len(list(measurements.measurements(CONFIG.api, name))) for name in names}
        with transaction() as cursor:
            cursor.execute("SELECT station, count(*) FROM measurements GROUP BY station")
            found = dict(cursor.fetchall())
        return compare_counts(expected, {name: found.get(name, 0) for name in names})

    names = list_stations()
    loaded = load.expand(station=names)
    written = write_averages(names)
    chosen = choose()
    create_tables() >> names
    loaded >> written >> chosen >> [alarm(), no_alarm()]


measurements_hourly()
