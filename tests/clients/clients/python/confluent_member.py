"""confluent-kafka (librdkafka) as a member of a group; see member_args.py for what it prints and obeys."""

import member_args
from confluent_kafka import Consumer, KafkaException, TopicPartition
from member_args import say, say_committed, say_error, say_fetched, say_partitions

# Committed at the latest after so many records.
UNCOMMITTED_MAX = 100
SECONDS_MAX = 30


class Member:
    def __init__(self, args):
        self.args = args
        # The next offset of each partition that was printed and not committed yet.
        self.printed = {}
        self.running = True
        self.consumer = Consumer(self.settings())
        handlers = {"on_assign": self.assigned, "on_revoke": self.revoked, "on_lost": self.lost}
        self.consumer.subscribe([args.topic], **handlers)

    def settings(self):
        args = self.args
        settings = {
            "bootstrap.servers": args.bootstrap,
            "group.id": args.group,
            "group.protocol": args.protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            # A broker that was killed is asked again soon.
            "reconnect.backoff.max.ms": 500,
            "topic.metadata.refresh.interval.ms": 2000,
        }
        if args.instance:
            settings["group.instance.id"] = args.instance
        if args.protocol == "classic":
            settings["session.timeout.ms"] = args.session
            settings["heartbeat.interval.ms"] = args.session // 10
        if args.assignor:
            settings["partition.assignment.strategy" if args.protocol == "classic" else "group.remote.assignor"] = args.assignor
        return settings

    def assigned(self, _, partitions):
        say_partitions("assigned", [each.partition for each in partitions])

    def revoked(self, _, partitions):
        if self.args.commit == "each":
            self.commit()
        for each in partitions:
            self.printed.pop(each.partition, None)
        say_partitions("revoked", [each.partition for each in partitions])

    def lost(self, _, partitions):
        self.printed.clear()
        say_partitions("revoked", [each.partition for each in partitions])

    def commit(self):
        if not self.printed:
            return
        topic, metadata = self.args.topic, self.args.metadata
        offsets = [TopicPartition(topic, partition, offset, metadata) for partition, offset in self.printed.items()]
        try:
            done = self.consumer.commit(offsets=offsets, asynchronous=False)
            failed = [each.error for each in done if each.error]
            if failed:
                raise KafkaException(failed[0])
            say_committed(self.printed)
            self.printed.clear()
        except KafkaException as error:
            # During a rebalance, say: it is tried again while the partitions are its own.
            say_error(error)

    def fetch(self):
        wanted = [TopicPartition(self.args.topic, each.partition) for each in self.consumer.assignment()]
        found = self.consumer.committed(wanted, timeout=SECONDS_MAX)
        say_fetched([(each.partition, max(each.offset, -1), each.metadata or "") for each in found])

    def obey(self, words):
        if words[0] == "stop":
            self.running = False
        elif words[0] == "commit":
            self.commit()
        elif words[0] == "fetch":
            self.fetch()
        elif words[0] == "seek":
            self.printed.pop(int(words[1]), None)
            self.consumer.seek(TopicPartition(self.args.topic, int(words[1]), int(words[2])))

    def poll(self):
        message = self.consumer.poll(0.1)
        if message is not None and message.error():
            raise KafkaException(message.error())
        if message is not None:
            say("record", message.partition(), message.offset(), message.value().decode())
            self.printed[message.partition()] = message.offset() + 1
        if self.args.commit == "each" and (message is None or message.offset() % UNCOMMITTED_MAX == UNCOMMITTED_MAX - 1):
            self.commit()

    def run(self):
        words = member_args.Words()
        while self.running:
            try:
                if command := words.next():
                    self.obey(command)
                else:
                    self.poll()
            except KafkaException as error:
                say_error(error)
        if self.args.commit == "each":
            self.commit()
        self.consumer.close()
        say("closed")


if __name__ == "__main__":
    Member(member_args.parse()).run()
