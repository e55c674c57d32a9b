"""Members of groups: client programs that run beside the suite, what they print, and what must never be printed.

`Ledger` holds what all members of a group said, in the order in which it was read. A commit is printed after the broker
accepted it and a record before it is committed, so a record below an offset that stands committed was delivered twice.
"""

import os
import signal
import subprocess
import threading
import time

import tools
import wire
from runner import Failure, Skip, check
from tools import DEST, HERE, kcat, need, python

LATE_SECONDS_MAX = 60
JAVA = ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
PYTHON = {"kafka-python": "kafka_python", "confluent-kafka": "confluent", "aiokafka": "aiokafka"}
GO = {"franz-go": "franz", "sarama": "sarama", "kafka-go": "kafkago"}
# Which partitions it was given is nothing that the reader of kafka-go shows.
SILENT = ("kafka-go",)
# After a rebalance it asks for the committed offsets and goes on there, whatever a fetch of before has brought meanwhile (1.35,
# `#refreshOffsets` of its stream): what was delivered and committed in that moment comes again.
GOES_BACK = ("platformatic",)
# Debian's package is of 2021: its metadata and commits are checked from outside.
NO_METADATA = ("kafka-go", "platformatic", "kcat")
OFFSET_FETCH = 9
UNKNOWN_TOPIC = 3
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
LOADING = (14, 15, 16)
_classpath = []


def classpath():
    if not _classpath:
        need("java", "Apache Kafka")
        need("java-programs", "the Java group member")
        _classpath.append(tools.run([tools.KAFKA_SH, "classpath"], seconds=60).decode().strip())
    return _classpath[0]


def command(client, bootstrap, topic, group, options):
    """The command line of a member; options as in member_args.py, without their dashes."""
    flags = ["member", "--bootstrap", bootstrap, "--topic", topic, "--group", group]
    for name, value in options.items():
        flags += [f"--{name}", str(value)]
    if client == "java":
        libs = classpath()
        quiet = f"-Dlog4j2.configurationFile=file:{os.path.dirname(os.path.dirname(libs))}/log4j2-tool.properties"
        return [*JAVA, quiet, "-cp", f"{DEST / 'java-programs'}:{libs}", "Member", *flags]
    if client in PYTHON:
        return [python(), HERE / "clients" / "python" / f"{PYTHON[client]}_member.py", *flags]
    if client in GO:
        need("go", "the Go programs")
        return [DEST / "go-clients", GO[client], *flags]
    if client == "kcat":
        return kcat_command(bootstrap, topic, group, options)
    need("node", "kafkajs")
    if client == "platformatic" and not (DEST / "node" / "node_modules" / "@platformatic" / "kafka").exists():
        raise Skip("@platformatic/kafka is not installed")
    return ["node", HERE / "clients" / "node" / f"{client}_member.js", *flags]


def kcat_command(bootstrap, topic, group, options):
    """kcat commits what it printed by itself, and at the end; its rebalances stand on stderr."""
    settings = ["auto.offset.reset=earliest", "auto.commit.interval.ms=100", f"session.timeout.ms={options.get('session', 10_000)}"]
    settings += ["heartbeat.interval.ms=1000", "fetch.wait.max.ms=100", f"partition.assignment.strategy={options.get('assignor') or 'range'}"]
    flags = [flag for setting in settings for flag in ("-X", setting)]
    return [kcat(), "-b", bootstrap, "-u", "-f", "record %p %o %s\n", *flags, "-G", group, topic]


class Ledger:
    """What the members of one group said. `strict` also fails a record that was delivered again after its commit."""

    def __init__(self, strict=True):
        self.changed = threading.Condition()
        self.strict = strict
        self.committed = {}
        self.delivered = {}
        self.wrong = []

    def record(self, member, partition, offset, value):
        self.delivered.setdefault((partition, offset), value)
        if offset < self.committed.get(partition, 0) and self.strict and not member.may_go_back():
            self.wrong.append(f"{member} was given {partition}:{offset}, {self.committed[partition]} was committed")

    def commit(self, member, partition, offset):
        if offset < self.committed.get(partition, 0) and self.strict and not member.may_go_back():
            self.wrong.append(f"{member} committed {partition}:{offset} after {self.committed[partition]}")
        self.committed[partition] = max(offset, self.committed.get(partition, 0))

    def foreign(self):
        """The records whose value is not what `fill` gave them, as (partition, offset, value)."""
        return [(p, o, value) for (p, o), value in self.delivered.items() if value != f"{p}-{o}"]

    def wait(self, condition, what, seconds=LATE_SECONDS_MAX):
        """Waits until `condition` holds, or says what did not come; also ends when something wrong was seen."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not condition() and not self.wrong:
                if not self.changed.wait(min(1, max(0.01, deadline - time.monotonic()))) and time.monotonic() > deadline:
                    raise Failure(f"{what() if callable(what) else what} within {seconds} s")
            check(not self.wrong, f"{len(self.wrong)} wrong, the first: {self.wrong[:1]}")

    def wait_delivered(self, wanted, seconds=LATE_SECONDS_MAX):
        """`wanted` maps partitions to their ends: each record below is delivered to somebody."""
        def missing():
            return [f"{p}:{o}" for p, end in wanted.items() for o in range(end) if (p, o) not in self.delivered]

        self.wait(lambda: not missing(), lambda: f"{len(missing())} records did not come ({missing()[:5]})", seconds)

    def wait_committed(self, wanted, seconds=LATE_SECONDS_MAX):
        self.wait(lambda: self.committed == wanted, lambda: f"{wanted} was not committed but {self.committed}", seconds)


class Member:
    """One running client program. Its lines are read by a thread into what it holds and into the group's ledger."""

    def __init__(self, client, broker, topic, group, ledger=None, **options):
        self.client = client
        self.ledger = ledger or Ledger()
        self.owned, self.records, self.fetched = set(), [], None
        # All that it said of partitions given and taken, in order.
        self.rebalances, self.errors, self.noise = [], [], []
        self.closed = self.sought = False
        words = [str(part) for part in command(client, broker.bootstrap, topic, group, options)]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=tools.ENVIRONMENT, text=True
        )
        self.readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True) for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self.readers:
            reader.start()

    def __str__(self):
        return f"{self.client} (pid {self.process.pid})"

    def may_go_back(self):
        """Whether it may be given again what is committed."""
        return self.sought or self.client in GOES_BACK

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _read(self, stream):
        for line in stream:
            with self.ledger.changed:
                # What a killed member did not end is cut short anywhere: it said nothing.
                if line.endswith("\n"):
                    self._take(line.rstrip("\n"))
                else:
                    self.noise.append(line)
                self.ledger.changed.notify_all()

    def _take(self, line):
        word, _, rest = line.partition(" ")
        if word == "record":
            partition, offset, value = rest.split(" ", 2)
            self.records.append((int(partition), int(offset), value))
            self.ledger.record(self, int(partition), int(offset), value)
        elif word in ("assigned", "revoked"):
            partitions = {int(number) for number in rest.split(",") if number}
            self.rebalances.append((word, partitions))
            self.owned = self.owned | partitions if word == "assigned" else self.owned - partitions
        elif word == "committed":
            for pair in rest.split():
                self.ledger.commit(self, *map(int, pair.split(":")))
        elif word == "fetched":
            pairs = [part.split(":", 2) for part in rest.split()]
            self.fetched = {int(partition): (int(offset), metadata) for partition, offset, metadata in pairs}
        elif word == "error":
            self.errors.append(rest)
        elif word == "closed":
            self.closed = True
        elif word == "%" and "rebalanced" in rest:
            self._take_kcat(rest)
        else:
            self.noise.append(line)

    def _take_kcat(self, text):
        """`Group g rebalanced (memberid m): assigned: t [0], t [1]`"""
        what, _, list_ = text.split("): ", 1)[1].partition(": ")
        partitions = ",".join(part.split("[")[1].split("]")[0] for part in list_.split(",") if "[" in part)
        self._take(f"{'assigned' if what == 'assigned' else 'revoked'} {partitions}")

    def state(self):
        ended = self.process.poll()
        about = [f"it holds {sorted(self.owned)}, {len(self.records)} records"]
        about += [f"ended with {ended}"] if ended is not None else []
        about += [f"errors {self.errors[-2:]}"] if self.errors else []
        about += [f"noise {self.noise[-4:]}"] if self.noise else []
        return f"{self}: {'; '.join(about)}"

    def wait(self, condition, what, seconds=LATE_SECONDS_MAX):
        """As the ledger's, and says what this member was doing."""
        self.ledger.wait(condition, lambda: f"{what} ({self.state()})", seconds)

    def wait_owned(self, count, seconds=LATE_SECONDS_MAX):
        self.wait(lambda: len(self.owned) == count, f"it was not given {count} partitions", seconds)

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def ask_committed(self):
        """What this client says its group committed: {partition: (offset, metadata)}."""
        self.fetched = None
        self.say("fetch")
        self.wait(lambda: self.fetched is not None, "it did not fetch the committed offsets")
        return self.fetched

    def seek(self, partition, offset):
        self.sought = True
        self.say("seek", partition, offset)

    def stop(self):
        """Leaves the group as the client does, and ends."""
        if self.client == "kcat":
            self.process.send_signal(signal.SIGINT)
        else:
            self.say("stop")
        try:
            status = self.process.wait(LATE_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"it did not end within {LATE_SECONDS_MAX} s of stop ({self.state()})") from None
        self._join()
        check(status == 0, f"it ended with {status} ({self.state()})")
        check(not self.ledger.wrong, f"{self.ledger.wrong[:1]}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._join()

    def _join(self):
        for reader in self.readers:
            reader.join(10)
        self.owned = set()


def fill(broker, topic, partitions, count, first=0):
    """Appends `count` records to each partition, each with its partition and offset as its value."""
    with wire.Connection(broker.bootstrap) as connection:
        for partition in range(partitions):
            values = [b"%d-%d" % (partition, first + number) for number in range(count)]
            error, offset = connection.settled_produce(topic, partition, wire.batch(values))
            # Kafka answers CreateTopics before its broker knows of the topic.
            deadline = time.monotonic() + wire.OPENING_SECONDS_MAX
            while error == UNKNOWN_TOPIC and time.monotonic() < deadline:
                time.sleep(0.05)
                error, offset = connection.settled_produce(topic, partition, wire.batch(values))
            check((error, offset) == (0, first), f"producing to {topic}-{partition}: error {error}, offset {offset}")


def committed(broker, group, topic, partitions):
    """{partition: (offset, metadata)} by OffsetFetch 5, asked again while the coordinator still reads what it knows."""
    deadline = time.monotonic() + wire.OPENING_SECONDS_MAX
    while True:
        error, found = fetch_committed(broker, group, topic, partitions)
        if error not in LOADING or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    check(error == 0, f"OffsetFetch was answered with error {error}")
    return found


def fetch_committed(broker, group, topic, partitions):
    asked = wire.string(group) + wire.array([wire.string(topic) + wire.array([wire.i32(p) for p in range(partitions)])])
    with wire.Connection(broker.bootstrap) as connection:
        answer = connection.ask(OFFSET_FETCH, 5, asked)
    answer.number("i")
    found = {}

    def partition():
        number, offset, _ = answer.number("i"), answer.number("q"), answer.number("i")
        found[number] = (offset, answer.string())
        errors.append(answer.number("h"))

    errors = []
    answer.array(lambda: (answer.string(), answer.array(partition)))
    errors.append(answer.number("h"))
    return next((error for error in reversed(errors) if error), 0), found


def unique(name):
    """A name that no earlier run against the same broker used."""
    return f"{name}-{os.getpid()}"
