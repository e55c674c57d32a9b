"""aiokafka as a member of a group; see member_args.py for what it prints and obeys."""

import asyncio

import member_args
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from member_args import say, say_committed, say_error, say_fetched, say_partitions

ASSIGNORS = {
    "": RoundRobinPartitionAssignor,
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}


class Member(ConsumerRebalanceListener):
    def __init__(self, args):
        self.args = args
        self.printed = {}
        self.running = True

    async def start(self):
        args = self.args
        self.consumer = AIOKafkaConsumer(
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
        await self.consumer.start()

    async def on_partitions_assigned(self, assigned):
        say_partitions("assigned", [each.partition for each in assigned])

    async def on_partitions_revoked(self, revoked):
        if self.args.commit == "each":
            await self.commit()
        say_partitions("revoked", [each.partition for each in revoked])

    async def commit(self):
        printed, self.printed = self.printed, {}
        if not printed:
            return
        offsets = {TopicPartition(self.args.topic, p): (offset, self.args.metadata) for p, offset in printed.items()}
        try:
            await self.consumer.commit(offsets)
            say_committed(printed)
        except (KafkaError, IllegalStateError) as error:
            say_error(error)

    async def fetch(self):
        """The consumer shows offsets alone, the admin client metadata too."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.args.bootstrap)
        await admin.start()
        partitions = list(self.consumer.assignment())
        found = await admin.list_consumer_group_offsets(self.args.group, partitions=partitions)
        await admin.close()
        said = []
        for partition in partitions:
            committed = await self.consumer.committed(partition)
            said.append((partition.partition, -1 if committed is None else committed, found[partition].metadata))
        say_fetched(said)

    async def obey(self, words):
        if words[0] == "stop":
            self.running = False
        elif words[0] == "commit":
            await self.commit()
        elif words[0] == "fetch":
            await self.fetch()
        elif words[0] == "seek":
            self.printed.pop(int(words[1]), None)
            self.consumer.seek(TopicPartition(self.args.topic, int(words[1])), int(words[2]))

    async def poll(self):
        for partition, records in (await self.consumer.getmany(timeout_ms=100, max_records=100)).items():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
                self.printed[partition.partition] = record.offset + 1
        if self.args.commit == "each":
            await self.commit()

    async def run(self):
        words = member_args.Words()
        await self.start()
        while self.running:
            try:
                if command := words.next():
                    await self.obey(command)
                else:
                    await self.poll()
            except (KafkaError, IllegalStateError) as error:
                say_error(error)
        await self.consumer.stop()
        say("closed")


if __name__ == "__main__":
    asyncio.run(Member(member_args.parse()).run())
