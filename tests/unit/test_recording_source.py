"""Source of a replay: recordings come back as the messages that they were, or the replay says why not."""

import gzip
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest import LogCaptureFixture as Log

from orderbook.coinbase.messages import Message
from orderbook.recording.line import decode_line
from orderbook.recording.recordings import State
from orderbook.recording.source import RecordingPartition, RecordingSource
from orderbook.shutdown import Shutdown
from tests.exchange.market import Market
from tests.support.clock import Clock
from tests.support.recordings import ARRIVAL, logged, text, write

BTC = Market("BTC-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
ETH = Market("ETH-USD", 1, levels=20, mid=600, spread_ticks=8, gap_ticks=4, clock=lambda: 0.0)
FRAMES = [BTC.snapshot(), *(BTC.update() for _ in range(40)), BTC.heartbeat(), BTC.update()]
BAD = b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","-5","1"]]}'


def messages(frames: list[bytes]) -> list[tuple[str, Message]]:
    """What a source gives of the frames: the messages of products."""
    decoded = [decode_line(b"%d %b" % (ARRIVAL, frame)) for frame in frames]
    return [(message.product_id, message) for message in decoded if isinstance(message, Message)]


def build(source: RecordingSource, state: State | None = None) -> RecordingPartition:
    """The one partition, from the beginning or from where one was left."""
    [name] = source.list_parts()
    return source.build_part("input", name, state)


def open_part(path: Path, shutdown: Shutdown, state: State | None = None) -> RecordingPartition:
    """The partition of a recording that is one file."""
    return build(RecordingSource(str(path), shutdown), state)


def place(path: Path, offset: int, line: int) -> State:
    """The state of a replay of one file that was left behind so many bytes and lines."""
    return ((path.name,), None, None), True, ((offset, line, 0),)


def rest(partition: RecordingPartition) -> list[tuple[str, Message]]:
    """All that a partition gives until its end."""
    given = []
    for _ in range(10_000):
        try:
            given += partition.next_batch()
        except StopIteration:
            return given
    raise AssertionError("the partition does not end")


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
    """A partition gives all lines' messages in order, products mixed, and passes over other types."""
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
    """A partition built from a snapshot's state goes on right behind the messages before it, at any line."""
    path = write(tmp_path / name, text(FRAMES))
    (tmp_path / "part").mkdir()
    for line in range(len(FRAMES) + 1):
        left = open_part(write(tmp_path / "part" / name, text(FRAMES[:line])), Shutdown())
        given = rest(left)
        assert given + rest(open_part(path, Shutdown(), left.snapshot())) == messages(FRAMES)


@KINDS
def test_resume_after_each_batch_loses_and_repeats_nothing(tmp_path: Path, name: str) -> None:
    """A long recording may be left and resumed between any two polls; the state counts bytes and lines."""
    frames = [BTC.snapshot(), *(BTC.update() for _ in range(1_000))]
    path = write(tmp_path / name, text(frames))
    given: list[tuple[str, Message]] = []
    partition, polls = open_part(path, Shutdown()), 0
    while len(given) < len(frames):
        given += partition.next_batch()
        polls += 1
        partition = open_part(path, Shutdown(), partition.snapshot())
    assert polls > 2
    assert given + rest(partition) == messages(frames)
    assert partition.snapshot() == place(path, len(text(frames)), len(frames))


@KINDS
def test_resume_on_another_file_is_an_error(tmp_path: Path, caplog: Log, name: str) -> None:
    """Resuming is refused on a file that is shorter, or has no end of a line where the other was left."""
    left = place(tmp_path / name, len(text(FRAMES[:3])), 3)
    for other in (text(FRAMES[:2]), b" " + text(FRAMES)):
        caplog.clear()
        shutdown = Shutdown()
        assert rest(open_part(write(tmp_path / name, other), shutdown, left)) == []
        assert shutdown.code == 1
        [(level, message)] = logged(caplog)
        assert level == "ERROR"
        assert message.startswith(f"{tmp_path / name}:4: ")


@KINDS
def test_resume_behind_a_last_line_without_newline(tmp_path: Path, caplog: Log, name: str) -> None:
    """A recording without a last newline can be resumed at its end: no message, no error."""
    path = write(tmp_path / name, text(FRAMES)[:-1])
    partition = open_part(path, Shutdown())
    rest(partition)
    assert rest(open_part(path, shutdown := Shutdown(), partition.snapshot())) == []
    assert (logged(caplog), shutdown.requested) == ([], False)


@KINDS
@pytest.mark.parametrize("bad", [BAD, b"", b"\xff", b"<html>"])
@pytest.mark.parametrize(("resumed", "before"), [(0, 0), (0, 7), (3, 7)])
def test_bad_line_ends_the_run(
    tmp_path: Path, caplog: Log, name: str, bad: bytes, resumed: int, before: int
) -> None:
    """A bad line ends the run with 1 and `file:line: what is wrong`, once all messages before it are out."""
    path = write(tmp_path / name, text([*FRAMES[:before], bad, *FRAMES[before:]]))
    shutdown = Shutdown()
    partition = open_part(path, shutdown, place(path, len(text(FRAMES[:resumed])), resumed))
    assert partition.next_batch() == messages(FRAMES[resumed:before])
    assert not shutdown.requested
    assert rest(partition) == []
    assert shutdown.code == 1
    [(level, message)] = logged(caplog)
    assert level == "ERROR"
    assert message.startswith(f"{path}:{before + 1}: ")
    assert repr(bad)[2:-1] in message or '"-5"' in message


@pytest.mark.parametrize("damage", ["checksum", "no gzip"])
def test_damaged_gzip_ends_the_run(tmp_path: Path, caplog: Log, damage: str) -> None:
    """A damaged gzip file, or one that is none, ends the run with 1, once the messages before it are out."""
    path = write(tmp_path / "a.jsonl.gz", text(FRAMES))
    content = path.read_bytes()
    path.write_bytes(text(FRAMES) if damage == "no gzip" else content[:-8] + bytes(4) + content[-4:])
    given = rest(open_part(path, shutdown := Shutdown()))
    assert given == ([] if damage == "no gzip" else messages(FRAMES))
    assert shutdown.code == 1
    [(level, message)] = logged(caplog)
    assert level == "ERROR"
    assert message.startswith(f"{path}:{len(given) + 1}: ")


@pytest.mark.parametrize("last", [FRAMES[1], BTC.match(), BAD], ids=["update", "match", "bad"])
def test_truncated_last_line_is_left_out(tmp_path: Path, caplog: Log, last: bytes) -> None:
    """A last line that a crash truncated, at any byte, is left out with a warning; the run goes on."""
    for end in range(2, len(text([last])), 7):
        caplog.clear()
        shutdown = Shutdown()
        path = write(tmp_path / "a.jsonl", text(FRAMES) + text([last])[: end - 1])
        assert rest(open_part(path, shutdown)) == messages(FRAMES)
        assert not shutdown.requested
        [(level, message)] = logged(caplog)
        assert level == "WARNING"
        assert message.startswith(f"{path}:{len(FRAMES) + 1}: ")


@KINDS
@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (gzip.compress(text(FRAMES[:1]), mtime=0).replace(b"\n", b""), "\\x1f\\x8b"),
        (gzip.compress(text(FRAMES)), "\\x1f\\x8b"),
        (b"nothing of an exchange", "nothing of an exchange"),
        (b"[1, 2", "[1, 2"),
        (b'{"a": 1}', '{"a": 1}'),
        (b"\n\n", "b'\\n'"),
        (b"  ", "b'  '"),
        (bytes(100), "\\x00\\x00"),
    ],
    ids=["gzip", "longer gzip", "text", "an array's part", "another object", "lines", "blanks", "zeros"],
)
def test_bytes_that_are_no_recording(
    tmp_path: Path, caplog: Log, name: str, content: bytes, shown: str
) -> None:
    """A file whose first line is no frame, nor the beginning of one, ends the run with 1 and its line."""
    path = write(tmp_path / name, content)
    assert rest(open_part(path, shutdown := Shutdown())) == []
    assert shutdown.code == 1
    [(level, message)] = logged(caplog)
    assert level == "ERROR"
    assert message.startswith(f"{path}:1: ")
    assert shown in message


@KINDS
def test_object_that_is_no_frame_is_not_taken_for_a_truncated_one(
    tmp_path: Path, caplog: Log, name: str
) -> None:
    """A last line that is whole JSON, though no frame, is no work of a crash: it ends the run with 1."""
    path = write(tmp_path / name, text([*FRAMES, BAD])[:-1])
    assert rest(open_part(path, shutdown := Shutdown())) == messages(FRAMES)
    assert shutdown.code == 1
    [(_, message)] = logged(caplog)
    assert message.startswith(f"{path}:{len(FRAMES) + 1}: ")


@KINDS
def test_empty_recording(tmp_path: Path, caplog: Log, name: str) -> None:
    """An empty file is a recording to which nothing came: no message, no error."""
    (tmp_path / name).touch()
    assert rest(open_part(tmp_path / name, shutdown := Shutdown())) == []
    assert (logged(caplog), shutdown.requested) == ([], False)


def test_name_of_a_recording_is_escaped(tmp_path: Path, caplog: Log) -> None:
    """A file's name forges no line of the log, and sends nothing to the terminal but its text."""
    name = "a\x1b[2J\nb.jsonl"
    path = write(tmp_path / name, text([FRAMES[0], BAD]))
    source = RecordingSource(str(tmp_path), shutdown := Shutdown())
    partition = build(source)
    partition.next_batch()
    reported = source.report()
    rest(partition)
    assert shutdown.code == 1
    [(_, message)] = logged(caplog)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="can't be read") as raised:
        RecordingSource(str(tmp_path), Shutdown())
    for line in (reported, message, str(raised.value)):
        assert line.isprintable()
        assert ".jsonl" in line


def test_product_that_is_not_printable_is_refused(tmp_path: Path, caplog: Log) -> None:
    """A product whose name would go raw to log and terminal ends the run, its name escaped."""
    frame = FRAMES[0].replace(b"BTC-USD", b"BTC\\u001b[2J")
    path = write(tmp_path / "a.jsonl", text([frame]))
    assert rest(open_part(path, shutdown := Shutdown())) == []
    assert shutdown.code == 1
    assert logged(caplog) == [("ERROR", f"{path}:1: 'BTC\\x1b[2J' is not a product")]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_gzip_gives_its_whole_lines(tmp_path: Path, caplog: Log, share: float) -> None:
    """A compressed file without its end gives each whole line, and one warning for the rest."""
    frames = [BTC.snapshot(), *(BTC.update() for _ in range(3_000))]
    path = write(tmp_path / "a.jsonl.gz", text(frames))
    kept = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(kept)
    whole = zlib.decompressobj(wbits=31).decompress(kept).count(b"\n")
    shutdown = Shutdown()
    assert rest(open_part(path, shutdown)) == messages(frames[:whole])
    assert not shutdown.requested
    assert [level for level, _ in logged(caplog)] == ["WARNING"]
    assert f"{path}:{whole + 1}: " in logged(caplog)[0][1]


@KINDS
def test_whole_last_line_without_newline_is_used(tmp_path: Path, caplog: Log, name: str) -> None:
    """A last line without its newline, which an editor may have removed, is read as any other."""
    path = write(tmp_path / name, text(FRAMES)[:-1])
    assert rest(open_part(path, Shutdown())) == messages(FRAMES)
    assert logged(caplog) == []


def test_partition_ends_at_the_shutdown(tmp_path: Path) -> None:
    """After a shutdown was requested, the next poll is the last, however much there is to read."""
    partition = open_part(write(tmp_path / "a.jsonl", text(FRAMES * 1_000)), shutdown := Shutdown())
    assert partition.next_batch()
    shutdown.request(0)
    with pytest.raises(StopIteration):
        partition.next_batch()


def test_report_says_what_was_replayed(tmp_path: Path) -> None:
    """The report has messages, products, the span of times, and the line at which each incomplete file is."""
    write(tmp_path / "a.jsonl", text(FRAMES))
    write(tmp_path / "b.jsonl", text([ETH.snapshot(), *(ETH.update() for _ in range(2_000))]))
    source = RecordingSource(str(tmp_path), Shutdown())
    part = build(source)
    given = len(part.next_batch()) + len(part.next_batch())
    left = given - len(FRAMES)
    time = "1970-01-01T00:00:00.000000Z"
    assert source.report() == (
        f"{given} messages of 2 products from {time} to {time}, "
        f"not to the end: the last lines were {tmp_path / 'b.jsonl'}:{left}"
    )
    rest(part)
    assert source.report() == f"{len(FRAMES) + 2_001} messages of 2 products from {time} to {time}"
    resumed = RecordingSource(str(tmp_path / "a.jsonl"), Shutdown())
    rest(build(resumed, place(tmp_path / "a.jsonl", len(text(FRAMES[:3])), 3)))
    assert resumed.report() == f"{len(FRAMES) - 3} messages of 1 products from {time} to {time}"


@pytest.mark.parametrize(
    ("frames", "resumed", "products"),
    [
        ([BTC.update(), ETH.update()], False, ["BTC-USD", "ETH-USD"]),
        ([BTC.update(), ETH.snapshot()], False, []),
        ([BTC.update(), BTC.update()], True, []),
        ([b'{"type":"subscriptions","channels":[]}'], False, []),
    ],
)
def test_recording_without_snapshot(
    tmp_path: Path, frames: list[bytes], resumed: bool, products: list[str]
) -> None:
    """The products are named where no snapshot came of any; a resumed file had its snapshot before."""
    path = write(tmp_path / "a.jsonl", text(frames))
    source = RecordingSource(str(path), Shutdown())
    rest(build(source, place(path, len(text(frames[:1])), 1) if resumed else None))
    expected = f"no snapshot of {', '.join(products)}, so no book and no line"
    assert source.failure() == (expected if products else None)


@pytest.mark.parametrize("change", ["files", "products", "start"])
def test_resume_of_something_else_is_an_error(tmp_path: Path, caplog: Log, change: str) -> None:
    """Resuming is refused, with one line and code 1, where files, products or start are others."""
    write(tmp_path / "a.jsonl", text(FRAMES))
    left = build(RecordingSource(str(tmp_path), Shutdown()))
    left.next_batch()
    if change == "files":
        write(tmp_path / "b.jsonl", text([ETH.snapshot()]))
    products = ["BTC-USD"] if change == "products" else None
    start = ARRIVAL if change == "start" else None
    other = RecordingSource(str(tmp_path), shutdown := Shutdown(), products=products, start=start)
    partition = build(other, left.snapshot())
    assert rest(partition) == []
    assert shutdown.code == 1
    assert [level for level, _ in logged(caplog)] == ["ERROR"]
    assert partition.snapshot() == left.snapshot(), "what is not resumed stays as it was left"


def test_chosen_product_that_is_in_no_file(tmp_path: Path) -> None:
    """A chosen product of which no snapshot came is named, whatever came of others."""
    path = write(tmp_path / "a.jsonl", text(FRAMES))
    source = RecordingSource(str(path), Shutdown(), products=["BTC-USD", "ETH-USD"])
    rest(build(source))
    assert source.failure() == "no snapshot of ETH-USD, so no book and no line"


def test_nothing_between_start_and_end(tmp_path: Path) -> None:
    """A replay that begins behind the last line, or ends before the first one, has failed."""
    path = write(tmp_path / "a.jsonl", text(FRAMES))
    source = RecordingSource(str(path), Shutdown(), start=ARRIVAL + 1)
    assert rest(build(source)) == []
    assert source.failure() == "nothing was recorded between start and end"
    early = RecordingSource(str(path), Shutdown(), end=ARRIVAL)
    assert rest(build(early)) == []
    assert early.failure() == "nothing was recorded between start and end"


def test_end_before_the_start_is_an_error(tmp_path: Path) -> None:
    """A replay that would end before it starts is refused before anything runs."""
    path = write(tmp_path / "a.jsonl", text(FRAMES))
    with pytest.raises(ValueError, match="the end is not behind the start"):
        RecordingSource(str(path), Shutdown(), start=5, end=5)


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_speed(tmp_path: Path, speed: float) -> None:
    """At a speed each message comes when its arrival is due, and no poll waits for it."""
    seconds = [0.0, 0.5, 0.5, 3.0, 100.0]
    frames = FRAMES[: len(seconds)]
    lines = [b"%d %b\n" % (ARRIVAL + int(s * 1e9), f) for s, f in zip(seconds, frames, strict=True)]
    source = RecordingSource(
        str(write(tmp_path / "a.jsonl", b"".join(lines))),
        Shutdown(),
        speed=speed,
        clock=(clock := Clock(7.0)),
    )
    partition = build(source)
    partition.next_batch()  # learns when the first is due
    came: list[float] = []
    while len(came) < len(frames):
        before = datetime.now(UTC)
        came += [(clock.now - 7.0) * speed] * len(partition.next_batch())
        awake = partition.next_awake()
        assert awake is not None
        assert awake <= datetime.now(UTC) + timedelta(seconds=0.05)
        assert awake >= before
        clock.now += 0.05
    assert all(due <= at < due + 0.06 * speed for due, at in zip(seconds, came, strict=True))
    with pytest.raises(StopIteration):
        partition.next_batch()
