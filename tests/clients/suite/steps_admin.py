"""The admin side of every client: topics, partitions, configs, deleted records, offsets, the cluster."""

from tools import program, run

CLIENTS = ("kafka-python", "confluent-kafka", "aiokafka", "kafkajs", "platformatic", "franz-go", "sarama", "kafka-go")


def admin(broker, client):
    run([*program(client), "admin", "--bootstrap", broker.bootstrap, "--topic", f"admin-{client}"], seconds=60)


def steps(suite, broker, options):
    for client in CLIENTS:
        suite.step(f"admin: {client}", admin, broker, client)
