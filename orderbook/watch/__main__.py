"""Command line of the view in a terminal: `python -m orderbook.watch [URL]`."""

import argparse
import asyncio
import sys

URL = "ws://127.0.0.1:8080/ws"
RICH = "rich==15.0.0"


def main() -> None:
    """Watch until q, Ctrl-C or a signal; exit code 1, with one line, where that can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m orderbook.watch",
        description="Watch the books of a live page's server in a terminal.",
    )
    parser.add_argument("url", nargs="?", default=URL, help=f"its push, ws:// or wss:// (default: {URL})")
    url = parser.parse_args().url
    try:
        import rich  # noqa: F401
    except ImportError:
        sys.exit(f"watch: needs the package rich: {sys.executable} -m pip install {RICH}")
    from orderbook.watch.client import NoLivePage
    from orderbook.watch.terminal import Terminal
    from orderbook.watch.view import View

    async def watch() -> None:
        await View(url).run(Terminal())

    try:
        asyncio.run(watch())
    except (NoLivePage, OSError) as error:
        sys.exit(f"watch: {error}")


if __name__ == "__main__":
    main()
