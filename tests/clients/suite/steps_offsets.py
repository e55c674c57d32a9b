"""ListOffsets by timestamp and by the largest timestamp, as clients ask it, wherever the broker has the records just then."""

import gzip
import time

import broker as brokers
import exchange
import keyed
import wire
from runner import Failure, check
from tools import kafka_tool, program, run

LARGEST, NOT_THERE = -3, -1
# Compaction looks at once and not after Kafka's 15 s.
SETTINGS = {"log.cleaner.backoff.ms": "100"}
TOPIC, COMPACTED = "times", "times-compacted"
CONFIGS = {"segment.ms": 500, "retention.ms": -1}
COMPACTED_CONFIGS = {**CONFIGS, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0}
BATCHES, RECORDS, KEYS = 24, 5, 11
GZIP = 1
STEP_MS = 100
# More than a step, so that timestamps of neighbours overlap.
SHUFFLE_MS = 300
# One batch is later than all that follow it.
LATE_BATCH, LATE_MS = 13, 20_000
NUDGES_MS = 60_000
COMPACTED_SECONDS_MAX = 30
ASKED = 10


class Times:
    """A topic and what was sent to it: (offset, key, timestamp), timestamps out of order, batches plain and compressed."""

    def __init__(self, broker, topic, configs, rng):
        self.broker, self.topic, self.rng = broker, topic, rng
        self.begins_ms = int(time.time() * 1000) - 600_000
        self.records = []
        wire.create_topic(broker.bootstrap, topic, configs=configs)
        for number in range(BATCHES):
            base = self.begins_ms + number * STEP_MS + (LATE_MS if number == LATE_BATCH else 0)
            times = [base + rng.randrange(SHUFFLE_MS) for _ in range(RECORDS)]
            self.send([(b"key-%d" % rng.randrange(KEYS), at) for at in times], GZIP if number % 3 == 2 else 0)

    def send(self, records, codec=0):
        end = self.records[-1][0] + 1 if self.records else 0
        first_at = records[0][1]
        encoded = b"".join(wire.record(b"value", n, key, at - first_at) for n, (key, at) in enumerate(records))
        fields = {"count": len(records), "last_offset_delta": len(records) - 1, "attributes": codec, "timestamp": first_at}
        fields["max_timestamp"] = max(at for _, at in records)
        fields["records"] = gzip.compress(encoded) if codec == GZIP else encoded
        with wire.Connection(self.broker.bootstrap) as connection:
            answer = connection.settled_produce(self.topic, 0, wire.batch([], **fields))
        check(answer == (0, end), f"(error, offset) of a batch are {answer}, not {(0, end)}")
        self.records += [(end + n, key, at) for n, (key, at) in enumerate(records)]

    def wait_until_compacted(self):
        """Records with keys of their own close one segment after the other, until only the newest of each key are left."""
        deadline, nudges = time.monotonic() + COMPACTED_SECONDS_MAX, 0
        while True:
            self.send([(b"nudge-%d" % nudges, self.begins_ms + NUDGES_MS + nudges * 1_000)])
            nudges += 1
            newest = {key: offset for offset, key, _ in self.records}
            left = [record for record in self.records if newest[record[1]] == record[0]]
            keyed.traffic(self.broker)
            time.sleep(0.3)
            if keyed.record_count(self.broker, self.topic) == len(left):
                self.records = left
                return
            check(time.monotonic() < deadline, f"not compacted to {len(left)} records within {COMPACTED_SECONDS_MAX} s")

    def first_at(self, timestamp):
        if timestamp == LARGEST:
            return max(self.records, key=lambda record: (record[2], -record[0]))[0]
        return next((offset for offset, _, at in self.records if at >= timestamp), NOT_THERE)

    def asked(self):
        """Timestamps to ask for: before all, after all, of records, and just after them."""
        chosen = [at for _, _, at in self.rng.sample(self.records, ASKED)]
        latest = max(at for _, _, at in self.records)
        return sorted({0, self.begins_ms, latest, latest + 1, *chosen, *(at + 1 for at in chosen)})

    def check(self):
        """Every client that is here is told what the records say."""
        times, asked = self.asked(), []
        with wire.Connection(self.broker.bootstrap) as connection:
            told = {at: connection.settled_offset(self.topic, 0, at) for at in times}
        refused = {at: error for at, (error, _) in told.items() if error}
        check(not refused, f"error codes by timestamp: {refused}")
        self.compare("the protocol", {at: offset for at, (_, offset) in told.items()})
        for client, of_client in (("confluent-kafka", [*times, LARGEST]), ("kafka-python", times)):
            if exchange.available(client):
                command = [*program(client), "offsets", "--bootstrap", self.broker.bootstrap, "--topic", self.topic]
                told = run([*command, "--times=" + ",".join(map(str, of_client))]).decode().splitlines()
                self.compare(client, dict(map(int, line.split()) for line in told))
                check(len(told) == len(of_client), f"{client} told of {len(told)} timestamps, not {len(of_client)}")
                asked.append(client)
        if exchange.available("java"):
            # It is started anew for each.
            of_java = [LARGEST, self.rng.choice(times[1:-1]), times[-1]]
            self.compare("java", {at: self.by_java(at) for at in of_java})
            asked.append("java")
        return f"{len(times)} timestamps, asked by {' '.join(asked)}"

    def compare(self, client, found):
        for at, offset in found.items():
            want = self.first_at(at)
            check(offset == want, f"{client} was told offset {offset} for {at}, not {want}")

    def by_java(self, at):
        time_option = "max-timestamp" if at == LARGEST else str(at)
        options = ["--bootstrap-server", self.broker.bootstrap, "--topic", self.topic, "--time", time_option]
        line = run(kafka_tool("kafka-get-offsets", *options)).decode().strip()
        # It says nothing where no record is so late.
        check(not line or line.startswith(f"{self.topic}:0:"), f"kafka-get-offsets said {line!r}")
        return int(line.rpartition(":")[2]) if line else NOT_THERE


class Offsets:
    """One broker, whose restarts put the records where each step wants them."""

    def __init__(self, options):
        self.options, self.broker, self.times = options, None, None
        self.rng, self.seed = keyed.seeded(options.seed)

    def appended(self):
        """Just appended: Corelog has them in its journal alone."""
        self.times = Times(self.broker, TOPIC, CONFIGS, self.rng)
        return self.times.check()

    def restarted(self, how):
        """After `kill -9` what was in the journal has been replayed; after a stop all is in segments."""
        if not self.times:
            self.appended()
        getattr(self.broker, how)()
        self.broker.start()
        return self.times.check()

    def compacted(self):
        times = Times(self.broker, COMPACTED, COMPACTED_CONFIGS, self.rng)
        sent = len(times.records)
        times.wait_until_compacted()
        return f"{len(times.records)} of {sent} records left and nudges, {times.check()}"

    def run(self, action, *arguments):
        if not self.broker:
            self.broker = self.options.fresh(SETTINGS)
        if not self.broker.pid or not brokers.alive(self.broker.pid):
            self.broker.start()
        try:
            return action(*arguments)
        except Failure as failure:
            raise Failure(f"{failure} (seed {self.seed})") from None

    def close(self):
        if self.broker:
            self.broker.close()


def steps(suite, broker, options):
    if not broker.owned:
        suite.step("offsets: everything", broker.need_owned)
        return
    offsets = Offsets(options)
    try:
        suite.step("offsets: by timestamp, just appended", offsets.run, offsets.appended)
        suite.step("offsets: by timestamp, after kill -9", offsets.run, offsets.restarted, "kill")
        suite.step("offsets: by timestamp, after a stop", offsets.run, offsets.restarted, "stop")
        suite.step("offsets: by timestamp, compacted", offsets.run, offsets.compacted)
    finally:
        offsets.close()
