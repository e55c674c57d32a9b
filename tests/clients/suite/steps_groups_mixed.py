"""Several clients in one group, both protocols in one group, and members that come and go while records arrive."""

import random
import threading
from contextlib import ExitStack

from members import SILENT, command, committed
from runner import Skip, check
from steps_groups import Stage, run_on_own_broker
from tools import kafka_tool, run

# Each can lead a group of the others and be led by any of them, but for Java and kafka-go.
TOGETHER = {
    "range": ("java", "confluent-kafka", "kafka-python", "aiokafka", "franz-go", "sarama", "kafka-go", "kcat"),
    "roundrobin": ("kafkajs", "java", "confluent-kafka", "kafka-python", "aiokafka", "franz-go", "sarama", "kafka-go", "platformatic"),
}
PARTITIONS = 12
CHURN = (
    ("confluent-kafka", {"assignor": "range"}),
    ("java", {"assignor": "cooperative-sticky"}),
    ("confluent-kafka", {"protocol": "consumer"}),
    ("java", {"protocol": "consumer"}),
    # At the large size only.
    ("java", {"assignor": "range"}),
    ("confluent-kafka", {"assignor": "cooperative-sticky"}),
)
CHURN_SMALL = 4
# Steps that run at the same time: some of them have four JVMs.
AT_ONCE = 2
# The least that a broker takes unless told otherwise.
CHURN_SESSION_MS = 6_000
CHURN_BATCH = 20
CHURN_PAUSE_SECONDS = 0.1
# A killed member of the newer protocol is missed after the broker's session timeout, 45 s unless told otherwise.
TAKEN_OVER_SECONDS_MAX = 90


def here(clients):
    """Those of the clients that this machine has."""
    found = []
    for client in clients:
        try:
            command(client, "", "", "", {})
            found.append(client)
        except Skip:
            pass
    return found


def disjoint(members, partitions):
    """Whether every partition is held once, as far as the members tell, and nobody is left without where there are enough."""
    held = [partition for member in members for partition in member.owned]
    if len(members) <= partitions and not all(member.owned or member.client in SILENT for member in members):
        return False
    silent = any(member.client in SILENT for member in members)
    return len(held) == len(set(held)) and (silent or set(held) == set(range(partitions)))


def together(broker, assignor, first):
    """One group of all clients that know this assignor: together they read all, also when its leader and another one leave."""
    # What kafka-go says of its subscription is cut short (its issue 762): Java cannot lead a group that has it.
    clients = [client for client in here(TOGETHER[assignor]) if first != "java" or client != "kafka-go"]
    check(len(clients) > 2, f"only {clients} are here")
    # Clients that read ahead hand out records that another one was given and committed meanwhile.
    stage = Stage(broker, f"mixed-{assignor}-{first}", PARTITIONS, strict=False)
    options = {"assignor": assignor, "session": 30_000}
    clients.sort(key=lambda client: client != first)
    with ExitStack() as stack:
        leader = stack.enter_context(stage.member(clients[0], **options))
        stage.ledger.wait_delivered(stage.ends)
        others = [stack.enter_context(stage.member(client, **options)) for client in clients[1:]]
        settle(stage, [leader, *others])
        stage.more(20)
        stage.ledger.wait_delivered(stage.ends)
        leader.stop()
        others[0].stop()
        settle(stage, others[1:])
        stage.more(20)
        stage.ledger.wait_delivered(stage.ends)
        for member in others[1:]:
            member.stop()
    found = {partition: offset for partition, (offset, _) in stage.committed().items()}
    check(found == stage.ends, f"committed {found}, not {stage.ends}")
    return f"{len(clients)} clients"


def settle(stage, members):
    """Waits until the members that tell hold partitions, each of them once."""
    about = lambda: f"the partitions are not held once each: {'; '.join(member.state() for member in members)}"
    stage.ledger.wait(lambda: disjoint(members, stage.partitions), about, TAKEN_OVER_SECONDS_MAX)


def group_type(broker, group):
    out = run(kafka_tool("kafka-groups", "--list", "--bootstrap-server", broker.bootstrap), seconds=60).decode()
    for line in out.splitlines():
        words = line.split()
        if words and words[0] == group:
            return words[1].lower()
    return f"not listed: {out}"


def check_type(stage, wanted, members):
    found = group_type(stage.broker, stage.group)
    about = "; ".join(member.state() for member in members)
    check(found == wanted, f"its type is {found}, not {wanted}, with {len(members)} members: {about}")


def migrates(broker, classic, newer):
    """A group of the classic protocol gets members of the newer one, then loses the classic ones, and goes back, all while it reads."""
    stage = Stage(broker, f"migrate-{classic}-{newer}", 6)
    old, new = {"assignor": "range", "session": 30_000}, {"protocol": "consumer"}
    with ExitStack() as stack:
        add = lambda client, options: stack.enter_context(stage.member(client, **options))
        members = [add(classic, old), add(classic, old)]
        go_on(stage, members)
        check_type(stage, "classic", members)
        members.append(add(newer, new))
        go_on(stage, members)
        check_type(stage, "consumer", members)
        members.append(add(newer, new))
        go_on(stage, members)
        for _ in range(2):
            members.pop(0).stop()
            go_on(stage, members)
        # And back.
        members.append(add(classic, old))
        go_on(stage, members)
        for _ in range(2):
            members.pop(0).stop()
            go_on(stage, members)
        check_type(stage, "classic", members)
        stage.ledger.wait_committed(stage.ends)
        members.pop().stop()
    found = {partition: offset for partition, (offset, _) in stage.committed().items()}
    check(found == stage.ends, f"committed {found}, not {stage.ends}")


def go_on(stage, members):
    settle(stage, members)
    stage.more(10)
    stage.ledger.wait_delivered(stage.ends)


class Arriving:
    """Records that arrive in every partition, a batch of each every tenth of a second, until it is told to stop."""

    def __init__(self, stage):
        self.stage = stage
        self.stopping = threading.Event()
        self.failed = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.wait(CHURN_PAUSE_SECONDS):
                self.stage.more(CHURN_BATCH)
        except Exception as error:
            self.failed.append(error)

    def finish(self):
        self.stopping.set()
        self.thread.join(30)
        if self.failed:
            raise self.failed[0]


def churn(broker, client, options, seed):
    """One to four members of one group come and go, one is killed: all records are delivered, none again once committed."""
    name = "-".join([client, *options.values()])
    stage = Stage(broker, f"churn-{name}")
    chance = random.Random(seed)
    options = {**options, "session": CHURN_SESSION_MS}
    with ExitStack() as stack:
        add = lambda: stack.enter_context(stage.member(client, **options))
        arriving = Arriving(stage)
        members = [add()]
        settle(stage, members)
        for change in ("add", "add", "stop", "add", "kill", "add", "add", "stop", "stop", "kill", "add", "stop"):
            if change == "add":
                members.append(add())
            elif change == "stop":
                members.pop(chance.randrange(len(members))).stop()
            else:
                members.pop(chance.randrange(len(members))).kill()
                members.append(add())
            # Sometimes the next one comes before this one is done.
            if chance.random() < 0.7:
                settle(stage, members)
        arriving.finish()
        settle(stage, members)
        stage.ledger.wait_delivered(stage.ends, TAKEN_OVER_SECONDS_MAX)
        stage.ledger.wait_committed(stage.ends)
        for member in members:
            member.stop()
    found = {partition: offset for partition, (offset, _) in committed(broker, stage.group, stage.topic, 3).items()}
    check(found == stage.ends, f"committed {found}, not {stage.ends}")
    foreign = stage.ledger.foreign()
    check(not foreign, f"{len(foreign)} records have values that are not their own, such as {foreign[:3]}")
    return f"{stage.count} records in each partition"


def steps_of(options):
    large = options.size == "large"
    for assignor, clients in TOGETHER.items():
        for first in clients[: 2 if large else 1]:
            yield f"clients of one group with {assignor}, {first} first", together, assignor, first
    for classic in ("java", "confluent-kafka"):
        for newer in ("java", "confluent-kafka"):
            if large or classic != newer:
                yield f"{classic} (classic) and {newer} (consumer) migrate online", migrates, classic, newer
    for client, given in CHURN[: None if large else CHURN_SMALL]:
        yield f"members of {client} ({next(iter(given.values()))}) come and go", churn, client, given, options.seed or 1


def steps(suite, broker, options):
    run_on_own_broker(suite, "mixed", steps_of(options), broker, options, AT_ONCE)
