"""The tutorial of groups, typed with Kafka 4.2's own tools, and what monitors and operators read of the groups' own topics."""

import json
import re

import wire
from members import Member, committed, fill, unique
from runner import check
from steps_groups import run_on_own_broker
from steps_text import log_directory
from tools import execute, kafka_tool, run

PARTITIONS = 3
RECORDS = 30
# A consumer that finds its topic's end gives up after so long.
IDLE_MS = "20000"
FORMATTERS = "org.apache.kafka.tools.consumer"


def objects(text):
    """The JSON objects of a text, which stand in one line or in several."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        found, end = decoder.raw_decode(text, at)
        yield found
        at = text.find("{", end)


class Tutorial:
    def __init__(self, broker):
        self.broker = broker
        self.bootstrap = broker.bootstrap
        self.node_address = broker.node_address()
        self.topic = unique("tutorial")
        self.group, self.newer = unique("tutorial-group"), unique("tutorial-newer")
        self.share = unique("tutorial-share")

    def tool(self, name, *arguments, seconds=90):
        return run(kafka_tool(name, *arguments, "--bootstrap-server", self.bootstrap), seconds=seconds).decode()

    def said(self, name, *arguments):
        """All that a command said, whether it succeeded or not: these tools end with 0 when they are refused."""
        _, out, err = execute(kafka_tool(name, *arguments, "--bootstrap-server", self.bootstrap), seconds=90)
        return (out + err).decode()

    def groups(self, *arguments):
        return self.tool("kafka-consumer-groups", *arguments)

    def reset(self, *arguments):
        """The new offsets that --reset-offsets printed: {partition: offset}."""
        out = self.groups("--reset-offsets", "--group", self.group, *arguments)
        return {int(p): int(o) for p, o in re.findall(rf"^{self.group}\s+{self.topic}\s+(\d+)\s+(\d+)", out, re.MULTILINE)}

    def committed(self, group=None):
        found = committed(self.broker, group or self.group, self.topic, PARTITIONS)
        return [offset for _, (offset, _) in sorted(found.items())]

    def stage(self):
        wire.create_topic(self.bootstrap, self.topic, PARTITIONS)
        fill(self.broker, self.topic, PARTITIONS, RECORDS // PARTITIONS)
        out = self.tool("kafka-get-offsets", "--topic", self.topic)
        check(sorted(out.split()) == [f"{self.topic}:{p}:10" for p in range(PARTITIONS)], out)

    def console(self, *options):
        flags = ["--topic", self.topic, "--from-beginning", "--max-messages", str(RECORDS), "--timeout-ms", IDLE_MS]
        lines = self.tool("kafka-console-consumer", *flags, *options).split()
        want = sorted(f"{p}-{n}" for p in range(PARTITIONS) for n in range(10))
        check(sorted(lines) == want, f"{len(lines)} lines came: {lines[:5]}")

    def console_group(self):
        self.console("--group", self.group)
        check(self.committed() == [10] * PARTITIONS, f"committed {self.committed()}")

    def console_newer(self):
        self.console("--group", self.newer, "--command-property", "group.protocol=consumer")
        check(self.committed(self.newer) == [10] * PARTITIONS, f"committed {self.committed(self.newer)}")

    def list(self):
        listed = self.groups("--list").split()
        check(self.group in listed and self.newer in listed, f"listed are {listed}")
        out = self.groups("--list", "--state")
        check(re.search(rf"^{self.group}\s+Empty", out, re.MULTILINE), out)
        out = self.groups("--list", "--type")
        check(re.search(rf"^{self.group}\s+Classic", out, re.MULTILINE), out)
        check(re.search(rf"^{self.newer}\s+Consumer", out, re.MULTILINE), out)
        check(self.group in self.groups("--list", "--state", "Empty"), "it is not listed as empty")
        check(self.group not in self.groups("--list", "--state", "Stable").split(), "it is listed as stable")

    def groups_list(self):
        out = self.tool("kafka-groups", "--list")
        check(re.search(rf"^{self.group}\s+Classic\s+consumer", out, re.MULTILINE), out)
        check(re.search(rf"^{self.newer}\s+Consumer\s+consumer", out, re.MULTILINE), out)
        out = self.tool("kafka-groups", "--list", "--group-type", "consumer")
        check(self.newer in out and self.group not in out, out)

    def describe(self):
        for group in (self.group, self.newer):
            out = self.said("kafka-consumer-groups", "--describe", "--group", group)
            check(f"Consumer group '{group}' has no active members." in out, out)
            for partition in range(PARTITIONS):
                line = rf"^{group}\s+{self.topic}\s+{partition}\s+10\s+10\s+0\s+-\s+-\s+-"
                check(re.search(line, out, re.MULTILINE), out)
            out = self.said("kafka-consumer-groups", "--describe", "--group", group, "--state")
            check(re.search(rf"^{group}\s+{self.node_address}\s+\(\d+\)\s+.*Empty\s+0", out, re.MULTILINE), out)
        out = self.said("kafka-consumer-groups", "--describe", "--group", "no-such-group")
        check("Group no-such-group not found." in out, out)

    def describe_active(self):
        """While a member reads: its partitions, its state, and what is refused then."""
        for group, protocol in ((self.group, "classic"), (self.newer, "consumer")):
            with Member("java", self.broker, self.topic, group, protocol=protocol) as member:
                member.wait_owned(PARTITIONS)
                out = self.groups("--describe", "--group", group)
                found = re.findall(rf"^{group}\s+{self.topic}\s+\d\s+10\s+10\s+0\s+\S+\s+/127.0.0.1\s+\S+", out, re.MULTILINE)
                check(len(found) == PARTITIONS, out)
                out = self.groups("--describe", "--group", group, "--members", "--verbose")
                check(re.search(rf"^{group}\s+\S+\s+/127.0.0.1\s+.*\s3\s", out, re.MULTILINE) and f"{self.topic}:0,1,2" in out, out)
                out = self.groups("--describe", "--group", group, "--state")
                check(re.search(rf"^{group}\s.*\s(range|uniform)\s+Stable\s+1", out, re.MULTILINE), out)
                resetting = ("--reset-offsets", "--group", group, "--topic", self.topic, "--to-earliest", "--execute")
                out = self.said("kafka-consumer-groups", *resetting)
                check("is inactive, but the current state is Stable" in out, out)
                out = self.said("kafka-consumer-groups", "--delete", "--group", group)
                check("GroupNotEmptyException" in out, out)
                out = self.said("kafka-consumer-groups", "--delete-offsets", "--group", group, "--topic", self.topic)
                check("is actively subscribed to the topic" in out or "GroupSubscribedToTopicException" in out, out)
                member.stop()

    def resets(self):
        every = lambda offset: dict.fromkeys(range(PARTITIONS), offset)
        topic = ("--topic", self.topic)
        check(self.reset(*topic, "--to-earliest", "--dry-run") == every(0), "the dry run printed other offsets")
        check(self.committed() == [10] * PARTITIONS, "a dry run changed the offsets")
        check(self.reset(*topic, "--to-earliest") == every(0), "without a word it is a dry run")
        for options, want in (
            (("--to-earliest",), 0), (("--to-offset", "4"), 4), (("--shift-by", "3"), 7), (("--shift-by", "-2"), 5),
            (("--to-current",), 5), (("--to-latest",), 10), (("--by-duration", "PT1H"), 0), (("--shift-by", "100"), 10),
            (("--to-datetime", "2020-01-01T00:00:00.000"), 0),
        ):
            check(self.reset(*topic, *options, "--execute") == every(want), f"{options} printed other offsets")
            check(self.committed() == [want] * PARTITIONS, f"{options} committed {self.committed()}")
        check(self.reset("--topic", f"{self.topic}:1", "--to-offset", "6", "--execute") == {1: 6}, "one partition")
        check(self.committed() == [0, 6, 0], f"committed {self.committed()}")
        self.console_from_reset()

    def console_from_reset(self):
        flags = ["--topic", self.topic, "--group", self.group, "--max-messages", "24", "--timeout-ms", IDLE_MS]
        lines = self.tool("kafka-console-consumer", *flags).split()
        check(len(lines) == 24 and "1-5" not in lines and "1-6" in lines, str(lines))

    def delete_offsets(self):
        out = self.groups("--delete-offsets", "--group", self.group, "--topic", f"{self.topic}:1")
        check(re.search(rf"^{self.topic}\s+1\s+Successful", out, re.MULTILINE), out)
        check(self.committed() == [10, -1, 10], f"committed {self.committed()}")

    def delete(self):
        for group in (self.group, self.newer):
            out = self.groups("--delete", "--group", group)
            check(f"Deletion of requested consumer groups ('{group}') was successful." in out, out)
        listed = self.groups("--list").split()
        check(self.group not in listed and self.newer not in listed, f"listed are {listed}")
        out = self.said("kafka-consumer-groups", "--delete", "--group", self.group)
        check("GroupIdNotFoundException" in out, out)

    def performance(self):
        out = self.tool("kafka-consumer-perf-test", "--topic", self.topic, "--num-records", str(RECORDS), "--timeout", IDLE_MS)
        check(re.search(rf", {RECORDS}, ", out), out)

    def verifiable_producer(self):
        out = self.tool("kafka-verifiable-producer", "--topic", self.topic, "--max-messages", str(RECORDS), "--acks", "-1")
        check(f'"sent":{RECORDS},"acked":{RECORDS}' in out, out[-300:])

    def verifiable(self, protocol):
        group = unique(f"verifiable-{protocol}")
        flags = ["--topic", self.topic, "--group-id", group, "--max-messages", str(2 * RECORDS), "--reset-policy", "earliest"]
        out = self.tool("kafka-verifiable-consumer", *flags, "--group-protocol", protocol)
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        consumed = sum(event["count"] for event in events if event["name"] == "records_consumed")
        commits = [event for event in events if event["name"] == "offsets_committed"]
        check(consumed == 2 * RECORDS, f"{consumed} were consumed")
        check(commits and all(event["success"] for event in commits), str(commits))
        check(events[-1]["name"] == "shutdown_complete", str(events[-1]))
        check(sum(self.committed(group)) == 2 * RECORDS, f"committed {self.committed(group)}")

    def verifiable_share(self, mode):
        """Everything from the beginning, acknowledged: nothing is left."""
        group = unique(f"verifiable-share-{mode}")
        flags = ["--topic", self.topic, "--group-id", group, "--max-messages", str(2 * RECORDS), "--acknowledgement-mode", mode]
        out = self.tool("kafka-verifiable-share-consumer", *flags, "--offset-reset-strategy", "earliest")
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        consumed = sum(event["count"] for event in events if event["name"] == "records_consumed")
        acknowledged = [event for event in events if event["name"] == "offsets_acknowledged"]
        check(consumed == 2 * RECORDS, f"{consumed} were consumed")
        check(all(event["success"] for event in acknowledged), str(acknowledged))
        count = sum(event["count"] for event in acknowledged)
        check(count == 2 * RECORDS, f"{count} were acknowledged: {acknowledged}")
        check(events[-1]["name"] == "shutdown_complete", str(events[-1]))
        out = self.said("kafka-share-groups", "--describe", "--group", group, "--offsets")
        # Kafka moves the start along only when it writes a snapshot.
        lags = re.findall(rf"^{group}\s+{self.topic}\s+\d\s+\d+\s+(\S+)", out, re.MULTILINE)
        check(lags == ["0"] * PARTITIONS, out)

    def share_console(self):
        flags = ["--entity-type", "groups", "--entity-name", self.share, "--alter", "--add-config", "share.auto.offset.reset=earliest"]
        out = self.tool("kafka-configs", *flags)
        check(f"Completed updating config for group {self.share}." in out, out)
        flags = ["--topic", self.topic, "--group", self.share, "--max-messages", str(2 * RECORDS), "--timeout-ms", IDLE_MS]
        lines = self.tool("kafka-console-share-consumer", *flags).split()
        check(len(lines) == 2 * RECORDS, f"{len(lines)} lines came")

    def shares(self, *arguments):
        return self.tool("kafka-share-groups", *arguments)

    def share_list(self):
        check(self.share in self.shares("--list").split(), "it is not listed")
        check(re.search(rf"^{self.share}\s+Empty", self.shares("--list", "--state"), re.MULTILINE), "its state is not listed")
        check(re.search(rf"^{self.share}\s+Share\s+share", self.tool("kafka-groups", "--list", "--share"), re.MULTILINE), "kafka-groups")

    def share_describe(self):
        out = self.said("kafka-share-groups", "--describe", "--group", self.share, "--state")
        check(re.search(rf"^{self.share}\s+{self.node_address}\s+\(\d+\)\s+Empty\s+0", out, re.MULTILINE), out)
        for options in ((), ("--offsets",)):
            out = self.said("kafka-share-groups", "--describe", "--group", self.share, *options)
            check(len(re.findall(rf"^{self.share}\s+{self.topic}\s+\d\s+[\d-]+\s+[\d-]+", out, re.MULTILINE)) == PARTITIONS, out)
        out = self.said("kafka-share-groups", "--describe", "--group", self.share, "--members")
        check(f"Share group '{self.share}' has no active members." in out, out)

    def share_reset(self):
        resetting = ("--reset-offsets", "--group", self.share, "--topic", self.topic)
        for options in (("--to-earliest", "--dry-run"), ("--to-latest", "--execute"), ("--to-earliest", "--execute")):
            out = self.shares(*resetting, *options)
            found = dict(re.findall(rf"^{self.share}\s+{self.topic}\s+(\d)\s+(\d+)", out, re.MULTILINE))
            check(len(found) == PARTITIONS, out)
            check(options[0] == "--to-latest" or set(found.values()) == {"0"}, out)
        flags = ["--topic", self.topic, "--group", self.share, "--max-messages", "5", "--timeout-ms", IDLE_MS]
        check(len(self.tool("kafka-console-share-consumer", *flags, "--reject").split()) == 5, "not five came after the reset")

    def share_delete(self):
        out = self.shares("--delete-offsets", "--group", self.share, "--topic", self.topic)
        check(re.search(rf"^{self.topic}\s+Successful", out, re.MULTILINE), out)
        out = self.shares("--delete", "--group", self.share)
        check(f"Deletion of requested share groups ('{self.share}') was successful." in out, out)
        check(self.share not in self.shares("--list").split(), "it is still listed")

    def monitors(self):
        """What monitors read: the records of __consumer_offsets by Kafka's own formatters."""
        reading = ("--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", "5000")
        for formatter, wanted in (("OffsetsMessageFormatter", '"offset":10'), ("GroupMetadataMessageFormatter", '"protocolType":"consumer"')):
            out = self.tool("kafka-console-consumer", *reading, "--formatter", f"{FORMATTERS}.{formatter}")
            records = list(objects(out))
            own = [record for record in records if record["key"]["data"].get("group") == self.group]
            check(own, f"{formatter}: {len(records)} records, none of {self.group}")
            check(any(wanted in json.dumps(record, separators=(",", ":")) for record in own), f"{formatter}: {own[:2]}")
            check(own[-1]["value"] is None, f"{formatter}: the group was deleted, yet its last record is {own[-1]}")

    def dump(self, topic, decoder):
        """Every record of the topic's segments is decoded by kafka-dump-log. A broker that runs may have reserved room in its files."""
        self.broker.need_owned()
        directory = log_directory(self.broker)
        self.broker.stop()
        try:
            segments = [path for path in directory.glob(f"{topic}-*/*.log") if path.stat().st_size > 0]
            check(segments, f"{topic} has no segment that holds a record")
            out = run(kafka_tool("kafka-dump-log", "--files", ",".join(map(str, segments)), decoder), seconds=120).decode()
        finally:
            self.broker.start()
        keys = re.findall(r"key: (\S+)", out)
        decoded = [key for key in keys if key.startswith("{")]
        check(keys and len(decoded) == len(keys), f"{len(decoded)} of {len(keys)} keys were decoded: {out[-600:]}")
        check("isvalid: false" not in out and "Unknown" not in out, out[-600:])
        return f"{len(keys)} records in {len(segments)} segments"


def steps_of(tutorial):
    yield "a topic of three partitions, and kafka-get-offsets", tutorial.stage
    yield "the console consumer without a group", tutorial.console
    yield "the console consumer with --group", tutorial.console_group
    yield "the console consumer with group.protocol=consumer", tutorial.console_newer
    yield "kafka-consumer-groups --list", tutorial.list
    yield "kafka-groups --list", tutorial.groups_list
    yield "kafka-consumer-groups --describe", tutorial.describe
    yield "kafka-consumer-groups --describe of groups with a member", tutorial.describe_active
    yield "kafka-consumer-groups --reset-offsets", tutorial.resets
    yield "kafka-consumer-groups --delete-offsets", tutorial.delete_offsets
    yield "kafka-consumer-groups --delete", tutorial.delete
    yield "kafka-consumer-perf-test", tutorial.performance
    yield "kafka-verifiable-producer", tutorial.verifiable_producer
    for protocol in ("classic", "consumer"):
        yield f"kafka-verifiable-consumer ({protocol})", tutorial.verifiable, protocol
    for mode in ("auto", "sync"):
        yield f"kafka-verifiable-share-consumer ({mode})", tutorial.verifiable_share, mode
    yield "kafka-console-share-consumer", tutorial.share_console
    yield "kafka-share-groups --list", tutorial.share_list
    yield "kafka-share-groups --describe", tutorial.share_describe
    yield "kafka-share-groups --reset-offsets", tutorial.share_reset
    yield "kafka-share-groups --delete-offsets and --delete", tutorial.share_delete
    yield "monitors read __consumer_offsets", tutorial.monitors
    yield "kafka-dump-log decodes __consumer_offsets", tutorial.dump, "__consumer_offsets", "--offsets-decoder"
    yield "kafka-dump-log decodes __share_group_state", tutorial.dump, "__share_group_state", "--share-group-state-decoder"


class Late:
    """Makes the tutorial when its first step runs: only then is there a broker."""

    def __init__(self):
        self.made = None

    def step(self, name, arguments):
        def action(broker):
            self.made = self.made or Tutorial(broker)
            return getattr(self.made, name)(*arguments)

        return action


def steps(suite, broker, options):
    late = Late()
    every = [(name, late.step(action.__name__, arguments)) for name, action, *arguments in steps_of(Tutorial(broker))]
    run_on_own_broker(suite, "groups-tutorial", every, broker, options)
