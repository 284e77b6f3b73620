"""Helpers that any workflow may use."""
