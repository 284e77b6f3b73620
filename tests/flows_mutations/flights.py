"""Bugs of the example: those of which functional tests without data see six."""

from tests.flows_mutations.mutation import Mutation

DAG, LIB = "dags/ebi/flights_daily.py", "lib/flights.py"
SELECTED = "    return (row for row in rows if row[:2] == wanted)"
RESULT = '        return {"month": month, "rows": loaded, "host": socket.gethostname()}'
DELETE = """            statement = sql.SQL("DELETE FROM {} WHERE year = %s AND month = %s")
            cursor.execute(statement.format(TABLE), (CONFIG.year, month))
"""
RAISE = (
    '            raise CheckError(f"The source has no flights for {CONFIG.year}, months {empty}")'
)
WRITTEN = (
    "    writer.writerows([None if value == MISSING else value for value in row] for row in rows)"
)
STORED = "            {month: stored.get(month, 0) for month in CONFIG.months},"
SELF = "            {month: expected.get(month, 0) for month in CONFIG.months},"
ROWS = "        rows = flights.select(flights.read(CONFIG.file), CONFIG.year, month)"
LOSING = (ROWS, f"{ROWS.replace('flights.select', 'list(flights.select')})[:-1]")
SDK = "from airflow.sdk import task\n"


def _dag(name: str, *changes: tuple[str, str]) -> Mutation:
    return Mutation(name, DAG, changes)


def _lib(name: str, *changes: tuple[str, str]) -> Mutation:
    return Mutation(name, LIB, changes)


# What the summary compares is the source with itself, so that it finds nothing.
BLIND = (STORED, f"{SELF}  # that of the source")

MUTATIONS = (
    _lib("a delay is doubled",
         (WRITTEN, WRITTEN.replace("value for value in row]",
                                   'str(2 * int(value)) if index == 5 else value '
                                   "for index, value in enumerate(row)]"))),
    _lib("two columns are swapped",
         (SELECTED, SELECTED.replace("(row for row", "((*row[:5], row[8], *row[6:8], row[5], "
                                     "*row[9:]) for row"))),
    _lib("a missing value becomes 0", (WRITTEN, WRITTEN.replace("None if", '"0" if'))),
    _lib("a delay of 0 becomes NULL",
         (WRITTEN, WRITTEN.replace("value == MISSING else value for value in row]",
                                   'value == MISSING or (index == 5 and value == "0") else value '
                                   "for index, value in enumerate(row)]"))),
    _lib("a column is left empty",
         (WRITTEN, WRITTEN.replace("value == MISSING else value for value in row]",
                                   "value == MISSING or index == 11 else value "
                                   "for index, value in enumerate(row)]"))),
    _lib("a text is cut at a comma",
         (WRITTEN, WRITTEN.replace("else value for", 'else value.partition(",")[0] for'))),
    _lib("the year is not looked at",
         (SELECTED, "    return (row for row in rows if row[1] == wanted[1])")),
    _dag("the last row is lost, and the summary does not look",
         LOSING, BLIND),
    _dag("the number of rows is wrong", (RESULT, RESULT.replace("loaded,", "loaded + 1,"))),
    _dag("a table is left over",
         ("            loaded = cursor.rowcount",
          "            loaded = cursor.rowcount\n"
          '            cursor.execute("CREATE TABLE IF NOT EXISTS scratch (a int)")')),
    _dag("nothing is deleted before", (DELETE, "")),
    _dag("nothing is deleted before in a retry",
         ("    def load_month(month: int)", "    def load_month(month: int, ti: Any = None)"),
         (DELETE, "            if ti.try_number == 1:\n"
          + "".join(f"    {line}\n" for line in DELETE.splitlines()))),
    _dag("a check does nothing", (RAISE, "            log.info(empty)")),
    _dag("a check skips in place of failing",
         (RAISE, RAISE.replace("CheckError", "AirflowSkipException")),
         (SDK, f"{SDK}from airflow.sdk.exceptions import AirflowSkipException\n")),
    _dag("the summary compares the source with itself", BLIND),
    _lib("a time has no zone", ('"time_hour": "timestamptz NOT NULL"',
                                '"time_hour": "timestamp NOT NULL"')),
    # Six that a good run without data sees, most by the summary of the workflow.
    _dag("the last row is lost", LOSING),
    _dag("a month is loaded as another one",
         ("flights.read(CONFIG.file), CONFIG.year, month)",
          "flights.read(CONFIG.file), CONFIG.year, month % 2 + 1)")),
    _dag("the rows of all months are deleted",
         (DELETE, DELETE.replace(" AND month = %s", "").replace("(CONFIG.year, month)",
                                                                "(CONFIG.year,)"))),
    _dag("nothing is committed",
         ("            loaded = cursor.rowcount",
          "            loaded = cursor.rowcount\n            cursor.connection.rollback()")),
    _lib("each row is read twice",
         ("        yield from rows", "        yield from (row for row in rows for _ in (0, 1))")),
    _dag("a task cannot be done", (RESULT, '        raise ValueError("no")')),
)  # fmt: skip
