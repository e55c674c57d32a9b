"""Hostile input over raw sockets: the right Kafka error or a closed connection, and no effect on anyone else.

A bystander keeps producing and reading over a connection of its own all the while: it must never see an error or wait long.
The process must stay the same, and its memory flat.
"""

import contextlib
import random
import socket
import struct
import threading
import time

import hostile_batches
import wire
from runner import check
from wire import Connection, array, frame, header, i8, i16, i32, string

TOPIC = "hostile"
# The most that the bystander may wait for one answer, on a machine busy with the tests themselves.
BYSTANDER_SECONDS_MAX = 3.0
MEMORY_GROWTH_KB_MAX = {"Corelog": 150_000, "Kafka": 900_000}
# Without an authorizer Kafka obeys these from anyone: garbage in them takes the node out of its own cluster.
KAFKA_CLUSTER_APIS = {52, 53, 54, 56, 57, 58, 59, 62, 63, 64, 67, 70, 73, 80, 81, 82}
INVALID_PARTITIONS, POLICY_VIOLATION = 37, 44
INVALID_TOPIC, INVALID_REQUEST, UNKNOWN_TOPIC, INVALID_ACKS, UNSUPPORTED_VERSION = 17, 42, 3, 21, 35
NAMES = ("../x", "../../etc/x", "a/b", ".", "..", "x" * 250, "", "ü", "a b", "a\0b", "a\\b", "a:b", "%2e%2e", "x\n")
# What array counts and lengths may claim: the greatest in both encodings, minus one, zeros, and plain garbage.
PATTERNS = {
    "2^31-1 counts": b"\x7f\xff\xff\xff" * 16,
    "2^31-1 compact counts": b"\xff\xff\xff\xff\x07" * 12,
    "one topic, then 2^31-1": i32(1) + string("x") + b"\x7f\xff\xff\xff" * 12,
    "minus one everywhere": b"\xff" * 64,
    "zeros": b"\0" * 64,
    "nothing": b"",
    "garbage": random.Random(7).randbytes(300),
}


class Bystander(threading.Thread):
    """A well-behaved client: produces one record, reads it back, asks for metadata, again and again."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.ended = threading.Event()
        self.slowest = self.rounds = 0
        self.problem = None

    def run(self):
        try:
            with Connection(self.bootstrap) as connection:
                while not self.ended.is_set():
                    self.one_round(connection)
                    time.sleep(0.02)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def one_round(self, connection):
        value = b"bystander %d" % self.rounds
        for ask in (
            lambda: connection.produce("bystander", 0, wire.batch([value])),
            lambda: connection.fetch("bystander", 0, self.rounds),
            lambda: connection.topics(),
        ):
            began = time.monotonic()
            answer = ask()
            self.slowest = max(self.slowest, time.monotonic() - began)
            check(answer is not None, "its connection was closed")
            if isinstance(answer, tuple):
                check(answer[0] == 0, f"it got error {answer[0]}")
            if isinstance(answer, tuple) and len(answer) == 3:
                check(value in answer[2], f"record {self.rounds} did not come back")
        self.rounds += 1

    def verdict(self):
        self.ended.set()
        self.join(30)
        check(self.problem is None, f"the bystander failed in round {self.rounds}: {self.problem}")
        check(self.slowest < BYSTANDER_SECONDS_MAX, f"the bystander waited {self.slowest:.1f} s for one answer")
        check(self.rounds > 5, f"the bystander came round only {self.rounds} times")
        return f"{self.rounds} rounds, the slowest answer after {self.slowest * 1000:.0f} ms"


def closes(broker, data, seconds=10):
    """Sends bytes and expects the connection to be closed without an answer."""
    with Connection(broker.bootstrap, seconds) as connection:
        with contextlib.suppress(ConnectionError):
            connection.send(data)
        answer = connection.receive()
        check(answer is None, f"answered with {answer[:40] if answer else answer!r}")


def frames(broker):
    for data in (
        struct.pack(">i", (1 << 31) - 1) + b"x" * 100,
        struct.pack(">i", 200 << 20) + b"x" * 100,
        struct.pack(">i", -1) + b"x" * 100,
        struct.pack(">i", -(1 << 31)),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
        frame(b""),
        frame(b"\0\x12"),
        frame(i16(18) + i16(0) + i32(1) + i16(500) + b"x"),
        frame(header(9999, 0)),
        frame(header(-1, 0)),
        frame(header(wire.METADATA, 99)),
        frame(header(wire.METADATA, -1)),
        frame(header(wire.PRODUCE, 2) + wire.produce_body(TOPIC, 0, wire.batch([b"x"]))[2:]),
        frame(header(wire.FETCH, 3) + b"\0" * 40),
    ):
        closes(broker, data)


def truncated(broker):
    """Every prefix of a good request, and then the end: no answer is owed, and nothing may be kept."""
    whole = frame(header(wire.PRODUCE, 7) + wire.produce_body(TOPIC, 0, wire.batch([b"half a request"])))
    before = end_of(broker)
    for length in range(len(whole)):
        with Connection(broker.bootstrap) as connection:
            connection.send(whole[:length])
            connection.socket.shutdown(socket.SHUT_WR)
            check(connection.receive() is None, f"{length} bytes of {len(whole)} were answered")
    check(end_of(broker) == before, "half a request was appended")
    return f"{len(whole)} prefixes"


def end_of(broker, topic=TOPIC):
    with Connection(broker.bootstrap) as connection:
        return connection.offset(topic, 0)


def unknown_api_versions(broker):
    with Connection(broker.bootstrap) as connection:
        connection.send(frame(header(wire.API_VERSIONS, 99, 7, flexible=True) + b"\x02x\x02y\0"))
        answer = connection.receive()
        check(answer is not None, "the connection was closed")
        correlation, error, count = struct.unpack(">ihi", answer[:10])
        check((correlation, error) == (7, UNSUPPORTED_VERSION), f"answered {answer[:10].hex()}")
        check(count >= 1 and len(answer) >= 10 + count * 6, f"{count} entries in {len(answer)} bytes")
        listed = [struct.unpack(">h", answer[10 + i * 6 : 12 + i * 6])[0] for i in range(count)]
        check(wire.API_VERSIONS in listed, f"the versions of ApiVersions itself are not in {listed}")
        check(connection.versions(), "the connection is of no more use afterwards")


def hostile_counts(broker):
    """Every API and version that is offered, with counts and lengths that promise what does not follow."""
    with Connection(broker.bootstrap) as connection:
        offered = connection.versions()
    if broker.name == "Kafka":
        offered = {api: versions for api, versions in offered.items() if api not in KAFKA_CLUSTER_APIS}
    tried = 0
    for api, (first, last) in sorted(offered.items()):
        for version in range(first, last + 1):
            for name, body in PATTERNS.items():
                for flexible in (False, True):
                    one_hostile(broker, header(api, version, 5, flexible=flexible) + body, f"{name} for API {api} version {version}")
                    tried += 1
    return f"{len(offered)} APIs, {tried} requests"


def one_hostile(broker, request, what):
    # A request may rightly have no answer (acks=0): a second, good one tells whether the connection lives.
    second = frame(header(wire.API_VERSIONS, 0, 6))
    with Connection(broker.bootstrap, 10) as connection:
        try:
            connection.send(frame(request) + second)
            answer = connection.receive()
            while answer is not None and struct.unpack(">i", answer[:4])[0] != 6:
                check(struct.unpack(">i", answer[:4])[0] == 5, f"{what}: an answer to nothing, {answer[:8].hex()}")
                answer = connection.receive()
        except TimeoutError:
            check(False, f"{what}: neither answered nor closed within 10 s")
        except ConnectionError:
            pass


def wrong_batches(broker):
    cases = hostile_batches.cases()
    if broker.name == "Kafka":
        cases.pop("null")  # Kafka never answers it.
    wrong = []
    for name, (records, right) in cases.items():
        with Connection(broker.bootstrap, 10) as connection:
            try:
                answer = connection.produce(TOPIC, 0, records)
            except TimeoutError:
                answer = ("no answer",)
        got = answer[0] if answer else None
        if got not in right:
            wrong.append(f"{name}: {got} instead of {sorted(right, key=str)}")
    check(not wrong, "; ".join(wrong))
    return f"{len(cases)} batches"


def readable(broker):
    """After all that, the partition must read back from its start to its end."""
    error, end = end_of(broker)
    with Connection(broker.bootstrap) as connection:
        at = 0
        while at < end:
            error, mark, data = connection.fetch(TOPIC, 0, at)
            check(error == 0 and mark == end and data, f"fetching from {at}: error {error}, mark {mark}, {len(data)} bytes")
            place, last = 0, None
            while place + 61 <= len(data):
                base, length = struct.unpack(">qi", data[place : place + 12])
                if place + 12 + length > len(data):
                    break
                crc = struct.unpack(">I", data[place + 17 : place + 21])[0]
                check(data[place + 16] == 2 and crc == wire.crc32c(data[place + 21 : place + 12 + length]), f"the batch at {base} is damaged")
                last = base + struct.unpack(">i", data[place + 23 : place + 27])[0]
                place += 12 + length
            check(last is not None and last >= at, f"no progress from {at}")
            at = last + 1
    return f"{end} records"


def produce_requests(broker):
    for partition in (-1, 1, 999, (1 << 31) - 1):
        with Connection(broker.bootstrap) as connection:
            answer = connection.produce(TOPIC, partition, wire.batch([b"x"]))
            check(answer and answer[0] == UNKNOWN_TOPIC, f"partition {partition}: {answer}")
    for acks in (2, -2, 32767):
        with Connection(broker.bootstrap) as connection:
            answer = connection.produce(TOPIC, 0, wire.batch([b"x"]), acks=acks)
            check(answer and answer[0] == INVALID_ACKS, f"acks={acks}: {answer}")
    with Connection(broker.bootstrap) as connection:
        connection.send(frame(header(wire.PRODUCE, 7) + wire.produce_body(TOPIC, 0, wire.batch([b"x"], crc=1), acks=0)))
        check(connection.receive() is None, "a failed produce with acks=0 did not close the connection")


def gzip_bomb(broker):
    with Connection(broker.bootstrap, 60) as connection:
        answer = connection.produce(TOPIC, 0, hostile_batches.gzip_bomb())
    check(answer is None or answer[0] in {0, 2, 10, 87, -1}, f"answered {answer}")
    return f"answered {answer}"


def topic_names(broker):
    before = files_around(broker)
    for name in NAMES:
        with Connection(broker.bootstrap) as connection:
            error = connection.create_topic(name)
            check(error == INVALID_TOPIC, f"creating {name[:30]!r} gave {error}")
            answer = connection.ask(wire.METADATA, 4, array([string(name)]) + i8(1))
            answer.number("i"), answer.array(lambda: (answer.number("i"), answer.string(), answer.number("i"), answer.string()))
            answer.string(), answer.number("i"), answer.number("i")
            check(answer.number("h") == INVALID_TOPIC, f"metadata of {name[:30]!r} is not an invalid topic")
            answer = connection.produce(name, 0, wire.batch([b"x"]))
            check(answer is None or answer[0] in (UNKNOWN_TOPIC, INVALID_TOPIC), f"producing to {name[:30]!r} gave {answer}")
    with Connection(broker.bootstrap) as connection:
        error = connection.create_topic("__cluster_metadata")
        check(error in (INVALID_REQUEST, INVALID_TOPIC), f"creating __cluster_metadata gave {error}")
        check(connection.create_topic("y" * 249) == 0, "a name of 249 characters was refused")
        check(connection.delete_topic("y" * 249) == 0, "a name of 249 characters was not deleted")
    check(files_around(broker) == before, f"files appeared outside the data directory: {files_around(broker)}")


def too_many_partitions(broker):
    """Numbers of partitions that nobody can mean are refused at once, and nothing of them stays."""
    with Connection(broker.bootstrap) as connection:
        for count in ((1 << 31) - 1, 100_000_000, 0, -2):
            error = connection.create_topic("too-many", count)
            check(error in (INVALID_PARTITIONS, POLICY_VIOLATION), f"a topic of {count} partitions gave {error}")
        for count in ((1 << 31) - 1, 100_000_000, 0, -2):
            error = connection.add_partitions(TOPIC, count)
            # Kafka fails to find the memory for it, and says -1.
            check(error in (INVALID_PARTITIONS, POLICY_VIOLATION, -1), f"{count} partitions for a topic gave {error}")
        check("too-many" not in connection.topics(), "a refused topic is there")


def files_around(broker):
    return sorted(path.name for path in broker.work.iterdir())


def half_open(broker):
    """Hundreds of connections that say nothing, or a piece of a header, and then stay."""
    with contextlib.ExitStack() as stack:
        for number in range(400):
            connection = stack.enter_context(Connection(broker.bootstrap))
            connection.send(frame(header(wire.METADATA, 1) + i32(-1))[: number % 12])
        with Connection(broker.bootstrap) as good:
            check(good.topics(), "nobody else is answered while they stay")
    return "400 connections"


def slow_loris(broker):
    request = frame(header(wire.API_VERSIONS, 0, 77))
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Connection(broker.bootstrap)) for _ in range(20)]
        for byte in request:
            for connection in slow:
                connection.send(bytes([byte]))
            time.sleep(0.02)
        for connection in slow:
            answer = connection.receive()
            check(answer and answer[:4] == i32(77), "a request that came byte by byte was not answered")


def never_reads(broker):
    """Asks for gigabytes and reads none of it; the broker must not hold them in memory."""
    fill = wire.batch([b"z" * 900_000])
    wire.create_topic(broker.bootstrap, "hostile-bulk")
    with Connection(broker.bootstrap) as connection:
        for _ in range(8):
            check(connection.produce("hostile-bulk", 0, fill)[0] == 0, "the topic could not be filled")
    before = broker.memory_kb()
    body = i32(-1) + i32(0) + i32(1) + i32(8 << 20) + i8(0)
    body += array([string("hostile-bulk") + array([i32(0) + b"\0" * 8 + i32(8 << 20)])])
    ask = frame(header(wire.FETCH, 4) + body)
    with contextlib.ExitStack() as stack:
        for number in range(20):
            connection = stack.enter_context(Connection(broker.bootstrap, 2))
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection.socket.settimeout(0.2)
                connection.send((ask if number % 2 else frame(header(wire.METADATA, 1) + i32(-1))) * 5000)
        time.sleep(1)
        grown = broker.memory_kb() - before
        check(grown < MEMORY_GROWTH_KB_MAX[broker.name], f"memory grew by {grown >> 10} MB")
        with Connection(broker.bootstrap) as good:
            check(good.topics(), "nobody else is answered meanwhile")
    return f"memory grew by {grown >> 10} MB"


def connection_storm(broker):
    for _ in range(1000):
        connection = Connection(broker.bootstrap)
        # A reset instead of a farewell.
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.send(frame(header(wire.METADATA, 1) + i32(-1)))
        connection.socket.close()
    return "1000 connections, each reset after a request"


def same_process(broker, pid, before):
    check(broker.pid == pid and wire.Connection(broker.bootstrap).versions(), "the broker is not what it was")
    time.sleep(1)
    after = broker.memory_kb()
    check(after - before < MEMORY_GROWTH_KB_MAX[broker.name], f"memory went from {before >> 10} to {after >> 10} MB")
    return f"memory {before >> 10} MB before, {after >> 10} MB after"


STEPS = (
    ("frames of wrong sizes, unknown APIs and versions", frames),
    ("truncated requests", truncated),
    ("an unknown version of ApiVersions", unknown_api_versions),
    ("hostile counts in every API and version", hostile_counts),
    ("wrong batches", wrong_batches),
    ("a small batch that unpacks to 300 MB", gzip_bomb),
    ("wrong partitions and acks", produce_requests),
    ("topic names", topic_names),
    ("numbers of partitions that nobody can mean", too_many_partitions),
    ("half-open connections", half_open),
    ("requests byte by byte", slow_loris),
    ("clients that never read", never_reads),
    ("connections reset in a storm", connection_storm),
    ("the partition is still readable", readable),
)


def prepare(broker):
    broker.need_owned()
    for topic in (TOPIC, "bystander"):
        # Some of what is accepted claims to be from 1970: retention must not take it away meanwhile.
        wire.create_topic(broker.bootstrap, topic, configs={"retention.ms": -1})
    # Warm, so that what is measured is growth and not start.
    with Connection(broker.bootstrap) as connection:
        for _ in range(50):
            connection.produce(TOPIC, 0, wire.batch([b"w" * 100_000]))


def steps(suite, broker, options):
    names = [f"hostile: {name}" for name, _ in STEPS]
    if not any(suite.wants(name) for name in names):
        return
    failed = suite.failed + suite.skipped
    suite.step("hostile: prepare", prepare, broker) if not suite.only else prepare(broker)
    if suite.failed + suite.skipped > failed:
        return
    bystander = Bystander(broker.bootstrap)
    bystander.start()
    pid, before = broker.pid, broker.memory_kb()
    for name, (_, action) in zip(names, STEPS):
        suite.step(name, action, broker)
    suite.step("hostile: a bystander noticed nothing", bystander.verdict)
    suite.step("hostile: the same process, flat memory", same_process, broker, pid, before)
    for topic in (TOPIC, "bystander", "hostile-bulk"):
        wire.delete_topic(broker.bootstrap, topic)
