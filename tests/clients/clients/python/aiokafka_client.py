"""aiokafka: produces and reads lines of text without a group, and drives its admin client."""

import asyncio

import client_args
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from client_args import check, line_of, records


async def produce(args):
    producer = AIOKafkaProducer(
        bootstrap_servers=args.bootstrap,
        acks=args.acks if args.acks == "all" else int(args.acks),
        enable_idempotence=args.idempotent == "yes",
        compression_type=None if args.codec == "none" else args.codec,
        linger_ms=20,
        max_batch_size=128 * 1024,
    )
    await producer.start()
    count, batch, pending = 0, producer.create_batch(), []

    async def send_full():
        batch.close()
        pending.append(await producer.send_batch(batch, args.topic, partition=0))

    for key, value in records(args):
        if batch.append(key=key, value=value, timestamp=None) is None:
            await send_full()
            batch = producer.create_batch()
            check(batch.append(key=key, value=value, timestamp=None) is not None, "a line is larger than a batch")
        count += 1
    if batch.record_count():
        await send_full()
    results = await asyncio.gather(*pending)
    if args.acks != "0":
        check(all(r.offset >= 0 for r in results), "a batch came back without an offset")
    await producer.stop()
    print(f"produced {count}")


async def consume(args):
    partition = TopicPartition(args.topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=args.bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    end = (await consumer.end_offsets([partition]))[partition]
    count = 0
    with open(args.out, "wb") as out:
        while await consumer.position(partition) < end:
            batch = await consumer.getmany(partition, timeout_ms=1000, max_records=5000)
            for record in batch.get(partition, ()):
                out.write(line_of(args, record.offset, record.key, record.value))
                count += 1
    await consumer.stop()
    print(f"consumed {count}")


async def check_records(args, admin):
    producer = AIOKafkaProducer(bootstrap_servers=args.bootstrap)
    await producer.start()
    for number in range(10):
        await producer.send_and_wait(args.topic, str(number).encode(), partition=1, timestamp_ms=1_000_000 + number)
    await producer.stop()
    partition = TopicPartition(args.topic, 1)
    await admin.delete_records({partition: RecordsToDelete(before_offset=4)})
    consumer = AIOKafkaConsumer(bootstrap_servers=args.bootstrap, group_id=None)
    await consumer.start()
    start = (await consumer.beginning_offsets([partition]))[partition]
    check(start == 4, f"the log start is {start}, not 4")
    found = (await consumer.offsets_for_times({partition: 1_000_007}))[partition]
    check(found.offset == 7, f"offset by timestamp: {found}")
    await consumer.stop()


async def admin(args):
    client = AIOKafkaAdminClient(bootstrap_servers=args.bootstrap)
    await client.start()
    await client.create_topics([NewTopic(args.topic, 2, 1, topic_configs={"retention.ms": "123456"})])
    check(args.topic in await client.list_topics(), "the new topic is not listed")
    configs = str(await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, args.topic)]))
    check("123456" in configs, f"configs {configs[:500]}")
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, args.topic, {"retention.ms": "654321"})])
    configs = str(await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, args.topic)]))
    check("654321" in configs, f"configs after the change {configs[:500]}")
    await client.create_partitions({args.topic: NewPartitions(3)})
    described = await client.describe_topics([args.topic])
    check(len(described[0]["partitions"]) == 3, f"described {described}")
    await check_records(args, client)
    await client.delete_topics([args.topic])
    check(args.topic not in await client.list_topics(), "the deleted topic is still listed")
    await client.close()
    print("admin ok")


if __name__ == "__main__":
    arguments = client_args.parse()
    asyncio.run({"produce": produce, "consume": consume, "admin": admin}[arguments.command](arguments))
