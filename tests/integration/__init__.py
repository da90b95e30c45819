"""Tests of this process against the simulated exchange."""
