"""In which order the tasks run."""

import importlib.util
import unittest


@unittest.skipUnless(importlib.util.find_spec("airflow"), "needs Airflow")
class StructureTest(unittest.TestCase):
    def test_flights_are_loaded_between_checks_and_summary(self):
        from rax.testing import load_dags

        dag = load_dags()["ebi_flights_daily"]
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


if __name__ == "__main__":
    unittest.main()
