"""One way to produce a file of lines and one to read a partition back, for every client, whatever its language."""

import time

import wire
from runner import Failure, Skip
from tools import corelog, kafka_tool, kcat, program, run

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PRODUCERS = (
    "kcat", "kafka-python", "confluent-kafka", "aiokafka", "kafkajs", "platformatic", "franz-go", "sarama", "kafka-go", "java", "corelog",
)
# kafkajs and platformatic read only in a group.
READERS = ("kcat", "kafka-python", "confluent-kafka", "aiokafka", "franz-go", "sarama", "kafka-go", "java", "corelog")
# Fast enough for a text several times as large in the same time.
FAST = ("kcat", "confluent-kafka", "aiokafka", "franz-go", "sarama", "kafka-go", "corelog")
# kafka-go cannot be idempotent, and Corelog's command has no switch for it.
IDEMPOTENT = tuple(client for client in PRODUCERS if client not in ("kafka-go", "corelog"))
SETTLE_SECONDS_MAX = 10


def available(client):
    """Whether this client can run here at all."""
    try:
        {"kcat": kcat, "java": lambda: kafka_tool("kafka-topics"), "corelog": corelog}.get(client, lambda: program(client))()
    except Skip:
        return False
    return True


def reader_for(number, client):
    """Rotates through the readers that are here, so that each reads from many producers, and none from itself."""
    here = [reader for reader in READERS if reader != client and available(reader)]
    if not here:
        raise Skip("there is no other client to read with")
    return here[number % len(here)]


def produce(client, bootstrap, topic, path, codec="none", acks="all", idempotent=True, seconds=300):
    idempotent = idempotent and client in IDEMPOTENT
    if client == "kcat":
        settings = ["-X", f"acks={acks}", "-X", f"enable.idempotence={str(idempotent).lower()}", "-X", "linger.ms=20"]
        run([kcat(), "-P", "-b", bootstrap, "-t", topic, "-p", "0", "-z", codec, *settings], path, seconds)
    elif client == "java":
        settings = ["--command-property", f"acks={acks}", "--command-property", f"enable.idempotence={str(idempotent).lower()}"]
        settings += ["--compression-codec", codec, "--batch-size", "131072"]
        run(kafka_tool("kafka-console-producer", "--bootstrap-server", bootstrap, "--topic", topic, *settings), path, seconds)
    elif client == "corelog":
        options = ["--bootstrap-server", bootstrap, "--file", path, "--partition", "0", "--compression", codec, "--acks", acks]
        run([corelog(), "produce", topic, *options, "--quiet"], seconds=seconds)
    else:
        options = ["--bootstrap", bootstrap, "--topic", topic, "--file", path, "--codec", codec, "--acks", acks]
        run([*program(client), "produce", *options, "--idempotent", "yes" if idempotent else "no"], seconds=seconds)


def read(client, bootstrap, topic, out, count, seconds=300):
    if client == "kcat":
        out.write_bytes(run([kcat(), "-C", "-b", bootstrap, "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"], seconds=seconds))
    elif client == "java":
        options = ["--bootstrap-server", bootstrap, "--topic", topic, "--partition", "0", "--from-beginning"]
        options += ["--max-messages", str(count), "--timeout-ms", "30000"]
        out.write_bytes(run(kafka_tool("kafka-console-consumer", *options), seconds=seconds))
    elif client == "corelog":
        options = ["--bootstrap-server", bootstrap, "--partition", "0", "--from-beginning", "--until-end", "--quiet"]
        out.write_bytes(run([corelog(), "consume", topic, *options], seconds=seconds))
    else:
        options = ["--bootstrap", bootstrap, "--topic", topic, "--out", out]
        run([*program(client), "consume", *options], seconds=seconds)


def settle(bootstrap, topic, count):
    """Waits until the partition holds `count` records: a producer with acks=0 ends before the broker has them."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    with wire.Connection(bootstrap) as connection:
        while (found := connection.offset(topic, 0)) != (0, count):
            if time.monotonic() > deadline:
                raise Failure(f"the partition's end is (error, offset) {found}, not {(0, count)}")
            time.sleep(0.05)


def same(sent, came):
    """Compares two files byte for byte, and says where they part."""
    want, got = sent.read_bytes(), came.read_bytes()
    if want == got:
        return
    a, b = want.split(b"\n"), got.split(b"\n")
    for number, (left, right) in enumerate(zip(a, b)):
        if left != right:
            raise Failure(f"record {number} of {len(a) - 1} is {right[:60]!r}, not {left[:60]!r} ({len(b) - 1} came)")
    raise Failure(f"{len(b) - 1} records came instead of {len(a) - 1}")
