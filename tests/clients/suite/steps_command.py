"""The beginner's tutorial with the `corelog` command alone, whatever broker it speaks to."""

import json
import signal
import subprocess
import time

import wire
from runner import check
from tools import ENVIRONMENT, corelog, execute, run

TOPIC = "command-events"
REFUSED, NOT_FOUND, UNREACHABLE = 5, 4, 3


class Command:
    def __init__(self, broker, work):
        self.bootstrap, self.work = broker.bootstrap, work

    def __call__(self, *arguments, stdin=b"", seconds=30):
        return run([corelog(), *arguments, "--bootstrap-server", self.bootstrap], stdin, seconds).decode()

    def refused(self, *arguments, status, saying):
        got, out, err = execute([corelog(), *arguments, "--bootstrap-server", self.bootstrap], seconds=30)
        said = (out + err).decode()
        check(got == status, f"it ended with {got}, not {status}: {said[:300]}")
        check(saying in said, f"the message does not say {saying!r}: {said[:300]}")

    def records(self, *arguments):
        out = self("consume", TOPIC, "--from-beginning", "--until-end", "--json", *arguments)
        return [json.loads(line) for line in out.splitlines()]

    def create(self):
        corelog()
        with wire.Connection(self.bootstrap) as connection:
            connection.delete_topic(TOPIC)
        check(TOPIC in self("topic", "create", TOPIC, "--partitions", "3", "--config", "retention.ms=-1"), "it says nothing")
        self.refused("topic", "create", TOPIC, status=REFUSED, saying=f"Topic '{TOPIC}' already exists")
        self("topic", "create", TOPIC, "--if-not-exists")

    def replication_factor(self):
        saying = "The target replication factor of 2 cannot be reached because only 1 broker(s) are registered"
        self.refused("topic", "create", "too-many", "--replication-factor", "2", status=REFUSED, saying=saying)

    def bad_name(self):
        self.refused("topic", "create", "../up", status=REFUSED, saying="../up")

    def list(self):
        check(TOPIC in self("topic", "list").split(), "the topic is not in the table")
        listed = {topic["topic"]: topic for topic in json.loads(self("topic", "list", "--json"))}
        check(listed[TOPIC]["partitions"] == 3, str(listed[TOPIC]))

    def describe(self):
        check("retention.ms = -1" in self("topic", "describe", TOPIC), self("topic", "describe", TOPIC))
        described = json.loads(self("topic", "describe", TOPIC, "--json"))[0]
        leaders = [p["leader"] for p in described["partitions"]]
        check(len(leaders) == 3 and min(leaders) >= 0, str(described))

    def produce_lines(self):
        self("produce", TOPIC, stdin="first\n\nthird, Ü\n".encode())
        path = self.work / "lines"
        path.write_bytes(b"k1\tfrom a file\nk2\tand again\nk1\tlast\n")
        said = json.loads(self("produce", TOPIC, "--file", str(path), "--key-separator", "\\t", "--compression", "zstd", "--json"))
        check(said["records"] == 3, str(said))

    def consume(self):
        records = self.records()
        values = sorted(record["value"] for record in records)
        check(values == sorted(["first", "", "third, Ü", "from a file", "and again", "last"]), str(values))
        k1 = [record["value"] for record in records if record["key"] == "k1"]
        check(k1 == ["from a file", "last"], f"k1 has {k1}")
        check(len({record["partition"] for record in records if record["key"] == "k1"}) == 1, "one key went to two partitions")

    def consume_some(self):
        record = self.records()[0]
        where = ["--partition", str(record["partition"]), "--offset", "0", "--count", "1", "--keys", "--positions", "--timestamps"]
        out = self("consume", TOPIC, *where)
        check(len(out.splitlines()) == 1 and "Offset:0" in out and record["value"] in out, out)

    def headers(self):
        self("produce", TOPIC, "--header", "trace=abc", "--acks", "1", stdin=b"with a header\n")
        found = [record for record in self.records() if record["value"] == "with a header"]
        check(len(found) == 1 and "abc" in json.dumps(found[0]["headers"]), str(found))

    def follow(self):
        """Without an end it follows the topic, and Ctrl-C ends it cleanly."""
        command = [str(corelog()), "consume", TOPIC, "--bootstrap-server", self.bootstrap]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        try:
            time.sleep(1)
            self("produce", TOPIC, stdin=b"news\n")
            check(process.stdout.readline() == b"news\n", "the new record did not come")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
            process.wait()
        check(process.returncode == 0 and not out, f"Ctrl-C ended it with {process.returncode}: {err.decode()[:200]}")

    def alter(self):
        self("topic", "alter", TOPIC, "--partitions", "4", "--config", "max.message.bytes=2000000")
        described = json.loads(self("topic", "describe", TOPIC, "--json"))[0]
        check(len(described["partitions"]) == 4 and described["settings"]["max.message.bytes"] == "2000000", str(described))
        self("topic", "alter", TOPIC, "--delete-config", "max.message.bytes")
        check("max.message.bytes" not in self("topic", "describe", TOPIC), "the setting is still there")
        self.refused("topic", "alter", TOPIC, "--partitions", "2", status=REFUSED, saying="2 would not be an increase")
        self.refused("topic", "alter", TOPIC, "--config", "retention.ms=soon", status=REFUSED, saying="retention.ms")

    def delete(self):
        self("topic", "delete", TOPIC)
        check(TOPIC not in self("topic", "list").split(), "the deleted topic is still listed")
        self.refused("topic", "describe", TOPIC, status=NOT_FOUND, saying=TOPIC)
        self.refused("consume", TOPIC, "--until-end", status=NOT_FOUND, saying=TOPIC)

    def unreachable(self):
        status, out, err = execute([corelog(), "topic", "list", "--bootstrap-server", "127.0.0.1:1"], seconds=30)
        check(status == UNREACHABLE and b"127.0.0.1:1" in out + err, f"it ended with {status}: {(out + err)[:200]!r}")


def steps(suite, broker, options):
    command = Command(broker, options.work)
    for name, action in (
        ("create", command.create),
        ("a replication factor above the number of brokers is refused", command.replication_factor),
        ("an illegal topic name is refused", command.bad_name),
        ("list", command.list),
        ("describe", command.describe),
        ("produce lines, with and without keys", command.produce_lines),
        ("consume from the beginning", command.consume),
        ("consume from an offset", command.consume_some),
        ("headers", command.headers),
        ("follow a topic until Ctrl-C", command.follow),
        ("alter", command.alter),
        ("delete", command.delete),
        ("a broker that is not there", command.unreachable),
    ):
        suite.step(f"tutorial: the corelog command, {name}", action)
