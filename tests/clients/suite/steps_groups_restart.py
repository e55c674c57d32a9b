"""A broker that is killed and starts again under its groups: members come back by themselves and go on where they committed."""

from contextlib import ExitStack

from members import SILENT, committed
from runner import check
from steps_groups import PARTITIONS, Stage, run_on_own_broker
from steps_groups_mixed import here

MEMBERS = (
    ("java", "classic"), ("java", "consumer"), ("confluent-kafka", "classic"), ("confluent-kafka", "consumer"),
    ("kafka-python", "classic"), ("aiokafka", "classic"), ("kafkajs", "classic"), ("franz-go", "classic"), ("franz-go", "consumer"),
    ("sarama", "classic"), ("kafka-go", "classic"),
)
# Clients whose commits fail unseen, or that hand out what they read before they came back.
LENIENT = ("aiokafka", "kafkajs", "sarama", "kafka-go")
BACK_SECONDS_MAX = 120
# A client that begins anew waits that long for its former self.
SESSION_MS = 10_000


class Group:
    """One member of a group of its own."""

    def __init__(self, broker, client, protocol, how):
        self.client, self.protocol = client, protocol
        self.stage = Stage(broker, f"{how}-{client}-{protocol}", strict=client not in LENIENT)

    def member(self):
        return self.stage.member(self.client, protocol=self.protocol, session=SESSION_MS)

    def check_committed(self):
        """What the broker has is what the members were told, or more where they did not hear of it."""
        stage = self.stage
        found = {partition: offset for partition, (offset, _) in committed(stage.broker, stage.group, stage.topic, PARTITIONS).items()}
        check(found == stage.ends, f"{self.client} ({self.protocol}): committed {found}, not {stage.ends}")


def groups_of(broker, how):
    clients = here(dict.fromkeys(client for client, _ in MEMBERS))
    return [Group(broker, client, protocol, how) for client, protocol in MEMBERS if client in clients]


def restarts(broker, how):
    """All members run while the broker ends and starts, twice."""
    broker.need_owned()
    groups = groups_of(broker, how)
    with ExitStack() as stack:
        members = [stack.enter_context(group.member()) for group in groups]
        caught_up(groups, members)
        seconds = []
        for _ in range(2):
            getattr(broker, how)()
            seconds.append(broker.start())
            for group in groups:
                group.stage.more(10)
            caught_up(groups, members)
        for member in members:
            member.stop()
    for group in groups:
        group.check_committed()
    return f"{len(groups)} groups, started in {max(seconds):.1f} s"


def caught_up(groups, members):
    for group, member in zip(groups, members):
        stage = group.stage
        missing = lambda: [at for at in ((p, o) for p in stage.ends for o in range(stage.count)) if at not in stage.ledger.delivered]
        member.wait(lambda: not missing(), f"not all of {stage.count} records of each partition came", BACK_SECONDS_MAX)
        member.wait(lambda: stage.ledger.committed == stage.ends, f"not all were committed but {stage.ledger.committed}", BACK_SECONDS_MAX)


def resumes(broker, how):
    """The members have left when the broker ends; others begin where they committed."""
    broker.need_owned()
    groups = groups_of(broker, f"later-{how}")
    with ExitStack() as stack:
        members = [stack.enter_context(group.member()) for group in groups]
        caught_up(groups, members)
        for member in members:
            member.stop()
    for group in groups:
        group.check_committed()
    getattr(broker, how)()
    broker.start()
    for group in groups:
        group.check_committed()
        group.stage.more(5)
    with ExitStack() as stack:
        members = [stack.enter_context(group.member()) for group in groups]
        caught_up(groups, members)
        for group, member in zip(groups, members):
            first = min(offset for _, offset, _ in member.records)
            check(first == 10, f"{group.client} ({group.protocol}) began at {first}, 10 was committed")
            check(group.client in SILENT or len(member.owned) == PARTITIONS, member.state())
            member.stop()


def steps_of():
    yield "members come back after kill -9", restarts, "kill"
    yield "members come back after SIGTERM", restarts, "stop"
    yield "groups begin where they committed after kill -9", resumes, "kill"
    yield "groups begin where they committed after SIGTERM", resumes, "stop"


def steps(suite, broker, options):
    run_on_own_broker(suite, "groups-restart", steps_of(), broker, options)
