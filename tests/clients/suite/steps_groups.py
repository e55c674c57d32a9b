"""Members of consumer groups, one client at a time: they resume where they committed, share, hand over, keep their names."""

import threading

import broker as brokers
from members import NO_METADATA, SILENT, Ledger, Member, committed, fill, unique
from runner import check
from wire import create_topic

CLASSIC = ("java", "confluent-kafka", "kcat", "kafka-python", "aiokafka", "kafkajs", "platformatic", "franz-go", "sarama", "kafka-go")
NEWER = ("java", "confluent-kafka", "platformatic", "franz-go")
SEEKING = ("java", "confluent-kafka", "kafka-python", "aiokafka", "kafkajs", "franz-go")
STATIC = (
    ("java", "classic"), ("confluent-kafka", "classic"), ("kafka-python", "classic"), ("franz-go", "classic"),
    # franz-go does not say that it goes for a while, so its name stays taken until its session ends.
    ("java", "consumer"), ("confluent-kafka", "consumer"),
)
# kafka-python does not say that it was fenced.
FENCED = ("java", "confluent-kafka", "franz-go")
# Clients and assignors of the classic protocol that move partitions without stopping the others.
COOPERATIVE = ("java", "confluent-kafka", "kafka-python", "franz-go")
ASSIGNORS = {
    "java": ("range", "roundrobin", "sticky"),
    "confluent-kafka": ("range", "roundrobin"),
    "kafka-python": ("range", "roundrobin", "sticky"),
    "aiokafka": ("range", "roundrobin", "sticky"),
    "franz-go": ("range", "roundrobin", "sticky"),
    "sarama": ("range", "roundrobin", "sticky"),
    "kafka-go": ("range", "roundrobin"),
    "platformatic": ("roundrobin",),
    "kafkajs": ("",),
}
METADATA = "kept-é-1"
PARTITIONS = 3
# Steps that run at the same time, each in a group of its own: they mostly wait.
AT_ONCE = 4
# A restarted client comes back within it, however busy the machine is.
STATIC_SESSION_MS = 30_000
# A group waits for others only as long as kafka-python needs, which assigns nothing, for ever, if it leads before it knows the topic. A
# killed member of the newer protocol is not missed for 45 s, Kafka's least unless told otherwise.
SETTINGS = {
    "group.initial.rebalance.delay.ms": "500",
    "group.consumer.min.session.timeout.ms": "5000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
}


class Stage:
    """A topic of three partitions with ten records each, and a group of its own."""

    def __init__(self, broker, name, partitions=PARTITIONS, strict=True):
        self.broker = broker
        self.topic, self.group = unique(f"groups-{name}"), unique(f"g-{name}")
        self.partitions = partitions
        self.count = 0
        self.ledger = Ledger(strict)
        create_topic(broker.bootstrap, self.topic, partitions)
        self.more(10)

    def more(self, count):
        fill(self.broker, self.topic, self.partitions, count, self.count)
        self.count += count

    @property
    def ends(self):
        return dict.fromkeys(range(self.partitions), self.count)

    def member(self, client, **options):
        return Member(client, self.broker, self.topic, self.group, self.ledger, **options)

    def committed(self):
        """Without the NUL that confluent-kafka sends at the end of metadata."""
        found = committed(self.broker, self.group, self.topic, self.partitions)
        return {partition: (offset, metadata.rstrip("\0")) for partition, (offset, metadata) in found.items()}

    def check_committed(self, offset, metadata):
        found = self.committed()
        check(found == dict.fromkeys(range(self.partitions), (offset, metadata)), f"committed is {found}")


def name_of(client, protocol):
    return f"{client}-{protocol}"


def resumes(broker, client, protocol):
    """Alone: all partitions are its own, and a second run begins where the first committed."""
    stage = Stage(broker, f"resume-{name_of(client, protocol)}")
    options = {"protocol": protocol, "metadata": METADATA}
    kept = "" if client in NO_METADATA else METADATA
    with stage.member(client, **options) as first:
        stage.ledger.wait_delivered(stage.ends)
        if client != "kcat":
            stage.ledger.wait_committed(stage.ends)
            shown = first.ask_committed()
            wanted = {p: (10, "?" if client == "platformatic" else kept) for p in range(PARTITIONS)}
            check(shown == wanted, f"{client} shows {shown} as committed, not {wanted}")
        check(client in SILENT or first.owned == set(range(PARTITIONS)), first.state())
        first.stop()
    stage.check_committed(10, kept)
    stage.more(5)
    with stage.member(client, **options) as second:
        stage.ledger.wait_delivered(stage.ends)
        check(min(offset for _, offset, _ in second.records) == 10, f"it began at {second.records[0]}, 10 was committed")
        if client != "kcat":
            stage.ledger.wait_committed(stage.ends)
        second.stop()
    stage.check_committed(15, kept)


def by_hand(broker, client, protocol):
    """Nothing is committed unless asked; a seek goes back; what is committed then is what the next run begins at."""
    stage = Stage(broker, f"hand-{name_of(client, protocol)}")
    options = {"protocol": protocol, "commit": "asked"}
    with stage.member(client, **options) as first:
        stage.ledger.wait_delivered(stage.ends)
        stage.check_committed(-1, "")
        first.stop()
    with stage.member(client, **options) as second:
        second.wait(lambda: len(second.records) == 30, "what was not committed did not come again")
        second.seek(1, 5)
        second.wait(lambda: len(second.records) == 35, "the records from the seek on did not come again")
        check([record[:2] for record in second.records[30:]] == [(1, offset) for offset in range(5, 10)], str(second.records[30:]))
        second.say("commit")
        stage.ledger.wait_committed(stage.ends)
        second.stop()
    stage.check_committed(10, "")
    stage.more(1)
    with stage.member(client, **options) as third:
        stage.ledger.wait_delivered(stage.ends)
        check(sorted(record[:2] for record in third.records) == [(p, 10) for p in range(PARTITIONS)], str(third.records))
        third.stop()


def hands_over(broker, client, protocol, assignor):
    """Two members share the topic; when the first leaves, the second has it all and begins where the first committed."""
    # The reader of kafka-go still hands out what it fetched before a rebalance.
    stage = Stage(broker, f"over-{name_of(client, protocol)}-{assignor}", strict=client not in SILENT)
    options = {"protocol": protocol, "assignor": assignor}
    with stage.member(client, **options) as first:
        stage.ledger.wait_delivered(stage.ends)
        with stage.member(client, **options) as second:
            if client in SILENT:
                second.wait(lambda: share_shown(stage, second), "the second member was given no record")
            else:
                stage.ledger.wait(lambda: shared(first, second), lambda: f"not shared: {first.state()}, {second.state()}")
            cooperative = protocol == "consumer" or assignor == "cooperative-sticky"
            if cooperative:
                given_up = [partitions for word, partitions in first.rebalances if word == "revoked" and partitions]
                check(all(len(partitions) < PARTITIONS for partitions in given_up), f"it gave up all: {first.rebalances}")
            stage.more(10)
            stage.ledger.wait_delivered(stage.ends)
            stage.ledger.wait_committed(stage.ends)
            first.stop()
            if client not in SILENT:
                second.wait_owned(PARTITIONS)
            stage.more(10)
            stage.ledger.wait_delivered(stage.ends)
            stage.ledger.wait_committed(stage.ends)
            second.stop()
    stage.check_committed(stage.count, "")


def share_shown(stage, member):
    """Gives a member that does not tell what it holds something to show."""
    if not member.records and member.process.poll() is None:
        stage.ledger.changed.release()
        try:
            stage.more(1)
        finally:
            stage.ledger.changed.acquire()
    return bool(member.records)


def shared(*members):
    held = [member.owned for member in members]
    return all(held) and sum(map(len, held)) == PARTITIONS and set().union(*held) == set(range(PARTITIONS))


def stays(broker, client, protocol):
    """Static members: one comes back under its name, and the other one hears of no rebalance.

    In the classic protocol it may be killed; in the newer one its name is free only after it said that it goes for a while.
    """
    stage = Stage(broker, f"static-{name_of(client, protocol)}")
    options = {"protocol": protocol, "session": STATIC_SESSION_MS}
    with stage.member(client, instance="one", **options) as first, stage.member(client, instance="two", **options) as second:
        stage.ledger.wait(lambda: shared(first, second), lambda: f"not shared: {first.state()}, {second.state()}")
        stage.ledger.wait_delivered(stage.ends)
        stage.ledger.wait_committed(stage.ends)
        held, heard = set(first.owned), len(second.rebalances)
        first.kill() if protocol == "classic" else first.stop()
        with stage.member(client, instance="one", **options) as again:
            again.wait(lambda: again.owned == held, f"it was not given {sorted(held)} again")
            stage.more(10)
            stage.ledger.wait_delivered(stage.ends)
            stage.ledger.wait_committed(stage.ends)
            check(len(second.rebalances) == heard, f"the other member heard of a rebalance: {second.rebalances}")
            check({partition for partition, _, _ in again.records} <= held, f"it was given {again.records}")
            again.stop()
        second.stop()


def fenced(broker, client):
    """A second member of the same name fences the first one, in the classic protocol."""
    # The first one goes on reading what it may not commit.
    stage = Stage(broker, f"fenced-{client}", strict=False)
    with stage.member(client, instance="one", session=STATIC_SESSION_MS) as first:
        stage.ledger.wait_delivered(stage.ends)
        stage.ledger.wait_committed(stage.ends)
        with stage.member(client, instance="one", session=STATIC_SESSION_MS) as second:
            second.wait_owned(PARTITIONS)
            first.wait(lambda: first.errors or first.process.poll() is not None, "the first one was not told")
            check("fenc" in first.state().lower(), f"it was told something else: {first.state()}")
            stage.more(10)
            stage.ledger.wait(lambda: len(second.records) >= 30, "the second one was not given the records")
            second.stop()
    return first.errors[0][:90] if first.errors else ""


def steps_of(options):
    """(name, action, arguments…) of every step of this section. At the small size each client hands over with one assignor."""
    ways = slice(None) if options.size == "large" else slice(1)
    both = [(client, "classic") for client in CLASSIC] + [(client, "consumer") for client in NEWER]
    for client, protocol in both:
        yield f"{client} resumes where it committed ({protocol})", resumes, client, protocol
    for client, protocol in both:
        if client in SEEKING:
            yield f"{client} commits by hand and seeks ({protocol})", by_hand, client, protocol
    for client, assignors in ASSIGNORS.items():
        for assignor in assignors[ways]:
            yield f"{client} hands over ({assignor or 'its own assignor'})", hands_over, client, "classic", assignor
    for client in COOPERATIVE:
        yield f"{client} hands over (cooperative-sticky)", hands_over, client, "classic", "cooperative-sticky"
    for client in NEWER:
        for assignor in (("uniform", "range") if client != "franz-go" else ("",))[ways]:
            yield f"{client} hands over (consumer protocol, {assignor or 'default'})", hands_over, client, "consumer", assignor
    for client, protocol in STATIC:
        yield f"{client} comes back under its name ({protocol})", stays, client, protocol
    for client in FENCED:
        yield f"{client} is fenced by another of its name", fenced, client


def run_on_own_broker(suite, section, every, broker, options, at_once=1):
    """Runs (name, action, arguments…), so many at a time, on a broker with `SETTINGS`, which is started if a step is wanted."""
    wanted = [(f"{section}: {name}", action, arguments) for name, action, *arguments in every if suite.wants(f"{section}: {name}")]
    if not wanted:
        return
    if not broker.owned:
        suite.steps_at_once(at_once, [(name, action, broker, *arguments) for name, action, arguments in wanted])
        return
    own = options.fresh(SETTINGS)
    starting = threading.Lock()
    try:
        suite.steps_at_once(at_once, [(name, on_running, own, starting, action, arguments) for name, action, arguments in wanted])
    finally:
        own.close()


def on_running(own, starting, action, arguments):
    with starting:
        if not own.pid or not brokers.alive(own.pid):
            own.start()
    return action(own, *arguments)


def steps(suite, broker, options):
    run_on_own_broker(suite, "groups", steps_of(options), broker, options, AT_ONCE)
