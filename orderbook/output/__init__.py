"""Outputs of the dataflow."""
