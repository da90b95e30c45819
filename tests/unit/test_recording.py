"""Recordings: what is kept is what came, and what is read back is what was kept."""

import gzip
import re
import resource
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest import LogCaptureFixture as Log

from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import Message
from orderbook.recording.recorder import Recorder
from orderbook.recording.source import RecordingPartition, RecordingSource
from orderbook.shutdown import Shutdown
from tests.exchange.market import Market

BTC = Market("BTC-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
ETH = Market("ETH-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
FRAMES = [BTC.snapshot(), *(BTC.update() for _ in range(40)), BTC.heartbeat(), BTC.update()]
BAD = b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","-5","1"]]}'


def text(frames: list[bytes]) -> bytes:
    """The frames as they stand in a recording."""
    return b"".join(frame + b"\n" for frame in frames)


def messages(frames: list[bytes]) -> list[tuple[str, Message]]:
    """What a source gives of the frames; those that say nothing of a book are not among them."""
    decoded = [decode(frame) for frame in frames]
    return [(message.product_id, message) for message in decoded if isinstance(message, Message)]


def write(path: Path, content: bytes) -> Path:
    """A recording with this content, compressed where its name says so."""
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


OPENED: list[RecordingPartition] = []


@pytest.fixture(autouse=True)
def opened_parts_are_closed() -> Iterator[None]:
    """Close what a test has opened, as the engine does."""
    yield
    while OPENED:
        OPENED.pop().close()


def build(source: RecordingSource, name: str, state: tuple[int, int] | None = None) -> RecordingPartition:
    """The partition of a file, from the beginning or from where one was left; closed at the test's end."""
    OPENED.append(source.build_part("input", name, state))
    return OPENED[-1]


def open_part(path: Path, shutdown: Shutdown, state: tuple[int, int] | None = None) -> RecordingPartition:
    """The partition of a recording that is one file."""
    return build(RecordingSource(str(path), shutdown), path.name, state)


def rest(partition: RecordingPartition) -> list[tuple[str, Message]]:
    """All that a partition gives until it says that it is at its end."""
    given = []
    for _ in range(10_000):
        try:
            given += partition.next_batch()
        except StopIteration:
            partition.close()
            return given
    raise AssertionError("the partition does not end")


def said(caplog: Log) -> list[tuple[str, str]]:
    """What was said to people: level and text."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_recorder_appends_frames_in_order(tmp_path: Path) -> None:
    """Each frame is a line, raw, in their order; what comes after a close is not recorded, and no error."""
    for part in (FRAMES[:20], FRAMES[20:]):
        recorder = Recorder(str(tmp_path), "BTC-USD")
        for frame in part:
            recorder.write(frame)
        recorder.close()
        recorder.write(FRAMES[0])
        recorder.close()
    assert (tmp_path / "BTC-USD.jsonl").read_bytes() == text(FRAMES)


@pytest.mark.parametrize("whole", [FRAMES, []], ids=["lines", "no line"])
@pytest.mark.parametrize("cut", [0, 1, 80, 200_000])  # the last is more than what is read at once
def test_reopening_removes_a_line_cut_short(
    tmp_path: Path, caplog: Log, whole: list[bytes], cut: int
) -> None:
    """A crash cuts the last line; the next run removes that line, only that, and says so."""
    path = write(tmp_path / "BTC-USD.jsonl", text(whole) + b"[" * cut)
    Recorder(str(tmp_path), "BTC-USD").close()
    assert path.read_bytes() == text(whole)
    assert [level for level, _ in said(caplog)] == (["WARNING"] if cut else [])
    assert all(str(path) in message and f" {cut} " in message for _, message in said(caplog))


def test_second_recorder_of_a_file_is_refused(tmp_path: Path) -> None:
    """Two runs that record into one file would mix two streams: one is refused until the other ends."""
    first = Recorder(str(tmp_path), "BTC-USD")
    first.write(FRAMES[0])
    with pytest.raises(OSError, match=re.escape(str(first.path))):
        Recorder(str(tmp_path), "BTC-USD")
    Recorder(str(tmp_path), "ETH-USD").close()
    first.write(FRAMES[1])
    first.close()
    Recorder(str(tmp_path), "BTC-USD").close()
    assert first.path.read_bytes() == text(FRAMES[:2])


def test_frame_with_newlines_stays_one_line(tmp_path: Path) -> None:
    """A newline is white space in JSON, and would break a line of a recording."""
    frame = FRAMES[0].replace(b",", b",\n").replace(b":[", b":\r\n[")
    recorder = Recorder(str(tmp_path), "BTC-USD")
    recorder.write(frame)
    recorder.close()
    recorded = recorder.path.read_bytes()
    assert recorded.count(b"\n") == 1
    assert decode(recorded) == decode(frame) == decode(FRAMES[0])


def test_full_disk_ends_a_recording_at_a_whole_line(tmp_path: Path, caplog: Log) -> None:
    """A disk that takes half a frame keeps the whole ones; the recording ends, says so once, and no more."""
    recorder = Recorder(str(tmp_path), "BTC-USD")
    recorder.write(FRAMES[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel's own way to refuse a write in its middle, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(FRAMES[0]) + 20, hard))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for frame in FRAMES[1:4]:
            recorder.write(frame)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    recorder.write(FRAMES[4])
    assert recorder.path.read_bytes() == text(FRAMES[:1])
    [(level, message)] = said(caplog)
    assert level == "ERROR"
    assert str(recorder.path) in message


def test_a_folder_is_a_part_a_recording(tmp_path: Path) -> None:
    """A folder's recordings are the parts, plain and compressed; other files in it are none."""
    for name in ("ETH-USD.jsonl", "BTC-USD.jsonl.gz"):
        write(tmp_path / name, text(FRAMES))
    for name in ("README.md", "BTC-USD.json", "notes.gz"):
        (tmp_path / name).write_text("not a recording")
    assert sorted(RecordingSource(str(tmp_path), Shutdown()).list_parts()) == [
        "BTC-USD.jsonl.gz",
        "ETH-USD.jsonl",
    ]
    alone = RecordingSource(str(tmp_path / "ETH-USD.jsonl"), Shutdown())
    assert alone.list_parts() == ["ETH-USD.jsonl"]


@pytest.mark.parametrize(
    "name",
    ["empty", "missing", "missing.jsonl", "missing.jsonl.gz", "notes.txt", "unreadable", "dangling.jsonl"],
)
def test_nothing_to_read_is_an_error_that_names_the_path(tmp_path: Path, name: str) -> None:
    """A path without a recording that can be read is refused before anything runs."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_bytes(text(FRAMES))
    (tmp_path / "unreadable" / "BTC-USD.jsonl").mkdir(parents=True)
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        RecordingSource(str(tmp_path / name), Shutdown())


KINDS = pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])


@KINDS
def test_partition_gives_what_decoding_each_line_gives(tmp_path: Path, name: str) -> None:
    """All lines' messages in order, products mixed; types that say nothing of a book are passed over."""
    ack = b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}'
    frames = [ack, *FRAMES, BTC.match(), ETH.snapshot(), *(ETH.update() for _ in range(2_000)), ETH.match()]
    frames += [BTC.update(), b'{"type":"error","message":"Slow down"}', ETH.heartbeat()]
    shutdown = Shutdown()
    partition = open_part(write(tmp_path / name, text(frames)), shutdown)
    first = partition.next_batch()
    assert 0 < len(first) < len(frames) / 2, "a batch is a small part of a recording"
    assert first + rest(partition) == messages(frames)
    assert not shutdown.requested


@KINDS
def test_resume_at_any_line_loses_and_repeats_nothing(tmp_path: Path, name: str) -> None:
    """A partition built from a snapshot's state goes on right behind what was given before it."""
    path = write(tmp_path / name, text(FRAMES))
    for line in range(len(FRAMES) + 1):
        left = open_part(write(tmp_path / f"part-{name}", text(FRAMES[:line])), Shutdown())
        given = rest(left)
        assert given + rest(open_part(path, Shutdown(), left.snapshot())) == messages(FRAMES)


@KINDS
def test_resume_after_each_batch_loses_and_repeats_nothing(tmp_path: Path, name: str) -> None:
    """So it does between any two polls of a long recording, and the state counts its bytes and lines."""
    frames = [BTC.snapshot(), *(BTC.update() for _ in range(1_000))]
    path = write(tmp_path / name, text(frames))
    given: list[tuple[str, Message]] = []
    partition, polls = open_part(path, Shutdown()), 0
    while len(given) < len(frames):
        given += partition.next_batch()
        polls += 1
        partition.close()
        partition = open_part(path, Shutdown(), partition.snapshot())
    assert polls > 2
    assert given + rest(partition) == messages(frames)
    assert partition.snapshot() == (len(text(frames)), len(frames))


@KINDS
def test_resume_on_another_file_is_an_error(tmp_path: Path, caplog: Log, name: str) -> None:
    """A file that has no line's end where the place is, or is shorter, is not the one that was left there."""
    place = len(text(FRAMES[:3]))
    for other in (text(FRAMES[:2]), b" " + text(FRAMES)):
        caplog.clear()
        shutdown = Shutdown()
        assert rest(open_part(write(tmp_path / name, other), shutdown, (place, 3))) == []
        assert shutdown.code == 1
        [(level, message)] = said(caplog)
        assert level == "ERROR"
        assert message.startswith(f"{tmp_path / name}:4: ")


@KINDS
def test_resume_behind_a_last_line_without_newline(tmp_path: Path, caplog: Log, name: str) -> None:
    """A recording that ends without a newline, and is at its end, has nothing more to give, and no fault."""
    path = write(tmp_path / name, text(FRAMES)[:-1])
    partition = open_part(path, Shutdown())
    rest(partition)
    assert rest(open_part(path, shutdown := Shutdown(), partition.snapshot())) == []
    assert (said(caplog), shutdown.requested) == ([], False)


@KINDS
@pytest.mark.parametrize("bad", [BAD, b"", b"\xff", b"<html>"])
@pytest.mark.parametrize(("resumed", "before"), [(0, 0), (0, 7), (3, 7)])
def test_bad_line_ends_the_run(
    tmp_path: Path, caplog: Log, name: str, bad: bytes, resumed: int, before: int
) -> None:
    """All before a bad line is given; then `file:line: what is wrong` is said, and the run ends with 1."""
    path = write(tmp_path / name, text([*FRAMES[:before], bad, *FRAMES[before:]]))
    shutdown = Shutdown()
    partition = open_part(path, shutdown, (len(text(FRAMES[:resumed])), resumed))
    assert partition.next_batch() == messages(FRAMES[resumed:before])
    assert not shutdown.requested
    assert rest(partition) == []
    assert shutdown.code == 1
    [(level, message)] = said(caplog)
    assert level == "ERROR"
    assert message.startswith(f"{path}:{before + 1}: ")
    assert repr(bad)[2:-1] in message or "'-5'" in message


@pytest.mark.parametrize("damage", ["checksum", "no gzip"])
def test_damaged_gzip_ends_the_run(tmp_path: Path, caplog: Log, damage: str) -> None:
    """So does a damaged file, or one that is not compressed: what comes before the damage is given."""
    path = write(tmp_path / "a.jsonl.gz", text(FRAMES))
    content = path.read_bytes()
    path.write_bytes(text(FRAMES) if damage == "no gzip" else content[:-8] + bytes(4) + content[-4:])
    given = rest(open_part(path, shutdown := Shutdown()))
    assert given == ([] if damage == "no gzip" else messages(FRAMES))
    assert shutdown.code == 1
    [(level, message)] = said(caplog)
    assert level == "ERROR"
    assert message.startswith(f"{path}:{len(given) + 1}: ")


@pytest.mark.parametrize("last", [FRAMES[1], BTC.match(), BAD], ids=["update", "match", "bad"])
def test_last_line_cut_short_is_said_and_left_out(tmp_path: Path, caplog: Log, last: bytes) -> None:
    """A crash cuts the last line, at any of its bytes: that is no error, and all before it is given."""
    for end in range(1, len(last), 7):
        caplog.clear()
        shutdown = Shutdown()
        path = write(tmp_path / "a.jsonl", text(FRAMES) + last[:end])
        assert rest(open_part(path, shutdown)) == messages(FRAMES)
        assert not shutdown.requested
        [(level, message)] = said(caplog)
        assert level == "WARNING"
        assert message.startswith(f"{path}:{len(FRAMES) + 1}: ")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_gzip_cut_short_is_said_and_left_out(tmp_path: Path, caplog: Log, share: float) -> None:
    """Of a compressed file that lost its end, each line that is whole is given, and the rest said, once."""
    frames = [BTC.snapshot(), *(BTC.update() for _ in range(3_000))]
    path = write(tmp_path / "a.jsonl.gz", text(frames))
    kept = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(kept)
    whole = zlib.decompressobj(wbits=31).decompress(kept).count(b"\n")
    shutdown = Shutdown()
    assert rest(open_part(path, shutdown)) == messages(frames[:whole])
    assert not shutdown.requested
    assert [level for level, _ in said(caplog)] == ["WARNING"]
    assert f"{path}:{whole + 1}: " in said(caplog)[0][1]


@KINDS
def test_whole_last_line_without_newline_is_used(tmp_path: Path, caplog: Log, name: str) -> None:
    """An editor may have taken the last newline away; nothing is lost by that, and nothing said."""
    path = write(tmp_path / name, text(FRAMES)[:-1])
    assert rest(open_part(path, Shutdown())) == messages(FRAMES)
    assert said(caplog) == []


def test_product_in_two_files_is_an_error_that_names_both(tmp_path: Path, caplog: Log) -> None:
    """Two files are read side by side, so their changes would mix in the one book of a product."""
    write(tmp_path / "one.jsonl", text([ETH.snapshot(), *FRAMES]))
    write(tmp_path / "two.jsonl.gz", text(FRAMES))
    shutdown = Shutdown()
    source = RecordingSource(str(tmp_path), shutdown)
    one, two = (build(source, name) for name in ("one.jsonl", "two.jsonl.gz"))
    assert one.next_batch() == messages([ETH.snapshot(), *FRAMES])
    assert rest(two) == []
    assert shutdown.code == 1
    [(level, message)] = said(caplog)
    assert level == "ERROR"
    assert all(word in message for word in ("one.jsonl", "two.jsonl.gz:1:", "BTC-USD"))


def test_partition_ends_when_the_run_ends(tmp_path: Path) -> None:
    """Once the run ends, for whatever reason, the next poll is the last, however much there is to read."""
    partition = open_part(write(tmp_path / "a.jsonl", text(FRAMES * 1_000)), shutdown := Shutdown())
    assert partition.next_batch()
    shutdown.request(0)
    with pytest.raises(StopIteration):
        partition.next_batch()


def test_report_says_what_was_replayed(tmp_path: Path) -> None:
    """Frames, products and the span of their times; and the last line of a file that is not at its end."""
    write(tmp_path / "a.jsonl", text(FRAMES))
    write(tmp_path / "b.jsonl", text([ETH.snapshot(), *(ETH.update() for _ in range(2_000))]))
    source = RecordingSource(str(tmp_path), Shutdown())
    one, two = (build(source, name) for name in ("a.jsonl", "b.jsonl"))
    rest(one)
    first = len(two.next_batch())
    time = "1970-01-01T00:00:00.000000Z"
    assert source.report() == (
        f"{len(FRAMES) + first} frames of 2 products from {time} to {time}, "
        f"not to the end: the last lines were {tmp_path / 'b.jsonl'}:{first}"
    )
    rest(two)
    assert source.report() == f"{len(FRAMES) + 2_001} frames of 2 products from {time} to {time}"


@pytest.mark.parametrize(
    ("frames", "resumed", "products"),
    [
        ([BTC.update(), ETH.update()], False, ["BTC-USD", "ETH-USD"]),
        ([BTC.update(), ETH.snapshot()], False, []),  # a line is logged where it is missing, and no more
        ([BTC.update(), BTC.update()], True, []),  # the snapshot was before
        ([b'{"type":"subscriptions","channels":[]}'], False, []),
    ],
)
def test_recording_without_snapshot(
    tmp_path: Path, frames: list[bytes], resumed: bool, products: list[str]
) -> None:
    """A recording in which no snapshot comes has no book, so no line: its products are told apart."""
    source = RecordingSource(str(write(tmp_path / "a.jsonl", text(frames))), Shutdown())
    state = (len(frames[0]) + 1, 1) if resumed else None
    rest(build(source, "a.jsonl", state))
    assert source.without_snapshots() == products
