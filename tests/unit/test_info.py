"""Contents of recordings: what is counted, and what is not whole."""

from pathlib import Path

from orderbook.info import Product, contents, table
from tests.exchange.market import Market
from tests.support.processes import run
from tests.support.recordings import ARRIVAL, RECORDINGS, gap, text, write

BTC = Market("BTC-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
FRAMES = [BTC.snapshot(), BTC.update(), BTC.update(), BTC.match(), BTC.heartbeat()]


def test_counts_of_a_product(tmp_path: Path) -> None:
    """Frames are counted by their kinds over all files, and breaks of the stream by their reasons."""
    first = write(tmp_path / "a.jsonl", text([*FRAMES, gap("BTC-USD"), gap("BTC-USD")]))
    second = write(tmp_path / "b.jsonl.gz", text([gap("BTC-USD", "other"), BTC.snapshot()]))
    products: dict[str, Product] = {}
    assert list(contents([first, second], products)) == []
    its = products["BTC-USD"]
    assert (its.frames, its.snapshots, its.updates, its.trades) == (6, 2, 2, 1)
    assert its.gaps == {"gap: the recording was interrupted": 2, "gap: other": 1}
    _header, row, *gaps = table(products)
    assert row.split()[:7] == ["BTC-USD", "2026-09-21", "14:13:20", "UTC", "2026-09-21", "14:13:20", "UTC"]
    assert row.split()[7:] == ["6", "2", "2", "1", "3"]
    assert gaps == ["    2 × gap: the recording was interrupted", "    1 × gap: other"]


def test_what_is_missing(tmp_path: Path) -> None:
    """Told are trades that are missing by their ids, and times without a message of a product."""
    ids = [(7, "match"), (8, "match"), (11, "match"), (13, "last_match"), (14, "match")]
    trade = '{"type":"%s","product_id":"A-B","trade_id":%d,"side":"buy","price":"1","size":"1"}'
    lines = [f"{ARRIVAL + 10**9 * n} {trade % (kind, n)}\n" for n, kind in ids]
    lines.append(f'{ARRIVAL + 75 * 10**9} {{"type":"heartbeat","product_id":"A-B"}}\n')
    products: dict[str, Product] = {}
    assert list(contents([write(tmp_path / "a.jsonl", "".join(lines).encode())], products)) == []
    assert (products["A-B"].trades, products["A-B"].missing_trades) == (4, 4)
    assert list(table(products))[2:] == [
        "    1 × gap: no message for more than a minute",
        "    4 trades are missing, by their ids",
    ]


def test_what_is_not_whole(tmp_path: Path) -> None:
    """Bad lines, a truncated last line and a damaged file are each told, and the rest is counted."""
    bad = write(tmp_path / "a.jsonl", text([FRAMES[0], b"<html>", FRAMES[1], b"{", FRAMES[2]]))
    cut = write(tmp_path / "b.jsonl", text(FRAMES)[:-9])
    packed = write(tmp_path / "c.jsonl.gz", text(FRAMES))
    packed.write_bytes(packed.read_bytes()[:-9])
    no_gzip = tmp_path / "d.jsonl.gz"
    no_gzip.write_bytes(text(FRAMES))
    products: dict[str, Product] = {}
    told = [line.removeprefix(f"{tmp_path}/") for line in contents([bad, cut, packed, no_gzip], products)]
    assert [line.split(": ")[0] for line in told] == [
        "a.jsonl:2", "a.jsonl", "b.jsonl:5", "c.jsonl.gz:6", "d.jsonl.gz:1"
    ]  # fmt: skip
    assert "<html>" in told[0]
    assert told[1:4] == [
        "a.jsonl: 2 lines are bad",
        "b.jsonl:5: the last line is truncated",
        "c.jsonl.gz:6: the last line is truncated",
    ]
    assert products["BTC-USD"].frames == 3 + 4 + 5


def test_command(tmp_path: Path) -> None:
    """The command prints a table, and exits with 1 where a file is not whole or there is none."""
    whole = run(["tests/recordings"], module="orderbook.info")
    assert (whole.code, whole.stderr) == (0, "")
    assert whole.lines[-1] == f"{len(RECORDINGS)} files, all whole"
    cut = write(tmp_path / "b.jsonl", text(FRAMES)[:-9])
    broken = run([str(cut)], module="orderbook.info")
    assert (broken.code, broken.stderr) == (1, "")
    assert f"{cut}:5: the last line is truncated" in broken.lines
    nothing = run([str(tmp_path / "none")], module="orderbook.info")
    assert (nothing.code, nothing.stdout, len(nothing.stderr.splitlines())) == (1, "", 1)
