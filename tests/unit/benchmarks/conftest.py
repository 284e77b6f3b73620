"""Helpers are in bench_testing.py; this makes them importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
