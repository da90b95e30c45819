"""Benchmarks of the dataflow, beside its peers and what the machine can do: `python -m tests.benchmarks`."""
