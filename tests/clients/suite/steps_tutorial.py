"""The tutorial that every Kafka beginner follows, typed as it stands with Kafka 4.2's own tools, and what operators type next."""

import json
import re

from runner import check
from tools import HERE, execute, kafka_tool, python, run
from wire import Connection

TOPIC = "quickstart-events"
KEYED = [b"alice:one", b"bob:two", b"alice:three", b"carol:four:five"]


class Tutorial:
    def __init__(self, broker, work):
        self.bootstrap = broker.bootstrap
        self.work = work

    def tool(self, name, *arguments, stdin=b"", seconds=60):
        return run(kafka_tool(name, *arguments, "--bootstrap-server", self.bootstrap), stdin, seconds).decode()

    def refused(self, name, *arguments, saying):
        status, out, err = execute(kafka_tool(name, *arguments, "--bootstrap-server", self.bootstrap), seconds=60)
        said = (out + err).decode()
        check(status != 0, f"it was not refused: {said[:300]}")
        check(saying in said, f"the message is not Kafka's: {said[:500]}")

    def consume(self, partition, *options, count=None):
        limit = ["--max-messages", str(count)] if count else ["--timeout-ms", "2500"]
        where = ["--topic", TOPIC, "--partition", str(partition)]
        out = self.tool("kafka-console-consumer", *where, *limit, *options)
        return [line for line in out.splitlines() if not line.startswith("Processed a total")]

    def create(self):
        with Connection(self.bootstrap) as connection:
            connection.delete_topic(TOPIC)
        out = self.tool("kafka-topics", "--create", "--topic", TOPIC, "--partitions", "3", "--replication-factor", "1")
        check(out.strip() == f"Created topic {TOPIC}.", out)

    def create_again(self):
        self.refused("kafka-topics", "--create", "--topic", TOPIC, saying=f"Topic '{TOPIC}' already exists.")

    def replication_factor(self):
        saying = "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered."
        self.refused("kafka-topics", "--create", "--topic", "too-many", "--replication-factor", "2", saying=saying)

    def bad_name(self):
        self.refused("kafka-topics", "--create", "--topic", "a/b", saying="a/b")

    def list(self):
        check(TOPIC in self.tool("kafka-topics", "--list").split(), "the topic is not listed")

    def describe(self):
        out = self.tool("kafka-topics", "--describe", "--topic", TOPIC)
        head = rf"Topic: {TOPIC}\tTopicId: [\w-]{{22}}\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: .*"
        check(re.fullmatch(head, out.splitlines()[0]), out)
        for partition in range(3):
            line = rf"\tTopic: {TOPIC}\tPartition: {partition}\tLeader: (\d+)\tReplicas: \1\tIsr: \1\tElr: \tLastKnownElr: ?"
            check(re.fullmatch(line, out.splitlines()[1 + partition]), out)

    def produce_lines(self):
        self.tool("kafka-console-producer", "--topic", TOPIC, stdin="This is my first event\nÜber die Straße\n".encode())

    def produce_keyed(self):
        keyed = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
        self.tool("kafka-console-producer", "--topic", TOPIC, *keyed, stdin=b"\n".join(KEYED) + b"\n")

    def consume_all(self):
        show = ["--from-beginning", "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:"]
        came = [self.consume(partition, *show) for partition in range(3)]
        flat = [line for lines in came for line in lines]
        want = [line.decode() for line in KEYED] + ["null:This is my first event", "null:Über die Straße"]
        check(sorted(flat) == sorted(want), f"came {came}")
        alice = [line for lines in came for line in lines if line.startswith("alice:")]
        check(alice == ["alice:one", "alice:three"], f"alice's records are out of order: {alice}")

    def consume_earliest(self):
        partition = next(int(p) for p, n in self.offsets() if n > 0)
        check(len(self.consume(partition, "--offset", "earliest", count=1)) == 1, "nothing came")
        shown = self.consume(partition, "--offset", "0", "--formatter-property", "print.offset=true", count=1)
        check(shown[0].startswith("Offset:0\t"), str(shown))

    def alter_partitions(self):
        self.tool("kafka-topics", "--alter", "--topic", TOPIC, "--partitions", "4")
        check("PartitionCount: 4" in self.tool("kafka-topics", "--describe", "--topic", TOPIC), "there are not 4 partitions")

    def fewer_partitions(self):
        saying = f"The topic {TOPIC} currently has 4 partition(s); 2 would not be an increase."
        self.refused("kafka-topics", "--alter", "--topic", TOPIC, "--partitions", "2", saying=saying)

    def configs(self, *arguments):
        return self.tool("kafka-configs", "--entity-type", "topics", "--entity-name", TOPIC, *arguments)

    def alter_configs(self):
        out = self.configs("--alter", "--add-config", "retention.ms=86400000,max.message.bytes=2000000")
        check(f"Completed updating config for topic {TOPIC}." in out, out)
        out = self.configs("--describe")
        line = "max.message.bytes=2000000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000, DEFAULT_CONFIG:message.max.bytes=1048588}"
        check(line in out and "retention.ms=86400000" in out, out)
        self.configs("--alter", "--delete-config", "max.message.bytes")
        check("max.message.bytes" not in self.configs("--describe"), "the deleted config is still described")

    def bad_config(self):
        topic = ["--entity-type", "topics", "--entity-name", TOPIC]
        self.refused("kafka-configs", *topic, "--alter", "--add-config", "retention.ms=soon", saying="retention.ms")
        self.refused("kafka-configs", *topic, "--alter", "--add-config", "no.such=1", saying="Unknown topic config name: no.such")

    def describe_all(self):
        out = self.configs("--describe", "--all")
        check("cleanup.policy=delete sensitive=false synonyms={DEFAULT_CONFIG:log.cleanup.policy=delete}" in out, out[:500])
        brokers = self.tool("kafka-configs", "--entity-type", "brokers", "--entity-name", self.node(), "--describe", "--all")
        check("message.max.bytes=1048588" in brokers, brokers[:500])

    def node(self):
        out = self.tool("kafka-cluster", "list-endpoints")
        return out.splitlines()[1].split()[0]

    def offsets(self, *arguments):
        out = self.tool("kafka-get-offsets", "--topic", TOPIC, *arguments)
        return [(line.split(":")[1], int(line.split(":")[2])) for line in out.split()]

    def get_offsets(self):
        check(sum(offset for _, offset in self.offsets()) == 6, str(self.offsets()))
        check(self.offsets("--time", "earliest") == [(str(p), 0) for p in range(4)], "the log does not start at 0")
        check(len(self.offsets("--time", "max-timestamp")) >= 1, "no offset of the greatest timestamp")

    def delete_records(self):
        partition = next(int(p) for p, n in self.offsets() if n > 0)
        wanted = {"version": 1, "partitions": [{"topic": TOPIC, "partition": partition, "offset": 1}]}
        path = self.work / "delete-records.json"
        path.write_text(json.dumps(wanted))
        out = self.tool("kafka-delete-records", "--offset-json-file", str(path))
        check(f"partition: {TOPIC}-{partition}\tlow_watermark: 1" in out, out)
        check((str(partition), 1) in self.offsets("--time", "earliest"), "the log start did not move")

    def log_dirs(self):
        out = self.tool("kafka-log-dirs", "--describe", "--topic-list", TOPIC)
        answer = json.loads(out[out.index("{") :])
        partitions = [p["partition"] for b in answer["brokers"] for d in b["logDirs"] for p in d["partitions"]]
        check(sorted(partitions) == [f"{TOPIC}-{number}" for number in range(4)], out)

    def api_versions(self):
        out = self.tool("kafka-broker-api-versions")
        for line in (r"\tProduce\(0\): 0 to \d+ \[usable: \d+\]", r"\tFetch\(1\): 4 to \d+ \[usable: \d+\]"):
            check(re.search(line, out), out[:600])
        check("UNSUPPORTED" not in out.split("Metadata(3)")[1].split("\n")[0], out[:600])

    def quorum(self):
        out = self.tool_describe("kafka-metadata-quorum", "describe", "--status")
        for name in ("ClusterId:", "LeaderId:", "LeaderEpoch:", "HighWatermark:", "CurrentVoters:"):
            check(name in out, out)
        check("Leader" in self.tool_describe("kafka-metadata-quorum", "describe", "--replication"), "nobody leads")

    def tool_describe(self, name, *arguments):
        """These tools want the bootstrap server before their command."""
        return run(kafka_tool(name, "--bootstrap-server", self.bootstrap, *arguments), seconds=60).decode()

    def features(self):
        out = self.tool_describe("kafka-features", "describe")
        check(re.search(r"Feature: metadata.version\t.*FinalizedVersionLevel: 4.2-IV1", out), out)

    def cluster_id(self):
        out = self.tool("kafka-cluster", "cluster-id")
        check(re.search(r"Cluster ID: [\w-]{22}", out), out)

    def performance(self):
        size = ["--num-records", "20000", "--record-size", "100", "--throughput", "-1"]
        out = self.tool("kafka-producer-perf-test", "--topic", TOPIC, *size)
        check("20000 records sent" in out, out)

    def verifiable(self):
        out = self.tool("kafka-verifiable-producer", "--topic", TOPIC, "--max-messages", "500", "--throughput", "-1", "--acks", "-1")
        check('"sent":500,"acked":500' in out, out[-300:])
        check(sum(offset for _, offset in self.offsets()) == 20506, f"offsets {self.offsets()}")

    def election(self):
        self.tool("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")

    def acls(self):
        self.refused("kafka-acls", "--list", saying="No Authorizer is configured")

    def delete(self):
        self.tool("kafka-topics", "--delete", "--topic", TOPIC)
        check(TOPIC not in self.tool("kafka-topics", "--list").split(), "the deleted topic is still listed")
        self.refused("kafka-topics", "--describe", "--topic", TOPIC, saying=f"Topic '{TOPIC}' does not exist as expected")


def json_tutorial(broker):
    topic = "orders"
    with Connection(broker.bootstrap) as connection:
        connection.delete_topic(topic)
    out = run([python(), "-W", "ignore", HERE / "clients" / "python" / "json_tutorial.py", broker.bootstrap, topic], seconds=60)
    with Connection(broker.bootstrap) as connection:
        connection.delete_topic(topic)
    return out.decode().strip()


def steps(suite, broker, options):
    suite.step("tutorial: Python, JSON values through kafka-python", json_tutorial, broker)
    tutorial = Tutorial(broker, options.work)
    for name, action in (
        ("create a topic with three partitions", tutorial.create),
        ("creating it again is refused", tutorial.create_again),
        ("a replication factor above the number of brokers is refused", tutorial.replication_factor),
        ("an illegal topic name is refused", tutorial.bad_name),
        ("list", tutorial.list),
        ("describe", tutorial.describe),
        ("console producer, lines", tutorial.produce_lines),
        ("console producer, lines with keys", tutorial.produce_keyed),
        ("console consumer from the beginning", tutorial.consume_all),
        ("console consumer from an offset", tutorial.consume_earliest),
        ("alter the number of partitions", tutorial.alter_partitions),
        ("fewer partitions are refused", tutorial.fewer_partitions),
        ("alter and describe configs", tutorial.alter_configs),
        ("bad configs are refused", tutorial.bad_config),
        ("describe all configs of topic and broker", tutorial.describe_all),
        ("get offsets", tutorial.get_offsets),
        ("delete records", tutorial.delete_records),
        ("log directories", tutorial.log_dirs),
        ("broker api versions", tutorial.api_versions),
        ("metadata quorum", tutorial.quorum),
        ("features", tutorial.features),
        ("cluster id", tutorial.cluster_id),
        ("producer performance", tutorial.performance),
        ("verifiable producer", tutorial.verifiable),
        ("leader election", tutorial.election),
        ("acls without an authorizer", tutorial.acls),
        ("delete the topic", tutorial.delete),
    ):
        suite.step(f"tutorial: Kafka tools, {name}", action)
