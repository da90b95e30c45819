"""How fast it is, beside its peers and beside what the machine can do: `python -m tests.benchmarks`."""
