"""Tests of the dataflow as a user runs it."""
