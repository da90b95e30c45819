"""Recordings as one stream: judged by a sort of all lines, whatever files they are in."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Heartbeat, L2Update, Message, Snapshot, Status
from orderbook.recording.line import MAX_LINE, decode_line, encode_status
from orderbook.recording.paths import files_at
from orderbook.recording.recordings import Recordings
from tests.exchange.market import Market
from tests.support.recordings import text, write

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
Given = list[tuple[str, Message]]

# A line: how much later it is than the line before it (or earlier), and whether it has an arrival, the
# exchange's time, or none.
FILES = st.lists(
    st.lists(
        st.tuples(st.integers(-2, 3), st.sampled_from(["arrival", "arrival", "time", "none"])), max_size=9
    ),
    min_size=1,
    max_size=5,
)
BASE = 1_790_000_000_000_000_000


def heartbeat(product: str, number: int, microseconds: int, kind: str) -> bytes:
    """A line of which the number tells it from others."""
    frame: dict[str, object] = {"type": "heartbeat", "product_id": product, "last_trade_id": number}
    if kind == "time":
        whole, part = divmod(BASE // 1_000 + microseconds, 1_000_000)
        assert whole == BASE // 10**9
        frame["time"] = f"2026-09-21T14:13:20.{part:06d}Z"
    encoded = json.dumps(frame).encode()
    return (b"%d %b" % (BASE + microseconds * 1_000, encoded) if kind == "arrival" else encoded) + b"\n"


def made(folder: Path, files: list[list[tuple[int, str]]]) -> tuple[list[Path], list[bytes]]:
    """The files, and their lines in the order that a sort gives."""
    paths, keyed = [], []
    for index, described in enumerate(files):
        at, lines, times = 0, [], []
        for number, (step, kind) in enumerate(described):
            at = max(0, at + step)
            lines.append(heartbeat(f"P{index}-USD", number, at, kind))
            times.append(0 if kind == "none" else BASE + at * 1_000)
        latest = next(filter(None, times), 0)
        for line, time in zip(lines, times, strict=True):
            latest = max(latest, time)
            keyed.append((latest, line))
        name = f"{index}.jsonl" + (".gz" if index % 2 else "")
        paths.append(write(folder / name, b"".join(lines)))
    return paths, [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def messages(lines: list[bytes]) -> Given:
    """What these lines say."""
    decoded = map(decode_line, lines)
    return [(message.product_id, message) for message in decoded if isinstance(message, Message)]


def batches(recordings: Recordings) -> Iterator[Given]:
    """What is read, until the end."""
    for _ in range(10_000):
        yield recordings.read()
        if recordings.ended:
            return
    raise AssertionError("no end")


def read(recordings: Recordings) -> Given:
    """All that is read."""
    return [item for batch in batches(recordings) for item in batch]


@SAME_FOLDER
@given(files=FILES)
def test_one_order_by_arrival(tmp_path: Path, files: list[list[tuple[int, str]]]) -> None:
    """The messages of all files come as a stable sort by time orders them, each file's in its own order."""
    paths, lines = made(tmp_path, files)
    assert read(Recordings(paths)) == messages(lines)


@SAME_FOLDER
@given(files=FILES, data=st.data())
def test_resumed_anywhere(tmp_path: Path, files: list[list[tuple[int, str]]], data: st.DataObject) -> None:
    """Left at any time and resumed, a replay gives the rest exactly."""
    paths, lines = made(tmp_path, files)
    first = Recordings(paths, timed=True)
    until = BASE + data.draw(st.integers(-1, 15)) * 1_000
    before = first.read(until)
    second = Recordings(paths, state=first.state, timed=True)
    assert before + read(second) == messages(lines)


@SAME_FOLDER
@given(files=FILES, data=st.data())
def test_start_and_end(tmp_path: Path, files: list[list[tuple[int, str]]], data: st.DataObject) -> None:
    """Lines from the start on, until before the end, are given, by the times that order them."""
    described = [[(step, "arrival") for step, _ in lines] for lines in files]
    paths, lines = made(tmp_path, described)
    start, end = sorted(BASE + data.draw(st.integers(-1, 15)) * 1_000 for _ in range(2))
    latest: dict[str, int] = {}
    kept = []
    for product, message in messages(lines):
        latest[product] = max(latest.get(product, 0), message.local_timestamp or 0)
        if start <= latest[product] < end:
            kept.append((product, message))
    assert read(Recordings(paths, start=start, end=end)) == kept


@pytest.mark.parametrize("cut", range(1, 40, 4))
def test_books_at_the_start(tmp_path: Path, cut: int) -> None:
    """A book that is live at the start comes as one snapshot of then; its time is the exchange's last."""
    market = Market("BTC-USD", 3, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
    frames = [market.snapshot(), *(market.update() for _ in range(40))]
    lines = [b"%d %b\n" % (BASE + n, frame) for n, frame in enumerate(frames)]
    path = write(tmp_path / "a.jsonl", b"".join(lines))
    book, whole = OrderBookState(), messages(lines)
    for _product, message in whole[:cut]:
        book.update(message)
    [(_, snapshot), *rest] = read(Recordings([path], start=BASE + cut))
    assert rest == whole[cut:]
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.local_timestamp, snapshot.time) == (BASE + cut, whole[cut - 1][1].time)
    condensed = OrderBookState()
    condensed.update(snapshot)
    assert condensed.depth(1_000) == book.depth(1_000)


def days(tmp_path: Path, hole: int) -> list[Path]:
    """Recordings of a product in two folders: what a run has recorded, and the next one after a while."""
    market = Market("BTC-USD", 3, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
    paths, at = [], BASE
    for day in ("monday", "tuesday"):
        frames = [market.snapshot(), market.update(), market.heartbeat()]
        lines = [b"%d %b\n" % (at + n, frame) for n, frame in enumerate(frames)]
        folder = tmp_path / day
        folder.mkdir()
        paths.append(write(folder / "BTC-USD.jsonl", b"".join(lines)))
        at += hole
    return paths


def test_gap_where_another_recording_goes_on(tmp_path: Path) -> None:
    """A product's next recording begins with a gap, which has the times of the last message before it."""
    hour = 3_600 * 10**9
    given = [message for _, message in read(Recordings(days(tmp_path, hour)))]
    assert [type(message) for message in given] == [
        Snapshot,
        L2Update,
        Heartbeat,
        Status,
        Snapshot,
        L2Update,
        Heartbeat,
    ]
    gap = given[3]
    assert isinstance(gap, Status)
    assert (gap.event, gap.local_timestamp, gap.time) == ("gap", BASE + 2, given[2].time)
    cut = tmp_path / "cut"
    cut.mkdir()
    monday = days(cut, hour)[0].read_bytes().splitlines(keepends=True)
    halves = [write(cut / f"{n}.jsonl", b"".join(half)) for n, half in enumerate((monday[:1], monday[1:]))]
    assert len(read(Recordings(halves))) == 3, "a recording that was cut in two goes on as it was"


def test_recorded_gap_begins_with_the_last_message(tmp_path: Path) -> None:
    """A gap that a recording tells of begins when the product was heard last, not when it came back."""
    lines = [
        heartbeat("A-B", 1, 1, "arrival"),
        encode_status("A-B", "gap: another run has recorded this far", BASE + 10**12) + b"\n",
    ]
    [(_, last), (_, gap)] = read(Recordings([write(tmp_path / "a.jsonl", b"".join(lines))]))
    assert (gap.local_timestamp, gap.time) == (last.local_timestamp, last.time)


@pytest.mark.parametrize(("seconds", "live"), [(30, True), (61, False)])
def test_no_book_at_a_start_where_nothing_was_recorded(tmp_path: Path, seconds: int, live: bool) -> None:
    """A book of which nothing was heard for a minute is not live at the start."""
    paths = days(tmp_path, 3_600 * 10**9)
    given = read(Recordings(paths, start=BASE + seconds * 10**9))
    assert [type(message) for _, message in given][:2] == ([Snapshot, Status] if live else [Status, Snapshot])


def test_too_long_a_line_of_another_product(tmp_path: Path) -> None:
    """A line that is too long ends it, whatever product it is of: nothing behind it is read."""
    long = b'%d {"type":"heartbeat","product_id":"B-C","x":"%b"}\n' % (BASE, b"x" * MAX_LINE)
    first, second = (heartbeat("A-B", number, number, "arrival") for number in (1, 2))
    recordings = Recordings([write(tmp_path / "a.jsonl", first + long + second)], products=["A-B"])
    with pytest.raises(ValueError, match=r"a\.jsonl:2: longer than"):
        while not recordings.ended:
            recordings.read()


def test_resumed_before_the_start(tmp_path: Path) -> None:
    """Left before its start, a replay begins anew, since its books are in no state."""
    path = write(tmp_path / "a.jsonl", b"".join(heartbeat("A-B", n, n, "arrival") for n in range(9_000)))
    start = BASE + 8_000 * 1_000
    first = Recordings([path], start=start)
    assert first.read() == []
    assert [m.last_trade_id for _, m in read(Recordings([path], start=start, state=first.state))] == list(  # type: ignore[union-attr]
        range(8_000, 9_000)
    )


def test_chosen_products(tmp_path: Path) -> None:
    """Of chosen products all messages are given, of others none, however a frame spells them."""
    lines = [heartbeat(f"P{n % 3}-USD", n, n, "arrival") for n in range(30)]
    lines[0] = lines[0].replace(b"P0", b"\\u00500")
    path = write(tmp_path / "a.jsonl", b"".join(lines))
    assert read(Recordings([path], products=["P1-USD"])) == messages(lines[1::3])
    assert read(Recordings([path], products=["P0-USD"])) == messages(lines[::3])


def test_product_in_files_one_after_another(tmp_path: Path) -> None:
    """A product may go on in another file, as of the next day."""
    lines = [heartbeat("A-B", n, n, "arrival") for n in range(20)]
    paths = [write(tmp_path / f"{n}.jsonl", b"".join(lines[10 * n : 10 * n + 10])) for n in (1, 0)]
    assert read(Recordings(paths)) == messages(lines)


def test_product_in_two_files_at_once_is_refused(tmp_path: Path) -> None:
    """A product in two files at the same time, whose changes would mix, is an error that names both."""
    lines = [heartbeat("A-B", n, n, "arrival") for n in range(4)]
    write(tmp_path / "one.jsonl", lines[0] + lines[2])
    write(tmp_path / "two.jsonl", lines[1] + lines[3])
    recordings = Recordings(files_at(str(tmp_path)))
    assert recordings.read() == messages(lines[:2])
    with pytest.raises(ValueError, match=r"one.jsonl:2: A-B is in .*two.jsonl too, at the same time"):
        recordings.read()


def test_bad_line_comes_in_its_turn(tmp_path: Path) -> None:
    """All messages that arrived before a bad line are given, of each file; resumed, it is met again."""
    lines = [heartbeat("A-B", n, n, "arrival") for n in range(0, 10, 2)]
    others = [heartbeat("C-D", n, n, "arrival") for n in range(1, 10, 2)]
    bad = [*lines[:2], b"%d {no\n" % (BASE + 4_000), *lines[2:]]
    paths = [write(tmp_path / "a.jsonl", b"".join(bad)), write(tmp_path / "b.jsonl", b"".join(others))]
    recordings = Recordings(paths)
    assert recordings.read() == messages([lines[0], others[0], lines[1], others[1]])
    for again in (recordings, Recordings(paths, state=recordings.state)):
        with pytest.raises(ValueError, match=r"a\.jsonl:3: .*no"):
            again.read() or again.read()


def test_endless_line_is_refused(tmp_path: Path) -> None:
    """A line longer than any frame ends the replay, and is not read to its end."""
    good = heartbeat("A-B", 1, 1, "arrival")
    path = write(tmp_path / "a.jsonl.gz", good + b"{" + b" " * 2**26)
    recordings = Recordings([path])
    assert recordings.read() == messages([good])
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz:2: longer than"):
        recordings.read() or recordings.read()


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """Thousands of files that all begin before any ends are read side by side."""
    files = 1_500
    for n in range(files):
        content = heartbeat(f"P{n}-USD", 1, n, "arrival") + heartbeat(f"P{n}-USD", 2, files + n, "arrival")
        write(tmp_path / f"{n:05}.jsonl", content)
    given = read(Recordings(files_at(str(tmp_path))))
    assert [product for product, _ in given] == [f"P{n}-USD" for n in range(files)] * 2


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    """A recording that is replaced while it is read ends the replay, for its offsets mean nothing there."""
    path = write(tmp_path / "a.jsonl", b"".join(heartbeat("A-B", n, n, "arrival") for n in range(2_000)))
    recordings = Recordings([path])
    assert len(recordings.read()) < 2_000
    write(tmp_path / "b.jsonl", path.read_bytes()).rename(path)
    with pytest.raises(ValueError, match="another file has its name"):
        recordings.read() or recordings.read()


def test_files_of_paths(tmp_path: Path) -> None:
    """Files come in the order of the paths, those of a folder by name, each once; others are none."""
    folder = tmp_path / "day"
    folder.mkdir()
    for name in ("b.jsonl", "a.jsonl.gz", "README.md", "c.json"):
        (folder / name).write_bytes(gzip.compress(text([])))
    alone = write(tmp_path / "z.jsonl", b"")
    (tmp_path / "link.jsonl").symlink_to(alone)
    paths = f"{alone}, {folder},{tmp_path / 'link.jsonl'}"
    assert files_at(paths) == [alone, folder / "a.jsonl.gz", folder / "b.jsonl"]


def test_paths(tmp_path: Path) -> None:
    """Each file counts once, by whatever paths it is reached; a path that is empty is none."""
    paths = days(tmp_path, 10**9)
    assert files_at([str(tmp_path / "monday"), str(tmp_path / "tuesday" / ".." / "monday")]) == paths[:1]
    assert files_at(f"{tmp_path}/monday, {tmp_path}/tuesday") == paths
    with pytest.raises(ValueError, match="a path is empty"):
        files_at(f"{tmp_path}/monday,")
