"""Stopping, killing, starting again: what must be kept, how fast, and what is refused beside a running broker."""

import hashlib
import signal
import subprocess
import threading
import time
import urllib.request

import broker as brokers
import wire
from runner import Skip, check
from tools import tail
from wire import Connection

STOP_SECONDS_MAX = {"Corelog": 5.0, "Kafka": 30.0}
START_SECONDS_MAX = {"Corelog": 2.0, "Kafka": 30.0}
REFUSED_SECONDS_MAX = 10
TOPIC = "kept"
OUT_OF_ORDER, DUPLICATE = 45, 46
TIMES = 1_700_000_000_000
# Kafka takes ten times as long to start.
EARLY_STARTS = {"Corelog": 8, "Kafka": 2}


def only_corelog(broker):
    if broker.name != "Corelog":
        raise Skip(f"this is of Corelog's command line, the broker is {broker.name}")


class Kept:
    """What a broker holds, taken before it stops and compared after it started again."""

    def __init__(self, broker):
        with Connection(broker.bootstrap) as connection:
            self.topics = connection.topics()
            self.configs = connection.configs(TOPIC)
            count = len(self.topics[TOPIC])
            self.starts = [connection.settled_offset(TOPIC, p, -2) for p in range(count)]
            self.ends = [connection.settled_offset(TOPIC, p) for p in range(count)]
            self.found = [connection.settled_offset(TOPIC, p, TIMES + 50_000) for p in range(count)]
            self.digests = [self.digest(connection, p) for p in range(count)]

    def digest(self, connection, partition):
        (_, at), (_, end) = self.starts[partition], self.ends[partition]
        digest = hashlib.sha256()
        while at < end:
            error, _, data = connection.fetch(TOPIC, partition, at)
            check(error == 0 and data, f"fetching {TOPIC}-{partition} from {at}: error {error}, {len(data)} bytes")
            base, length = wire.struct.unpack(">qi", data[:12])
            # Without the leader epoch, which is not the client's.
            digest.update(data[:12] + data[16 : 12 + length])
            at = base + wire.struct.unpack(">i", data[23:27])[0] + 1
        return digest.hexdigest()

    def check_same(self, other):
        for name in ("topics", "configs", "starts", "ends", "found", "digests"):
            before, after = getattr(self, name), getattr(other, name)
            check(before == after, f"{name} were {str(before)[:200]}, are {str(after)[:200]}")


def fill(broker):
    """Three partitions with settings of their own, a deleted prefix, and an idempotent producer's state."""
    configs = {"segment.bytes": 1 << 20, "retention.ms": -1, "max.message.bytes": 2_000_000}
    wire.create_topic(broker.bootstrap, TOPIC, 2, configs)
    wire.create_topic(broker.bootstrap, "gone")
    with Connection(broker.bootstrap) as connection:
        check(connection.add_partitions(TOPIC, 3) == 0, "partitions could not be added")
        check(connection.delete_topic("gone") == 0, "a topic could not be deleted")
        for number in range(120):
            batch = wire.batch([b"%d-%d" % (number, i) + b"." * 5000 for i in range(5)], timestamp=TIMES + number * 1000)
            for partition in range(2):
                error, offset = connection.produce(TOPIC, partition, batch)
                check((error, offset) == (0, number * 5), f"batch {number}: error {error}, offset {offset}")
        check(connection.delete_records(TOPIC, 0, 123) == (123, 0), "records could not be deleted")


def first_answers(broker):
    """The error codes of ListOffsets for each partition, asked as soon as the broker lets anyone in."""
    deadline = time.monotonic() + brokers.READY_SECONDS_MAX
    while True:
        check(brokers.alive(broker.pid) and time.monotonic() < deadline, "it does not start")
        try:
            with Connection(broker.bootstrap, 2) as connection:
                count = len(connection.topics()[TOPIC])
                return [connection.offset(TOPIC, partition)[0] for partition in range(count)]
        except (OSError, ValueError, AttributeError):
            time.sleep(0.001)


def known_at_once(broker):
    """A partition may not serve yet when the broker lets clients in, but none is unknown."""
    for _ in range(EARLY_STARTS[broker.name]):
        broker.kill()
        broker.launch()
        codes = first_answers(broker)
        check(all(code in (0, *wire.OPENING) for code in codes), f"error codes of the partitions of {TOPIC}: {codes}")


class Idempotent:
    """One idempotent producer by hand: its sequence must be known across a restart."""

    def __init__(self, broker):
        with Connection(broker.bootstrap) as connection:
            error, self.id, self.epoch = connection.producer_id()
            check(error == 0 and self.id >= 0, f"no producer id: error {error}")
            self.offset = self.send(connection, 0)[1]
            check(self.send(connection, 1) == (0, self.offset + 1), "the second batch did not follow the first")
            check(self.send(connection, 1) == (0, self.offset + 1), "a repeated batch got another offset")

    def send(self, connection, sequence):
        batch = wire.batch([b"sequence %d" % sequence], producer_id=self.id, producer_epoch=self.epoch, sequence=sequence)
        return connection.produce(TOPIC, 2, batch)

    def check_known(self, broker):
        with Connection(broker.bootstrap) as connection:
            answer = self.send(connection, 1)
            check(answer in ((0, self.offset + 1), (DUPLICATE, -1)), f"the repeated batch was answered with {answer}")
            answer = self.send(connection, 7)
            check(answer[0] == OUT_OF_ORDER, f"a gap in the sequence was answered with {answer}")
            answer = self.send(connection, 2)
            check(answer == (0, self.offset + 2), f"the next batch was answered with {answer}")
            check(connection.producer_id()[1] != self.id, "the same producer id was given out twice")


def restart(broker, how):
    if how == signal.SIGINT:
        only_corelog(broker)  # Kafka is started in the background, where SIGINT is ignored.
    producer = Idempotent(broker)
    before = Kept(broker)
    stopped = broker.end_with(how)
    started = broker.start()
    before.check_same(Kept(broker))
    producer.check_known(broker)
    if how != signal.SIGKILL:
        check(stopped < STOP_SECONDS_MAX[broker.name], f"it took {stopped:.1f} s to stop")
    check(how == signal.SIGKILL or started < START_SECONDS_MAX[broker.name], f"it took {started:.1f} s to start")
    return f"stopped in {stopped:.2f} s, answered {started:.2f} s after its start"


def stop_under_load(broker):
    """SIGTERM while several connections produce: what was acknowledged is there, and it does not wait for them."""
    wire.create_topic(broker.bootstrap, "load", 4)
    acknowledged = [0] * 4
    problems = []

    def load(partition):
        try:
            with Connection(broker.bootstrap) as connection:
                while answer := connection.produce("load", partition, wire.batch([b"l" * 1000])):
                    if answer[0] != 0:
                        return
                    acknowledged[partition] = answer[1] + 1
        except ConnectionError:
            pass
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=load, args=(partition,), daemon=True) for partition in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    seconds = broker.stop()
    for thread in threads:
        thread.join(20)
    broker.start()
    check(not problems, f"{problems[:1]}")
    check(seconds < STOP_SECONDS_MAX[broker.name], f"it took {seconds:.1f} s to stop")
    with Connection(broker.bootstrap) as connection:
        for partition, count in enumerate(acknowledged):
            error, end = connection.settled_offset("load", partition)
            check(error == 0 and count <= end <= count + 1, f"{count} acknowledged in partition {partition}, {end} there")
    return f"{sum(acknowledged)} acknowledged, stopped in {seconds:.2f} s"


def refused(command, words):
    """A command that must fail soon, saying each of the words."""
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=REFUSED_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        check(False, f"it was not refused within {REFUSED_SECONDS_MAX} s")
    said = (ended.stdout + ended.stderr).decode("utf-8", "replace")
    check(ended.returncode != 0, f"it ended with 0: {tail(said.encode())}")
    check("panicked" not in said, f"it panicked: {tail(said.encode())}")
    for word in words:
        check(word in said, f"the message does not name {word}: {tail(said.encode())}")


def second_on_port(broker):
    only_corelog(broker)
    other = broker.work / "other"
    refused(broker.command(data=other, admin=f"127.0.0.1:{brokers.free_port()}"), [str(broker.port)])
    check(brokers.answers(broker.bootstrap), "the first broker does not answer any more")


def second_on_data(broker):
    only_corelog(broker)
    ports = [f"127.0.0.1:{brokers.free_port()}" for _ in range(2)]
    refused(broker.command(listen=ports[0], admin=ports[1]), [str(broker.data)])
    check(brokers.answers(broker.bootstrap), "the first broker does not answer any more")


def bad_setting(broker):
    only_corelog(broker)
    ports = [f"127.0.0.1:{brokers.free_port()}" for _ in range(2)]
    command = broker.command(data=broker.work / "other", listen=ports[0], admin=ports[1])
    refused([*command, "--set", "num.partition=3"], ["num.partition", "num.partitions"])
    refused([*command, "--set", "num.partitions=many"], ["num.partitions", "many"])


def admin_endpoint(broker):
    only_corelog(broker)
    with urllib.request.urlopen(f"http://{broker.admin}/health", timeout=5) as answer:
        check(answer.status == 200, f"/health answers {answer.status}")
    with urllib.request.urlopen(f"http://{broker.admin}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    check(len(samples) > 10 and all(len(line.rsplit(" ", 1)) == 2 for line in samples), text[:300])
    for line in samples:
        float(line.rsplit(" ", 1)[1])
    return f"{len(samples)} samples"


def says_what_it_is(broker):
    only_corelog(broker)
    said = broker.log.read_text()
    for word in (str(broker.data), broker.bootstrap):
        check(word in said, f"it did not print {word}: {said[:400]}")


def steps(suite, broker, options):
    actions = (
        ("SIGTERM and start again", restart, signal.SIGTERM),
        ("SIGINT and start again", restart, signal.SIGINT),
        ("kill -9 and start again", restart, signal.SIGKILL),
        ("no topic is unknown right after a start", known_at_once),
        ("SIGTERM under load", stop_under_load),
        ("a second broker on the port is refused", second_on_port),
        ("a second broker on the data is refused", second_on_data),
        ("wrong settings are refused by name", bad_setting),
        ("health and metrics", admin_endpoint),
        ("it prints its data directory and address", says_what_it_is),
    )
    names = [f"restart: {name}" for name, *_ in actions]
    if not any(suite.wants(name) for name in names):
        return
    if not broker.owned:
        suite.step("restart: everything", broker.need_owned)
        return
    own = options.fresh()

    def on_running(action, *arguments):
        if not own.pid:
            own.start()
            fill(own)
        elif not brokers.alive(own.pid):
            own.start()
        return action(own, *arguments)

    try:
        for name, (_, action, *arguments) in zip(names, actions):
            suite.step(name, on_running, action, *arguments)
    finally:
        own.close()
