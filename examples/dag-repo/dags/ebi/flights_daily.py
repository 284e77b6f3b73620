"""Load the flights that left New York into PostgreSQL, one task per month.

source_has_flights, target_answers → create_table → load_month (one per month) → report

A month is replaced as a whole, in one transaction: the run may be repeated at any time.
"""

import logging
import socket
from datetime import timedelta
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import task
from psycopg2 import sql
from rax.config import get_config
from rax.errors import CheckError
from rax.workflow import Summary, answers, check, compare_counts, summary, workflow

from lib import flights
from util.postgres import transaction

log = logging.getLogger(__name__)

CONFIG = get_config("ebi.flights.daily", flights.Config)
TABLE = sql.Identifier(CONFIG.table)


@workflow(
    schedule=None,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["ebi"],
    doc_md=__doc__,
)
def ebi_flights_daily() -> None:
    """Declare the tasks; nothing here runs before its task does."""

    @check
    def source_has_flights() -> dict[str, Any]:
        """Abort before anything is changed, when a month has no flights at all."""
        rows = flights.count_by_month(flights.read(CONFIG.file), CONFIG.year)
        if empty := [month for month in CONFIG.months if not rows.get(month)]:
            raise CheckError(f"The source has no flights for {CONFIG.year}, months {empty}")
        return {"rows": sum(rows[month] for month in CONFIG.months), "host": socket.gethostname()}

    @check
    def target_answers() -> None:
        """Abort when the database cannot be used: rax.workflow knows how to ask it."""
        answers(CONFIG.source)

    # An operator as it comes with Airflow: the name of a credential is the id of a connection.
    create_table = SQLExecuteQueryOperator(
        task_id="create_table", conn_id=CONFIG.source, sql=flights.create_table(CONFIG.table)
    )

    @task(max_active_tis_per_dagrun=4)
    def load_month(month: int) -> dict[str, Any]:
        """Replace the rows of one month."""
        rows = flights.select(flights.read(CONFIG.file), CONFIG.year, month)
        with transaction(CONFIG.source) as cursor:
            statement = sql.SQL("DELETE FROM {} WHERE year = %s AND month = %s")
            cursor.execute(statement.format(TABLE), (CONFIG.year, month))
            statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv)")
            cursor.copy_expert(statement.format(TABLE), flights.to_csv(rows))
            loaded = cursor.rowcount
        log.info("Loaded %d flights of %d-%02d", loaded, CONFIG.year, month)
        return {"month": month, "rows": loaded, "host": socket.gethostname()}

    @summary
    def report(summary: Summary) -> dict[str, Any] | None:
        """Compare what the source has with what the target has, whatever happened.

        What the tasks did is reported without this, and a run in which one has failed is failed.
        """
        if summary.aborted:
            return None
        expected = flights.count_by_month(flights.read(CONFIG.file), CONFIG.year)
        with transaction(CONFIG.source) as cursor:
            statement = sql.SQL("SELECT month, count(*) FROM {} WHERE year = %s GROUP BY month")
            cursor.execute(statement.format(TABLE), (CONFIG.year,))
            stored = dict(cursor.fetchall())
        return compare_counts(
            {month: expected.get(month, 0) for month in CONFIG.months},
            {month: stored.get(month, 0) for month in CONFIG.months},
        )

    create_table >> load_month.expand(month=CONFIG.months)


ebi_flights_daily()
