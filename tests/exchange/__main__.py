"""Command line of the simulated exchange: `python -m tests.exchange`."""

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO

from tests.exchange import Exchange
from tests.exchange.connection import Sent
from tests.exchange.market import PRODUCTS


def log_to(file: IO[str]) -> Callable[[str, Sent], None]:
    """What to do with a frame sent so that its product, time and type become a line of a file."""

    def log(product: str, sent: Sent) -> None:
        kind = sent.frame[9 : sent.frame.find(b'"', 9)].decode(errors="replace")
        file.write(f"{product} {sent.when:.6f} {kind}\n")

    return log


def discard(product: str, sent: Sent) -> None:
    """Keep no record of a frame sent."""


def main() -> None:
    """Serve from a shell until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--products", default=",".join(PRODUCTS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=20.0, help="updates a second a product")
    parser.add_argument("--tick", type=float, help="seconds between ticks, at which all updates are sent")
    parser.add_argument("--tls", action="store_true", help="speak wss, with a certificate of its own")
    parser.add_argument("--levels", type=int, help="levels a side of every book")
    parser.add_argument("--changes", type=int, help="changes an update")
    parser.add_argument("--prepared", type=int, default=0, help="updates made beforehand, and gone over")
    parser.add_argument("--compression", choices=["deflate", "none"], default="deflate")
    parser.add_argument("--faults", type=int, metavar="SEED", help="faults by chance")
    parser.add_argument("--fault-interval", type=float, default=1.0, help="seconds")
    parser.add_argument("--log", metavar="FILE", help="append product, time, type of each frame")
    options = parser.parse_args()
    # Blocked before any thread starts, so that only sigwait below ever gets them.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ExitStack() as stack:
        log = stack.enter_context(open(options.log, "a")) if options.log else None
        exchange = Exchange(
            options.products.split(","),
            seed=options.seed,
            rate=options.rate,
            tick=options.tick,
            tls=options.tls,
            prepared=options.prepared,
            levels=options.levels,
            changes=options.changes,
            port=options.port,
            compression=None if options.compression == "none" else options.compression,
            on_sent=log_to(log) if log else discard,
            fault_seed=options.faults,
            fault_interval=options.fault_interval,
        )
        try:
            stack.enter_context(exchange)
        except OSError as error:
            raise SystemExit(f"port {options.port}: {error.strerror}") from None
        settings = " ".join(f"{name}={value}" for name, value in exchange.environment.items())
        if options.products != parser.get_default("products"):
            settings += f" ORDERBOOK_PRODUCTS={options.products}"
        print(f"listening on {exchange.url}; to run the dataflow against it:", file=sys.stderr)
        print(f"{settings} python -m bytewax.run dataflow:flow", file=sys.stderr, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
