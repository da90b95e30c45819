"""Sinks of rows that a run has, by its settings."""

from orderbook.output.files import FileSink
from orderbook.output.kafka import KafkaSink
from orderbook.output.row_sink import RowSink
from orderbook.settings import OutputSettings
from orderbook.shutdown import Shutdown

Sinks = dict[str, RowSink]


def sinks_of(chosen: OutputSettings, shutdown: Shutdown, waits: bool) -> Sinks:
    """The sinks that are chosen, by name; with `waits` the dataflow waits for them, else they drop rows."""
    sinks: Sinks = {}
    if chosen.data:
        sinks["files"] = FileSink(chosen.data, chosen.data_format, shutdown, waits=waits)
    if chosen.kafka:
        sinks["kafka"] = KafkaSink(chosen.kafka, shutdown, waits=waits)
    return sinks
