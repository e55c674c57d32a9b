#!/usr/bin/env python3
"""Clients that make a broker hold memory: they ask for much and read slowly, or send half of a huge request and stall.

  hostile.py HOST:PORT TOPIC PARTITIONS SECONDS [--slow N] [--stalled N] [--request-bytes N] [--read-bytes N] [--pipelined N]

--slow N          connections that fetch all partitions, 55 MB in each answer, and read a little once in a while: one half from the
                  log's start (the device), the other from near its end at that time (the batch cache), one after another (default 32)
--stalled N       connections that announce a Produce request of --request-bytes, send half of it, and no more (default 48)
--request-bytes N what they announce, at most socket.request.max.bytes (default 104857600)
--read-bytes N    what a slow connection reads, ten times a second (default 4096)
--pipelined N     requests that a slow connection sends at once, and keeps open (default 4)

Standard library only. Ends after SECONDS, or with SIGTERM, and prints one line of NAME=VALUE words: bytes sent and read, huge
requests whose half the broker took, slow and stalled connections that the broker closed, and those that it did not take.

Key invariant: it takes no more memory than one chunk to send and one to read, whatever the broker does.
"""

import argparse
import selectors
import signal
import socket
import struct
import sys
import time

PRODUCE, FETCH, LIST_OFFSETS = 0, 1, 2
FETCH_VERSION, LIST_OFFSETS_VERSION, PRODUCE_VERSION = 4, 1, 7
LATEST, EARLIEST = -1, -2
ANSWER_BYTES = 55 << 20
# What is sent at once of a huge request.
CHUNK = bytes(256 << 10)
# A small window, so that the broker keeps what this client does not read.
RECEIVE_WINDOW_BYTES = 16 << 10
TURN_S = 0.1
BEGIN_EACH_S = 0.05
ANSWER_TIMEOUT_S = 10
# How far before its end a slow connection reads each partition: about an answer of 55 MB, of records of 1 KB in 16 partitions.
TAIL_RECORDS = 3000


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(api, version, body):
    payload = struct.pack(">hhi", api, version, 1) + text("hostile") + body
    return struct.pack(">i", len(payload)) + payload


def list_offsets(topic, partitions, at):
    parts = b"".join(struct.pack(">iq", index, at) for index in range(partitions))
    return frame(LIST_OFFSETS, LIST_OFFSETS_VERSION, struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", partitions) + parts)


def fetch(topic, offsets):
    parts = b"".join(struct.pack(">iqi", index, offset, ANSWER_BYTES) for index, offset in offsets.items())
    # Replica, longest wait in ms, fewest and most bytes, isolation, one topic.
    head = struct.pack(">iiiibi", -1, 1000, 1, ANSWER_BYTES, 0, 1)
    return frame(FETCH, FETCH_VERSION, head + text(topic) + struct.pack(">i", len(offsets)) + parts)


def connect(address, window=None):
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if window:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(ANSWER_TIMEOUT_S)
    connection.connect(address)
    return connection


def receive(connection, size):
    got = bytearray()
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError("the broker closed the connection")
        got += part
    return bytes(got)


def offsets_of(address, topic, partitions, at):
    """The first or last offset of each partition."""
    with connect(address) as connection:
        connection.sendall(list_offsets(topic, partitions, at))
        answer = receive(connection, struct.unpack(">i", receive(connection, 4))[0])
    place = 4 + 4
    length = struct.unpack_from(">h", answer, place)[0]
    place += 2 + length
    count = struct.unpack_from(">i", answer, place)[0]
    place += 4
    found = {}
    for _ in range(count):
        index, error, _, offset = struct.unpack_from(">ihqq", answer, place)
        place += 22
        if error == 0:
            found[index] = offset
    return found


class Slow:
    """Asks for much and reads little."""

    def __init__(self, address, options, number):
        offsets = offsets_of(address, options.topic, options.partitions, EARLIEST)
        if number % 2 == 1:
            ends = offsets_of(address, options.topic, options.partitions, LATEST)
            offsets = {index: max(first, ends[index] - TAIL_RECORDS) for index, first in offsets.items()}
        self.read_bytes = options.read_bytes
        self.connection = connect(address, RECEIVE_WINDOW_BYTES)
        self.connection.sendall(fetch(options.topic, offsets) * options.pipelined)
        self.connection.setblocking(False)

    def turn(self, counts):
        try:
            part = self.connection.recv(self.read_bytes)
        except BlockingIOError:
            return True
        counts["read_bytes"] += len(part)
        return bool(part)


class Stalled:
    """Sends half of what it announces."""

    def __init__(self, address, options, number):
        self.connection = connect(address)
        self.connection.sendall(struct.pack(">ihhi", options.request_bytes, PRODUCE, PRODUCE_VERSION, number) + text("hostile"))
        self.connection.setblocking(False)
        self.left = options.request_bytes // 2

    def turn(self, counts):
        while self.left > 0:
            try:
                sent = self.connection.send(memoryview(CHUNK)[: min(self.left, len(CHUNK))])
            except BlockingIOError:
                break
            self.left -= sent
            counts["sent_bytes"] += sent
            if self.left <= 0:
                counts["halves"] += 1
        try:
            return bool(self.connection.recv(1))
        except BlockingIOError:
            return True


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("partitions", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--slow", type=int, default=32)
    parser.add_argument("--stalled", type=int, default=48)
    parser.add_argument("--request-bytes", type=int, default=100 << 20)
    parser.add_argument("--read-bytes", type=int, default=4096)
    parser.add_argument("--pipelined", type=int, default=4)
    return parser.parse_args()


def main():
    options = arguments()
    host, port = options.address.rsplit(":", 1)
    address = (host, int(port))
    counts = {"sent_bytes": 0, "read_bytes": 0, "halves": 0, "closed_slow": 0, "closed_stalled": 0, "refused": 0}
    waiting = [(number * BEGIN_EACH_S, Slow, number) for number in range(options.slow)]
    waiting += [(number * BEGIN_EACH_S, Stalled, number) for number in range(options.stalled)]
    waiting.sort(key=lambda entry: entry[0], reverse=True)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    began = time.monotonic()
    open_now = []
    while not stop and time.monotonic() - began < options.seconds:
        while waiting and waiting[-1][0] <= time.monotonic() - began:
            _, kind, number = waiting.pop()
            try:
                open_now.append(kind(address, options, number))
            except OSError:
                counts["refused"] += 1
        for client in list(open_now):
            try:
                alive = client.turn(counts)
            except OSError:
                alive = False
            if not alive:
                counts["closed_slow" if isinstance(client, Slow) else "closed_stalled"] += 1
                client.connection.close()
                open_now.remove(client)
        time.sleep(TURN_S)
    print(*(f"{name}={value}" for name, value in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
