"""Tests without a socket or a process."""
