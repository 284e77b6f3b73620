"""For pytest: what Airflow puts on the path of every task, the root of this repository."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

# These need Airflow and a database driver; tests/test_dags.py imports them as Airflow does.
collect_ignore = ["dags", "util"]
