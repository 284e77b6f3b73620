"""What workflows know about their data: pure functions, tested alone."""
