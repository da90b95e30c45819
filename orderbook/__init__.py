"""Live order books: the modules that `dataflow.py` puts together."""
