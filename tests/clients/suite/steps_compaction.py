"""Compacted topics: keyed text of many producers comes down to the newest record of each key, kills or not, for every reader."""

import re
import time

import broker as brokers
import corpus
import wire
from exchange import CODECS, PRODUCERS, available
from keyed import Keyed, check_all_readers, produce, seeded, traffic
from runner import Failure, Skip, check
from steps_text import BATCH, log_directory
from tools import ROOT, kafka_tool, run

LINES = 1_500
TEXT_BYTES = 3_000_000
# Compaction looks at once and not after Kafka's 15 s; retention likewise, after its 5 minutes.
SETTINGS = {"log.cleaner.backoff.ms": "100", "log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "100"}
# Those that start fast, so that many kills take little time.
KILLED_AMONG = ("kcat", "franz-go", "confluent-kafka", "sarama", "kafka-go")
KILL_SECONDS_MAX = 0.5
# Kafka takes ten times as long to start.
KILLS_PER_ROUND = {"Corelog": 2, "Kafka": 1}
ROUNDS = {"Corelog": len(KILLED_AMONG), "Kafka": 2}
HOURS_MS = 3_600_000
RETENTION_SECONDS_MAX = 20
RECORD = re.compile(rb"^\| offset: (\d+) .*? headerKeys: \[.*?\] key: (\S+)(?: payload: ?(.*))?$")


class Compaction:
    """One broker for all steps, because its settings are its own, and the text."""

    def __init__(self, options):
        self.options, self.work, self.broker = options, options.work, None
        self.compacted = None

    def on_running(self, action, *arguments):
        if not self.broker:
            self.broker = self.options.fresh(SETTINGS)
        if not self.broker.pid or not brokers.alive(self.broker.pid):
            self.broker.start()
        return action(*arguments)

    def close(self):
        if self.broker:
            self.broker.close()

    def lines(self):
        """Lines that are values in every client's eyes: neither empty nor what some take for null."""
        path = self.work / "keyed-text"
        if not path.exists():
            corpus.write(ROOT, path, TEXT_BYTES, blank_lines=False)
        return (line for line in path.read_bytes().split(b"\n") if line and line != b"null")

    def send(self, keyed, client, codec, rng):
        path = self.work / "keyed"
        keyed.text(path, LINES, rng)
        produce(client, self.broker.bootstrap, keyed.topic, path, codec)
        keyed.check_end()

    def many_producers(self):
        """Every producer with a codec of its own, one after the other: the last that wrote a key wins."""
        rng, seed = seeded(self.options.seed)
        keyed = Keyed(self.broker, "compacted", self.lines(), {"delete.retention.ms": 0})
        here = [client for client in PRODUCERS if available(client)]
        try:
            for number, client in enumerate(here):
                # Not every node has zstd.
                codec = "lz4" if client == "platformatic" else CODECS[number % len(CODECS)]
                self.send(keyed, client, codec, rng)
            seconds = keyed.wait_until_compacted()
            readers = check_all_readers(keyed, self.work)
        except Failure as failure:
            raise Failure(f"{failure} (seed {seed})") from None
        self.compacted = keyed
        return f"{keyed.end} records of {' '.join(here)}; {len(keyed.expected())} left after {seconds:.1f} s, read by {readers}"

    def dump(self):
        """What kafka-dump-log finds in the segments is what the readers found."""
        if not self.compacted:
            raise Skip("nothing was compacted")
        directory = log_directory(self.broker)
        # A closed segment has its index beside it; an active one without records has no file at all.
        logs = sorted((directory / f"{self.compacted.topic}-0").glob("*.log"))
        segments = [log for log in logs if log.with_suffix(".cindex").exists() or log != logs[-1]]
        check(segments, "there is no closed segment")
        out = run(kafka_tool("kafka-dump-log", "--files", ",".join(map(str, segments)), "--print-data-log"))
        found, batches = [], 0
        for line in out.split(b"\n"):
            if batch := BATCH.match(line):
                check(batch.group(4) == b"true", f"not valid: {line[:120]!r}")
                batches += 1
            elif record := RECORD.match(line):
                found.append(b"%s\t%s\t%s" % (record.group(1), record.group(2), record.group(3) or b""))
        expected = self.compacted.expected()
        # The active segment holds the last nudge, or nothing if the broker closed that too.
        check(len(found) >= len(expected) - 1, f"{len(found)} records in {len(segments)} segments, not {len(expected)}")
        for want, got in zip(expected, found):
            check(want == got, f"{got[:80]!r} is in the segments, not {want[:80]!r}")
        check(len(found) <= len(expected), f"{len(found)} records in the segments, not {len(expected)}")
        return f"{len(segments)} segments, {batches} batches, {len(found)} records"

    def killed(self):
        """`kill -9` at any moment of compaction, between the producers and after them: the same outcome."""
        rng, seed = seeded(self.options.seed)
        keyed = Keyed(self.broker, "killed", self.lines(), {"delete.retention.ms": 0})
        here = [client for client in KILLED_AMONG if available(client)][: ROUNDS[self.broker.name]]
        kills = 0
        try:
            for number, client in enumerate(here):
                self.send(keyed, client, CODECS[number % len(CODECS)], rng)
                for _ in range(KILLS_PER_ROUND[self.broker.name]):
                    keyed.nudge()
                    traffic(self.broker)
                    time.sleep(rng.random() * KILL_SECONDS_MAX)
                    self.broker.kill()
                    self.broker.start()
                    keyed.check_end()
                    kills += 1
            seconds = keyed.wait_until_compacted()
            readers = check_all_readers(keyed, self.work)
        except Failure as failure:
            raise Failure(f"{failure} (seed {seed})") from None
        return f"{kills} kills; {len(keyed.expected())} of {keyed.end} records left after {seconds:.1f} s, read by {readers}"

    def with_retention(self):
        """compact,delete: what is too old goes even if it is the newest of its key; of the rest the newest stay, tombstones too."""
        rng, seed = seeded(self.options.seed)
        configs = {"cleanup.policy": "compact,delete", "retention.ms": HOURS_MS}
        keyed = Keyed(self.broker, "compacted-deleted", self.lines(), configs)
        keyed.keeps_tombstones = True
        old = int(time.time() * 1000) - 2 * HOURS_MS
        for number in range(20):
            keyed.append(b"old-%d" % number, b"too old", old + number)
        # Before there is newer text, with which compaction could merge the old segment.
        keyed.nudge()
        kept_from = keyed.end - 1
        deadline = time.monotonic() + RETENTION_SECONDS_MAX
        with wire.Connection(self.broker.bootstrap) as connection:
            while (start := connection.settled_offset(keyed.topic, 0, -2)) != (0, kept_from):
                check(time.monotonic() < deadline, f"the log starts at {start}, not at {kept_from}")
                time.sleep(0.05)
        keyed.newest = {key: newest for key, newest in keyed.newest.items() if newest[0] >= kept_from}
        try:
            for client, codec in (("kcat", "zstd"), ("franz-go", "snappy")):
                if available(client):
                    self.send(keyed, client, codec, rng)
            seconds = keyed.wait_until_compacted()
            readers = check_all_readers(keyed, self.work, ("kcat", "java", "kafka-python", "franz-go"))
        except Failure as failure:
            raise Failure(f"{failure} (seed {seed})") from None
        return f"{len(keyed.expected())} of {keyed.end} records left after {seconds:.1f} s, read by {readers}"


def steps(suite, broker, options):
    compaction = Compaction(options)
    actions = {
        "keyed text of every producer": compaction.many_producers,
        "kafka-dump-log of compacted segments": compaction.dump,
        "kill -9 while it compacts": compaction.killed,
        "compact,delete": compaction.with_retention,
    }
    if not broker.owned:
        suite.step("compaction: everything", broker.need_owned)
        return
    try:
        for name, action in actions.items():
            suite.step(f"compaction: {name}", compaction.on_running, action)
    finally:
        compaction.close()
