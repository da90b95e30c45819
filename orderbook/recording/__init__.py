"""Recordings: written and replayed."""
