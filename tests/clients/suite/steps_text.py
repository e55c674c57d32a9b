"""Real text through every producer and codec, read back byte for byte by another client and from the segment files."""

import re
from pathlib import Path

import corpus
import exchange
import wire
from exchange import CODECS, FAST, PRODUCERS
from runner import Failure, Skip, check
from tools import ROOT, kafka_tool, run

# (slow clients, fast clients), in bytes of text.
SIZES = {"small": (2_500_000, 8_000_000), "large": (200_000_000, 256_000_000)}
# What one client may take for one text.
SECONDS_MAX = {"small": 300, "large": 1_800}
TOPIC_SETTINGS = {"segment.bytes": 1 << 20}
RECORD = re.compile(rb"^\| offset: (\d+) .*? headerKeys: \[.*?\] payload: ?(.*)$")
BATCH = re.compile(rb"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*isvalid: (\w+)")


class Text:
    """The text in the sizes and shapes that the clients need, written when first asked for."""

    def __init__(self, directory, size):
        self.directory = directory
        self.slow, self.fast = SIZES[size]
        self.seconds_max = SECONDS_MAX[size]
        self.written = {}

    def of(self, client):
        # kcat does not send empty lines.
        blank = client != "kcat"
        size = self.fast if client in FAST else self.slow
        if (size, blank) not in self.written:
            path = self.directory / f"text-{size}-{'all' if blank else 'dense'}"
            self.written[(size, blank)] = (path, corpus.write(ROOT, path, size, blank))
        return self.written[(size, blank)]


def exchange_text(broker, text, client, codec, number, made):
    reader = exchange.reader_for(number, client)
    path, count = text.of(client)
    topic = f"text-{client}-{codec}"
    wire.create_topic(broker.bootstrap, topic, configs=TOPIC_SETTINGS)
    exchange.produce(client, broker.bootstrap, topic, path, codec, seconds=text.seconds_max)
    exchange.settle(broker.bootstrap, topic, count)
    out = text.directory / "came"
    exchange.read(reader, broker.bootstrap, topic, out, count, text.seconds_max)
    exchange.same(path, out)
    made[topic] = (path, codec)
    return f"read by {reader}, {count} lines, {path.stat().st_size / 1e6:.1f} MB"


def log_directory(broker):
    """Where the broker keeps its partitions, as kafka-log-dirs tells."""
    out = run(kafka_tool("kafka-log-dirs", "--bootstrap-server", broker.bootstrap, "--describe"))
    found = re.search(rb'"logDir":"([^"]+)"', out)
    check(found, f"no log directory in {out[:300]!r}")
    directory = Path(found.group(1).decode())
    if not directory.is_dir():
        raise Skip(f"the broker's files at {directory} are not on this machine")
    return directory


def closed_segments(directory, topic):
    return sorted((directory / f"{topic}-0").glob("*.log"))[:-1]


def check_dump(segment, dumped, lines):
    """Batches valid and without a gap from the file's own base offset, records equal to the lines that were sent."""
    expected = int(segment.stem)
    check(dumped.startswith(b"Log starting offset: %d\n" % expected), f"{segment.name}: {dumped[:80]!r}")
    next_batch = next_record = expected
    for line in dumped.split(b"\n"):
        if batch := BATCH.match(line):
            base, last, count = (int(batch.group(i)) for i in (1, 2, 3))
            check(batch.group(4) == b"true", f"{segment.name}: the batch at {base} is not valid")
            check(base == next_batch and last - base + 1 == count, f"{segment.name}: {line[:80]!r} after {next_batch}")
            next_batch = last + 1
        elif found := RECORD.match(line):
            offset = int(found.group(1))
            check(offset == next_record, f"{segment.name}: offset {offset} instead of {next_record}")
            check(found.group(2) == lines[offset], f"{segment.name}: record {offset} is {found.group(2)[:80]!r}")
            next_record += 1
    check(next_record == next_batch > expected, f"{segment.name}: records end at {next_record}, batches at {next_batch}")
    return next_record - expected


def dump_segments(broker, topics, per_topic):
    """kafka-dump-log over closed segments of these topics: {topic: (path of the text, codec)}."""
    directory = log_directory(broker)
    wanted = {segment: topic for topic in topics for segment in closed_segments(directory, topic)[:per_topic]}
    check(wanted, f"no segment of {len(topics)} topics was closed")
    files = ",".join(map(str, wanted))
    out = run(kafka_tool("kafka-dump-log", "--files", files, "--print-data-log"), seconds=1_800)
    parts = re.split(rb"^Dumping (.+)\n", out, flags=re.MULTILINE)[1:]
    dumped = {Path(name.decode()): body for name, body in zip(parts[::2], parts[1::2])}
    texts = {path: path.read_bytes().split(b"\n") for path, _ in topics.values()}
    records = 0
    for segment, topic in wanted.items():
        if segment not in dumped:
            raise Failure(f"kafka-dump-log said nothing of {segment}")
        records += check_dump(segment, dumped[segment], texts[topics[topic][0]])
    codecs = {topics[topic][1] for topic in wanted.values()}
    return f"{len(wanted)} segments, {records} records, codecs {' '.join(sorted(codecs))}"


def steps(suite, broker, options):
    text = Text(options.work, options.size)
    made = {}
    number = 0
    for client in PRODUCERS:
        for codec in CODECS:
            number += 1
            suite.step(f"text: {client} {codec}", exchange_text, broker, text, client, codec, number, made)
            topic = f"text-{client}-{codec}"
            if options.size == "large" and topic in made:
                suite.step(f"text: kafka-dump-log of {topic}", dump_segments, broker, {topic: made.pop(topic)}, 20)
                wire.delete_topic(broker.bootstrap, topic)
    if made:
        suite.step("text: kafka-dump-log of closed segments", dump_segments, broker, made, 1)
        for topic in made:
            wire.delete_topic(broker.bootstrap, topic)
