"""Load the flights that left New York into PostgreSQL, one task per month.

check → create_table → load_month (one per month, on any worker) → summary

A month is replaced as a whole, in one transaction: the run may be repeated at any time.
"""

import logging
import socket
from datetime import timedelta

from airflow.sdk import TriggerRule, dag, task
from psycopg2 import sql
from rax.config import get_config

from lib import flights
from util.postgres import transaction

log = logging.getLogger(__name__)

CONFIG = get_config("ebi.flights.daily")
TABLE = sql.Identifier(CONFIG.table)


@dag(
    dag_id="ebi_flights_daily",
    schedule=None,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["ebi"],
    doc_md=__doc__,
)
def ebi_flights_daily():
    """Declare the tasks; nothing here runs before its task does."""

    @task(retries=0)
    def check():
        """Abort before anything is changed, when source or target cannot be used."""
        rows = flights.count_by_month(flights.read(), CONFIG.year)
        if empty := [month for month in CONFIG.months if not rows.get(month)]:
            # Here an alert would be triggered.
            raise ValueError(f"The source has no flights for {CONFIG.year}, months {empty}")
        with transaction(CONFIG.source) as cursor:
            cursor.execute("SELECT version()")
            log.info("The target answers: %s", *cursor.fetchone())
        return {"rows": sum(rows[month] for month in CONFIG.months), "host": socket.gethostname()}

    @task
    def create_table():
        """Make the table where it is missing, once, before many tasks write to it."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in flights.COLUMNS.items()
        )
        with transaction(CONFIG.source) as cursor:
            statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})")
            cursor.execute(statement.format(TABLE, columns))
        return {"host": socket.gethostname()}

    @task(max_active_tis_per_dagrun=4)
    def load_month(month):
        """Replace the rows of one month."""
        rows = flights.select(flights.read(), CONFIG.year, month)
        with transaction(CONFIG.source) as cursor:
            statement = sql.SQL("DELETE FROM {} WHERE year = %s AND month = %s")
            cursor.execute(statement.format(TABLE), (CONFIG.year, month))
            statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv)")
            cursor.copy_expert(statement.format(TABLE), flights.to_csv(rows))
            loaded = cursor.rowcount
        log.info("Loaded %d flights of %d-%02d", loaded, CONFIG.year, month)
        return {"month": month, "rows": loaded, "host": socket.gethostname()}

    @task(trigger_rule=TriggerRule.ALL_DONE, retries=0)
    def summary(ti):
        """Say what was done, whatever happened; fail when anything has failed.

        With the trigger rule alone, a run whose check or load has failed would be a success.
        """
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
        problems = [
            f"{name} is {state}"
            for name, state in sorted(states.items())
            if state != "success" and name != ti.task_id
        ]
        log.info("Tasks that did not succeed: %s", ", ".join(problems) or "none")

        hosts = {
            result["month"]: result["host"]
            for result in ti.xcom_pull(task_ids=["load_month"])
            if result
        }
        expected = flights.count_by_month(flights.read(), CONFIG.year)
        expected = {month: expected.get(month, 0) for month in CONFIG.months}
        with transaction(CONFIG.source) as cursor:
            statement = sql.SQL("SELECT month, count(*) FROM {} WHERE year = %s GROUP BY month")
            cursor.execute(statement.format(TABLE), (CONFIG.year,))
            stored = dict(cursor.fetchall())
        log.info("Flights of %d:\n%s", CONFIG.year, flights.report(expected, stored, hosts))

        problems += flights.differences(expected, stored)
        # Here an alert would be triggered if there are problems, and resolved if there are none.
        if problems:
            raise RuntimeError("; ".join(problems))
        return {"rows": sum(stored.values()), "host": socket.gethostname()}

    check() >> create_table() >> load_month.expand(month=CONFIG.months) >> summary()


ebi_flights_daily()
