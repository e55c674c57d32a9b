"""kafka-python: the admin side of groups. `active` while the group has a member, `empty` after that."""

import client_args
from client_args import check
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.structs import OffsetAndMetadata

PARTITIONS = 2
COMMITTED = 10


def listed(client, group, **filters):
    found = [each for each in client.list_groups(**filters) if each["group_id"] == group]
    return found[0] if found else None


def offsets(client, args):
    found = client.list_group_offsets({args.group: None})[args.group]
    return [found[TopicPartition(args.topic, p)].offset for p in range(PARTITIONS) if TopicPartition(args.topic, p) in found]


def alter(client, args, offset):
    wanted = {TopicPartition(args.topic, p): OffsetAndMetadata(offset, "", -1) for p in range(PARTITIONS)}
    return {error.__name__ for error in client.alter_group_offsets(args.group, wanted).values()}


def delete(client, group):
    """`OK`, or the error's name."""
    return client.delete_groups([group])[group]


def active(client, args):
    check(listed(client, args.group)["protocol_type"] == "consumer", "it is not listed as a group of consumers")
    check(listed(client, args.group, states_filter=["Stable"]), "it is not listed as stable")
    check(not listed(client, args.group, states_filter=["Empty"]), "it is listed as empty")
    described = client.describe_groups([args.group])[args.group]
    check(described["group_state"] == "Stable" and len(described["members"]) == 1, f"described as {described}")
    check(args.topic in str(described["members"][0]["member_assignment"]), f"the member has {described['members'][0]}")
    check(offsets(client, args) == [COMMITTED] * PARTITIONS, f"committed are {offsets(client, args)}")
    refused = alter(client, args, 1)
    check(refused == {"UnknownMemberIdError"}, f"altering the offsets of a group with a member: {refused}")
    check("NonEmptyGroup" in delete(client, args.group), "a group with a member was deleted")


def empty(client, args):
    described = client.describe_groups([args.group])[args.group]
    check(described["group_state"] == "Empty" and not described["members"], f"described as {described}")
    check(alter(client, args, 3) == {"NoError"}, "the offsets were not altered")
    check(offsets(client, args) == [3] * PARTITIONS, f"altered to {offsets(client, args)}")
    client.reset_group_offsets(args.group, {TopicPartition(args.topic, p): OffsetSpec.EARLIEST for p in range(PARTITIONS)})
    check(offsets(client, args) == [0] * PARTITIONS, f"reset to {offsets(client, args)}")
    client.delete_group_offsets(args.group, [TopicPartition(args.topic, 0)])
    check(offsets(client, args) == [0], f"after one was deleted: {offsets(client, args)}")
    check(delete(client, args.group) == "OK", "it was not deleted")
    check(not listed(client, args.group), "the deleted group is still listed")
    check("GroupIdNotFound" in delete(client, args.group), "deleting a deleted group was not refused")


if __name__ == "__main__":
    arguments = client_args.parse()
    admin = KafkaAdminClient(bootstrap_servers=arguments.bootstrap, request_timeout_ms=20_000)
    {"active": active, "empty": empty}[arguments.command](admin, arguments)
    admin.close()
    print("groups ok")
