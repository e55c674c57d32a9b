"""`kill -9` during full-speed produce, again and again on the same data: what was acknowledged is there, once, in order.

    target/clients/python/bin/python tests/clients/suite/kill9.py [--rounds N] [--broker-binary PATH | --kafka] [--seed N]

Idempotent producers live through all the kills and write consecutive numbers, alone in their partitions: the record at
offset n must be number n, whatever was retried. A producer with acks=1 and no idempotence may duplicate and reorder, but
the record at an acknowledged offset must be the acknowledged one. One producer is written by hand, so that its retries are
known exactly. Now and then the broker is killed again while it starts.
"""

import argparse
import random
import sys
import threading
import time
from array import array
from pathlib import Path

import broker as brokers
import wire
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from runner import Failure, check

PARTITIONS = 6
VALUE_BYTES = 500
RUN_SECONDS = (0.8, 2.0)
SECOND_KILL_CHANCE = 0.3
FLUSH_SECONDS_MAX = 90
READ_SILENCE_SECONDS_MAX = 20
READY_SECONDS_MAX = 20
UNACKED = -1
# NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS: a broker that starts.
RETRIABLE = {3, 5, 6, 14}


def value_of(number):
    return b"%010d" % number + b"." * (VALUE_BYTES - 10)


class Source(threading.Thread):
    """One librdkafka producer at full speed over all partitions of its topic; remembers every acknowledged offset."""

    def __init__(self, bootstrap, topic, idempotent):
        super().__init__(daemon=True)
        self.topic, self.idempotent = topic, idempotent
        self.offsets = [array("q") for _ in range(PARTITIONS)]
        self.problems = []
        self.ended = threading.Event()
        self.going = threading.Event()
        self.producer = Producer({
            "bootstrap.servers": bootstrap,
            "enable.idempotence": idempotent,
            "acks": "all" if idempotent else "1",
            "linger.ms": 2,
            "message.timeout.ms": 300_000,
            "queue.buffering.max.messages": 10_000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "log_level": 0,
        })

    def run(self):
        partition = 0
        while not self.ended.is_set():
            if not self.going.is_set():
                self.producer.poll(0.02)
                continue
            offsets = self.offsets[partition]
            number = len(offsets)
            try:
                self.producer.produce(self.topic, value_of(number), partition=partition, on_delivery=self.noted(offsets, number))
                offsets.append(UNACKED)
            except BufferError:
                self.producer.poll(0.02)
                continue
            if number % 50 == 0:
                self.producer.poll(0)
                partition = (partition + 1) % PARTITIONS

    def noted(self, offsets, number):
        def delivered(error, message):
            if error:
                self.problems.append(f"number {number} of {self.topic}: {error}")
            else:
                offsets[number] = message.offset()

        return delivered

    def finish(self):
        self.ended.set()
        self.join()
        left = self.producer.flush(FLUSH_SECONDS_MAX)
        check(left == 0, f"{left} records of {self.topic} were never answered")
        check(not self.problems, f"{len(self.problems)} records failed, the first: {self.problems[:1]}")

    def end_of(self, partition):
        """One more than the greatest acknowledged offset: no end of the partition may be below it."""
        return max(self.offsets[partition], default=UNACKED) + 1


class HandSource(threading.Thread):
    """An idempotent producer by hand: after a crash it sends the unanswered batch again with the same sequence number."""

    idempotent = True

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.bootstrap, self.topic = bootstrap, topic
        self.offsets = [array("q") for _ in range(PARTITIONS)]
        self.problem = None
        self.ended = threading.Event()
        self.going = threading.Event()
        self.connection = wire.Connection(bootstrap)
        error, self.id, self.epoch = self.connection.producer_id()
        check(error == 0, f"no producer id: error {error}")

    def run(self):
        try:
            partition = 0
            while not self.ended.is_set():
                if not self.going.wait(0.02):
                    continue
                self.send_until_answered(partition)
                partition = (partition + 1) % PARTITIONS
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def send_until_answered(self, partition):
        number = len(self.offsets[partition])
        batch = wire.batch([b"%010d by hand" % number], producer_id=self.id, producer_epoch=self.epoch, sequence=number)
        deadline = time.monotonic() + FLUSH_SECONDS_MAX
        while True:
            check(time.monotonic() < deadline, f"number {number} of {self.topic}-{partition} was not answered")
            try:
                answer = self.connection.produce(self.topic, partition, batch)
            except OSError:
                answer = None
            if answer is None:
                self.reconnect()
            elif answer[0] == 0:
                self.offsets[partition].append(answer[1])
                return
            else:
                check(answer[0] in RETRIABLE, f"number {number} of {self.topic}-{partition} got error {answer[0]}")
                time.sleep(0.05)

    def reconnect(self):
        self.connection.socket.close()
        time.sleep(0.02)
        try:
            self.connection = wire.Connection(self.bootstrap)
        except OSError:
            pass

    def finish(self):
        self.ended.set()
        self.join()
        check(self.problem is None, f"the producer by hand failed: {self.problem}")

    end_of = Source.end_of


def acknowledged_ends(sources):
    return {(source.topic, p): source.end_of(p) for source in sources for p in range(PARTITIONS)}


def ends(bootstrap, sources):
    with wire.Connection(bootstrap) as connection:
        found = {}
        for source in sources:
            for partition in range(PARTITIONS):
                deadline = time.monotonic() + READY_SECONDS_MAX
                while (answer := connection.offset(source.topic, partition))[0] in RETRIABLE:
                    check(time.monotonic() < deadline, f"{source.topic}-{partition} still answers error {answer[0]}")
                    time.sleep(0.02)
                check(answer[0] == 0, f"{source.topic}-{partition} answers error {answer[0]}")
                found[(source.topic, partition)] = answer[1]
        return found


class Verifier:
    """Reads what is new in each partition and compares it with what was sent."""

    def __init__(self, bootstrap, sources):
        self.sources = {source.topic: source for source in sources}
        self.bootstrap = bootstrap
        self.next = {(topic, p): 0 for topic in self.sources for p in range(PARTITIONS)}
        self.plain = {key: array("q") for key in self.next if not self.sources[key[0]].idempotent}

    def read_to(self, wanted):
        open_parts = {key for key, end in wanted.items() if self.next[key] < end}
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "unused", "enable.auto.commit": False,
            "auto.offset.reset": "error", "log_level": 0, "fetch.wait.max.ms": 50,
        })
        consumer.assign([TopicPartition(topic, p, self.next[(topic, p)]) for topic, p in open_parts])
        heard = time.monotonic()
        while open_parts:
            messages = consumer.consume(2000, 0.1)
            if messages:
                heard = time.monotonic()
            check(time.monotonic() - heard < READ_SILENCE_SECONDS_MAX, f"nothing more came of {sorted(open_parts)[:3]}")
            for message in messages:
                self.take(message, wanted, open_parts)
        consumer.close()

    def take(self, message, wanted, open_parts):
        if message.error():
            code = message.error().code()
            # librdkafka looks for its group's coordinator even where no group is used.
            of_the_group = code == KafkaError.INVALID_REQUEST and "FindCoordinator" in message.error().str()
            check(of_the_group or code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN), str(message.error()))
            return
        key = (message.topic(), message.partition())
        offset, number = message.offset(), int(message.value()[:10])
        check(offset == self.next[key], f"{key}: offset {offset} came, {self.next[key]} was next")
        self.next[key] = offset + 1
        if self.sources[key[0]].idempotent:
            check(number == offset, f"{key}: at offset {offset} is number {number}: lost, repeated or out of order")
        else:
            self.plain[key].append(number)
        if self.next[key] >= wanted[key]:
            open_parts.discard(key)

    def check_acknowledged(self):
        acknowledged = 0
        for source in self.sources.values():
            for partition, offsets in enumerate(source.offsets):
                for number, offset in enumerate(offsets):
                    check(offset != UNACKED, f"{source.topic}-{partition}: number {number} was never acknowledged")
                    found = offset if source.idempotent else self.plain[(source.topic, partition)][offset]
                    check(found == number, f"{source.topic}-{partition}: number {number} was acknowledged at {offset}, there is {found}")
                    acknowledged += 1
        return acknowledged


def one_round(broker, sources, chance):
    """Kills at full speed and starts again; returns the seconds until it answered, and the partitions' ends."""
    for source in sources:
        source.going.set()
    time.sleep(chance.uniform(*RUN_SECONDS))
    broker.kill()
    promised = acknowledged_ends(sources)
    if broker.name == "Corelog" and chance.random() < SECOND_KILL_CHANCE:
        broker.launch()
        time.sleep(chance.uniform(0, 0.3))
        broker.kill()
    seconds = broker.start()
    # Reading is slower than writing: no more is written while what was written is read.
    for source in sources:
        source.going.clear()
    found = ends(broker.bootstrap, sources)
    for key, end in promised.items():
        check(found[key] >= end, f"{key}: {end} records were acknowledged, {found[key]} are left")
    return seconds, found


def crash(broker, rounds, seed):
    chance = random.Random(seed)
    broker.start()
    sources = [Source(broker.bootstrap, f"kill9-idempotent-{n}", True) for n in range(2)]
    sources.append(Source(broker.bootstrap, "kill9-plain", False))
    for source in sources:
        wire.create_topic(broker.bootstrap, source.topic, PARTITIONS, {"segment.bytes": 4 << 20})
    wire.create_topic(broker.bootstrap, "kill9-by-hand", PARTITIONS)
    sources.append(HandSource(broker.bootstrap, "kill9-by-hand"))
    verifier = Verifier(broker.bootstrap, sources)
    for source in sources:
        source.start()
    slowest = 0
    for number in range(rounds):
        seconds, found = one_round(broker, sources, chance)
        slowest = max(slowest, seconds)
        print(f"round {number + 1}: {sum(found.values())} records, answered {seconds:.2f} s after start", flush=True)
        verifier.read_to(found)
    for source in sources:
        source.finish()
    again = Verifier(broker.bootstrap, sources)
    again.read_to(ends(broker.bootstrap, sources))
    count = again.check_acknowledged()
    return f"{rounds} kills, {count} records acknowledged and found, slowest start {slowest:.2f} s, seed {seed}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--broker-binary")
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    brokers.end_cleanly()
    root = Path(__file__).resolve().parents[3]
    broker = brokers.Kafka() if options.kafka else brokers.Corelog(brokers.find_binary(options.broker_binary, root))
    try:
        print(crash(broker, options.rounds, options.seed))
    except Failure as failure:
        print(f"{failure} (seed {options.seed})")
        return 1
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
