"""confluent-kafka (librdkafka): the admin side of groups. `active` while the group has a member, `empty` after that."""

import client_args
from client_args import check
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

PARTITIONS = 2
COMMITTED = 10
SECONDS_MAX = 20


def only(futures):
    return list(futures.values())[0].result(SECONDS_MAX)


def refusal(futures):
    """The error's name, or None if it was not refused."""
    try:
        only(futures)
    except KafkaException as refused:
        return refused.args[0].name()
    return None


def listed(client, group, **filters):
    found = client.list_consumer_groups(**filters).result(SECONDS_MAX)
    check(not found.errors, f"errors: {found.errors}")
    return [each for each in found.valid if each.group_id == group]


def offsets(client, args):
    found = only(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(args.group)]))
    return [each.offset for each in sorted(found.topic_partitions, key=lambda each: each.partition)]


def alter(client, args, offset):
    wanted = [TopicPartition(args.topic, p, offset) for p in range(PARTITIONS)]
    return client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(args.group, wanted)])


def describe(client, args):
    return only(client.describe_consumer_groups([args.group], include_authorized_operations=True))


def active(client, args):
    check(listed(client, args.group, states={ConsumerGroupState.STABLE}), "it is not listed as stable")
    check(not listed(client, args.group, states={ConsumerGroupState.EMPTY}), "it is listed as empty")
    described = describe(client, args)
    check(described.state == ConsumerGroupState.STABLE and len(described.members) == 1, f"described as {described.state}")
    owned = {(each.topic, each.partition) for each in described.members[0].assignment.topic_partitions}
    check(owned == {(args.topic, p) for p in range(PARTITIONS)}, f"the member has {owned}")
    check(described.members[0].host == "/127.0.0.1", f"the member is at {described.members[0].host}")
    check(offsets(client, args) == [COMMITTED] * PARTITIONS, f"committed are {offsets(client, args)}")
    check(refused_alter(client, args) == {KafkaError.UNKNOWN_MEMBER_ID}, f"altered beside a member: {refused_alter(client, args)}")
    check(refusal(client.delete_consumer_groups([args.group])) == "NON_EMPTY_GROUP", "a group with a member was deleted")


def refused_alter(client, args):
    """Errors of the whole or of the partitions: what a client makes of them is its own."""
    try:
        done = only(alter(client, args, 1))
    except KafkaException as refused:
        return {refused.args[0].code()}
    return {each.error.code() if each.error else None for each in done.topic_partitions}


def empty(client, args):
    described = describe(client, args)
    check(described.state == ConsumerGroupState.EMPTY and not described.members, f"described as {described.state}")
    altered = only(alter(client, args, 3))
    check(all(each.error is None for each in altered.topic_partitions), f"altered: {altered.topic_partitions}")
    check(offsets(client, args) == [3] * PARTITIONS, f"altered to {offsets(client, args)}")
    check(refusal(client.delete_consumer_groups([args.group])) is None, "it was not deleted")
    check(not listed(client, args.group), "the deleted group is still listed")
    refused = refusal(client.delete_consumer_groups([args.group]))
    check(refused == "GROUP_ID_NOT_FOUND", f"deleting a deleted group: {refused}")


if __name__ == "__main__":
    arguments = client_args.parse()
    admin = AdminClient({"bootstrap.servers": arguments.bootstrap})
    {"active": active, "empty": empty}[arguments.command](admin, arguments)
    print("groups ok")
