"""Process that only waits for its shutdown; the options say how."""

import argparse
import logging
import threading
import time

from orderbook.output.log import start as start_log
from orderbook.shutdown import Shutdown


def main() -> None:
    """Wait until the shutdown is requested, by a signal or by itself, and end as a run does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--default-code", type=int, default=0)
    parser.add_argument("--resumable", action="store_true")
    parser.add_argument("--request", type=int, help="request this code itself")
    parser.add_argument("--request-at-exit", type=int, help="request this code last of all")
    parser.add_argument("--log-at-exit", type=int, default=0, help="log so many lines last of all")
    parser.add_argument("--end", action="store_true", help="end without a request")
    parser.add_argument("--stuck", action="store_true", help="never end")
    parser.add_argument("--unpolled", action="store_true", help="never look whether it should end")
    parser.add_argument("--abandon", action="store_true", help="abandon what remains, in another thread")
    options = parser.parse_args()
    shutdown = Shutdown(options.default_code, resumable=options.resumable)

    def at_exit() -> None:
        print(f"at exit: {shutdown.code}", flush=True)
        for n in range(options.log_at_exit):
            logging.warning("line %d", n)
        if options.request_at_exit is not None:
            shutdown.request(options.request_at_exit)

    shutdown.install(at_exit)
    start_log()
    if options.request is not None:
        shutdown.request(options.request)
    print("ready", flush=True)
    is_over = options.end
    while options.stuck or not is_over:
        time.sleep(0.01)
        if not options.unpolled:
            try:
                shutdown.check()
            except StopIteration:
                is_over = True
    if options.abandon:
        thread = threading.Thread(target=shutdown.abandon)
        thread.start()
        thread.join()
    print("end", flush=True)


if __name__ == "__main__":
    main()
