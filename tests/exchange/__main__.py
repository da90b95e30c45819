"""Command line of the simulated exchange: `python -m tests.exchange`."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO

from tests.exchange import Exchange
from tests.exchange.connection import Sent
from tests.exchange.market import PRODUCTS
from tests.exchange.trouble import FAULTS


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Formatter that shows defaults, and leaves the list of faults as it is."""


def listed(by_chance: bool) -> str:
    """The faults that happen by chance, or the others, a line each."""
    faults = [fault for fault in FAULTS.values() if fault.by_chance is by_chance]
    return "\n".join(f"  {fault.name:<27}{fault.act.__doc__}" for fault in faults)


def parser() -> argparse.ArgumentParser:
    """The options, named as the arguments of `Exchange`; those without a default are absent unless given."""
    made = argparse.ArgumentParser(
        prog="python -m tests.exchange",
        description="Serve a simulated exchange until SIGINT or SIGTERM.",
        epilog=f"faults, of which --faults draws one after another:\n{listed(True)}\n\n"
        f"faults that only happen by `Exchange.fault`:\n{listed(False)}",
        formatter_class=Formatter,
    )
    absent = argparse.SUPPRESS
    add = made.add_argument
    add("--port", type=int, default=8765, help="port of 127.0.0.1; 0 means any that is free")
    add("--tls", action="store_true", help="serve wss, with a certificate made at the start")
    add("--compression", choices=["deflate", "none"], default="deflate", help="of the frames")
    add("--products", default=",".join(PRODUCTS), help="comma-separated")
    add("--most-products", type=int, default=absent, help="products a request (default: no limit)")
    add("--seed", type=int, default=1, help="of the markets")
    add("--rate", type=float, default=20.0, help="updates a second a product")
    add(
        "--tick", type=float, default=absent, help="seconds from one burst to the next (default: sent evenly)"
    )
    add("--levels", type=int, default=absent, help="levels a side of every book (default: the product's)")
    add("--changes", type=int, default=absent, help="changes an update (default: they vary)")
    add("--prepared", type=int, default=0, help="updates made at the start, and gone to and fro over")
    add(
        "--faults",
        type=int,
        default=absent,
        dest="fault_seed",
        metavar="SEED",
        help="of faults by chance (default: none)",
    )
    add("--fault-interval", type=float, default=1.0, help="seconds from one fault to the next")
    add("--log", metavar="FILE", default=absent, help="append product, time, type of each frame")
    return made


def log_to(file: IO[str]) -> Callable[[str, Sent], None]:
    """A function that writes a frame's product, `time.monotonic()` and type as a line of a file."""

    def log(product: str, sent: Sent) -> None:
        kind = sent.frame[9 : sent.frame.find(b'"', 9)].decode(errors="replace")
        file.write(f"{product} {sent.when:.6f} {kind}\n")

    return log


def discard(product: str, sent: Sent) -> None:
    """Keep no record of a frame sent."""


def main() -> None:
    """Serve from a shell until SIGINT or SIGTERM."""
    options = parser()
    given = vars(options.parse_args())
    log, products = given.pop("log", None), given.pop("products")
    if given["compression"] == "none":
        given["compression"] = None
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("tests.exchange.trouble").setLevel(logging.INFO)
    # Frames that are written to a connection which its client has just left are lost, and no error.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # Blocked before any thread starts, so that only sigwait below ever gets them.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ExitStack() as stack:
        on_sent = log_to(stack.enter_context(open(log, "a"))) if log else discard
        exchange = Exchange(products.split(","), on_sent=on_sent, **given)
        try:
            stack.enter_context(exchange)
        except OSError as error:
            raise SystemExit(f"port {given['port']}: {error.strerror}") from None
        environment = exchange.environment
        if products != options.get_default("products"):
            environment["ORDERBOOK_PRODUCTS"] = products
        settings = " ".join(f"{name}={value}" for name, value in environment.items())
        print(f"listening on {exchange.url}; to run the dataflow against it:", file=sys.stderr)
        print(f"{settings} python -m bytewax.run dataflow:flow", file=sys.stderr, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
