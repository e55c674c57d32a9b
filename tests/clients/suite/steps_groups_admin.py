"""The admin side of groups by clients other than Kafka's own tools: beside a member, and when it is gone."""

from runner import check
from steps_groups import AT_ONCE, Stage, run_on_own_broker
from tools import HERE, need, python, run

CLIENTS = ("kafka-python", "confluent-kafka", "kafkajs")
PARTITIONS = 2


def program(client):
    if client == "kafkajs":
        need("node", "kafkajs")
        return ["node", HERE / "clients" / "node" / "kafkajs_groups.js"]
    name = {"kafka-python": "kafka_python", "confluent-kafka": "confluent"}[client]
    return [python(), HERE / "clients" / "python" / f"{name}_groups.py"]


def admin(broker, client):
    """Listed, described, its offsets read, set, reset and deleted, and the group deleted; what a member forbids is refused."""
    stage = Stage(broker, f"admin-{client}", PARTITIONS)
    flags = ["--bootstrap", broker.bootstrap, "--topic", stage.topic, "--group", stage.group]
    with stage.member("confluent-kafka", protocol="classic") as member:
        stage.ledger.wait_committed(stage.ends)
        run([*program(client), "active", *flags], seconds=60)
        member.stop()
    run([*program(client), "empty", *flags], seconds=60)
    left = stage.committed()
    check(not left or {offset for offset, _ in left.values()} == {-1}, f"committed after the group was deleted: {left}")


def steps(suite, broker, options):
    every = [(client, admin, client) for client in CLIENTS]
    run_on_own_broker(suite, "groups-admin", every, broker, options, AT_ONCE)
