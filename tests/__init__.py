"""The promises, and what it takes to test them.

    test_*.py           the promises: the rooms of `orderbook/`, live runs, faults, outage, recovery, workers
    oracle.py           the naive judge of a book
    witness.py, judged.py   what may be printed, given what was sent
    exchange.py         the simulated exchange; its inside is in simulated/
    run.py, live.py, hearing.py, listener.py   a dataflow, a live run, a feed, an exchange to listen to
    recordings/         what comes with the project to be replayed
    benchmarks/         how fast it is, beside its peers

Long forms, each run by `python -m tests.…`: soak (bad weather), outage (the network away), kill
(recovery), fuzz and fuzz_feed (hostile frames), soak_book (a hundred million changes).
"""
