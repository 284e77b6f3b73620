"""What goes from the metadata database, and what must stay: the rule is in rax.airflow._old_rows.

To try another database, set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN to an empty one.
"""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.xcom import XComModel
from airflow.utils import db_cleanup
from sqlalchemy import delete, inspect, select, text, update
from sqlalchemy.exc import OperationalError

from rax.airflow import _old_rows, maintenance
from rax.airflow._old_rows import remove_old_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 180


def ago(days):
    return NOW - timedelta(days=days)


@pytest.fixture
def database(_metadata_database, monkeypatch):
    """Return what writes rows and tells which are left."""
    # It takes a second, and a test of its own.
    monkeypatch.setattr(_old_rows, "_refusal", lambda: "")
    with settings.Session() as session:
        yield Database(session)
        session.rollback()
        for table in (XComModel, TaskInstance, DagRun, DagVersion, DagModel, Log, DagBundleModel):
            session.execute(delete(table))
        session.commit()


class Database:
    def __init__(self, session):
        self.session = session
        session.add(DagBundleModel(name="dags"))
        session.commit()

    def dag(self, dag_id, *versions, stale=False):
        """Add a DAG, with a version from so many days ago each; return their ids."""
        self.session.add(
            DagModel(
                dag_id=dag_id, bundle_name="dags", is_stale=stale, fileloc="a", timetable_type="t"
            )
        )
        self.session.commit()
        made = [
            DagVersion(
                id=uuid.uuid4(), dag_id=dag_id, version_number=number, bundle_name="dags",
                created_at=ago(days),
            )
            for number, days in enumerate(versions, 1)
        ]  # fmt: skip
        self.session.add_all(made)
        self.session.commit()
        return [version.id for version in made]

    def run(self, dag_id, days, kind="scheduled", state="success", version=None, **given):
        """Add a run that ended so many days ago, with two tasks of which one never started."""
        run_id = f"{kind}-{days}"
        run = {
            "dag_id": dag_id, "run_id": run_id, "run_type": kind, "state": state,
            "logical_date": ago(days + 1), "run_after": ago(days + 1), "start_date": ago(days + 1),
            "end_date": ago(days) if state in ("success", "failed") else None,
            "created_dag_version_id": version, "log_template_id": None, **given,
        }  # fmt: skip
        number = self.session.scalar(DagRun.__table__.insert().returning(DagRun.id), run)
        started = TaskInstance.__table__.insert()
        for task, at in (("t", ago(days)), ("never", None)):
            self.session.execute(
                started,
                {
                    "id": uuid.uuid4(), "dag_id": dag_id, "run_id": run_id, "task_id": task,
                    "map_index": -1, "try_number": 1, "max_tries": 0, "pool": "default_pool",
                    "pool_slots": 1, "queue": "default", "start_date": at,
                    "dag_version_id": version,
                },
            )  # fmt: skip
        self.session.execute(
            XComModel.__table__.insert(),
            {
                "dag_run_id": number, "dag_id": dag_id, "run_id": run_id, "task_id": "t",
                "map_index": -1, "key": "k", "value": 1, "timestamp": ago(days),
            },
        )  # fmt: skip
        self.session.commit()
        return number

    def runs(self):
        """Return the runs that are left; all that belongs to one is there, or nothing is."""
        found = {
            (dag, run) for dag, run in self.session.execute(select(DagRun.dag_id, DagRun.run_id))
        }
        for table, rows in ((TaskInstance, 2), (XComModel, 1)):
            left = self.session.execute(select(table.dag_id, table.run_id)).all()
            assert sorted(left) == sorted(list(found) * rows)
        self.session.commit()
        return sorted(found)

    def versions(self, dag_id):
        query = select(DagVersion.version_number).where(DagVersion.dag_id == dag_id)
        found = self.session.scalars(query).all()
        self.session.commit()
        return sorted(found)


def test_runs_go_whole_when_they_ended_long_ago(database):
    database.dag("a")
    for days in (1, 179, 181, 500):
        database.run("a", days)
    assert remove_old_rows(DAYS, NOW) == []
    assert database.runs() == [("a", "scheduled-1"), ("a", "scheduled-179")]


def test_the_newest_run_of_each_kind_stays_with_its_tasks(database):
    """The scheduler takes from it what is due next, and depends_on_past what its tasks did."""
    database.dag("yearly")
    database.dag("other")
    for kind in ("scheduled", "manual", "backfill", "asset_triggered"):
        database.run("yearly", 400, kind, logical_date=ago(400 + len(kind)))
        database.run("yearly", 300, kind, logical_date=ago(300 + len(kind)))
    # What was begun first may have been due last.
    database.run("other", 900)
    database.run("other", 200, logical_date=ago(1000))
    # One without a logical date is told by when it was due.
    database.run("other", 700, "manual", logical_date=None)
    database.run("other", 600, "manual", logical_date=None)
    assert remove_old_rows(DAYS, NOW) == []
    assert database.runs() == [
        ("other", "manual-600"),
        ("other", "scheduled-900"),
        ("yearly", "asset_triggered-300"),
        ("yearly", "backfill-300"),
        ("yearly", "manual-300"),
        ("yearly", "scheduled-300"),
    ]


@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_run_that_has_not_ended_stays_however_old(database, state):
    """`airflow db clean` would remove the tasks that it has done, and they would run again."""
    database.dag("a")
    database.run("a", 1)
    database.run("a", 900, "manual", state)
    database.run("a", 800, "manual")
    database.run("a", 700, "manual")
    assert remove_old_rows(DAYS, NOW) == []
    assert ("a", "manual-900") in database.runs()
    assert ("a", "manual-800") not in database.runs()


def test_many_runs_go_in_batches(database, monkeypatch):
    monkeypatch.setattr(_old_rows, "RUNS_PER_BATCH", 3)
    database.dag("a")
    for days in range(200, 211):
        database.run("a", days)
    assert remove_old_rows(DAYS, NOW) == []
    assert database.runs() == [("a", "scheduled-200")]


def test_a_run_that_somebody_begins_again_meanwhile_stays(database, monkeypatch):
    database.dag("a")
    for days in (1, 300, 400):
        database.run("a", days)
    real = _old_rows._batches

    def batches(found, size):
        database.session.execute(
            text("UPDATE dag_run SET state = 'queued' WHERE run_id = 'scheduled-300'")
        )
        database.session.commit()
        return real(found, size)

    monkeypatch.setattr(_old_rows, "_batches", batches)
    assert remove_old_rows(DAYS, NOW) == []
    assert database.runs() == [("a", "scheduled-1"), ("a", "scheduled-300")]


def test_versions_that_nothing_is_of_go_but_the_newest(database):
    first, second, _third, _newest = database.dag("a", 800, 700, 600, 500)
    database.dag("young", 20, 10)
    database.run("a", 5, version=first)
    database.run("a", 300, version=second)
    assert remove_old_rows(DAYS, NOW) == []
    # The second went with its run.
    assert database.versions("a") == [1, 4]
    assert database.versions("young") == [1, 2]


def removed_dag(database):
    """A DAG that is gone: its last run is kept, and one of its tasks never started."""
    (version,) = database.dag("gone", 400, stale=True)
    database.run("gone", 300, version=version)
    database.session.execute(update(DagModel).values(last_parsed_time=ago(300)))
    database.session.commit()


def test_a_dag_that_is_gone(database):
    """With it, `airflow db clean` ends in an error (apache/airflow#71864)."""
    removed_dag(database)
    assert remove_old_rows(DAYS, NOW) == []
    assert database.runs() == [("gone", "scheduled-300")]
    assert database.versions("gone") == [1]


def tables():
    with settings.Session() as session:
        return set(inspect(session.get_bind()).get_table_names())


def test_rows_of_their_own_go_by_age_and_leave_no_archive(database):
    before = tables()
    for days in (1, 179, 181):
        log = Log(event=f"e{days}")
        log.dttm = ago(days)
        database.session.add(log)
    database.session.commit()
    assert remove_old_rows(DAYS, NOW) == []
    assert sorted(database.session.scalars(select(Log.event))) == ["e1", "e179"]
    assert tables() == before


def test_archives_of_others_are_dropped_when_they_are_old_themselves(database):
    names = {
        "_airflow_deleted__log__20251101000000": False,
        "_airflow_deleted__task_instance__20251101000000__b12": False,
        "_airflow_deleted__log__20260501000000": True,
        "_airflow_deleted__mine": True,
        "_xcom_archive": True,
    }
    for name in names:
        database.session.execute(text(f"CREATE TABLE {name} (id INTEGER)"))
    database.session.commit()
    try:
        assert remove_old_rows(DAYS, NOW) == []
        assert {name: name in tables() for name in names} == names
    finally:
        for name in names:
            database.session.execute(text(f"DROP TABLE IF EXISTS {name}"))
        database.session.commit()


def test_zero_days_keep_all_history(database):
    database.dag("a")
    for days in (1, 3000):
        database.run("a", days)
    assert remove_old_rows(0, NOW) == []
    assert len(database.runs()) == 2


def test_a_step_that_fails_is_told_without_values_and_the_others_go_on(database, monkeypatch):
    database.dag("a")
    for days in (1, 300):
        database.run("a", days)

    def fail():
        raise OperationalError(
            "DELETE", {"password": "CANARY"}, RuntimeError("server gone\nCANARY")
        )

    monkeypatch.setattr(_old_rows, "_remove_versions", lambda _before: fail())
    assert remove_old_rows(DAYS, NOW) == [
        "versions of DAGs were not removed: RuntimeError: server gone"
    ]
    assert database.runs() == [("a", "scheduled-1")]


@pytest.mark.usefixtures("database")
def test_tables_that_airflow_could_not_clean_are_told(monkeypatch):
    """It logs such an error and goes on."""

    def fail(**_):
        raise OperationalError("DELETE", {}, RuntimeError("no"))

    monkeypatch.setattr(db_cleanup, "_cleanup_table", fail)
    problems = remove_old_rows(DAYS, NOW)
    assert [problem.partition(":")[0] for problem in problems] == [
        "expired rows were not removed",
        "old rows were not removed",
    ]
    assert "'job'" in problems[1]


@pytest.mark.usefixtures("_metadata_database")
def test_the_schema_is_looked_at_first():
    assert _old_rows._refusal() == ""


def test_nothing_is_removed_from_a_schema_of_another_release(monkeypatch):
    def late(timeout):
        raise TimeoutError(f"There are still unapplied migrations after {timeout} seconds")

    monkeypatch.setattr("airflow.utils.db.check_migrations", late)
    monkeypatch.setattr(_old_rows, "_clean", None)
    assert remove_old_rows(DAYS, NOW) == [
        "the metadata database is not that of the installed Airflow: site.yml migrates it"
    ]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return what runs the program, with what the database says, and what it wrote."""
    status, asked = tmp_path / "status.json", []

    def run(*problems):
        monkeypatch.setattr(
            _old_rows, "remove_old_rows", lambda days, _now: asked.append(days) or list(problems)
        )
        code = maintenance.main(
            ["--status", str(status), "--logs", str(tmp_path), "--log-percent", "0",
             "--history-days", "180"]
        )  # fmt: skip
        return code, json.loads(status.read_text()), asked

    return run


def test_the_database_is_cleaned_once_a_day_and_again_after_an_error(program):
    code, status, asked = program("runs were not removed: \x1b[31m" + "x" * 5000)
    assert code == 1
    assert status["history_cleaned"] is None
    assert status["problems"][0].startswith("runs were not removed: \\x1b[31m")
    assert len(status["problems"][0]) == maintenance.MAX_PROBLEM_CHARACTERS
    code, status, asked = program()
    assert (code, status["problems"], asked) == (0, [], [180, 180])
    cleaned = status["history_cleaned"]
    code, status, asked = program("not asked")
    assert (code, status["history_cleaned"], asked) == (0, cleaned, [180, 180])


def test_every_table_that_airflow_cleans_is_named_or_has_its_reason_here():
    """A new table of a new Airflow is decided about, not forgotten."""
    elsewhere = {
        # With their run.
        "dag_run", "task_instance", "task_instance_history", "task_reschedule", "xcom",
        # With what nothing is of any longer.
        "dag_version",
        # A row for each DAG that ever was: few, and its schedule goes on where it comes back.
        "dag",
        # The triggerer removes those that no task waits for.
        "trigger",
        # Celery keeps nothing in this database.
        "celery_taskmeta", "celery_tasksetmeta",
        # What a migration from Airflow 2 left; it does not grow.
        "_xcom_archive",
    }  # fmt: skip
    named = {*_old_rows.AGED_TABLES, *_old_rows.EXPIRING_TABLES}
    assert {*db_cleanup.config_dict, "session"} == named | elsewhere
    assert not named & elsewhere
    assert TaskInstanceHistory.__tablename__ in elsewhere
