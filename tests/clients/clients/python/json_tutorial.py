"""The Python tutorial that beginners follow, as it stands: JSON values through kafka-python, without a group.

    json_tutorial.py BOOTSTRAP TOPIC
"""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer

bootstrap, topic = sys.argv[1:3]
orders = [{"id": number, "item": f"café {number}", "price": number * 1.5, "tags": ["a", None, True]} for number in range(1000)]

producer = KafkaProducer(
    bootstrap_servers=bootstrap,
    key_serializer=lambda key: str(key).encode("utf-8"),
    value_serializer=lambda value: json.dumps(value).encode("utf-8"),
)
for order in orders:
    producer.send(topic, key=order["id"], value=order, headers=[("source", b"tutorial")])
metadata = producer.send(topic, key=1000, value={"id": 1000}).get(timeout=10)
assert metadata.topic == topic and metadata.offset >= 0, metadata
producer.flush()
producer.close()

consumer = KafkaConsumer(
    topic,
    bootstrap_servers=[bootstrap],
    auto_offset_reset="earliest",
    consumer_timeout_ms=3000,
    value_deserializer=lambda value: json.loads(value.decode("utf-8")),
)
received = {}
for message in consumer:
    assert message.value["id"] not in received, f"{message.value} came twice"
    assert message.key == str(message.value["id"]).encode(), message
    received[message.value["id"]] = message.value
    if message.value["id"] < 1000:
        assert message.headers == [("source", b"tutorial")], message.headers
    if len(received) == 1001:
        break
consumer.close()
assert [received[number] for number in range(1000)] == orders and len(received) == 1001, len(received)
print(f"{len(received)} records")
