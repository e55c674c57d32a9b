"""kafka-python as a member of a group; see member_args.py for what it prints and obeys."""

import member_args
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from member_args import say, say_committed, say_error, say_fetched, say_partitions

ASSIGNORS = {
    "": RangePartitionAssignor,
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


class Member(ConsumerRebalanceListener):
    def __init__(self, args):
        self.args = args
        self.printed = {}
        self.running = True
        self.consumer = KafkaConsumer(
            bootstrap_servers=args.bootstrap,
            group_id=args.group,
            group_instance_id=args.instance or None,
            partition_assignment_strategy=[ASSIGNORS[args.assignor]],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=args.session,
            heartbeat_interval_ms=args.session // 10,
            fetch_max_wait_ms=100,
            metadata_max_age_ms=2000,
        )
        self.consumer.subscribe([args.topic], listener=self)

    def on_partitions_assigned(self, assigned):
        say_partitions("assigned", [each.partition for each in assigned])

    def on_partitions_revoked(self, revoked):
        if self.args.commit == "each":
            self.commit()
        for each in revoked:
            self.printed.pop(each.partition, None)
        say_partitions("revoked", [each.partition for each in revoked])

    def on_partitions_lost(self, lost):
        self.printed.clear()
        say_partitions("revoked", [each.partition for each in lost])

    def commit(self):
        if not self.printed:
            return
        offsets = {
            TopicPartition(self.args.topic, partition): OffsetAndMetadata(offset, self.args.metadata, -1)
            for partition, offset in self.printed.items()
        }
        try:
            self.consumer.commit(offsets)
            say_committed(self.printed)
            self.printed.clear()
        except KafkaError as error:
            # During a rebalance, say: it is tried again while the partitions are its own.
            say_error(error)

    def fetch(self):
        found = []
        for partition in self.consumer.assignment():
            committed = self.consumer.committed(partition, metadata=True)
            found.append((partition.partition, committed.offset if committed else -1, committed.metadata if committed else ""))
        say_fetched(found)

    def obey(self, words):
        if words[0] == "stop":
            self.running = False
        elif words[0] == "commit":
            self.commit()
        elif words[0] == "fetch":
            self.fetch()
        elif words[0] == "seek":
            self.printed.pop(int(words[1]), None)
            self.consumer.seek(TopicPartition(self.args.topic, int(words[1])), int(words[2]))

    def poll(self):
        for partition, records in self.consumer.poll(timeout_ms=100, max_records=100).items():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
                self.printed[partition.partition] = record.offset + 1
        if self.args.commit == "each":
            self.commit()

    def run(self):
        words = member_args.Words()
        while self.running:
            try:
                if command := words.next():
                    self.obey(command)
                else:
                    self.poll()
            except KafkaError as error:
                say_error(error)
        self.consumer.close(autocommit=False)
        say("closed")


if __name__ == "__main__":
    Member(member_args.parse()).run()
