"""The parts of the order book dataflow, one room a matter; `dataflow.py` puts them together."""
