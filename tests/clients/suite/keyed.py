"""Keyed text: what was sent to a partition, what compaction must leave of it, and how each client sends and reads it.

A line holds a key, a tab and a value; nothing after the tab is a tombstone. What is read holds the offset, a tab and such a line.
"""

import random
import re
import time

import exchange
import wire
from exchange import READERS
from runner import Failure, check
from tools import corelog, kafka_tool, kcat, program, run

KEYS = 120
# kafka-go 0.4 panics at two empty batches in a row, which compaction may leave (segmentio/kafka-go issue 874).
COMPACTED_READERS = tuple(client for client in READERS if client != "kafka-go")
TOMBSTONE_SHARE = 0.1
COMPACTED_SECONDS_MAX = 30
SEGMENT_MS = 200
# How often the active segment is closed, so that compaction may have it, and how often is looked whether it is done.
NUDGE_SECONDS = 0.6
LOOK_SECONDS = 0.05
TRAFFIC_TOPIC, TRAFFIC_PARTITIONS = "traffic", 8
# Half of a new journal for each of two shards, in batches that go through it and not past it.
TRAFFIC_BYTES, TRAFFIC_BATCH_BYTES = 20_000_000, 96_000
TRAFFIC_BATCH = wire.batch([b"." * TRAFFIC_BATCH_BYTES])
# As Java's console consumer and Corelog's command tell an offset.
TOLD_OFFSET = re.compile(rb"^(?:Partition:0\t)?Offset:(\d+)\t", re.MULTILINE)


class Keyed:
    """A topic and what was sent to its only partition, whoever sent it."""

    def __init__(self, broker, topic, lines, configs=None):
        self.broker, self.topic, self.lines = broker, topic, iter(lines)
        self.newest = {}
        self.end = 0
        self.keeps_tombstones = False
        configs = {"cleanup.policy": "compact", "segment.ms": SEGMENT_MS, "min.cleanable.dirty.ratio": 0, **(configs or {})}
        wire.create_topic(broker.bootstrap, topic, configs=configs)

    def note(self, key, value):
        self.newest[key] = (self.end, value)
        self.end += 1

    def text(self, path, count, rng):
        """Writes lines for a client to send, and takes note of them as sent."""
        with open(path, "wb") as out:
            for _ in range(count):
                key = b"key-%d-\xc3\xbc" % rng.randrange(KEYS)
                value = b"" if rng.random() < TOMBSTONE_SHARE else next(self.lines)
                out.write(key + b"\t" + value + b"\n")
                self.note(key, value)

    def append(self, key, value, timestamp=None):
        """Sends one record by hand."""
        times = {} if timestamp is None else {"timestamp": timestamp}
        batch = wire.batch([], records=wire.record(value, 0, key), count=1, last_offset_delta=0, **times)
        with wire.Connection(self.broker.bootstrap) as connection:
            error, offset = connection.settled_produce(self.topic, 0, batch)
        check((error, offset) == (0, self.end), f"(error, offset) of a record by hand are {(error, offset)}, not {(0, self.end)}")
        self.note(key, value)

    def nudge(self):
        """A record with a key of its own: it closes the active segment, and stays."""
        self.append(b"nudge-%d" % self.end, b"stays")

    def check_end(self):
        """What was sent is there, and nothing else, as soon as the partition serves."""
        with wire.Connection(self.broker.bootstrap) as connection:
            found = connection.settled_offset(self.topic, 0)
        check(found == (0, self.end), f"the partition's end is (error, offset) {found}, not {(0, self.end)}")

    def expected(self):
        """The newest record of each key, in the order of offsets."""
        kept = [(offset, key, value) for key, (offset, value) in self.newest.items() if value or self.keeps_tombstones]
        return [b"%d\t%s\t%s" % record for record in sorted(kept)]

    def wait_until_compacted(self):
        """Until the partition holds as many records as there must be; which they are is for the readers to tell."""
        began = time.monotonic()
        while time.monotonic() - began < COMPACTED_SECONDS_MAX:
            self.nudge()
            traffic(self.broker)
            nudged = time.monotonic()
            while time.monotonic() - nudged < NUDGE_SECONDS:
                if (count := record_count(self.broker, self.topic)) == len(self.expected()):
                    return time.monotonic() - began
                time.sleep(LOOK_SECONDS)
        raise Failure(f"after {COMPACTED_SECONDS_MAX} s {count} records are left, not {len(self.expected())}")


def traffic(broker):
    """What others send. Corelog compacts what is in segments; they bring it there at once, a quiet broker within 30 s."""
    if broker.name != "Corelog":
        return
    with wire.Connection(broker.bootstrap) as connection:
        if TRAFFIC_TOPIC not in connection.topics():
            check(connection.create_topic(TRAFFIC_TOPIC, TRAFFIC_PARTITIONS) == 0, "the topic of others could not be created")
        for number in range(TRAFFIC_BYTES // TRAFFIC_BATCH_BYTES):
            error, _ = connection.settled_produce(TRAFFIC_TOPIC, number % TRAFFIC_PARTITIONS, TRAFFIC_BATCH)
            check(error == 0, f"what others send is refused with {error}")


def record_count(broker, topic):
    """How many records partition 0 holds, by the headers of its batches."""
    count = 0
    with wire.Connection(broker.bootstrap) as connection:
        (_, at), (_, end) = connection.settled_offset(topic, 0, -2), connection.settled_offset(topic, 0)
        while at < end:
            error, _, data = connection.fetch(topic, 0, at, version=10)
            check(error == 0 and data, f"fetching from {at} below {end}: error {error}, {len(data)} bytes")
            for last, records in wire.batch_headers(data):
                check(last >= at, f"the batch that ends at {last} came for {at}")
                at, count = last + 1, count + records
    return count


def produce(client, bootstrap, topic, path, codec):
    if client == "kcat":
        settings = ["-X", "acks=all", "-X", "enable.idempotence=true", "-X", "linger.ms=20", "-K", "\t", "-Z"]
        run([kcat(), "-P", "-b", bootstrap, "-t", topic, "-p", "0", "-z", codec, *settings], path)
    elif client == "java":
        settings = ["--reader-property", "parse.key=true", "--reader-property", "null.marker=", "--compression-codec", codec]
        run(kafka_tool("kafka-console-producer", "--bootstrap-server", bootstrap, "--topic", topic, *settings), path)
    elif client == "corelog":
        options = ["--key-separator", "\\t", "--null-marker", "", "--partition", "0", "--compression", codec, "--quiet"]
        run([corelog(), "produce", topic, "--bootstrap-server", bootstrap, "--file", path, *options])
    else:
        idempotent = "yes" if client in exchange.IDEMPOTENT else "no"
        options = ["--bootstrap", bootstrap, "--topic", topic, "--file", path, "--codec", codec, "--idempotent", idempotent]
        run([*program(client), "produce", *options, "--keyed", "yes"])


def read(client, bootstrap, topic, work, count):
    """All records of the partition as lines, by one of READERS."""
    if client == "kcat":
        return run([kcat(), "-C", "-b", bootstrap, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o\t%k\t%s\n"])
    if client == "java":
        options = ["--bootstrap-server", bootstrap, "--topic", topic, "--partition", "0", "--from-beginning"]
        options += ["--max-messages", str(count), "--timeout-ms", "30000"]
        for shown in ("print.offset=true", "print.key=true", "null.literal="):
            options += ["--formatter-property", shown]
        return TOLD_OFFSET.sub(rb"\1\t", run(kafka_tool("kafka-console-consumer", *options)))
    if client == "corelog":
        options = ["--partition", "0", "--from-beginning", "--until-end", "--keys", "--positions", "--quiet"]
        out = run([corelog(), "consume", topic, "--bootstrap-server", bootstrap, *options])
        return TOLD_OFFSET.sub(rb"\1\t", out).replace(b"\tnull\n", b"\t\n")
    out = work / "came"
    run([*program(client), "consume", "--bootstrap", bootstrap, "--topic", topic, "--out", out, "--keyed", "yes"])
    return out.read_bytes()


def check_read(keyed, client, work):
    """What this client reads is exactly what compaction must leave."""
    expected = keyed.expected()
    came = read(client, keyed.broker.bootstrap, keyed.topic, work, len(expected)).split(b"\n")
    check(came.pop() == b"", "the last line has no end")
    for want, got in zip(expected, came):
        check(want == got, f"{client} read {got[:60]!r}, not {want[:60]!r}")
    check(len(came) == len(expected), f"{client} read {len(came)} records, not {len(expected)}")


def check_all_readers(keyed, work, clients=COMPACTED_READERS):
    here = [client for client in clients if exchange.available(client)]
    for client in here:
        check_read(keyed, client, work)
    return " ".join(here)


def seeded(given):
    """A generator and the seed that repeats it: the given one, if any."""
    seed = random.randrange(1 << 32) if given is None else given
    return random.Random(seed), seed
