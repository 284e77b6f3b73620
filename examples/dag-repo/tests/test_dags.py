"""Every DAG file can be loaded and every config can be read, without a database."""

import importlib.util
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]


@unittest.skipUnless(importlib.util.find_spec("airflow"), "needs Airflow")
class DagsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        home = cls.enterClassContext(tempfile.TemporaryDirectory())
        environment = {
            "RAX_CONFIG_DIR": str(ROOT / "configs"),
            "AIRFLOW_HOME": os.environ.get("AIRFLOW_HOME", home),
        }
        cls.enterClassContext(mock.patch.dict(os.environ, environment))

        from airflow.dag_processing.dagbag import DagBag

        cls.bag = DagBag(dag_folder=ROOT / "dags", safe_mode=False)

    def test_no_file_fails(self):
        self.assertEqual(self.bag.import_errors, {})

    def test_every_file_has_a_dag(self):
        files = {Path(dag.fileloc) for dag in self.bag.dags.values()}
        self.assertEqual(files, set((ROOT / "dags").rglob("*.py")))

    def test_check_then_task_then_summary(self):
        for dag_id, dag in self.bag.dags.items():
            with self.subTest(dag_id):
                kinds = [
                    {task.operator_name for task in tasks} for tasks in (dag.roots, dag.leaves)
                ]
                self.assertEqual(kinds, [{"@check"}, {"@summary"}])
                self.assertEqual(len(dag.leaves), 1)

    def test_flights_are_loaded_between_them(self):
        dag = self.bag.dags["ebi_flights_daily"]
        self.assertEqual(
            {task.task_id: task.upstream_task_ids for task in dag.tasks},
            {
                "source_has_flights": set(),
                "target_answers": set(),
                "create_table": {"source_has_flights", "target_answers"},
                "load_month": {"create_table"},
                "report": {"load_month"},
            },
        )


@unittest.skipUnless(importlib.util.find_spec("rax"), "needs the package caspian-rax")
class ConfigsTest(unittest.TestCase):
    def setUp(self):
        environment = {"RAX_CONFIG_DIR": str(ROOT / "configs")}
        self.enterContext(mock.patch.dict(os.environ, environment))

    def test_every_config_can_be_read_and_holds_no_secret(self):
        from rax.config import find_secrets, get_config, list_configs

        self.assertTrue(list_configs())
        for name in list_configs():
            with self.subTest(name):
                self.assertEqual(find_secrets(get_config(name)), [])

    def test_config_of_the_flights(self):
        from rax.config import get_config

        from lib import flights

        config = get_config("ebi.flights.daily", flights.Config)
        self.assertEqual(config.months, tuple(range(1, 13)))


if __name__ == "__main__":
    unittest.main()
