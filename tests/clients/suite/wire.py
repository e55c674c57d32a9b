"""Just enough of Kafka's protocol to set the stage without any client library, and to say wrong things on purpose.

Only non-flexible versions are used, except where a test wants others: they are the simplest to write by hand.
"""

import socket
import struct
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 18, 19, 20, 21, 22
DESCRIBE_CONFIGS, ALTER_CONFIGS, CREATE_PARTITIONS = 32, 33, 37
ANSWER_BYTES_MAX = 128 * 1024 * 1024
# What is answered for a partition whose log is still being opened: LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER.
OPENING = (5, 6)
OPENING_SECONDS_MAX = 10


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def i8(value):
    return struct.pack(">b", value)


def i16(value):
    return struct.pack(">h", value)


def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def string(text):
    if text is None:
        return i16(-1)
    data = text if isinstance(text, bytes) else text.encode()
    return i16(len(data)) + data


def blob(data):
    return i32(-1) if data is None else i32(len(data)) + data


def array(items):
    return i32(len(items)) + b"".join(items)


def uvarint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def varint(value):
    return uvarint((value << 1) ^ (value >> 63) if value >= 0 else ((-value) << 1) - 1)


def compact(text):
    data = text if isinstance(text, bytes) else text.encode()
    return uvarint(len(data) + 1) + data


def header(api, version, correlation=1, client="wire-test", flexible=False):
    return i16(api) + i16(version) + i32(correlation) + string(client) + (b"\0" if flexible else b"")


def frame(payload):
    return i32(len(payload)) + payload


def record(value, offset_delta=0, key=None, timestamp_delta=0):
    body = i8(0) + varint(timestamp_delta) + varint(offset_delta)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(0)
    return varint(len(body)) + body


def batch(values, **wrong):
    """A record batch of version 2. Any header field may be overridden: `crc`, `magic`, `count`, `timestamp`, …"""
    records = wrong.get("records")
    if records is None:
        records = b"".join(record(value, number) for number, value in enumerate(values))
    timestamp = wrong.get("timestamp", int(time.time() * 1000))
    inner = i16(wrong.get("attributes", 0)) + i32(wrong.get("last_offset_delta", len(values) - 1))
    inner += i64(timestamp) + i64(wrong.get("max_timestamp", timestamp))
    inner += i64(wrong.get("producer_id", -1)) + i16(wrong.get("producer_epoch", -1)) + i32(wrong.get("sequence", -1))
    inner += i32(wrong.get("count", len(values))) + records
    crc = wrong.get("crc", crc32c(inner))
    rest = i32(wrong.get("leader_epoch", -1)) + i8(wrong.get("magic", 2)) + struct.pack(">I", crc) + inner
    return i64(wrong.get("base_offset", 0)) + i32(wrong.get("length", len(rest))) + rest


def produce_body(topic, partition, records, acks=-1, transactional_id=None):
    """Produce 3 to 8."""
    return string(transactional_id) + i16(acks) + i32(10_000) + array(
        [string(topic) + array([i32(partition) + blob(records)])]
    )


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise ValueError("the answer is shorter than it should be")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(">" + code)))[0]

    def string(self):
        length = self.number("h")
        return None if length < 0 else self.take(length).decode()

    def array(self, each):
        return [each() for _ in range(max(0, self.number("i")))]


class Connection:
    def __init__(self, bootstrap, seconds=15):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), seconds)
        self.socket.settimeout(seconds)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """One answer's payload, or None when the broker closed the connection."""
        head = self._exactly(4)
        if head is None:
            return None
        length = struct.unpack(">i", head)[0]
        if not 0 <= length <= ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of {length} bytes")
        return self._exactly(length)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def ask(self, api, version, body):
        """A Reader after the correlation id of a non-flexible answer, or None when the connection was closed."""
        self.correlation += 1
        try:
            self.send(frame(header(api, version, self.correlation) + body))
        except ConnectionError:
            return None
        answer = self.receive()
        if answer is None:
            return None
        reader = Reader(answer)
        got = reader.number("i")
        if got != self.correlation:
            raise ValueError(f"correlation id {got} instead of {self.correlation}")
        return reader

    def produce(self, topic, partition, records, acks=-1, version=7):
        """(error code, base offset), or None when the connection was closed."""
        answer = self.ask(PRODUCE, version, produce_body(topic, partition, records, acks))
        if answer is None:
            return None
        answer.number("i"), answer.string(), answer.number("i"), answer.number("i")
        return answer.number("h"), answer.number("q")

    def settled_produce(self, topic, partition, records):
        """As `produce`, asked again while the partition is still being opened."""
        deadline = time.monotonic() + OPENING_SECONDS_MAX
        while (found := self.produce(topic, partition, records)) and found[0] in OPENING and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def offset(self, topic, partition, timestamp=-1):
        """(error code, offset) by ListOffsets 1: -1 latest, -2 earliest."""
        body = i32(-1) + array([string(topic) + array([i32(partition) + i64(timestamp)])])
        answer = self.ask(LIST_OFFSETS, 1, body)
        answer.number("i"), answer.string(), answer.number("i"), answer.number("i")
        error = answer.number("h")
        answer.number("q")
        return error, answer.number("q")

    def settled_offset(self, topic, partition, timestamp=-1):
        """As `offset`, asked again while the partition is still being opened, as every client does."""
        deadline = time.monotonic() + OPENING_SECONDS_MAX
        while (found := self.offset(topic, partition, timestamp))[0] in OPENING and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def fetch(self, topic, partition, offset, max_bytes=1 << 20, wait_ms=500, version=4):
        """(error code, high watermark, record bytes) by Fetch 4, or by Fetch 10, which may bring zstd."""
        later = version >= 10
        body = i32(-1) + i32(wait_ms) + i32(1) + i32(max_bytes) + i8(0) + (i32(0) + i32(-1) if later else b"")
        asked = (i32(-1) + i64(offset) + i64(-1) if later else i64(offset)) + i32(max_bytes)
        body += array([string(topic) + array([i32(partition) + asked])]) + (array([]) if later else b"")
        answer = self.ask(FETCH, version, body)
        answer.number("i")
        if later and ((refused := answer.number("h")), answer.number("i"))[0] != 0:
            return refused, -1, b""
        answer.number("i"), answer.string(), answer.number("i"), answer.number("i")
        error, mark = answer.number("h"), answer.number("q")
        answer.number("q"), answer.number("q") if later else None
        answer.array(lambda: (answer.number("q"), answer.number("q")))
        length = answer.number("i")
        return error, mark, answer.take(max(0, length))

    def create_topic(self, name, partitions=1, configs=None):
        """The error code of CreateTopics 4."""
        entries = [string(key) + string(str(value)) for key, value in (configs or {}).items()]
        topic = string(name) + i32(partitions) + i16(1) + array([]) + array(entries)
        answer = self.ask(CREATE_TOPICS, 4, array([topic]) + i32(15_000) + i8(0))
        if answer is None:
            return None
        answer.number("i"), answer.number("i"), answer.string()
        return answer.number("h")

    def delete_topic(self, name):
        """The error code of DeleteTopics 3."""
        answer = self.ask(DELETE_TOPICS, 3, array([string(name)]) + i32(15_000))
        answer.number("i"), answer.number("i"), answer.string()
        return answer.number("h")

    def topics(self):
        """{name: [leader of partition 0, 1, …]} by Metadata 1."""
        answer = self.ask(METADATA, 1, i32(-1))
        answer.array(lambda: (answer.number("i"), answer.string(), answer.number("i"), answer.string()))
        answer.number("i")

        def partition():
            found = (answer.number("h"), answer.number("i"), answer.number("i"))
            answer.array(lambda: answer.number("i")), answer.array(lambda: answer.number("i"))
            return found[1], found[2]

        def topic():
            answer.number("h")
            name = answer.string()
            answer.number("b")
            return name, [leader for _, leader in sorted(answer.array(partition))]

        return dict(answer.array(topic))

    def configs(self, topic):
        """{name: (value, source)} of a topic by DescribeConfigs 1; source 5 is Kafka's default, 1 was set on the topic."""
        answer = self.ask(DESCRIBE_CONFIGS, 1, array([i8(2) + string(topic) + i32(-1)]) + i8(0))
        answer.number("i"), answer.number("i"), answer.number("h"), answer.string(), answer.number("b"), answer.string()

        def entry():
            name, value = answer.string(), answer.string()
            answer.number("b")
            source = answer.number("b")
            answer.number("b")
            answer.array(lambda: (answer.string(), answer.string(), answer.number("b")))
            return name, (value, source)

        return dict(answer.array(entry))

    def producer_id(self):
        """(error code, producer id, epoch) by InitProducerId 0."""
        deadline = time.monotonic() + 10
        while True:
            answer = self.ask(INIT_PRODUCER_ID, 0, string(None) + i32(60_000))
            answer.number("i")
            found = answer.number("h"), answer.number("q"), answer.number("h")
            # 14 and 15: a broker that has just started may ask to come again.
            if found[0] not in (14, 15) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def delete_records(self, topic, partition, offset):
        """(low watermark, error code) by DeleteRecords 0."""
        body = array([string(topic) + array([i32(partition) + i64(offset)])]) + i32(15_000)
        answer = self.ask(DELETE_RECORDS, 0, body)
        answer.number("i"), answer.number("i"), answer.string(), answer.number("i"), answer.number("i")
        return answer.number("q"), answer.number("h")

    def add_partitions(self, topic, count):
        """The error code of CreatePartitions 0."""
        answer = self.ask(CREATE_PARTITIONS, 0, array([string(topic) + i32(count) + i32(-1)]) + i32(15_000) + i8(0))
        answer.number("i"), answer.number("i"), answer.string()
        return answer.number("h")

    def versions(self):
        """{api key: (min, max)} by ApiVersions 0."""
        answer = self.ask(API_VERSIONS, 0, b"")
        if answer is None:
            return None
        answer.number("h")
        return {k: (a, b) for k, a, b in answer.array(lambda: tuple(answer.number("h") for _ in range(3)))}


def batch_headers(data):
    """(last offset, record count) of every whole batch in fetched bytes."""
    at = 0
    while at + 61 <= len(data):
        base, length = struct.unpack(">qi", data[at : at + 12])
        last_delta, count = struct.unpack(">i", data[at + 23 : at + 27])[0], struct.unpack(">i", data[at + 57 : at + 61])[0]
        if at + 12 + length > len(data):
            return
        yield base + last_delta, count
        at += 12 + length


def create_topic(bootstrap, name, partitions=1, configs=None):
    with Connection(bootstrap) as connection:
        error = connection.create_topic(name, partitions, configs)
        if error != 0:
            raise ValueError(f"creating topic {name} gave error {error}")


def delete_topic(bootstrap, name):
    with Connection(bootstrap) as connection:
        connection.delete_topic(name)
