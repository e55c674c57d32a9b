"""confluent-kafka (librdkafka): produces and reads lines of text without a group, and drives its admin client."""

import time

import client_args
from client_args import check, line_of, records
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

SECONDS_MAX = 30


def produce(args):
    failures = []
    settings = {
        "bootstrap.servers": args.bootstrap,
        "acks": args.acks,
        "enable.idempotence": args.idempotent == "yes",
        "compression.type": args.codec,
        "linger.ms": 20,
        "queue.buffering.max.messages": 1_000_000,
        "message.timeout.ms": 60_000,
    }
    producer = Producer(settings, on_delivery=lambda error, _: failures.append(str(error)) if error else None)
    count = 0
    for key, value in records(args):
        while True:
            try:
                producer.produce(args.topic, value, key, partition=0)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    check(producer.flush(60) == 0, "records were left in the queue")
    check(not failures, f"{len(failures)} deliveries failed, the first: {failures[:1]}")
    print(f"produced {count}")


def group_less(bootstrap):
    # librdkafka wants a group id even where no group is used.
    return Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    })


def of_the_group(error):
    """librdkafka looks for its group's coordinator even where no group is used; a broker without groups refuses that."""
    return error.code() == KafkaError.INVALID_REQUEST and "FindCoordinator" in error.str()


def consume(args):
    consumer = group_less(args.bootstrap)
    consumer.assign([TopicPartition(args.topic, 0, 0)])
    count, ended, heard = 0, False, time.monotonic()
    with open(args.out, "wb") as out:
        while not ended:
            # A short wait: the call returns when it has that many messages or its time is up, end of partition or not.
            messages = consumer.consume(5000, timeout=0.1)
            if messages:
                heard = time.monotonic()
            check(time.monotonic() - heard < SECONDS_MAX, f"nothing came within {SECONDS_MAX} s")
            for message in messages:
                error = message.error()
                if error and error.code() == KafkaError._PARTITION_EOF:
                    ended = True
                elif error and not of_the_group(error):
                    raise KafkaException(error)
                elif error:
                    continue
                else:
                    out.write(line_of(args, message.offset(), message.key(), message.value()))
                    count += 1
    consumer.close()
    print(f"consumed {count}")


def done(futures):
    for future in futures.values():
        future.result(SECONDS_MAX)


def check_topics(admin, topic):
    done(admin.create_topics([NewTopic(topic, 2, 1)]))
    try:
        done(admin.create_topics([NewTopic(topic, 2, 1)]))
        check(False, "creating a topic twice was not refused")
    except KafkaException as refused:
        check(refused.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, f"refused with {refused}")
    try:
        done(admin.create_topics([NewTopic(topic + "-r", 1, 3)]))
        check(False, "replication factor 3 was not refused")
    except KafkaException as refused:
        check(refused.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR, f"refused with {refused}")
    done(admin.create_partitions([NewPartitions(topic, 3)]))
    metadata = admin.list_topics(topic, timeout=SECONDS_MAX).topics[topic]
    check(len(metadata.partitions) == 3, f"{len(metadata.partitions)} partitions")


def check_configs(admin, topic):
    entry = ConfigEntry("retention.ms", "123456", incremental_operation=AlterConfigOpType.SET)
    done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])
    entries = list(futures.values())[0].result(SECONDS_MAX)
    check(entries["retention.ms"].value == "123456", f"retention.ms is {entries['retention.ms'].value}")
    check(not entries["retention.ms"].is_default, "a set value is described as default")
    check(entries["cleanup.policy"].value == "delete", "cleanup.policy is not at its default")
    bad = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
    try:
        done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[bad])]))
        check(False, "retention.ms=soon was not refused")
    except KafkaException as refused:
        check(refused.args[0].code() == KafkaError.INVALID_CONFIG, f"refused with {refused}")


def check_records(args, admin, topic):
    producer = Producer({"bootstrap.servers": args.bootstrap})
    for number in range(10):
        producer.produce(topic, str(number), partition=1, timestamp=1_000_000 + number)
    check(producer.flush(SECONDS_MAX) == 0, "not all were delivered")
    done(admin.delete_records([TopicPartition(topic, 1, 4)]))
    consumer = group_less(args.bootstrap)
    marks = consumer.get_watermark_offsets(TopicPartition(topic, 1), timeout=SECONDS_MAX)
    check(marks == (4, 10), f"watermarks {marks}")
    found = consumer.offsets_for_times([TopicPartition(topic, 1, 1_000_007)], timeout=SECONDS_MAX)
    check(found[0].offset == 7, f"offset by timestamp: {found}")
    consumer.close()
    for spec, want in ((OffsetSpec.earliest(), 4), (OffsetSpec.latest(), 10), (OffsetSpec.max_timestamp(), 9)):
        listed = list(admin.list_offsets({TopicPartition(topic, 1): spec}).values())[0].result(SECONDS_MAX)
        check(listed.offset == want, f"{spec} gave {listed.offset}, not {want}")


def offsets(args):
    """-3 asks for the largest timestamp, as in the protocol."""
    client = AdminClient({"bootstrap.servers": args.bootstrap})
    for time in args.times:
        spec = OffsetSpec.max_timestamp() if time == -3 else OffsetSpec.for_timestamp(time)
        listed = client.list_offsets({TopicPartition(args.topic, 0): spec})
        print(time, list(listed.values())[0].result(SECONDS_MAX).offset)


def admin(args):
    client = AdminClient({"bootstrap.servers": args.bootstrap})
    check_topics(client, args.topic)
    check_configs(client, args.topic)
    check_records(args, client, args.topic)
    cluster = client.describe_cluster().result(SECONDS_MAX)
    check(cluster.cluster_id and cluster.nodes, f"cluster {cluster}")
    done(client.delete_topics([args.topic]))
    check(args.topic not in client.list_topics(timeout=SECONDS_MAX).topics, "the deleted topic is still listed")
    print("admin ok")


if __name__ == "__main__":
    arguments = client_args.parse()
    {"produce": produce, "consume": consume, "admin": admin, "offsets": offsets}[arguments.command](arguments)
