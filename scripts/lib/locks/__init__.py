"""The program behind scripts/lock: pins all Python packages with hashes, and checks the locks."""
