"""Process of a run: signals, stdout, log and metrics, where the engine's command has it run a dataflow."""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable

from prometheus_client import REGISTRY

from orderbook import engine
from orderbook.metrics import Metrics
from orderbook.output.lines import LineSink
from orderbook.output.log import LogHandler
from orderbook.output.log import start as start_log
from orderbook.page.server import Page
from orderbook.shutdown import Shutdown

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 1.0  # seconds


def start(
    shutdown: Shutdown,
    metrics: Metrics,
    page: Page,
    lines: LineSink | None = None,
    at_exit: Callable[[], object] = lambda: None,
    background: Callable[[], object] = lambda: None,
    progress: Callable[[], str | None] | None = None,
) -> None:
    """Make the process the run's own where it is the engine's command; elsewhere it belongs to others.

    `at_exit` answers whether all came to its end, so that a page may stay. Without `lines` stdout is left as
    it is, for whoever writes there. How far the run is, as `progress` tells it, is shown below the log where
    stderr is a terminal and stdout is none: lines there would tear it.
    """
    main = sys.modules["__main__"].__spec__
    if main is None or main.name not in ("bytewax.run", "bytewax.testing"):
        return
    engine.check()
    shows = bool(sys.stderr and sys.stderr.isatty() and not (sys.stdout and sys.stdout.isatty()))
    page.listen(engine.process_id())
    if lines:
        lines.claim_stdout()

    def end() -> None:
        if at_exit() and page.is_served:
            log.info("the page stays at %s until a signal comes", page.url)
            page.mark_ended()
            shutdown.linger(lambda: page.is_served)
        page.close()

    shutdown.install(end)
    handler = start_log()  # has a thread, which must leave signals to the one of the shutdown
    REGISTRY.register(metrics)
    page.start()
    threading.Thread(target=background, daemon=True).start()
    if progress and shows and handler:
        threading.Thread(target=_show, args=[progress, handler], daemon=True).start()
    gc.freeze()  # the program itself is never garbage: a full collection need not look at it again


def _show(progress: Callable[[], str | None], handler: LogHandler) -> None:
    while True:
        time.sleep(PROGRESS_INTERVAL)
        if text := progress():
            handler.show(text)
