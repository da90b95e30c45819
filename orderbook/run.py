"""Process of a run: signals, stdout, log and metrics, where the engine's command has it run a dataflow."""

import gc
import sys
import threading
from collections.abc import Callable

from prometheus_client import REGISTRY

from orderbook import settings
from orderbook.metrics import Metrics
from orderbook.output.lines import LineSink
from orderbook.output.log import start as start_log
from orderbook.shutdown import Shutdown


def start(
    shutdown: Shutdown,
    metrics: Metrics,
    lines: LineSink | None = None,
    at_exit: Callable[[], object] = lambda: None,
    background: Callable[[], object] = lambda: None,
) -> None:
    """Make the process the run's own where it is the engine's command; elsewhere it belongs to others.

    Without `lines` stdout is left as it is, for whoever writes there.
    """
    main = sys.modules["__main__"].__spec__
    if main is None or main.name not in ("bytewax.run", "bytewax.testing"):
        return
    settings.check_engine()
    if lines:
        lines.claim_stdout()
    shutdown.install(at_exit)
    start_log()  # has a thread, which must leave signals to the one of the shutdown
    REGISTRY.register(metrics)
    threading.Thread(target=background, daemon=True).start()
    gc.freeze()  # the program itself is never garbage: a full collection need not look at it again
