"""Bugs of the second workflow: HTTP, a file that it writes, a branch, totals and corrections."""

from tests.flows_mutations.mutation import Mutation

DAG, LIB = "dags/measurements.py", "lib/measurements.py"
EMPTY = '            raise CheckError("No station is active")'
UPDATE = "ON CONFLICT (id) DO UPDATE SET taken_at = excluded.taken_at, celsius = excluded.celsius"
TOTAL = "ON CONFLICT (station) DO UPDATE SET number = excluded.number"
ALARM = 'trigger("A station is too hot", severity="warning", dedup_key="measurements/heat")'


def _dag(name: str, *changes: tuple[str, str]) -> Mutation:
    return Mutation(name, DAG, changes)


def _lib(name: str, *changes: tuple[str, str]) -> Mutation:
    return Mutation(name, LIB, changes)


MUTATIONS = (
    _lib("further pages are not asked for", ('found.get("next")', "None")),
    _lib("stations that measure no more are loaded", (' if one["active"])', ")")),
    _lib("a temperature is converted otherwise",
         ("(fahrenheit - 32) / 1.8", "fahrenheit / 1.8 - 32")),
    _lib("a missing temperature becomes 0", ("        return None\n", "        return 0.0\n")),
    _lib("0 °F is taken for missing", ("if fahrenheit is None:", "if not fahrenheit:")),
    _lib("the zone of a time is dropped",
         ('datetime.fromisoformat(one["at"]).astimezone(UTC)',
          'datetime.fromisoformat(one["at"]).replace(tzinfo=UTC)')),
    _dag("a correction is not taken", (UPDATE, "ON CONFLICT DO NOTHING")),
    _dag("totals grow with each run", (TOTAL, TOTAL.replace("excluded.number",
                                                            "totals.number + excluded.number"))),
    _lib("the file grows with each run",
         ('    with new.open("w", newline="") as file:',
          '    with path.open("a", newline="") as file:'),
         ("    new.replace(path)\n", "")),
    _lib("the file is in no order", ("writer.writerows(sorted(rows))",
                                     "writer.writerows(sorted(rows, reverse=True))")),
    _lib("a file is left over",
         ("    new.replace(path)\n", "    path.write_text(new.read_text())\n")),
    _dag("the branch is the other way round", ("hottest > CONFIG", "hottest < CONFIG")),
    _dag("the alarm is less urgent", (ALARM, ALARM.replace("warning", "info"))),
    _dag("a check does nothing", (EMPTY, "            log.info('none')")),
    _dag("the summary trusts the tasks",
         ("compare_counts(expected, {name: found.get(name, 0) for name in names})",
          'compare_counts(sum(expected.values()), summary.rows["load"])')),
    _dag("the table of another station is emptied",
         ("            cursor.executemany(UPSERT, rows)",
          '            cursor.execute("DELETE FROM measurements WHERE station <> %s", (station,))\n'
          "            cursor.executemany(UPSERT, rows)")),
    _dag("a text in place of a number",
         ("celsius numeric(4, 1)", "celsius text")),
)  # fmt: skip
