"""What the workflows of this repository know about their data: pure functions, tested alone."""
