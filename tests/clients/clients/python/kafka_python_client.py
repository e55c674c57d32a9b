"""kafka-python: produces and reads lines of text without a group, and drives its admin client."""

import client_args
from client_args import check, line_of, records
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

REQUEST_TIMEOUT_MS = 20_000


def produce(args):
    acks = args.acks if args.acks == "all" else int(args.acks)
    producer = KafkaProducer(
        bootstrap_servers=args.bootstrap,
        acks=acks,
        enable_idempotence=args.idempotent == "yes",
        compression_type=None if args.codec == "none" else args.codec,
        linger_ms=20,
        batch_size=128 * 1024,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    last, count = None, 0
    for key, value in records(args):
        last = producer.send(args.topic, value, key, partition=0)
        count += 1
    producer.flush(timeout=60)
    # Keyed text is sent to topics that hold some already.
    if last is not None and acks != 0 and args.keyed == "no":
        offset = last.get(timeout=30).offset
        check(offset == count - 1, f"the last of {count} records got offset {offset}")
    producer.close()
    print(f"produced {count}")


def consume(args):
    partition = TopicPartition(args.topic, 0)
    consumer = KafkaConsumer(
        bootstrap_servers=args.bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    count = 0
    with open(args.out, "wb") as out:
        while consumer.position(partition) < end:
            for record in consumer.poll(timeout_ms=1000, max_records=5000).get(partition, ()):
                out.write(line_of(args, record.offset, record.key, record.value))
                count += 1
    consumer.close(autocommit=False)
    print(f"consumed {count}")


def check_topics(admin, topic):
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    try:
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
        check(False, "creating a topic twice was not refused")
    except TopicAlreadyExistsError:
        pass
    check(topic in admin.list_topics(), "the new topic is not listed")
    described = admin.describe_topics([topic])
    check(len(described[0]["partitions"]) == 2, f"described as {described}")
    admin.create_partitions({topic: NewPartitions(3)})
    check(len(admin.describe_topics([topic])[0]["partitions"]) == 3, "partitions were not added")


def check_configs(admin, topic):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "123456"})
    admin.alter_configs([resource])
    described = str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"))
    check("123456" in described, f"retention.ms was not set: {described[:500]}")
    check("cleanup.policy" in described, "defaults are not described")


def check_records(args, admin, topic):
    producer = KafkaProducer(bootstrap_servers=args.bootstrap)
    for number in range(10):
        producer.send(topic, str(number).encode(), partition=1, timestamp_ms=1_000_000 + number)
    producer.flush()
    producer.close()
    partition = TopicPartition(topic, 1)
    admin.delete_records({partition: 4})
    consumer = KafkaConsumer(bootstrap_servers=args.bootstrap, group_id=None)
    check(consumer.beginning_offsets([partition])[partition] == 4, "the log start did not move to 4")
    check(consumer.end_offsets([partition])[partition] == 10, "the end is not 10")
    found = consumer.offsets_for_times({partition: 1_000_007})[partition]
    check(found.offset == 7 and found.timestamp == 1_000_007, f"offset by timestamp: {found}")
    check(consumer.offsets_for_times({partition: 2_000_000})[partition] is None, "a later timestamp found a record")
    check(consumer.partitions_for_topic(topic) == {0, 1, 2}, "partitions_for_topic")
    consumer.close(autocommit=False)


def offsets(args):
    partition = TopicPartition(args.topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=args.bootstrap, group_id=None)
    for time in args.times:
        found = consumer.offsets_for_times({partition: time})[partition]
        print(time, found.offset if found else -1)
    consumer.close(autocommit=False)


def admin(args):
    client = KafkaAdminClient(bootstrap_servers=args.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    check_topics(client, args.topic)
    check_configs(client, args.topic)
    check_records(args, client, args.topic)
    cluster = client.describe_cluster()
    check(cluster["brokers"] and cluster["cluster_id"], f"cluster: {cluster}")
    check(args.topic in str(client.describe_log_dirs()), "the topic is in no log directory")
    client.delete_topics([args.topic])
    check(args.topic not in client.list_topics(), "the deleted topic is still listed")
    try:
        client.delete_topics([args.topic])
        check(False, "deleting a deleted topic was not refused")
    except UnknownTopicOrPartitionError:
        pass
    client.close()
    print("admin ok")


if __name__ == "__main__":
    arguments = client_args.parse()
    {"produce": produce, "consume": consume, "admin": admin, "offsets": offsets}[arguments.command](arguments)
